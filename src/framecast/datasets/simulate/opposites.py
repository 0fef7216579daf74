"""Simulated activities: pairs of opposites that no single frame tells apart.

A video shows a scene (`scenes.py`) at rest; at a time that is drawn something begins, lasts for
`duration` frames, and then all is at rest again. After frame t it has gone on for

    p(t) = min(max(t − τ, 0), D)

frames, with τ uniform over the L − D frames 0 to L − 1 − D after which it may begin. A phase of the
scene is then its start, ± p(t) times a speed that is drawn too: one way for an activity, the other
way for its opposite. So

- a video backwards is a video of the opposite, exactly, and as probable (of collide and pass, one
  of the same activity);
- single frames of opposites have the same distribution at every time, since the phase at the start
  is uniform over a period, and all else is drawn alike;
- before anything happens, nothing tells those activities apart that begin with the same scene: of
  LOOK_ALIKE. What is seen after one step is only one of them; collide and pass agree longer, until
  the cards come out from behind the curtain.

The best possible guess after n frames is therefore known: right where it is decided, and one of the
activities that begin alike where it is not (`best_accuracy`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from framecast.base.errors import UserError
from framecast.base.limits import check_memory
from framecast.base.whole import write_text
from framecast.datasets import best_guess
from framecast.datasets.best_guess import BestGuess
from framecast.datasets.simulate.scenes import SCENES, Scene, behind_curtain, way_to_meet
from framecast.datasets.simulate.seeds import trajectory_seed
from framecast.datasets.simulate.things import SHAPES, Maker, makers
from framecast.datasets.simulate.video_folders import write_folders

SPLITS: Mapping[str, int] = MappingProxyType({"train": 6400, "validation": 480, "test": 1600})
CANVASES = (32, 64)


@dataclass(frozen=True)
class SimulatedActivities:
    """How videos of activities are made.

    Attributes:
        objects: what things are shown: shapes, drawn anew for each video; or where images of
            digits come from: mnist (framecast fetch mnist), sample (1,000 digits that come with
            framecast), or a folder with the IDX files.
        canvas: pixels along each side, 32 or 64.
        frames: frames of a video, more than `duration`.
        duration: frames that an activity lasts, at least 1.
        speed: pixels a frame at most, at least 1 and at most an eighth of the canvas; each video
            has a whole number of its own. A turn of the canvas counts as its pixels.

    Raises:
        ValueError: a field is out of its range.
    """

    objects: str = SHAPES
    canvas: int = 32
    frames: int = 32
    duration: int = 12
    speed: int = 2

    def __post_init__(self) -> None:
        self._require("canvas", self.canvas in CANVASES, f"{CANVASES[0]} or {CANVASES[1]}")
        self._require("duration", self.duration >= 1, "at least 1")
        self._require("frames", self.frames > self.duration, f"above duration={self.duration}")
        most = self.canvas // 8
        self._require("speed", 1 <= self.speed <= most, f"at least 1 and at most {most}")

    def _require(self, key: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise UserError(f"{key}={getattr(self, key)}: must be {remedy}")

    @property
    def onsets(self) -> int:
        """How many frames an activity may begin after, from the first on."""
        return self.frames - self.duration


class Activity(NamedTuple):
    """What happens in a scene.

    Attributes:
        scene: its name.
        phase: the place of the phase that goes on.
        way: 1 where it goes up, −1 where it goes down; 0 where two come together and go back.
    """

    scene: str
    phase: int
    way: int


ACTIVITIES: Mapping[str, Activity] = MappingProxyType(
    {
        "move_left": Activity("one", 1, -1),
        "move_right": Activity("one", 1, 1),
        "move_up": Activity("one", 0, -1),
        "move_down": Activity("one", 0, 1),
        "turn_clockwise": Activity("one", 2, 1),
        "turn_counterclockwise": Activity("one", 2, -1),
        "approach": Activity("pictures", 0, 1),
        "recede": Activity("pictures", 0, -1),
        "cover": Activity("sheets", 0, 1),
        "uncover": Activity("sheets", 0, -1),
        "tear": Activity("halves", 0, 1),
        "join": Activity("halves", 0, -1),
        "pick_up": Activity("pile", 0, 1),
        "put_down": Activity("pile", 0, -1),
        "collide": Activity("curtain", 0, 0),
        "pass": Activity("curtain", 0, 1),
    }
)
"""The activities by name, each beside its opposite."""
LOOK_ALIKE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        scene: tuple(name for name, activity in ACTIVITIES.items() if activity.scene == scene)
        for scene in SCENES
    }
)
"""The activities that begin with the same scene, by its name."""


class Drawn(NamedTuple):
    """What a video follows from, beside its activity.

    Attributes:
        onset: τ, the frame after which it begins.
        speed: phases a frame; not of the curtain, where it follows from the duration.
        scene: with the phases at the start.
    """

    onset: int
    speed: int
    scene: Scene


def draw(name: str, config: SimulatedActivities, make: Maker, seed: int) -> Drawn:
    """Draw what a video of an activity follows from: the same for all that look alike."""
    random = np.random.default_rng(seed)
    onset, speed = random.integers(config.onsets), random.integers(1, config.speed + 1)
    scene = SCENES[ACTIVITIES[name].scene](random, make, config.canvas)
    return Drawn(int(onset), int(speed), scene)


def act(name: str, config: SimulatedActivities, drawn: Drawn) -> UInt8[np.ndarray, "T H W"]:
    """Return the frames of a video, in 256 levels of brightness."""
    activity, scene = ACTIVITIES[name], drawn.scene
    pictures = []
    for progress in range(config.duration + 1):
        phases = list(scene.start)
        phases[activity.phase] += _way(activity, config, drawn, progress)
        within = tuple(phase % period for phase, period in zip(phases, scene.periods, strict=True))
        pictures.append(np.rint(255 * scene.show(within)).astype(np.uint8))
    progress_at = np.clip(np.arange(config.frames) - drawn.onset, 0, config.duration)
    return np.stack(pictures)[progress_at]


def best_accuracy(config: SimulatedActivities, frames: int) -> dict[str, float]:
    """Return the accuracy of the best possible guess of each activity from the first frames.

    It knows how videos are made. Where it is not yet decided which of m activities that begin alike
    it is, it names one of them at random, and is right in one of m cases.

    Args:
        config: how videos are made.
        frames: frames that were seen, all of them, at least 1.
    """
    found = {}
    for name, activity in ACTIVITIES.items():
        first = _decided_after(activity, config)
        decided = min(max(frames - first, 0), config.onsets) / config.onsets
        found[name] = decided + (1 - decided) / len(LOOK_ALIKE[activity.scene])
    return found


def simulate(
    out: Path,
    config: SimulatedActivities,
    counts: Mapping[str, int] = SPLITS,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Write a data set, a folder `out`/SPLIT/ACTIVITY of videos for each part, or continue one.

    The source video_classes reads it. Beside the parts stands best_guess.csv, the accuracy of the
    best possible guess by the share seen. A second call with the same arguments goes on where the
    first was stopped. A complete data set is left alone.

    Args:
        out: folder of the data set; made where missing.
        config: how a video is made.
        counts: videos of each part, of each activity as many but for one; at least 16.
        seed: of the data set, 0 or more.
        progress: show on stderr how far it is.

    Raises:
        ValueError: an argument is out of its range, the digits cannot be read, or a data set was
            made there with other parameters, which the message names.
    """
    _check(config, counts)
    make = makers(config.objects, config.canvas // 2)
    names = list(ACTIVITIES)

    def produce(part: str, index: int) -> tuple[str, UInt8[np.ndarray, "T H W"]]:
        name = names[index % len(names)]
        drawn = draw(name, config, make[part], trajectory_seed(seed, part, index))
        return name, act(name, config, drawn)

    write_folders(out, counts, {**asdict(config), "seed": seed}, produce, progress)
    write_text(out / best_guess.FILE, _best_guess(config).to_csv())


def _check(config: SimulatedActivities, counts: Mapping[str, int]) -> None:
    for part, count in counts.items():
        if count < len(ACTIVITIES):
            raise UserError(
                f"{part}={count}: must be at least {len(ACTIVITIES)}, a video of each activity"
            )
    check_memory(
        config.frames * config.canvas**2 + 8 * config.duration * config.canvas**2,
        f"a video of {config.frames:,} frames of {config.canvas}×{config.canvas}",
        "Choose fewer --frames, or a smaller --canvas.",
    )


def _way(activity: Activity, config: SimulatedActivities, drawn: Drawn, progress: int) -> int:
    """How far the phase is from its start."""
    if activity.scene != "curtain":
        return activity.way * drawn.speed * progress
    start = drawn.scene.start[0]
    side = 1 if start < config.canvas // 2 else -1
    place = side * _from_middle(config, progress)
    return (place if activity.way else side * abs(place)) - start


def _from_middle(config: SimulatedActivities, progress: int) -> int:
    """Where a card that passes is, from the middle towards the side that it came from."""
    return int(np.rint(way_to_meet(config.canvas) * (1 - 2 * progress / config.duration)))


def _decided_after(activity: Activity, config: SimulatedActivities) -> int:
    """Frames after the onset, itself not counted, until what is seen is of one activity alone."""
    if activity.scene != "curtain":
        return 1
    out = -behind_curtain(config.canvas)
    return next(p for p in range(config.duration + 1) if _from_middle(config, p) < out)


def _best_guess(config: SimulatedActivities) -> BestGuess:
    counts = range(1, config.frames + 1)
    shares = tuple(count / config.frames for count in counts)
    return BestGuess(shares, tuple(best_accuracy(config, count) for count in counts))
