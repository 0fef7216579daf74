"""How an agent walks through a world, and where it stands.

A walk is a generator: it yields an action, and is sent how far the agent was moved by it. What it
draws comes from the generator of random numbers that it is given, so that the same seed in the same
world is the same walk.
"""

import math
from collections.abc import Generator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

LEFT, RIGHT, FORWARD, BACK = range(4)
"""Actions, by their numbers: the first three are those of the DMLab data set."""
NAMES = ("left", "right", "forward", "back")
UNDONE_BY = {LEFT: RIGHT, RIGHT: LEFT, FORWARD: BACK}
TURNS = 3, 10
"""Steps of a turn, the second excluded."""
TURN_ASIDE = 0.04
"""Probability that a step forward is followed by a turn, though nothing stood in the way."""

Walk = Generator[int, float, None]
WalkKind = Literal["explore", "return"]


class Pose(NamedTuple):
    """Where an agent stands, in units of length of its world, with z upwards.

    Attributes:
        x: first coordinate on the ground.
        y: second coordinate on the ground.
        z: height.
        heading: the way that it looks, in radians from x towards y.
    """

    x: float
    y: float
    z: float
    heading: float

    @property
    def position(self) -> Float32[np.ndarray, " 3"]:
        """(x, y, z)."""
        return np.array(self[:3], np.float32)

    @property
    def rotation(self) -> Float32[np.ndarray, " 4"]:
        """The turn about the z axis by the heading, as a unit quaternion (w, x, y, z)."""
        half = self.heading / 2
        return np.array([math.cos(half), 0, 0, math.sin(half)], np.float32)

    def distance(self, other: "Pose") -> float:
        """Return the distance between two poses along the ground."""
        return math.hypot(self.x - other.x, self.y - other.y)


def walk_of(
    kind: WalkKind, random: np.random.Generator, spin: int, stuck: float, frames: int
) -> Walk:
    """Return a walk of a kind: `explore`, or `there_and_back`, whose arguments these are."""
    if kind == "explore":
        return explore(random, spin, stuck)
    return there_and_back(random, spin, stuck, frames)


def explore(random: np.random.Generator, spin: int, stuck: float) -> Walk:
    """Turn around once, then walk on and on; turn away from walls, and now and then aside.

    Args:
        random: for the turns.
        spin: steps to the left at the beginning.
        stuck: length below which a step forward counts as stopped by a wall.
    """
    for _ in range(spin):
        yield LEFT
    while True:
        moved = yield FORWARD
        if moved < stuck or random.random() < TURN_ASIDE:
            side = LEFT if random.random() < 0.5 else RIGHT
            for _ in range(random.integers(*TURNS)):
                yield side


def there_and_back(random: np.random.Generator, spin: int, stuck: float, frames: int) -> Walk:
    """Explore, and undo it all: the second half goes through the poses of the first in reverse.

    A step that a wall stopped is not undone. Where a frame is left over, the agent turns.

    Args:
        random: for the turns.
        spin: steps to the left at the beginning.
        stuck: length below which a step forward counts as stopped by a wall.
        frames: of the episode, from the first on.
    """
    way, steps = explore(random, spin, stuck), 0
    done: list[int] = []
    action = next(way)
    while steps + 1 + len(done) < frames:
        moved = yield action
        steps += 1
        if action != FORWARD or moved >= stuck:
            done.append(action)
        action = way.send(moved)
    for action in reversed(done):
        yield UNDONE_BY[action]
    while True:
        yield LEFT
