"""Labels of labelled files: of sequences and of frames, from training to a score."""

import csv

import numpy as np
import pytest
import torch
import xarray as xr

from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.evaluate import evaluate
from framecast.frames.windows import Windows
from framecast.models import ForecasterConfig
from framecast.readers.open import open_frames, read_frames
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.runs.experiment import Experiment
from framecast.train import train
from framecast.train.start import prepare

COUNT, LENGTH, SIDE = 12, 10, 8
KINDS = ["rise", "fall", "rise"]


def waves(count=COUNT):
    """Sequences that grow brighter or darker, [N,T,H,W], and which."""
    kinds = np.array([KINDS[n % 3] for n in range(count)])
    way = np.where(kinds == "rise", 1.0, -1.0)[:, None, None, None]
    level = np.linspace(-1, 1, LENGTH)[None, :, None, None] * way
    random = np.random.default_rng(0).normal(0, 0.05, (count, LENGTH, SIDE, SIDE))
    return (level + random).astype(np.float32), kinds


def dataset(label="usual", attributes=None, count=COUNT):
    values, kinds = waves(count)
    label = ("case", kinds) if label == "usual" else label
    data = xr.Dataset({"z": (("case", "time", "y", "x"), values)})
    data["time"] = ("time", np.arange(LENGTH), {"axis": "T"})
    if label is not None:
        data["kind"] = (*label, attributes or {})
    return data


def written(data, path):
    data.to_zarr(path, zarr_format=2) if path.suffix == ".zarr" else data.to_netcdf(path)
    return path


def labels_of(path, **further):
    return read_frames(path, label="kind", dims={"sequence": "case"}, **further).labels


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_texts_along_the_sequences_are_their_classes(tmp_path, name):
    path = written(dataset(), tmp_path / name)
    labels = labels_of(path)
    assert labels.names == ("fall", "rise")
    assert [labels.names[n] for n in labels.numbers.tolist()] == waves()[1].tolist()
    assert read_frames(path, dims={"sequence": "case"}).labels is None
    coordinate = written(dataset().set_coords("kind"), tmp_path / f"b{path.suffix}")
    assert torch.equal(labels_of(coordinate).numbers, labels.numbers)


def test_numbers_are_called_what_the_file_says(tmp_path):
    numbers = np.array([3, 1, 3] * 4, np.int8)
    flags = {"flag_values": np.array([1, 2, 3], np.int8), "flag_meanings": "wet none dry"}
    plain = labels_of(written(dataset(("case", numbers)), tmp_path / "plain.nc"))
    meant = labels_of(written(dataset(("case", numbers), flags), tmp_path / "meant.nc"))
    assert plain.names == ("1", "3")
    assert meant.names == ("wet", "dry")
    assert plain.numbers.tolist() == meant.numbers.tolist() == [1, 0, 1] * 4
    tens = np.array([10, 9, 10] * 4)
    assert labels_of(written(dataset(("case", tens)), tmp_path / "tens.nc")).names == ("9", "10")


@pytest.mark.parametrize(
    ("label", "attributes", "message"),
    [
        (None, {}, "has no variable, coordinate or attribute kind, which data.label names"),
        (("x", np.arange(SIDE)), {}, r"kind varies over x, .* dimensions case, time"),
        (("case", np.linspace(0, 1, COUNT)), {}, "float64 that are no whole numbers"),
        (("case", np.array(["a"] * 11 + [""])), {}, "missing 1 times, first at place 11"),
        (("case", np.array([1.0] * 11 + [np.nan])), {}, "missing 1 times, first at place 11"),
        (
            ("case", np.arange(COUNT)),
            {"flag_values": [0, 1], "flag_meanings": "a b"},
            "holds 2, which is none of its flag_values",
        ),
        (
            ("case", np.zeros(COUNT, int)),
            {"flag_values": [0, 1], "flag_meanings": "a"},
            "a name for each",
        ),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, label, attributes, message):
    path = written(dataset(label, attributes), tmp_path / "a.nc")
    with pytest.raises(UserError, match=message):
        labels_of(path)


def test_labels_follow_their_frames_through_all_cuts(tmp_path):
    days = np.array([f"day {n // 2}" for n in range(LENGTH)])
    path = written(dataset(("time", days)), tmp_path / "a.nc")
    labels = labels_of(path, period=(2, 8), every=3)
    assert labels.names == ("day 1", "day 2", "day 4")
    assert labels.numbers.tolist() == [[0, 1, 2]] * COUNT
    part = read_frames(path, label="kind", dims={"sequence": "case"}).select(
        slice(2, 4), slice(3, 6)
    )
    assert part.labels.numbers.tolist() == [[1, 2, 2]] * 2


def test_what_has_no_label_may_be_cut_off(tmp_path):
    days = np.array(["", "", *("day", "night") * 4])
    path = written(dataset(("time", days)), tmp_path / "a.nc")
    with pytest.raises(UserError, match="kind is missing 2 times, first at place 0"):
        labels_of(path)
    assert labels_of(path, period=(2, 9)).names == ("day", "night")
    numbers = np.array([np.nan, np.nan, *[1.0, 2.0] * 4])
    path = written(dataset(("time", numbers)), tmp_path / "b.nc")
    assert labels_of(path, period=(2, 9)).names == ("1", "2")


def test_files_that_follow_one_another_keep_the_labels_of_their_times(tmp_path):
    one = dataset(("time", np.array(["a"] * LENGTH))).isel(case=0)
    two = dataset(("time", np.array(["b"] * LENGTH))).isel(case=0)
    two["time"] = two.time + LENGTH
    for data, name in ((one, "1.nc"), (two, "2.nc")):
        data.to_netcdf(tmp_path / name)
    labels = open_frames(str(tmp_path), Selection(label="kind")).labels
    assert labels.names == ("a", "b")
    assert labels.numbers.tolist() == [[0] * LENGTH + [1] * LENGTH]


def test_files_beside_one_another_have_a_label_each(tmp_path):
    for name, kind in (("1.nc", "b"), ("2.nc", "a"), ("3.nc", "b")):
        data = dataset(None).isel(case=0).assign_attrs(kind=kind)
        data.to_netcdf(tmp_path / name)
    labels = open_frames(str(tmp_path), Selection(label="kind", join="sequences")).labels
    assert labels.names == ("a", "b")
    assert labels.numbers.tolist() == [1, 0, 1]
    moved = xr.open_dataset(tmp_path / "2.nc").load()
    moved["time"] = moved.time + LENGTH
    moved.to_netcdf(tmp_path / "later.nc")
    files = [str(tmp_path / "1.nc"), str(tmp_path / "later.nc")]
    with pytest.raises(UserError, match=r"data\.label kind cannot be read.*dimension of time"):
        open_frames(files, Selection(label="kind"))


def test_files_without_names_have_no_labels(tmp_path):
    np.save(tmp_path / "a.npy", waves()[0][:, :, None])
    with pytest.raises(UserError, match=r"data\.label kind cannot be read"):
        read_frames(tmp_path / "a.npy", label="kind")
    with pytest.raises(ValueError, match=r"data\.label is not read by data.source videos"):
        DataConfig("videos", label="kind")


def plan(path, **further):
    data = DataConfig(
        path=str(path),
        label="kind",
        crops_per_sequence=4,
        dims={"sequence": "case"},
        validation_fraction=0.25,
        test_fraction=0.25,
    )
    options = {"frames": 4, "channels": 4, "hidden": 8}
    network = ForecasterConfig(depth=1, hidden=4, classifier="conv_3d", classifier_options=options)
    keys = {"context": 4, "horizon": 2, "epochs": 12, "batch_size": 4, "precision": 32}
    training = TrainingConfig(**keys | {"learning_rate": 1e-2, "prediction_weight": 0.1} | further)
    return Experiment(data, network, training)


def test_a_network_learns_the_labels_of_a_file(tmp_path):
    run = train(plan(written(dataset(), tmp_path / "a.nc")), tmp_path / "run")
    rows = list(csv.DictReader((run / "log.csv").read_text().splitlines()))
    assert float(rows[-1]["val_accuracy"]) == 1
    spec = load_checkpoint(run).frames
    assert spec.classes == ("fall", "rise")
    assert Selection.of(spec).label == "kind"
    assert Selection.of(spec).past.label is None


def test_the_label_of_a_window_is_that_of_its_last_given_frame(tmp_path):
    """Frames are labelled with their own number: a window of 4 + 2 at t has the label t + 3."""
    numbers = np.array([f"t{n}" for n in range(LENGTH)])
    path = written(dataset(("time", numbers)), tmp_path / "a.nc")
    experiment = plan(path, epochs=1)
    start = prepare(experiment, experiment.data.open().splits())
    for place in ((0, 0), (2, 3)):
        batch = start.batches.windows[place]
        assert start.scaling.spec.classes[int(batch.labels)] == f"t{place[1] + 3}"


def test_a_class_that_training_has_nothing_of_is_refused(tmp_path):
    kinds = np.array(["a"] * 5 + ["b"] + ["c"] * 6)
    path = written(dataset(("case", kinds)), tmp_path / "a.nc")
    with pytest.raises(UserError, match="1 of 3 classes have nothing to learn from: c"):
        train(plan(path), tmp_path / "run")


def test_how_well_the_windows_of_a_series_are_named(tmp_path):
    """Named from 1, 2, 3 and 4 of 4 given frames, as the network names them one by one."""
    data = written(dataset(), tmp_path / "a.nc")
    run = train(plan(data, epochs=2), tmp_path / "run")
    (recognition,) = evaluate([run], steps=2).models[0].recognition
    assert recognition.shares == (0.25, 0.5, 0.75, 1.0)
    assert recognition.trained == (1.0,)
    checkpoint = load_checkpoint(run)
    frames = plan(data).data.open().test()
    windows = Windows(frames, checkpoint.scaling, 4)
    for share, count in ((0.25, 1), (0.75, 3), (1.0, 4)):
        expected = [
            checkpoint.model.watch(checkpoint.model.read(windows[place].frames))[1][0, count - 1]
            for place in ((0, 0), (1, 0), (2, 0))
        ]
        found = recognition.named[share].probabilities
        torch.testing.assert_close(found, torch.stack(expected).softmax(1).detach())
    assert recognition.named[1.0].labels.tolist() == frames.labels.numbers.tolist()
    others = written(dataset(count=6), tmp_path / "others.nc")
    (again,) = evaluate([run], data=str(others), steps=2).models[0].recognition
    assert len(again.named[1.0]) == 6
    strange = written(dataset(("case", np.array(["still"] * 6)), count=6), tmp_path / "still.nc")
    with pytest.raises(UserError, match="has the class still, which the model was not trained on"):
        evaluate([run], data=str(strange), steps=2)
