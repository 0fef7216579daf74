"""The KTH actions: their list, their parts, their labels."""

import shutil

import pytest
import torch

from conftest import DATA
from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.datasets.kth import Entry, read_list
from framecast.readers.open import read_frames

FOLDER = DATA / "kth"
SMALL = {"actions": ["boxing", "walking"], "size": [15, 20]}

pytestmark = pytest.mark.filterwarnings("ignore:.*sequences are cut")


def splits(path=FOLDER, **options):
    return DataConfig("kth", str(path), options=SMALL | options).open().splits()


def labels(frames, name):
    return frames.coordinates[name].values.tolist()


def test_the_list_is_read_with_its_oddities():
    entries = read_list(FOLDER / "00sequences.txt")
    assert len(entries) == 13
    assert entries[:4] == [
        Entry(1, "walking", 1, 0, 12),
        Entry(1, "walking", 1, 9, 30),  # overlaps the one before
        Entry(1, "boxing", 1, 14, 28),  # not in order
        Entry(1, "boxing", 1, 0, 14),
    ]
    assert not [e for e in entries if e.action == "handclapping"]  # *missing*
    assert entries[-1].name == "person25_walking_d2 2-26"


@pytest.mark.parametrize(
    "line",
    [
        "person01_boxing_d1 frames 1-",
        "person01_boxing_d1 frames 9-3",
        "person01_boxing_d1 frames 0-3",
        "person01_dancing_d1 frames 1-3",
        "person01_boxing_d1 1-3",
    ],
)
def test_a_line_that_is_not_understood_is_named(tmp_path, line):
    file = tmp_path / "00sequences.txt"
    file.write_text(f"preface\n\n{line}\n")
    with pytest.raises(UserError, match=f"line 3 is not understood: {line}"):
        read_list(file)


def test_persons_make_the_parts():
    parts = splits()
    persons = [set(labels(part, "person")) for part in parts]
    assert persons == [{1, 2}, {15, 16}, {17, 25}]
    assert [part.grid for part in parts] == [(15, 20)] * 3
    assert parts.train.names == ("grey",)
    everyone = splits(validation_persons=[])
    assert everyone.validation is None
    assert set(labels(everyone.train, "person")) == {1, 2, 15, 16}
    test = DataConfig("kth", str(FOLDER), options=SMALL).open().test()
    assert test.fingerprint() == parts.test.fingerprint()


def test_sequences_have_labels_and_lengths_of_their_own():
    train = splits().train
    assert train.lengths == [12, 21, 14, 14, 24]
    assert labels(train, "action") == ["walking"] * 2 + ["boxing"] * 3
    assert labels(train, "scenario") == [1, 1, 1, 1, 3]
    assert labels(train, "sequence")[1] == "person01_walking_d1 10-30"


def test_a_sequence_holds_the_frames_that_the_list_names():
    file = FOLDER / "walking" / "person01_walking_d1_uncomp.avi"
    video = read_frames(file, ["grey"], size=(15, 20)).load().values[0]
    train = splits().train
    assert torch.equal(train.values[1, :], video[9:30])  # 10-30, counted from 1
    assert torch.equal(train.values[1, 5:8], video[14:17])
    assert len(train.values[0, 5:40]) == 7


@pytest.mark.filterwarnings("default")
def test_sequences_that_outlast_their_video_are_cut_with_a_word():
    with pytest.warns(UserWarning, match=r"2 sequences are cut, or left out.*walking_d1 19-40, "):
        test = splits().test
    assert test.lengths == [18, 18, 15, 15, 25]
    assert labels(test, "sequence")[1] == "person17_walking_d1 19-40"


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(UserError, match=r"00sequences\.txt does not exist: data.path must be"):
        splits(tmp_path)
    shutil.copytree(FOLDER, tmp_path / "kth")
    shutil.rmtree(tmp_path / "kth" / "boxing")
    with pytest.raises(UserError, match=r"2 of 3 videos are missing, .*person01_boxing_d1_uncomp"):
        splits(tmp_path / "kth")
    assert splits(tmp_path / "kth", actions=["walking"]).train.lengths == [12, 21]
    with pytest.raises(UserError, match="names no sequence for training"):
        splits(tmp_path / "kth", actions=["jogging"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": ["dancing"]}, "must be some of boxing, handclapping"),
        ({"actions": []}, "must be some of"),
        ({"validation_persons": [17]}, "must be some of 1 to 16"),
        ({"validation_persons": list(range(1, 17))}, "not all"),
        ({"size": [0, 4]}, "both at least 1"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        DataConfig("kth", options=options)
