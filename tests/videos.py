"""Small videos, for the tests of what reads them."""

from fractions import Fraction

import av
import numpy as np


def noise(length, height, width, seed=0):
    """Frames [T,H,W,3] of bytes."""
    return np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), np.uint8)


def write_video(path, frames, rate=10, codec="ffv1", form="bgr0", times=None, turn=None):
    """Write frames [T,H,W] or [T,H,W,3]; FFV1 keeps every value.

    `times` are counted in 1 / rate. `turn` marks them to be shown turned by degrees, against the
    clock, and then mirrored where it holds hflip or vflip.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as file:
        stream = file.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = form
        if turn is not None:
            stream.set_display_rotation(**turn)
        for place, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "gray" if frame.ndim == 2 else "rgb24")
            picture = picture.reformat(format=form)
            picture.pts = place if times is None else times[place]
            picture.time_base = Fraction(1, rate)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return path


def folder_of_videos(folder, lengths=(12, 7, 9, 15, 8), rate=10):
    for place, length in enumerate(lengths):
        frames = np.full((length, 6, 8), place, np.uint8)
        frames += 16 * np.arange(length, dtype=np.uint8)[:, None, None]
        write_video(folder / f"{place}.avi", frames, rate, form="gray")
    return folder


def folder_of_classes(folder, each=4, length=16):
    """Videos that grow brighter or darker, a folder for each class: one frame tells nothing."""
    for number in range(each):
        levels = 40 + 20 * number + 4 * np.arange(length)
        for name, shown in (("fall", levels[::-1]), ("rise", levels)):
            frames = np.broadcast_to(shown[:, None, None, None], (length, 8, 8, 3))
            write_video(folder / name / f"{number}.avi", frames.astype(np.uint8))
    return folder
