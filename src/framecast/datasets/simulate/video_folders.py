"""A store of simulated videos: folders of parts and classes that can be resumed.

OUT/train/CLASS/0000007.avi, and so on: the layout of the source video_classes. Videos are FFV1,
which keeps every value. Each is whole or not there, a part appears under its own name when all of
its videos are there, and simulation.json says how they were made.
"""

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from framecast.base.claim import claim
from framecast.base.disk import full_disk_named
from framecast.base.errors import UserError
from framecast.base.hidden import unfinished_of
from framecast.base.progress import open_bar
from framecast.base.texts import read_text
from framecast.base.whole import whole, write_text

SETTINGS = "simulation.json"
"""How the videos of a folder were made."""
RATE = 10
"""Frames a second, for players."""
KEPT = "The videos that are there are kept: free some space and give the command again"

Produce = Callable[[str, int], tuple[str, UInt8[np.ndarray, "T H W"]]]
"""Makes a video of a part: the name of its class, and its frames."""


def write_folders(
    out: Path,
    counts: Mapping[str, int],
    settings: Mapping[str, Any],
    produce: Produce,
    progress: bool = True,
) -> None:
    """Make all parts in a folder, or go on with those that are unfinished.

    Args:
        out: the folder, which no other process writes into meanwhile.
        counts: videos of each part.
        settings: how they are made, every parameter by name.
        produce: makes the video at an index, the same whenever it is called.
        progress: show on stderr how far it is.

    Raises:
        UserError: if the folder holds something else, or videos that were made otherwise.
    """
    made = {**settings, **counts}
    with claim(out) as folder, open_bar("videos a second", progress) as bar:
        _check_settings(folder, made)
        for part, count in counts.items():
            if (folder / part).exists():
                continue
            task, unfinished = bar.begin(part, count), unfinished_of(folder / part)
            with full_disk_named(out, KEPT):
                _write_missing(unfinished, part, count, produce, partial(bar.advance, task))
            unfinished.rename(folder / part)
            if progress and not bar.shown:
                bar.say(f"{part}: {count} videos")


def write_video(file: Path, frames: UInt8[np.ndarray, "T H W"]) -> None:
    """Write grey frames without any loss."""
    with av.open(file, "w", format="avi") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "gray")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _check_settings(folder: Path, made: Mapping[str, Any]) -> None:
    """Keep how the videos are made; refuse a folder where they were made otherwise."""
    file = folder / SETTINGS
    if not file.exists():
        if folder.exists() and any(folder.iterdir()):
            raise UserError(
                f"{folder} holds something else than simulated videos: choose another folder"
            )
        folder.mkdir(exist_ok=True)
        write_text(file, json.dumps(made, indent=2))
    try:
        stored = dict(json.loads(read_text(file, "JSON")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} cannot be read: {error}; remove {folder}") from error
    for key in dict.fromkeys([*made, *stored]):
        if stored.get(key) != made.get(key):
            raise UserError(
                f"{folder}: was made with {key}={stored.get(key)!r}, not {made.get(key)!r}; "
                "remove it, or choose another folder"
            )


def _write_missing(
    folder: Path, part: str, count: int, produce: Produce, advance: Callable[[], None]
) -> None:
    """Make the videos that are not there yet: their numbers are their names."""
    there = {file.name for file in folder.glob("*/*.avi")}
    for index in range(count):
        name = f"{index:07}.avi"
        if name not in there:
            label, frames = produce(part, index)
            (folder / label).mkdir(parents=True, exist_ok=True)
            with whole(folder / label / name) as file:
                write_video(file, frames)
        advance()
