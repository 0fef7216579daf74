"""Videos: decoded once, read exactly, refused with a reason."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import DATA
from framecast.base.errors import UserError
from framecast.base.fetch import cache_folder
from framecast.datasets.config import DataConfig
from framecast.frames.splits import Splits
from framecast.readers.decoding import open_videos
from framecast.readers.folder import read_test
from framecast.readers.open import read_frames
from videos import folder_of_videos, noise, write_video

WALKING = DATA / "kth" / "walking" / "person01_walking_d1_uncomp.avi"


def values_of(path, variables=None, size=None):
    return read_frames(path, variables, size=size).load().values[0]


@given(
    sides=st.tuples(st.integers(4, 19), st.integers(4, 19)),
    length=st.integers(1, 5),
    grey=st.booleans(),
)
@settings(max_examples=20)
def test_frames_of_any_size_come_back_exactly(tmp_path_factory, sides, length, grey):
    frames = noise(length, *sides)
    path = tmp_path_factory.mktemp("video") / "x.avi"
    if grey:
        write_video(path, frames[..., 0].copy(), form="gray")
        expected = frames[..., :1]
    else:
        write_video(path, frames)
        expected = frames
    values = values_of(path)
    assert torch.equal(values, torch.from_numpy(expected).permute(0, 3, 1, 2).float())


def test_a_video_is_labelled(tmp_path):
    frames = read_frames(write_video(tmp_path / "x.avi", noise(7, 5, 6), rate=25))
    assert frames.names == ("red", "green", "blue")
    assert frames.channels[0].valid_range == (0, 255)
    assert frames.dims == ("time", "y", "x")
    assert frames.times.tolist() == [0, 0.04, 0.08, 0.12, 0.16, 0.2, 0.24]
    assert frames.coordinates["time"].attributes["units"] == "s"


def test_a_real_video():
    frames = read_frames(WALKING, ["grey"])
    assert frames.values.shape == (1, 30, 1, 60, 80)
    assert str(frames.step) == "0.04"
    values = frames.load().values
    assert 60 < values.mean() < 180
    still, moving = (values[:, 1:] - values[:, :-1]).abs().quantile(torch.tensor([0.5, 1.0]))
    assert still < 5 < 40 < moving  # a static camera, and somebody walks


def test_resized_pixels_are_means_over_what_they_cover(tmp_path):
    frames = noise(3, 24, 36)
    path = write_video(tmp_path / "x.avi", frames)
    means = frames.reshape(3, 6, 4, 9, 4, 3).mean((2, 4))
    values = values_of(path, None, (6, 9)).permute(0, 2, 3, 1)
    assert np.abs(values.numpy() - means).max() <= 1


def test_grey_and_colour_are_asked_for_by_name(tmp_path):
    level = np.arange(0, 250, 50, np.uint8)
    frames = np.broadcast_to(level[:, None, None, None], (5, 4, 4, 3)).copy()
    path = write_video(tmp_path / "x.avi", frames)
    assert values_of(path, ["grey"]).shape == (5, 1, 4, 4)
    assert np.abs(values_of(path, ["grey"])[:, 0, 2, 2].numpy() - level).max() <= 1
    with pytest.raises(UserError, match="are grey, or red, green, blue; not air"):
        read_frames(path, ["air"])


@pytest.mark.parametrize(("suffix", "codec", "form"), [
    (".mp4", "h264", "yuv420p"), (".gif", "gif", "rgb8"), (".mkv", "h264", "yuv420p"),
    (".avi", "mpeg4", "yuv420p"),
])  # fmt: skip
def test_kinds_of_files(tmp_path, suffix, codec, form):
    level = np.linspace(20, 220, 12).astype(np.uint8)
    frames = np.broadcast_to(level[:, None, None, None], (12, 32, 48, 3)).copy()
    path = write_video(tmp_path / f"x{suffix}", frames, 10, codec, form)
    read = read_frames(path)
    assert read.values.shape == (1, 12, 3, 32, 48)
    assert str(read.step) == "0.1"
    for values in (read.load().values[0], values_of(path, ["grey"])):
        error = values.mean((1, 2, 3)).numpy() - level
        assert np.abs(error).max() < (20 if suffix == ".gif" else 4)


def test_a_video_is_decoded_once_and_anew_when_it_changes(tmp_path, monkeypatch):
    path = write_video(tmp_path / "x.avi", noise(4, 5, 6))
    first = values_of(path, ["grey"])
    with monkeypatch.context() as patch:
        patch.setattr("av.open", None)
        assert torch.equal(values_of(path, ["grey"]), first)
    write_video(path, noise(4, 5, 6, seed=1))
    os.utime(path, (1, 1))
    assert not torch.equal(values_of(path, ["grey"]), first)


def test_decoding_that_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    path = write_video(tmp_path / "stopped.avi", noise(4, 5, 6))
    monkeypatch.setattr("framecast.readers.decoding._timing", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read_frames(path)
    assert not list(cache_folder("videos").glob("*stopped*"))


def cut(path):
    whole = write_video(path, noise(20, 16, 16)).read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])


def cut_behind_its_index(path):
    """A web video: its index stands first, and promises more than there is."""
    with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("h264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        for frame in noise(20, 64, 64):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        file.mux(stream.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def text(path):
    path.write_text("no video")


def sound(path):
    with av.open(path, "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))


def unknown_codec(path):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    whole = write_video(path.with_suffix(".mp4"), frames, 10, "h264", "yuv420p").read_bytes()
    path.write_bytes(whole.replace(b"avc1", b"none"))


def two_sizes(path):
    with av.open(path, "w") as file:
        stream = file.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuvj420p"
        other = av.CodecContext.create("mjpeg", "w")
        other.height, other.width, other.pix_fmt = 24, 16, "yuvj420p"
        other.time_base = Fraction(1, 10)
        for place, (encoder, height) in enumerate([(stream, 16), (other, 24)]):
            frame = av.VideoFrame.from_ndarray(noise(1, height, 16)[0], "rgb24")
            frame = frame.reformat(format="yuvj420p")
            frame.pts, frame.time_base = place, Fraction(1, 10)
            for packet in encoder.encode(frame):
                packet.stream = stream
                file.mux(packet)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (text, "cannot be read as video"),
        (cut, r"cut off or damaged: 1\d of its 20 frames"),
        (cut_behind_its_index, r"cut off or damaged: \d+ of its 20 frames"),
        (sound, "holds no video, only audio"),
        (unknown_codec, "holds video that FFmpeg does not decode here"),
        (two_sizes, "change from 16×16 to 24×16 at frame 1: give one size"),
    ],
)
def test_what_is_wrong_with_a_video_is_said(tmp_path, make, message):
    path = tmp_path / "x.avi"
    make(path)
    for _ in range(2):  # from the file, and from what is known of it
        with pytest.raises(UserError, match=message) as error:
            read_frames(path)
        assert str(path) in str(error.value)


def test_a_rate_takes_every_nth_frame(tmp_path):
    frames = noise(11, 5, 6)
    path = write_video(tmp_path / "x.avi", frames, rate=30)
    read = read_frames(path, rate=10.0)
    assert read.times.tolist() == [0, 0.1, 0.2, 0.3]
    assert torch.equal(
        read.values[0, 1:].permute(0, 2, 3, 1), torch.from_numpy(frames[3::3]).float()
    )
    assert read_frames(path, rate=29.8).length == 11  # one percent off is the same rate


def files_in(frames):
    """Which of the files above a part holds, read off its pixels."""
    if frames is None:
        return []
    first = [int(frames.values[n, :1].flatten()[0]) for n in range(len(frames.values))]
    for n, file in enumerate(first):
        numbers = frames.values[n, :][:, 0, 0, 0] - file
        assert numbers.tolist() == [16 * t % 256 for t in range(frames.lengths[n])]
    return first


def splits_of(path, **settings):
    return DataConfig("videos", str(path), **settings).open().splits()


def test_a_folder_is_parted_by_files(tmp_path):
    path = folder_of_videos(tmp_path / "all")
    parts = splits_of(path, validation_fraction=0.2, test_fraction=0.4)
    assert [files_in(part) for part in parts] == [[0, 1], [2], [3, 4]]
    assert [part.lengths for part in parts] == [[12, 7], [9], [15, 8]]
    assert parts.train.coordinates["sequence"].values.tolist() == ["0.avi", "1.avi"]
    assert files_in(DataConfig("videos", str(path), test_fraction=0.4).open().test()) == [3, 4]


def test_folders_within_name_the_parts(tmp_path):
    folder_of_videos(tmp_path / "all" / "train" / "deeper", (6, 7))
    folder_of_videos(tmp_path / "all" / "test", (5,))
    parts = splits_of(tmp_path / "all")
    assert [files_in(part) for part in parts] == [[0, 1], [], [0]]
    assert read_test(tmp_path / "all").lengths == [5]
    assert read_test(tmp_path / "all" / "train").lengths == [6, 7]


def test_one_video_is_parted_by_time(tmp_path):
    path = write_video(
        tmp_path / "x.avi",
        np.arange(20, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2),
        form="gray",
    )
    parts = splits_of(path, validation_fraction=0.2, test_fraction=0.25)
    held = [part.values[0, :][:, 0, 0, 0].tolist() for part in parts]
    assert held == [list(range(11)), list(range(11, 15)), list(range(15, 20))]
    assert parts.test.times[0] == 1.5
    files = DataConfig("files", str(path), validation_fraction=0.2, test_fraction=0.25)
    assert files.open().splits().test.fingerprint() == parts.test.fingerprint()


def test_videos_that_are_not_alike_are_named(tmp_path):
    write_video(tmp_path / "a.avi", noise(5, 6, 8))
    write_video(tmp_path / "b.avi", noise(5, 6, 10))
    fractions = {"validation_fraction": 0.0, "test_fraction": 0.5}
    with pytest.raises(UserError, match=r"a.avi has frames of 6×8, but .*b.avi of 6×10: give one"):
        splits_of(tmp_path, **fractions)
    assert splits_of(tmp_path, options={"size": [3, 4]}, **fractions).test.grid == (3, 4)
    write_video(tmp_path / "b.avi", noise(5, 6, 8), rate=20)
    with pytest.raises(UserError, match=r"10 frames a second, but .*b.avi 20: give one rate"):
        splits_of(tmp_path, **fractions)
    assert splits_of(tmp_path, options={"rate": 10}, **fractions).test.lengths == [3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"options": {"size": [4]}}, r"must be \[rows, columns\]"),
        ({"options": {"rate": 0}}, "must be positive"),
        ({"options": {"sise": [4, 4]}}, "did you mean size"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        DataConfig("videos", "x", **settings)


def test_a_folder_of_videos_is_sequences_without_being_told(tmp_path):
    folder_of_videos(tmp_path, (6, 5, 4))
    splits = DataConfig(path=str(tmp_path), validation_fraction=0.3, test_fraction=0.3).open()
    assert [part.lengths for part in splits.splits()] == [[6], [5], [4]]


def test_a_folder_without_videos_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no video"):
        splits_of(tmp_path)
    folder_of_videos(tmp_path, (4,))
    assert isinstance(splits_of(tmp_path, validation_fraction=0.0, test_fraction=0.0), Splits)


UNEVEN = [0, 3, 4, 9, 11, 12, 20, 26]
"""Times, in hundredths of a second, that have no step."""


def numbered(path, times, rate=10):
    """A video whose frames hold their own number, at times of 1 / rate."""
    frames = np.arange(len(times), dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    return write_video(path, frames, rate, form="gray", times=times)


def numbers_of(frames, sequence=0):
    return frames.values[sequence, :][:, 0, 0, 0].int().tolist()


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_frames_that_are_lost_inside_leave_a_gap(tmp_path, suffix):
    times = [0, 1, 2, 3, 6, 7, 8, 9, 11, 12]
    path = numbered(tmp_path / f"x{suffix}", times)
    with pytest.warns(UserWarning, match=r"missing after 0\.3 s and 1 more times: no window"):
        frames = read_frames(path)
    assert frames.times.tolist() == pytest.approx([time / 10 for time in times])
    assert [(piece.start, piece.stop) for piece in frames.pieces] == [(0, 4), (4, 8), (8, 10)]
    assert numbers_of(frames) == list(range(10))
    assert str(frames.step) == "0.1"


def test_in_a_folder_what_lies_between_gaps_is_a_sequence(tmp_path):
    numbered(tmp_path / "a.avi", [0, 1, 2, 3, 6, 7, 8])
    numbered(tmp_path / "b.avi", range(5))
    with pytest.warns(UserWarning, match=r"a\.avi.*after 0\.3 s: what lies between is a sequence"):
        frames = read_frames(tmp_path)
    names = frames.coordinates["sequence"].values.tolist()
    assert names == ["a.avi (1)", "a.avi (2)", "b.avi"]
    assert [numbers_of(frames, n) for n in range(3)] == [[0, 1, 2, 3], [4, 5, 6], [0, 1, 2, 3, 4]]


def test_every_nth_frame_is_counted_across_a_gap(tmp_path):
    path = numbered(tmp_path / "x.avi", [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13])
    with pytest.warns(UserWarning, match=r"missing after 0\.4 s"):
        frames = read_frames(path, rate=5.0)
    assert frames.times.tolist() == pytest.approx([0, 0.2, 0.4, 1.0, 1.2])
    assert numbers_of(frames) == [0, 2, 4, 7, 9]


def test_a_variable_rate_is_refused_with_its_remedies(tmp_path):
    path = numbered(tmp_path / "x.mkv", UNEVEN, rate=100)
    for _ in range(2):  # from the file, and from what is known of it
        with pytest.raises(UserError, match=r"even times, but after 0\.01 to 0\.08 s") as error:
            read_frames(path)
        for part in (str(path), "data.options.rate", "data.irregular"):
            assert part in str(error.value)


def test_a_variable_rate_is_read_as_it_is_by_choice(tmp_path):
    path = numbered(tmp_path / "x.mkv", UNEVEN, rate=100)
    frames = DataConfig(path=str(path), irregular=True, test_fraction=0.0).open().splits().train
    assert frames.irregular
    assert frames.times.tolist() == pytest.approx([time / 100 for time in UNEVEN][:7])
    numbered(tmp_path / "y.avi", range(5))
    with pytest.raises(UserError, match="at even times"):
        read_frames(tmp_path, irregular=True)


def test_with_irregular_a_gap_is_no_cut(tmp_path):
    path = numbered(tmp_path / "x.avi", [0, 1, 2, 3, 6, 7, 8])
    frames = read_frames(path, irregular=True)  # without a warning
    assert len(frames.pieces) == 1
    assert frames.times.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.6, 0.7, 0.8])


def test_the_own_rate_takes_all_frames(tmp_path):
    times = [10 * n + (4 if n > 11 else 0) for n in range(24)]  # off its steps in the middle
    path = numbered(tmp_path / "x.mkv", times, rate=100)
    with pytest.warns(UserWarning, match=r"missing after 1\.1 s"):
        frames = read_frames(path, rate=10.0)
    assert numbers_of(frames) == list(range(24))
    assert frames.times.tolist() == pytest.approx([time / 100 for time in times])


def test_any_rate_takes_the_frames_that_are_shown(tmp_path):
    path = numbered(tmp_path / "x.mkv", UNEVEN, rate=100)
    with pytest.warns(
        UserWarning, match=r"uneven times: for 20 a second.*5 of 8, and taken 1 times"
    ):
        frames = splits_of(path, options={"rate": 20}, test_fraction=0.0, validation_fraction=0.0)
    assert frames.train.times.tolist() == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25])
    assert numbers_of(frames.train) == [0, 2, 3, 5, 6, 6]


@pytest.mark.parametrize(
    ("rate", "expected", "said"),
    [
        (20.0, [0, 1, 3, 4, 6, 7, 9], "has 30 frames a second: for 20 a second.*7 of 11; none"),
        (60.0, [n // 2 for n in range(21)], "11 of 11, and taken 10 times again; none"),
    ],
)
def test_a_rate_that_is_no_part_of_the_own_picks_frames(tmp_path, rate, expected, said):
    path = numbered(tmp_path / "x.avi", range(11), rate=30)
    with pytest.warns(UserWarning, match=said):
        frames = read_frames(path, rate=rate)
    assert numbers_of(frames) == expected
    assert frames.values[0, 2:4][:, 0, 0, 0].tolist() == expected[2:4]
    assert str(frames.step) == f"{1 / rate:g}"


def turned(path, frames, **turn):
    """A film of a phone: frames [T,H,W,3] as the camera has them, and how they are shown."""
    return write_video(path, frames, 10, "png", "rgb24", turn=turn)


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("flip", [{}, {"hflip": True}, {"vflip": True}])
def test_frames_are_turned_as_players_show_them(tmp_path, degrees, flip):
    frames = noise(3, 6, 10)
    shown = np.rot90(frames, degrees // 90, (1, 2))  # against the clock
    shown = shown[:, :, ::-1] if "hflip" in flip else shown
    shown = shown[:, ::-1] if "vflip" in flip else shown
    values = values_of(turned(tmp_path / "x.mov", frames, degrees=degrees, **flip))
    assert torch.equal(values.permute(0, 2, 3, 1), torch.from_numpy(shown.copy()).float())


def test_the_size_that_is_given_is_that_of_turned_frames(tmp_path):
    frames = noise(2, 24, 36)
    path = turned(tmp_path / "x.mov", frames, degrees=-90)
    means = np.rot90(frames, -1, (1, 2)).reshape(2, 9, 4, 6, 4, 3).mean((2, 4))
    values = values_of(path, None, (9, 6)).permute(0, 2, 3, 1)
    assert np.abs(values.numpy() - means).max() <= 1
    assert read_frames(path).grid == (36, 24)


def test_another_angle_than_a_quarter_is_refused(tmp_path):
    path = turned(tmp_path / "x.mov", noise(2, 6, 10), degrees=30)
    with pytest.raises(UserError, match=r"x\.mov is marked to be turned by 30 degrees"):
        read_frames(path)


def test_entries_of_a_former_layout_are_not_used(tmp_path, monkeypatch):
    path = numbered(tmp_path / "x.avi", range(4))
    with monkeypatch.context() as patch:
        patch.setattr("framecast.readers.decoding._LAYOUT", 2)
        (former,) = open_videos([path])
        (former.folder / "frames.bin").write_bytes(b"?" * 4 * 16)
        (former.folder / "video.json").write_text("{}")
    assert numbers_of(read_frames(path)) == [0, 1, 2, 3]
