"""Episodes of simulated worlds: what an agent sees and does, in the layout of the DMLab data set.

An episode is a file OUT/PART/FOLDER/NUMBER.npz: `video` uint8 [T,S,S,3], `actions` int64 [T], `pos`
float32 [T,3] and `rot` float32 [T,4] (see `Pose`), and `action_names`. Frame t is the view before
action t is done. Each file is written whole, and says nothing of any other, so that a part can be
made by several processes at once and be continued when it was stopped. It stands under a hidden
name until it is complete.
"""

import json
import os
import zipfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from framecast.base.claim import claim
from framecast.base.errors import UserError
from framecast.base.hidden import unfinished_of
from framecast.base.progress import open_bar
from framecast.base.texts import read_text
from framecast.base.whole import whole, write_text
from framecast.base.workers import Workers
from framecast.datasets.simulate.seeds import trajectory_seed
from framecast.datasets.simulate.trajectories import (
    package_version,
)
from framecast.datasets.simulate.walking import NAMES, Pose, Walk

SPLITS: Mapping[str, int] = MappingProxyType({"train": 1000, "validation": 50, "test": 100})
DESCRIPTION = "simulation.json"
"""How the episodes of a part were made; beside their folders."""
FOLDER = 1000
"""Episodes in a folder."""
DRAWS = 100
"""Times that an episode is begun anew, at most, where it ends too early."""


@runtime_checkable
class World(Protocol):
    """An engine in which an agent walks."""

    def begin(self, seed: int) -> None:
        """Begin an episode, which follows from the seed alone."""

    def view(self) -> UInt8[np.ndarray, "S S 3"]:
        """Return what the agent sees, as red, green and blue."""

    def pose(self) -> Pose:
        """Return where it stands."""

    def act(self, action: int) -> bool:
        """Do an action, by its number in `walking.NAMES`; return whether the episode goes on."""


@dataclass(frozen=True)
class Episodes(ABC):
    """What an episode is made of, in any world.

    Attributes:
        frames: of each episode, at least 2.
        size: rows, and columns, of a frame, from 16 to 480.
        spin: steps of turning left at the beginning of an episode, at least 0.
        workers: processes that make episodes side by side, at least 1; null for one on each
            processor. The episodes are the same for any number.
    """

    frames: int = 300
    size: int = 64
    spin: int = 30
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.frames < 2:
            raise ValueError(f"frames={self.frames}: must be at least 2")
        if not 16 <= self.size <= 480:
            raise ValueError(f"size={self.size}: must be from 16 to 480")
        if self.spin < 0:
            raise ValueError(f"spin={self.spin}: must not be negative")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers={self.workers}: must be at least 1")

    @abstractmethod
    def open(self) -> World:
        """Start the engine.

        Raises:
            UserError: if it is not installed, or has no such world.
        """

    @abstractmethod
    def walk(self, random: np.random.Generator) -> Walk:
        """Return how the agent walks in an episode."""


def record(episodes: Episodes, world: World, seed: int) -> dict[str, np.ndarray] | None:
    """Walk through an episode; return its arrays, or None if it ended before its time.

    Args:
        episodes: how.
        world: the engine.
        seed: of the episode.
    """
    world.begin(seed)
    walk = episodes.walk(np.random.default_rng(seed))
    action, pose = next(walk), world.pose()
    seen: list[tuple[np.ndarray, int, np.ndarray, np.ndarray]] = []
    for _ in range(episodes.frames):
        seen.append((world.view(), action, pose.position, pose.rotation))
        if len(seen) < episodes.frames:
            if not world.act(action):
                return None
            before, pose = pose, world.pose()
            action = walk.send(pose.distance(before))
    video, actions, positions, rotations = map(np.stack, zip(*seen, strict=True))
    return {
        "video": video,
        "actions": actions,
        "pos": positions,
        "rot": rotations,
        "action_names": np.array(NAMES),
    }


@dataclass(frozen=True)
class Recorder:
    """What a process calls to make an episode: it keeps its engine from one to the next."""

    episodes: Episodes
    seed: int

    @cached_property
    def world(self) -> World:
        """The engine, started when it is first needed."""
        return self.episodes.open()

    def __call__(self, place: tuple[str, int, Path]) -> None:
        """Make an episode of a part, by its number, and write it to a file."""
        part, number, file = place
        for draw in range(DRAWS):
            seed = trajectory_seed(self.seed, f"{part}/{draw}", number)
            arrays = record(self.episodes, self.world, seed)
            if arrays is not None:
                write_arrays(file, arrays)
                return
        raise UserError(
            f"{file}: {DRAWS} walks ended before {self.episodes.frames} frames, since the agent "
            "came to its goal or died: choose fewer frames, or another scenario"
        )


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a `.npz` file, whole or not at all, packed a little: three times as fast as by NumPy.

    The bytes are the same whenever they are written.
    """
    with (
        whole(file) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def simulate_episodes(
    out: Path, name: str, episodes: Episodes, counts: Mapping[str, int], seed: int
) -> None:
    """Make the parts of a data set, or go on with those that are unfinished.

    Args:
        out: the folder, in which each part gets a folder of its name.
        name: of the simulator.
        episodes: what they are made of.
        counts: episodes of each part; a part of none is not made.
        seed: of the whole data set.

    Raises:
        UserError: if a part was made in another way, the engine is not there, or the disk is full.
    """
    settings = {k: v for k, v in asdict(episodes).items() if k != "workers"}
    description = {"simulator": name, "seed": seed, **settings}
    workers = episodes.workers or len(os.sched_getaffinity(0))
    with claim(out) as folder:
        parts = {
            part: _begin(folder / part, description | {"episodes": count})
            for part, count in counts.items()
            if count
        }
        missing = {part: list(_missing(parts[part], part, counts[part])) for part in parts}
        if any(missing.values()):
            with Workers(workers, Recorder(episodes, seed), "workers") as processes:
                _make(processes, missing, counts)
        for part, place in parts.items():
            if place != folder / part:
                place.rename(folder / part)


def _begin(folder: Path, description: Mapping[str, Any]) -> Path:
    """Return where the episodes of a part stand, once it is known that they are made like this."""
    place = folder if folder.exists() else unfinished_of(folder)
    file = place / DESCRIPTION
    wanted = {"framecast_version": package_version(), **description}
    if not place.exists():
        write_text(file, json.dumps(wanted, indent=2))
    stored = _read(file, folder)
    finished = place == folder
    for key in dict.fromkeys([*wanted, *stored]):
        there, here = stored.get(key), wanted.get(key)
        if there != here and not (finished and key == "framecast_version"):
            raise UserError(
                f"{folder}: was made with {key}={there!r}, not {here!r}; remove "
                f"{place}, or choose another folder"
            )
    return place


def _read(file: Path, folder: Path) -> dict[str, Any]:
    try:
        stored = json.loads(read_text(file, "JSON"))
        return dict(stored)
    except (UserError, OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder}: exists and holds no simulated episodes; move it away, or choose another "
            "folder"
        ) from error


def _missing(place: Path, part: str, count: int) -> Iterator[tuple[str, int, Path]]:
    """The episodes of a part that are not there yet, and their files."""
    for number in range(count):
        file = place / str(number // FOLDER) / f"{number}.npz"
        if not file.exists():
            yield part, number, file


def _make(
    processes: Workers,
    missing: Mapping[str, list[tuple[str, int, Path]]],
    counts: Mapping[str, int],
) -> None:
    """Let processes make episodes, a few of which are asked for ahead."""
    with open_bar("episodes/s") as bar:
        for part, places in missing.items():
            task = bar.begin(part, counts[part], counts[part] - len(places))
            asked: deque[Any] = deque()
            for place in places:
                asked.append(processes.ask(place))
                if len(asked) > 2 * processes.count:
                    asked.popleft().result()
                    bar.advance(task)
            for future in asked:
                future.result()
                bar.advance(task)
            if not bar.shown:
                bar.say(f"{part}: {counts[part]} episodes")
