"""Pictures as frames: many files, or many pages of one."""

import numpy as np
import pytest
import torch
from PIL import Image

from framecast.base import limits
from framecast.base.errors import UserError
from framecast.datasets.config import DataConfig
from framecast.frames import lazy
from framecast.frames.lazy import LazyValues
from framecast.readers.open import read_frames
from videos import noise, write_video

DEEP = np.random.default_rng(0).integers(0, 65536, (12, 6, 8)).astype(np.uint16)
FLAT = (DEEP // 256).astype(np.uint8)


def folder_of(folder, frames, name="radar_{}.png"):
    folder.mkdir(exist_ok=True)
    for place, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(place))
    return folder


def grey(frames):
    return frames.values[0, :, 0].numpy()


@pytest.mark.parametrize("suffix", ["png", "TIF", "tiff"])
@pytest.mark.parametrize("frames", [FLAT, DEEP], ids=["8 bits", "16 bits"])
def test_a_folder_of_grey_pictures_in_the_order_of_its_numbers(tmp_path, suffix, frames):
    read = read_frames(folder_of(tmp_path, frames, f"radar_{{}}.{suffix}"))
    np.testing.assert_array_equal(grey(read), frames)
    assert read.names == ("grey",)
    assert read.channels[0].valid_range == (0, np.iinfo(frames.dtype).max)
    assert read.times.tolist() == list(range(12))


def test_jpeg_is_read_as_it_is_shown(tmp_path):
    smooth = np.broadcast_to(np.arange(0, 240, 30, dtype=np.uint8), (3, 16, 8))
    read = read_frames(folder_of(tmp_path, smooth, "{}.jpg"))
    np.testing.assert_allclose(grey(read), smooth, atol=3)


def test_colour_has_three_channels_and_may_be_read_as_grey(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3)).astype(np.uint8)
    read = read_frames(folder_of(tmp_path, colours))
    assert read.names == ("red", "green", "blue")
    np.testing.assert_array_equal(read.values[0].permute(0, 2, 3, 1).numpy(), colours)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey(read_frames(tmp_path, ["grey"])), luma, atol=1)


def test_a_palette_gives_its_colours(tmp_path):
    frame = Image.fromarray(FLAT[0] // 128)
    frame.putpalette([255, 0, 0, 0, 0, 255])
    frame.save(tmp_path / "x.png")
    red, green, blue = read_frames(tmp_path / "x.png").values[0, 0].numpy()
    np.testing.assert_array_equal(red, np.where(FLAT[0] < 128, 255, 0))
    np.testing.assert_array_equal(blue, np.where(FLAT[0] < 128, 0, 255))
    assert not green.any()


def test_what_is_transparent_is_missing(tmp_path):
    frame = np.full((6, 8, 4), 200, np.uint8)
    frame[2, 3, 3] = 0
    Image.fromarray(frame).save(tmp_path / "x.png")
    values = read_frames(tmp_path / "x.png").values
    assert values.isnan().sum() == 3
    assert values[0, 0, :, 2, 3].isnan().all()


def test_values_that_stand_for_a_missing_one(tmp_path):
    frames = DEEP.copy()
    frames[:, 1, 1] = 65535
    read = read_frames(folder_of(tmp_path, frames), missing=(65535.0,))
    assert read.values[:, :, :, 1, 1].isnan().all()


@pytest.mark.parametrize("frames", [FLAT, DEEP, DEEP.astype(np.float32) / 7])
def test_the_pages_of_a_tiff_are_frames(tmp_path, frames):
    pages = [Image.fromarray(frame) for frame in frames]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(grey(read_frames(tmp_path / "stack.tif")), frames)


def test_an_animated_webp_has_times(tmp_path):
    colours = [Image.fromarray(np.full((6, 8, 3), 20 * n, np.uint8)) for n in range(5)]
    colours[0].save(
        tmp_path / "x.webp", save_all=True, append_images=colours[1:], duration=40, lossless=True
    )
    read = read_frames(tmp_path / "x.webp")
    assert read.values[0, :, 0, 0, 0].tolist() == [0, 20, 40, 60, 80]
    np.testing.assert_allclose(read.times, [0, 0.04, 0.08, 0.12, 0.16])


@pytest.mark.parametrize("suffix", [".mpg", ".ts"])
def test_videos_of_mpeg(tmp_path, suffix):
    frames = noise(12, 32, 48)
    write_video(tmp_path / f"x{suffix}", frames, 25, "mpeg2video", "yuv420p")
    read = read_frames(tmp_path / f"x{suffix}")
    assert read.lengths == [12]
    assert read.grid == (32, 48)


def test_times_from_names_of_pictures(tmp_path):
    for minute in (10, 5, 0):
        Image.fromarray(FLAT[minute]).save(tmp_path / f"rad_20200101_00{minute:02}.png")
    read = read_frames(tmp_path, times_from="%Y%m%d_%H%M")
    np.testing.assert_array_equal(grey(read), FLAT[[0, 5, 10]])
    assert str(read.step) == "300 s"


def test_pictures_are_decoded_where_they_are_read(tmp_path, monkeypatch):
    folder_of(tmp_path, DEEP)
    monkeypatch.setattr(lazy, "HELD", 0)
    read = read_frames(tmp_path)
    assert isinstance(read.values, LazyValues)
    (tmp_path / "radar_3.png").write_bytes((tmp_path / "radar_3.png").read_bytes()[:100])
    assert torch.equal(read.values[0, 4:7][:, 0], torch.from_numpy(DEEP[4:7].astype(np.float32)))
    with pytest.raises(UserError, match=r"radar_3\.png.* cannot be read"):
        read.values[0, 2:5]


def test_pictures_of_other_sizes_are_no_series(tmp_path):
    folder_of(tmp_path, FLAT)
    Image.fromarray(FLAT[0, :4]).save(tmp_path / "radar_99.png")
    with pytest.raises(UserError, match=r"radar_99\.png does not fit .*its grid has 4×8"):
        read_frames(tmp_path)


def test_grey_and_colour_are_no_series(tmp_path):
    folder_of(tmp_path, FLAT)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "radar_99.png")
    with pytest.raises(UserError, match=r"its variables are red, green, blue, not grey"):
        read_frames(tmp_path)
    assert read_frames(tmp_path, ["grey"]).length == 13


def test_colours_of_16_bits_are_refused_and_not_rounded(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "x.tif", np.zeros((6, 8, 3), np.uint16))
    with pytest.raises(UserError, match="in colour with 16 bits"):
        read_frames(tmp_path / "x.tif")


def test_a_picture_that_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    Image.fromarray(np.zeros((2000, 2000), np.uint8)).save(tmp_path / "x.png")
    monkeypatch.setattr(limits, "available_memory", lambda: 10_000_000)
    with pytest.raises(UserError, match=r"one picture of 2000×2000 needs 64 MB"):
        read_frames(tmp_path / "x.png")


def test_settings_that_pictures_do_not_have_are_refused(tmp_path):
    folder_of(tmp_path, FLAT)
    with pytest.raises(UserError, match="is a picture: it has no height"):
        read_frames(tmp_path, static=("height",))
    with pytest.raises(UserError, match="the channels of a picture are grey"):
        read_frames(tmp_path, ["t"])


def test_pictures_are_parted_by_time(tmp_path):
    folder_of(tmp_path, DEEP)
    splits = DataConfig(path=f"{tmp_path}/*.png", test_fraction=0.25).open().splits()
    assert splits.test.length == 3
