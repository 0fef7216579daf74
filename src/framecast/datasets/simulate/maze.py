"""Walks through mazes of MiniWorld: each episode has a maze of its own, so that memory is tested.

MiniWorld [1] draws with OpenGL, without a screen where EGL is there (Mesa's, on machines without a
graphics card). A maze is a tree of square rooms, in which one is open to the next. Each room gets a
wall of its own, so that places can be told apart. Turns and steps are exact: what is undone leads
back to the same view.

[1] M. Chevalier-Boisvert et al., Minigrid & Miniworld: Modular & Customizable Reinforcement
    Learning Environments for Goal-Oriented Tasks, NeurIPS Datasets and Benchmarks, 2023.
"""

import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.datasets.simulate.episodes import SPLITS, Episodes, simulate_episodes
from framecast.datasets.simulate.walking import (
    FORWARD,
    LEFT,
    RIGHT,
    Pose,
    Walk,
    WalkKind,
    walk_of,
)

__all__ = ["SPLITS", "Maze", "simulate"]

WALLS = (
    *("brick_wall", "cinder_blocks", "wood", "marble", "metal_grill", "rock", "stucco", "drywall"),
    *("concrete", "cardboard", "lava", "water", "grass", "slime", "wood_planks", "concrete_tiles"),
)
"""Textures of MiniWorld, of which each room draws one."""


@dataclass(frozen=True)
class Maze(Episodes):
    """Episodes of MiniWorld's maze.

    Attributes:
        rooms: along a side of the maze, at least 2.
        walk_kind: explore, walk on and on; or return, undo the first half of the episode in the
            second, by steps back and opposite turns, so that the views come back in reverse.
        turn: degrees that a step to the left or right turns by, above 0 and up to 90.
        step: length of a step; a room is 3 long, above 0 and up to 1.
    """

    rooms: int = 4
    walk_kind: WalkKind = "explore"
    turn: float = 15.0
    step: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rooms < 2:
            raise ValueError(f"rooms={self.rooms}: must be at least 2")
        if not 0 < self.turn <= 90:
            raise ValueError(f"turn={self.turn}: must be above 0 and at most 90")
        if not 0 < self.step <= 1:
            raise ValueError(f"step={self.step}: must be above 0 and at most 1")

    def open(self) -> "Rooms":
        """Start the engine.

        Raises:
            UserError: if MiniWorld is not installed, or cannot draw here.
        """
        return Rooms(self)

    def walk(self, random: np.random.Generator) -> Walk:
        """Return a walk of the kind that is asked for."""
        return walk_of(self.walk_kind, random, self.spin, self.step / 2, self.frames)


def simulate(out: Path, config: Maze, counts: Mapping[str, int], seed: int) -> None:
    """Make a data set of episodes (see `simulate_episodes`)."""
    simulate_episodes(out, "maze", config, counts, seed)


class Rooms:
    """MiniWorld's maze as a `World`.

    Args:
        settings: rooms, size, turn and step.
    """

    def __init__(self, settings: Maze) -> None:
        self.turn, self.step = settings.turn, settings.step
        size = {"obs_width": settings.size, "obs_height": settings.size}
        try:
            with redirect_stdout(StringIO()):  # it says how it smoothes edges
                self.maze = _kind()(num_rows=settings.rooms, num_cols=settings.rooms, **size)
        except UserError:
            raise
        except Exception as error:  # pyglet has no error of its own for what the system lacks
            raise UserError(
                f"framecast simulate maze: MiniWorld cannot draw here ({error}): it needs OpenGL "
                "by EGL (apt-get install libegl1 libgl1-mesa-dri libglu1-mesa)"
            ) from error

    def begin(self, seed: int) -> None:
        """Begin an episode, in a maze of its own."""
        self.maze.reset(seed=seed)

    def view(self) -> UInt8[np.ndarray, "S S 3"]:
        """Return what the agent sees."""
        seen: np.ndarray = self.maze.render_obs().copy()
        return seen

    def pose(self) -> Pose:
        """Return where the agent stands; MiniWorld's own y axis points upwards."""
        x, y, z = self.maze.agent.pos
        return Pose(x, -z, y, self.maze.agent.dir)

    def act(self, action: int) -> bool:
        """Do an action; no episode ends before its time."""
        if action in (LEFT, RIGHT):
            self.maze.turn_agent(self.turn if action == LEFT else -self.turn)
        else:
            self.maze.move_agent(self.step if action == FORWARD else -self.step, 0.0)
        return True


@cache
def _kind() -> Any:
    """MiniWorld's maze, with walls of many kinds."""
    name = "framecast simulate maze"
    # Frames are small: Mesa's threads of one process would only wait for those of another.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    need("pyglet", "worlds", name).options["headless"] = True
    maze: Any = need("miniworld.envs.maze", "worlds", name).Maze

    class VariedMaze(maze):  # type: ignore[misc]
        def add_rect_room(self, **settings: Any) -> Any:
            wall = WALLS[self.np_random.integers(len(WALLS))]
            return super().add_rect_room(**{**settings, "wall_tex": wall})

    return VariedMaze
