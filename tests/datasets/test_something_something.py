"""Something-Something V2 in its published layout, with small videos in VP9."""

import json

import numpy as np
import pytest
import torch

from framecast.base.errors import FoundLateWarning, UserError
from framecast.datasets.config import DataConfig
from framecast.datasets.something_something import SomethingSomething
from videos import write_video

SMALL = {"size": [12, 16], "frames": 4, "targets": 2, "seen": [0.5]}
LABELS = [
    "Dropping something onto something",
    "Holding something",
    "Picking something up",
    "Turning something upside down",
]
CATEGORIES = {"Dropping": ["Dropping [something] onto [something]"], "Holding": [LABELS[1]]}

pytestmark = pytest.mark.filterwarnings("ignore:.*categories are chosen by how their labels begin")


def template(label):
    return label.replace("something", "[something]")


def write(folder, train, validation, names="something-something-v2-{}.json"):
    """The files of a release: `train` and `validation` give the label's number for each id."""
    for part, entries in (("train", train), ("validation", validation)):
        listed = [
            {"id": name, "label": "holding it", "template": template(LABELS[number])}
            for name, number in entries
        ]
        file = folder / names.format(part)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(listed))
    numbers = {label: str(number) for number, label in enumerate(LABELS)}
    (folder / names.format("labels")).write_text(json.dumps(numbers))


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    train = [(str(100 + n), n % 4) for n in range(16)]
    validation = [(str(200 + n), n % 4) for n in range(4)]
    write(folder, train, validation)
    for name, number in (*train, *validation):
        frames = np.full((8, 24, 32, 3), 40 * number + 20, np.uint8)
        place = folder / "20bn-something-something-v2" / f"{name}.webm"
        write_video(place, frames, rate=12, codec="libvpx-vp9", form="yuv420p")
    return folder


def source(folder, held_out=0.25, **options):
    options = SMALL | options
    return DataConfig(
        "something_something", str(folder), validation_fraction=held_out, options=options
    ).open()


@pytest.fixture
def listed(tmp_path):
    file = tmp_path / "categories.json"
    file.write_text(json.dumps(CATEGORIES))
    return str(file)


def coordinate(frames, name):
    return frames.coordinates[name].values.tolist()


def test_the_parts_are_those_of_the_papers(release, listed):
    parts = source(release, categories=listed).splits()
    assert parts.train.labels.names == (LABELS[0], LABELS[1])
    held = coordinate(parts.validation, "video")
    kept = coordinate(parts.train, "video")
    assert len(kept) == 6
    assert len(held) == 2
    assert not set(kept) & set(held)
    assert coordinate(parts.test, "video") == ["200.webm", "201.webm"]
    assert parts.test.labels.numbers.tolist() == [0, 1]
    assert coordinate(parts.test, "group") == ["Dropping", "Holding"]


def test_videos_in_vp9_have_the_frames_that_were_written(release, listed):
    test = source(release, categories=listed).test()
    for place, number in enumerate(test.labels.numbers.tolist()):
        level = test.values[place, 0:4]
        assert (level - (40 * number + 20)).abs().max() <= 2  # VP9 is lossy
    assert tuple(test.values.shape) == (2, 6, 3, 12, 16)


def test_without_categories_of_ones_own_those_that_are_taken_say_so(release):
    with pytest.warns(UserWarning, match="not the 41 of the papers"):
        test = source(release).test()
    assert test.labels.names == tuple(LABELS[:3])
    assert coordinate(test, "group") == ["Dropping", "Holding", "Picking"]


def test_all_labels_may_be_categories(release):
    test = source(release, categories="all").test()
    assert test.labels.names == tuple(LABELS)
    assert test.labels.numbers.tolist() == [0, 1, 2, 3]


def test_what_is_in_no_category_is_a_class_where_that_is_asked_for(release, listed):
    test = source(release, categories=listed, none_of_these=True).test()
    assert test.labels.names == (LABELS[0], LABELS[1], "none of these")
    assert test.labels.numbers.tolist() == [0, 1, 2, 2]
    assert coordinate(test, "group")[2:] == ["none of these"] * 2


def test_a_file_may_name_beginnings_of_labels(release, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("away: ['Dropping *', 'Picking [something]*']\nstill: [Holding something]\n")
    test = source(release, categories=str(file)).test()
    assert coordinate(test, "group") == ["away", "still", "away"]


def test_labels_of_newer_releases_are_found(release, tmp_path):
    write(tmp_path, [("100", 0), ("101", 1)], [("200", 0)], "labels/{}.json")
    (tmp_path / "videos").symlink_to(release / "20bn-something-something-v2")
    parts = source(tmp_path, held_out=0.0, categories="all")
    with pytest.raises(UserError, match="2 of 4 classes have no video to learn from: Picking"):
        parts.splits()
    assert coordinate(parts.test(), "video") == ["200.webm"]


@pytest.mark.filterwarnings("default")
def test_missing_and_broken_videos_are_skipped_with_a_list_or_refused(release, tmp_path, listed):
    write(tmp_path, [("100", 0), ("101", 1), ("104", 0), ("999", 1)], [("200", 0)])
    for name in ("100", "101", "200"):
        content = (release / "20bn-something-something-v2" / f"{name}.webm").read_bytes()
        (tmp_path / f"{name}.webm").write_bytes(content)
    (tmp_path / "104.webm").write_bytes(b"no video")
    with pytest.warns(UserWarning, match=r"1 of 4 videos .* found, .* skipped: 999\.webm\. The f"):
        train = source(tmp_path, held_out=0.0, categories=listed).splits().train
    assert coordinate(train, "video") == ["100.webm", "101.webm", "104.webm"]
    with pytest.warns(FoundLateWarning, match=r"104\.webm"):
        assert torch.equal(train.values[2, 0:5], train.values[0, 0:5])
    with pytest.raises(UserError, match=r"1 of 4 videos cannot be read: 999\.webm"):
        source(tmp_path, held_out=0.0, categories=listed, strict=True).splits()
    write(tmp_path, [("100", 0), ("101", 1)], [("104", 0), ("200", 0)])
    with pytest.warns(UserWarning, match=r"1 of 2 videos cannot be decoded.* skipped: 104\.webm"):
        test = source(tmp_path, held_out=0.0, categories=listed).test()
    assert coordinate(test, "video") == ["200.webm"]


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        ([("1", 0), ("2", 1), ("1", 1)], [("3", 0)], r"-train.json: ids must be .* are 1"),
        ([("1", 0), ("2", 1)], [("2", 0)], r"ids must be there once.* are 2"),
    ],
)
def test_an_id_that_stands_twice_is_refused(tmp_path, train, validation, message):
    write(tmp_path, train, validation)
    with pytest.raises(UserError, match=message):
        source(tmp_path, categories="all").splits()


def test_a_label_that_does_not_exist_is_refused(tmp_path, release):
    write(tmp_path, [("1", 0)], [("2", 1)])
    file = tmp_path / "something-something-v2-train.json"
    file.write_text(json.dumps([{"id": "1", "template": "Holdin [something]"}]))
    with pytest.raises(
        UserError, match=r"video 1 has the label Holdin something, .*did you mean H"
    ):
        source(tmp_path, categories="all").splits()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"away": ["Dropping it"]}, "away has the label Dropping it, which does not exist"),
        ({"away": ["Dropping *", LABELS[1]], "up": [LABELS[1]]}, "is in away and in up"),
        ({"away": ["Dropping *"]}, "names 1 labels that exist"),
        (["Dropping *"], "must be names of groups"),
        ({"away": "Dropping *"}, "must be names of groups"),
    ],
)
def test_categories_that_make_no_sense_are_refused(release, tmp_path, content, message):
    file = tmp_path / "own.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        source(release, categories=str(file)).test()


def test_files_that_are_not_there_or_not_as_published_are_named(tmp_path, release):
    with pytest.raises(UserError, match=r"holds no something-something-v2-labels\.json"):
        source(tmp_path).splits()
    write(tmp_path, [("1", 0), ("2", 1)], [("3", 0)])
    with pytest.raises(UserError, match=r"holds no videos: 1\.webm and all others must be in it"):
        source(tmp_path, categories="all").splits()
    (tmp_path / "something-something-v2-train.json").write_text('[{"id": "1"}]')
    with pytest.raises(UserError, match='must be a list of objects with "id" and "template"'):
        source(tmp_path, categories="all").splits()
    (tmp_path / "something-something-v2-train.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        source(tmp_path, categories="all").splits()


def test_nothing_that_is_held_out_is_refused(release, listed):
    with pytest.raises(UserError, match=r"validation_fraction 0\.01 of 8 videos.* leaves nothing"):
        source(release, held_out=0.01, categories=listed).splits()
    assert source(release, held_out=0.0, categories=listed).splits().validation is None
    assert SomethingSomething().validation_fraction == 0.1
