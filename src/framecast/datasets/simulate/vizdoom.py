"""Walks through the rooms of ViZDoom: first-person video with actions and poses.

ViZDoom [1] brings its engine and scenarios along, and draws without a screen. The map of a scenario
is the same in every episode, the place where the agent begins is drawn anew. Turns are by an exact
angle; steps have the inertia of the game, unless the walk is to be undone: then the agent comes to
rest after each, and takes none that a wall would stop, so that a step back leads to where it was,
up to the rounding of the game (less than 0.01 of the some 24 units of a step).

[1] M. Wydmuch, M. Kempka, W. Jaśkowski, ViZDoom Competitions: Playing Doom from Pixels, IEEE
    Transactions on Games 11, 2019.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from framecast.base.errors import UserError, nearest
from framecast.base.extras import need
from framecast.datasets.simulate.episodes import SPLITS, Episodes, simulate_episodes
from framecast.datasets.simulate.walking import (
    BACK,
    FORWARD,
    LEFT,
    RIGHT,
    Pose,
    Walk,
    WalkKind,
    walk_of,
)

__all__ = ["SPLITS", "VizDoom", "simulate"]

STUCK = 4.0
"""Units of the map below which a step forward was stopped; a free one takes some 20."""
TICS = 4
"""Of the game, 35 in a second, from frame to frame."""
THRUST, REST = 3, 60
"""Tics that an agent pushes forward from rest, and that it then takes to come to rest again."""
STRIDE, BODY = 26, 17
"""Units of the map: a step from rest, and half of the width of an agent, both a little more."""
UNIT = 360 / (1 << 16)
"""Degrees that are the unit of angles in the game."""
SEEDS = 1 << 31
"""Seeds that the game tells apart."""


@dataclass(frozen=True)
class VizDoom(Episodes):
    """Episodes of ViZDoom.

    Attributes:
        scenario: rooms to walk through, by the name of a file of ViZDoom: my_way_home has rooms of
            different walls, and no enemies.
        walk_kind: explore, walk on and on; or return, undo the first half of the episode in the
            second, by steps back and opposite turns, so that the views come back in reverse.
        turn: degrees that a step to the left or right turns by, above 0 and up to 90.
    """

    scenario: str = "my_way_home"
    walk_kind: WalkKind = "explore"
    turn: float = 12.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.turn <= 90:
            raise ValueError(f"turn={self.turn}: must be above 0 and at most 90")

    def open(self) -> "Game":
        """Start the game.

        Raises:
            UserError: if ViZDoom is not installed, or has no such scenario.
        """
        return Game(self) if self.walk_kind == "explore" else RestingGame(self)

    def walk(self, random: np.random.Generator) -> Walk:
        """Return a walk of the kind that is asked for."""
        return walk_of(self.walk_kind, random, self.spin, STUCK, self.frames)


def simulate(out: Path, config: VizDoom, counts: Mapping[str, int], seed: int) -> None:
    """Make a data set of episodes (see `simulate_episodes`)."""
    simulate_episodes(out, "vizdoom", config, counts, seed)


class Game:
    """ViZDoom as a `World`.

    Args:
        settings: scenario, size and turn.
    """

    def __init__(self, settings: VizDoom) -> None:
        self.library: Any = need("vizdoom", "worlds", "framecast simulate vizdoom")
        self.size, self.turn = settings.size, settings.turn / TICS
        self.game = self._start(_scenario(self.library, settings.scenario))

    def begin(self, seed: int) -> None:
        """Begin an episode."""
        self.game.set_seed(seed % SEEDS)
        self.game.new_episode()

    def view(self) -> UInt8[np.ndarray, "S S 3"]:
        """Return what the agent sees, each pixel a mean over what it covers of the game's frame."""
        frame = Image.fromarray(self.game.get_state().screen_buffer)
        return np.asarray(frame.resize((self.size, self.size), Image.Resampling.BOX))

    def pose(self) -> Pose:
        """Return where the agent stands, in units of the map."""
        x, y, z, angle = self.game.get_state().game_variables
        return Pose(x, y, z, math.radians(angle))

    def act(self, action: int) -> bool:
        """Do an action for `TICS` tics."""
        turn = {LEFT: -self.turn, RIGHT: self.turn}.get(action, 0.0)
        self.game.make_action([turn, float(action == FORWARD)], TICS)
        return not self.game.is_episode_finished()

    def _buttons(self) -> list[Any]:
        """What the agent can press, in the order of the numbers of an action."""
        button = self.library.Button
        return [button.TURN_LEFT_RIGHT_DELTA, button.MOVE_FORWARD]

    def _start(self, scenario: Path) -> Any:
        library, game = self.library, self.library.DoomGame()
        game.load_config(str(scenario))
        large = self.size > 120
        size = (
            library.ScreenResolution.RES_640X480 if large else library.ScreenResolution.RES_160X120
        )
        game.set_screen_resolution(size)
        game.set_screen_format(library.ScreenFormat.RGB24)
        game.set_mode(library.Mode.PLAYER)
        game.set_episode_timeout(0)
        for hide in ("window_visible", "render_hud", "render_weapon", "render_crosshair"):
            getattr(game, f"set_{hide}")(False)
        variable = library.GameVariable
        game.set_available_buttons(self._buttons())
        game.set_sectors_info_enabled(True)
        game.set_available_game_variables(
            [variable.POSITION_X, variable.POSITION_Y, variable.POSITION_Z, variable.ANGLE]
        )
        game.set_doom_config_path(os.devnull)
        # The game leaves files of its own where it starts.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            game.init()
        return game


class RestingGame(Game):
    """ViZDoom without inertia, in which a step back undoes one forward: a `World`.

    The agent is at rest before and after each action. Angles are whole units of the game, which
    would round a turn to the left otherwise than one to the right. The agent takes a step only
    where the way is free of walls, which it would slide along.

    Args:
        settings: scenario, size and turn.
    """

    def begin(self, seed: int) -> None:
        """Begin an episode."""
        super().begin(seed)
        lines = (line for s in self.game.get_state().sectors for line in s.lines)
        self.walls = np.array([(w.x1, w.y1, w.x2, w.y2) for w in lines if w.is_blocking])

    def act(self, action: int) -> bool:
        """Do an action, and come to rest."""
        if action in (LEFT, RIGHT):
            units = round(self.turn / UNIT) * (-1 if action == LEFT else 1)
            self.game.make_action([(units + 0.5) * UNIT, 0, 0], TICS)
        elif action == BACK or is_free(self.pose(), self.walls):
            self.game.make_action([0, action == FORWARD, action == BACK], THRUST)
            self.game.make_action([0, 0, 0], REST)
        return not self.game.is_episode_finished()

    def _buttons(self) -> list[Any]:
        return [*super()._buttons(), self.library.Button.MOVE_BACKWARD]


def is_free(pose: Pose, walls: Float[np.ndarray, "N 4"]) -> bool:
    """Tell whether no wall touches the square body of an agent on a step forward.

    Args:
        pose: before the step.
        walls: x and y of both ends of each.
    """
    along = np.linspace(0, STRIDE, STRIDE // 2 + 1)
    x, y = pose.x + along * math.cos(pose.heading), pose.y + along * math.sin(pose.heading)
    starts = walls[:, None, :2] - np.stack([x, y], -1)
    ways = (walls[:, 2:] - walls[:, :2])[:, None]
    # Where a wall enters and leaves the square, as shares of its length (Liang and Barsky).
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ends = np.sort(np.stack([(-BODY - starts) / ways, (BODY - starts) / ways]), axis=0)
    # A wall parallel to a side is within the square all along, or nowhere.
    beside, within = np.abs(ways) < 1e-4, np.abs(starts) <= BODY
    enters = np.where(beside, np.where(within, -np.inf, np.inf), ends[0])
    leaves = np.where(beside, np.where(within, np.inf, -np.inf), ends[1])
    touched = np.maximum(enters.max(-1), 0) <= np.minimum(leaves.min(-1), 1)
    return not touched.any()


def _scenario(library: Any, name: str) -> Path:
    """The file of a scenario."""
    folder = Path(library.scenarios_path)
    names = sorted(file.stem for file in folder.glob("*.cfg"))
    if name not in names:
        raise UserError(
            f"scenario {name} is none of ViZDoom's{nearest(name, names)}: {', '.join(names)}"
        )
    return folder / f"{name}.cfg"
