"""Walks through the rooms of ViZDoom: first-person video with actions and poses.

ViZDoom [1] brings its engine and scenarios along, and draws without a screen. The map of a scenario
is the same in every episode, the place where the agent begins is drawn anew. Turns are by an exact
angle; steps have the inertia of the game.

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
from jaxtyping import UInt8
from PIL import Image

from framecast.base.errors import UserError, nearest
from framecast.base.extras import need
from framecast.datasets.simulate.episodes import SPLITS, Episodes, simulate_episodes
from framecast.datasets.simulate.walking import FORWARD, LEFT, RIGHT, Pose, Walk, explore

__all__ = ["SPLITS", "VizDoom", "simulate"]

STUCK = 4.0
"""Units of the map below which a step forward was stopped; a free one takes some 20."""
TICS = 4
"""Of the game, 35 in a second, from frame to frame."""
SEEDS = 1 << 31
"""Seeds that the game tells apart."""


@dataclass(frozen=True)
class VizDoom(Episodes):
    """Episodes of ViZDoom.

    Attributes:
        scenario: rooms to walk through, by the name of a file of ViZDoom: my_way_home has rooms of
            different walls, and no enemies.
        turn: degrees that a step to the left or right turns by, above 0 and up to 90.
    """

    scenario: str = "my_way_home"
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
        return Game(self)

    def walk(self, random: np.random.Generator) -> Walk:
        """Return a walk that explores."""
        return explore(random, self.spin, STUCK)


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
        button, variable = library.Button, library.GameVariable
        game.set_available_buttons([button.TURN_LEFT_RIGHT_DELTA, button.MOVE_FORWARD])
        game.set_available_game_variables(
            [variable.POSITION_X, variable.POSITION_Y, variable.POSITION_Z, variable.ANGLE]
        )
        game.set_doom_config_path(os.devnull)
        # The game leaves files of its own where it starts.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            game.init()
        return game


def _scenario(library: Any, name: str) -> Path:
    """The file of a scenario."""
    folder = Path(library.scenarios_path)
    names = sorted(file.stem for file in folder.glob("*.cfg"))
    if name not in names:
        raise UserError(
            f"scenario {name} is none of ViZDoom's{nearest(name, names)}: {', '.join(names)}"
        )
    return folder / f"{name}.cfg"
