"""Forecasts of world models: what an agent sees that goes on acting."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.acting import HIDDEN, parse_actions, read_measured
from framecast.forecast.starts import context_start
from framecast.frames.frames import Frames
from framecast.frames.windows import fitting_actions
from framecast.models.world import Memory, World
from framecast.runs.checkpoint import Saved
from framecast.runs.device import choose_device


class Imagined(NamedTuple):
    """A frame that a world model has drawn.

    Attributes:
        frame: in physical units, [C,H,W], on the CPU.
        memory: of everything up to it, from which one may go on.
    """

    frame: Float[Tensor, "C H W"]
    memory: Memory


class Dreamer:
    """A world model that is ready to go on from frames; what it remembers is passed in and out.

    Args:
        saved: the run.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Raises:
        UserError: if the run is no world model, or there is no such device.
    """

    def __init__(self, saved: Saved, device: str = "auto") -> None:
        if not isinstance(saved.model, World):
            raise UserError(f"a {saved.model.kind} is no world model")
        self.saved, self.device = saved, choose_device(device)
        self.world = saved.model.to(self.device).eval()

    def check(self, frames: Frames) -> None:
        """Raise a UserError unless frames are of the kind that the model has learned from."""
        spec = self.saved.frames
        if frames.names != spec.names or frames.grid != spec.grid:
            raise UserError(
                f"{frames.source} has {', '.join(frames.names)} on "
                f"{frames.grid[0]}×{frames.grid[1]}, but the model reads {', '.join(spec.names)} "
                f"on {spec.grid[0]}×{spec.grid[1]}"
            )
        self.saved.check_units(frames)
        self.saved.check_step(frames)

    def check_hiding(self) -> None:
        """Raise a UserError unless the model has learned to go on without actions."""
        if self.saved.frames.actions and not self.world.spec.config.drop_actions:
            raise UserError(
                "the model was always told what is done in its training (world.drop_actions 0), "
                "and knows nothing of unknown actions: tell it"
            )

    @torch.no_grad()
    def encode(self, frames: Float[Tensor, "T C H W"]) -> Int64[Tensor, "T h w"]:
        """Return the codes of frames in physical units."""
        seen = self.saved.scaling.normalise(frames).to(self.device)
        encode = self.world.tokeniser.encode
        return torch.cat([encode(part) for part in torch.split(seen, AT_ONCE)])

    @torch.no_grad()
    def show(self, codes: Int64[Tensor, "B h w"]) -> Float[Tensor, "B C H W"]:
        """Return the frames of codes, in physical units, on the CPU."""
        return self.saved.scaling.denormalise(self.world.tokeniser.show(codes).cpu())

    @torch.no_grad()
    def observe(
        self, frames: Float[Tensor, "T C H W"], actions: Float[Tensor, "_T A"] | None = None
    ) -> Memory:
        """Remember frames in physical units, and the T − 1 actions between them.

        A NaN among the numbers of an action says that nobody knows it.
        """
        done = None if actions is None else actions[None].to(self.device)
        return self.world.observe(self.encode(frames)[None], done)

    def imagine(
        self,
        memory: Memory,
        actions: Iterable[Float[Tensor, " A"] | None],
        generator: torch.Generator | None = None,
    ) -> Iterator[Imagined]:
        """Yield a frame for each action, one after the other.

        What is remembered does not grow, unless the state of a layer does.

        Args:
            memory: of what came before.
            actions: each is done after the last frame so far; None where nobody knows.
            generator: of what is random.
        """
        for action in actions:
            with torch.no_grad():
                done = None if action is None else action[None].to(self.device)
                codes, memory = self.world.imagine(memory, done, generator)
            yield Imagined(self.show(codes)[0], memory)


AT_ONCE = 32
"""Frames that are encoded together."""


def draws_of(seed: int, member: int, sequence: int, place: int) -> torch.Generator:
    """Return what a member of a forecast is drawn from: it follows from these numbers alone.

    Args:
        seed: of all forecasts.
        member: its number.
        sequence: that is gone on from.
        place: the last given frame of it.
    """
    key = f"{seed}/{member}/{sequence}/{place}"
    return torch.Generator().manual_seed(zlib.crc32(key.encode()))


def dream(
    dreamer: Dreamer,
    frames: Frames,
    places: Sequence[int],
    steps: int,
    context: int | None,
    actions: str | None,
    members: int,
    seed: int,
) -> Iterator[Float[Tensor, "M B C H W"]]:
    """Yield the frames of each lead, of all members and of every sequence and start.

    A member follows from the seed, its number, its sequence and its start alone.

    Args:
        dreamer: the model.
        frames: what was seen.
        places: the last given frame of each forecast.
        steps: leads.
        context: frames that are given; None for as many as in training.
        actions: as `parse_actions` reads them; None for those of the frames.
        members: samples of each forecast.
        seed: of what is random.

    Raises:
        UserError: if there are not enough frames or actions, or they are others.
    """
    size = dreamer.saved.context if context is None else context
    courses = []
    for member in range(members):
        for sequence in range(len(frames.values)):
            for place in places:
                first = context_start(frames, sequence, place, size)
                done = acts(dreamer, frames, sequence, place, steps, actions, seed)
                hidden = actions in HIDDEN
                before = None if hidden else _before(dreamer, frames, sequence, first, place)
                memory = dreamer.observe(frames.values[sequence, first : place + 1], before)
                generator = draws_of(seed, member, sequence, place)
                courses.append(dreamer.imagine(memory, list(done), generator))
    for leads in zip(*courses, strict=True):
        stacked = torch.stack([lead.frame for lead in leads])
        yield stacked.view(members, -1, *stacked.shape[1:])


def acts(
    dreamer: Dreamer,
    frames: Frames,
    sequence: int,
    place: int,
    steps: int,
    actions: str | None,
    seed: int,
) -> Float[Tensor, "T A"]:
    """Return what is done in each step of a forecast; NaN where nobody knows."""
    spec = dreamer.saved.frames
    if not spec.actions:
        if actions is not None:
            raise UserError("--actions is given, but the model was trained without actions")
        return torch.full((steps, 1), torch.nan)
    if actions in HIDDEN:
        dreamer.check_hiding()
    if actions is not None and actions not in HIDDEN and spec.continuous_actions:
        return read_measured(actions, spec.actions, steps)
    if actions is not None:
        return parse_actions(actions, spec.action_names, spec.actions, steps, seed)
    known = fitting_actions(frames, spec)
    own = torch.zeros(0, spec.actions) if known is None else known[sequence, place : place + steps]
    finite = [*own.isfinite().all(1).tolist(), False]
    count = finite.index(False)
    if count < steps:
        such = f"{spec.action_names[0] if spec.action_names else 0}*, random or unknown"
        raise UserError(
            f"{frames.source}: actions are known for {count} steps after frame {place}, but "
            f"--steps {steps} are asked for: say what is done with --actions, such as "
            f"{'next.npy or unknown' if spec.continuous_actions else such}"
        )
    return own


def _before(
    dreamer: Dreamer, frames: Frames, sequence: int, first: int, place: int
) -> Float[Tensor, "T A"] | None:
    """The actions between given frames; None where there are none."""
    known = fitting_actions(frames, dreamer.saved.frames)
    return None if known is None else known[sequence, first:place]
