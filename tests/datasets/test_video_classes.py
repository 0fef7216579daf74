"""Labelled videos in folders of their classes."""

import operator
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from framecast import (
    Experiment,
    ForecasterConfig,
    TrainingConfig,
    forecast_file,
    load_checkpoint,
    train,
)
from framecast.base.errors import FoundLateWarning, UserError
from framecast.base.fetch import cache_folder
from framecast.base.workers import Workers
from framecast.datasets.config import DataConfig
from framecast.doctor import examine, propose
from framecast.readers import decoding
from framecast.readers.selection import EVERYTHING
from videos import write_video

SMALL = {"size": [6, 8], "frames": 4, "targets": 2, "seen": [0.25, 0.5]}


def video(path, length=16, level=0):
    """Frames that are all of one grey, `level` and one more with each frame."""
    frames = np.zeros((length, 6, 8, 3), np.uint8) + level
    return write_video(path, frames + np.arange(length, dtype=np.uint8)[:, None, None, None])


@pytest.fixture
def folder(tmp_path):
    for place, name in enumerate(["drop", "lift"]):
        for number in range(4):
            video(tmp_path / "own" / name / f"{number}.avi", level=50 * place + 10 * number)
    return tmp_path / "own"


def source(path, **options):
    shares = {name: options.pop(name) for name in list(options) if name.endswith("fraction")}
    return DataConfig("video_classes", str(path), options=SMALL | options, **shares).open()


def coordinate(frames, name):
    return frames.coordinates[name].values.tolist()


def named(frames):
    return set(zip(coordinate(frames, "class"), coordinate(frames, "video"), strict=True))


def test_every_share_of_a_video_is_a_labelled_sequence(folder):
    train = source(folder, validation_fraction=0.25, test_fraction=0.25).splits().train
    assert tuple(train.values.shape) == (8, 6, 3, 6, 8)
    assert train.labels.names == ("drop", "lift")
    assert train.labels.numbers.tolist() == [0] * 4 + [1] * 4
    assert coordinate(train, "seen") == [0.25, 0.5] * 4
    assert coordinate(train, "class") == ["drop"] * 4 + ["lift"] * 4
    first = int(coordinate(train, "video")[0][0])
    quarter, half = train.values[0, 0:6], train.values[1, 0:6]
    assert quarter[:, 0, 0, 0].tolist() == [10 * first + n for n in (0, 1, 2, 3, 4, 5)]
    assert half[:, 0, 0, 0].tolist() == [10 * first + n for n in (1, 3, 5, 7, 9, 11)]


def test_parts_are_drawn_from_each_class_by_the_seed(folder):
    settings = {"validation_fraction": 0.25, "test_fraction": 0.25}
    parts = source(folder, **settings).splits()
    everything = [named(part) for part in parts]
    assert [len(part) for part in everything] == [4, 2, 2]
    assert len(set.union(*everything)) == 8
    assert all({label for label, _ in part} == {"drop", "lift"} for part in everything)
    assert named(source(folder, **settings).test()) == everything[2]
    others = [named(source(folder, seed=seed, **settings).test()) for seed in range(1, 5)]
    assert any(other != everything[2] for other in others)
    assert (
        named(source(folder, validation_fraction=0.5, test_fraction=0.25).test()) == (everything[2])
    )


def test_folders_may_say_what_is_what(folder, tmp_path):
    named_parts = tmp_path / "named"
    for part in ("train", "test"):
        for name in ("drop", "lift"):
            video(named_parts / part / name / f"{part}.avi")
    parts = source(named_parts).splits()
    assert named(parts.train) == {("drop", "train.avi"), ("lift", "train.avi")}
    assert parts.validation is None
    assert named(parts.test) == {("drop", "test.avi"), ("lift", "test.avi")}
    again = source(folder).read(named_parts, EVERYTHING)
    assert named(again) == named(parts.test)
    video(named_parts / "test" / "lifts" / "0.avi")
    with pytest.raises(UserError, match=r"the class lifts, .*has none \(did you mean lift\?\)"):
        source(named_parts).splits()


def test_a_target_after_the_end_of_its_video_is_missing(folder):
    frames = source(folder, seen=[1.0]).splits().train
    values = frames.values[0, 0:6]
    assert not values[:4].isnan().any()
    assert values[4:].isnan().all()


def test_other_videos_are_seen_whole_and_have_no_labels(folder):
    alone = source(folder, targets=3).read(folder / "lift" / "1.avi", EVERYTHING)
    assert alone.labels is None
    assert alone.values[0, 0:9][:, 0, 0, 0].tolist() == [60 + n for n in (3, 7, 11, 15)]
    classes = source(folder).read(folder, EVERYTHING)
    assert classes.labels.numbers.tolist() == [0] * 8 + [1] * 8
    with pytest.raises(UserError, match="holds no video"):
        source(folder).read(folder / "nothing", EVERYTHING)


PARTS = {"validation_fraction": 0.0, "test_fraction": 0.0}


@pytest.fixture
def decoded(monkeypatch):
    """The videos that are decoded."""
    paths, decode = [], decoding._decode

    def counted(path, *arguments):
        paths.append(path.name)
        decode(path, *arguments)

    monkeypatch.setattr(decoding, "_decode", counted)
    return paths


def test_a_video_is_decoded_where_it_is_first_read_and_once(folder, decoded):
    parts = source(folder, validation_fraction=0.25, test_fraction=0.25).splits()
    fingerprint = parts.train.fingerprint()
    assert decoded == []
    train, name = parts.train, coordinate(parts.train, "video")[2]
    train.values[2, 0:3]
    train.values[3, 0:6]  # the other share of the same
    assert decoded == [name]
    assert train.fingerprint() == fingerprint
    source(folder, validation_fraction=0.25, test_fraction=0.25).splits().train.values[2, 0:6]
    assert decoded == [name]


def test_for_a_damaged_video_to_learn_from_the_next_of_its_class_is_read(folder):
    for number in (0, 3):
        (folder / "lift" / f"{number}.avi").write_bytes(b"no video at all")
    train = source(folder, seen=[0.25], **PARTS).splits().train
    assert len(train.values) == 8
    with pytest.warns(FoundLateWarning, match=r"lift/0\.avi.*\(video 1 that cannot be decoded\)"):
        first = train.values[4, 0:6]
    assert torch.equal(first, train.values[5, 0:6])
    with pytest.warns(FoundLateWarning, match=r"lift/3\.avi.*\(video 2 that cannot be decoded\)"):
        assert torch.equal(train.values[7, 0:6], first)  # on from the first of the class
    train.values[4, 0:6]  # it is said once
    strict = source(folder, strict=True, **PARTS).splits().train
    with pytest.raises(UserError, match=r"lift/0\.avi cannot be read as video"):
        strict.values[8, 0:6]


def test_a_class_of_which_no_video_can_be_decoded_is_refused(folder):
    for file in (folder / "lift").iterdir():
        file.write_bytes(b"no video at all")
    train = source(folder, **PARTS).splits().train
    with (
        pytest.warns(FoundLateWarning),
        pytest.raises(UserError, match="no video of lift can be decoded"),
    ):
        train.values[8, 0:6]


def test_what_is_tested_on_is_decoded_and_skipped_with_a_list_or_refused(folder, decoded):
    (folder / "lift" / "0.avi").write_bytes(b"no video at all")
    with pytest.warns(UserWarning, match=r"1 of 8 videos cannot be decoded.* skipped: 0\.avi\."):
        frames = source(folder).read(folder, EVERYTHING)
    assert len(decoded) == 8
    assert ("lift", "0.avi") not in named(frames)
    assert len(named(frames)) == 7
    assert frames.labels.numbers.tolist() == [0] * 8 + [1] * 6
    with pytest.raises(UserError, match=r"1 of 8 videos cannot be read: 0\.avi\."):
        source(folder, strict=True).read(folder, EVERYTHING)


def test_worker_processes_share_the_cache_and_say_what_is_damaged(folder, capfd):
    (folder / "lift" / "0.avi").write_bytes(b"no video at all")
    reader = source(folder, **PARTS).splits().train.values.reader
    with Workers(2, operator.methodcaller("read", 8, 0, 6), "data.workers") as workers:
        answers = [workers.ask(reader) for _ in range(6)]
        found = [answer.result() for answer in answers]
    assert "framecast: note: " in (said := capfd.readouterr().err)
    assert "lift/0.avi cannot be read as video" in said
    expected = reader.read(10, 0, 6)  # 1.avi, the next of its class
    assert all(torch.equal(one, expected) for one in found)


def test_training_with_worker_processes_gives_the_same_weights(folder, tmp_path):
    runs = []
    for workers in (0, 2):
        plan = experiment(folder)
        data = replace(plan.data, workers=workers)
        run = train(replace(plan, data=data), tmp_path / f"run_{workers}")
        runs.append(load_checkpoint(run).model.state_dict())
        shutil.rmtree(cache_folder("videos"))
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


def test_a_class_without_videos_is_refused(folder):
    (folder / "turn").mkdir()
    with pytest.raises(UserError, match="1 of 3 classes have no video to learn from: turn"):
        source(folder).splits()


def test_a_folder_that_is_none_of_classes_is_refused(folder, tmp_path):
    for place in (tmp_path / "nowhere", folder / "lift"):
        with pytest.raises(UserError, match="holds 0 folders of videos"):
            source(place).splits()
    with pytest.raises(UserError, match=r"test_fraction 0\.1 of the 8 videos.* leaves nothing"):
        source(folder, validation_fraction=0.25, test_fraction=0.1).splits()


def test_the_fingerprint_knows_what_is_taken(folder):
    def fingerprint(**options):
        return source(folder, **options).splits().train.fingerprint()

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(seen=[0.25, 0.75]), fingerprint(sampling="last")}) == 3


def test_grey_frames_have_one_channel(folder):
    frames = DataConfig("video_classes", str(folder), ["grey"], options=SMALL).open().splits().train
    assert frames.names == ("grey",)
    assert torch.equal(frames.values[0, 0:2][:, :, 0, 0], frames.values[0, 0:2][:, :, 5, 7])


def test_other_folders_may_be_one_class_more_or_left_out(folder):
    for name in ("turn", "wave"):
        video(folder / name / "0.avi")
        video(folder / name / "1.avi")
    chosen = {"classes": ["lift", "turn"], **PARTS}
    alone = source(folder, **chosen).splits().train
    assert alone.labels.names == ("lift", "turn")
    more = source(folder, none_of_these=True, **chosen).splits().train
    assert more.labels.names == ("lift", "turn", "none of these")
    assert coordinate(more, "class").count("none of these") == 2 * (4 + 2)
    read = source(folder, none_of_these=True, **chosen).read(folder, EVERYTHING)
    assert read.labels.names == more.labels.names
    with pytest.raises(UserError, match=r"no folder lifts \(did you mean lift\?\)"):
        source(folder, classes=["lifts", "turn"]).splits()
    everything = ["drop", "lift", "turn", "wave"]
    with pytest.raises(UserError, match="has no other folders than"):
        source(folder, classes=everything, none_of_these=True).splits()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"none_of_these": True}, "none_of_these would change nothing"),
        ({"classes": ["lift", "lift"]}, "names a folder twice"),
        ({"seen": []}, "must be shares"),
        ({"seen": [0.0]}, "must be shares"),
        ({"seen": [1.5]}, "must be shares"),
        ({"seen": [0.5, 0.5]}, "names a share twice"),
        ({"frames": 0}, "frames 0 must be at least 1"),
        ({"targets": 0}, "targets 0 must be at least 1"),
        ({"sampling": "odd"}, "sampling"),
        ({"seed": -1}, "must not be negative"),
        ({"size": [4]}, "both at least 1"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        DataConfig("video_classes", options=options)


def experiment(folder, **training):
    return Experiment(
        DataConfig(
            "video_classes",
            str(folder),
            validation_fraction=0.25,
            test_fraction=0.25,
            normalise="unit",
            options=SMALL,
        ),
        ForecasterConfig(depth=1, hidden=3),
        TrainingConfig(**{"context": 4, "horizon": 2, "epochs": 1, "precision": 32} | training),
    )


def test_classes_survive_training_and_being_saved(folder, tmp_path):
    run = train(experiment(folder), tmp_path / "run")
    checkpoint = load_checkpoint(run)
    assert checkpoint.frames.classes == ("drop", "lift")
    assert checkpoint.model.ports.classes == 2
    forecast_file(run, folder / "lift" / "0.avi", 3, tmp_path / "ahead.npz")
    assert np.load(tmp_path / "ahead.npz")["frames"].shape[-4:] == (3, 3, 6, 8)


def test_a_window_must_be_what_the_sequences_are_made_for(folder, tmp_path):
    with pytest.raises(UserError, match=r"makes sequences of 4 given frames and 2 to predict"):
        train(experiment(folder, context=3), tmp_path / "run")


def test_inspect_proposes_that_window(folder):
    data = experiment(folder).data
    proposal = propose(examine(data), {"data.source": "video_classes"})
    assert proposal.experiment().training.window == 6
    assert proposal.experiment().training.context == 4
