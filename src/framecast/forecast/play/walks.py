"""Walks through what a world model imagines: each begins at an episode, and goes on by actions."""

import base64
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from framecast.base.errors import UserError
from framecast.forecast.worlds import Dreamer, draws_of
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.windows import fitting_actions
from framecast.models.world import Memory

MOST_WALKS = 8
"""Walks that are remembered; that which nobody went on with for longest makes room for another."""
MOST_BYTES = 1 << 27
"""Bytes that may be remembered of a walk: that of a Transformer grows."""


class EndedError(Exception):
    """A walk cannot be gone on with; the message says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Walk:
    """How far one has come.

    Attributes:
        memory: of everything seen.
        random: what frames are drawn from.
        steps: that were gone.
    """

    memory: Memory
    random: torch.Generator
    steps: int = 0


class Walks:
    """The walks of all pages, a few at most; the model draws for one of them at a time.

    Args:
        dreamer: the model.
        frames: episodes that walks begin at, each a sequence.
        context: frames of an episode that are shown before the first step.

    Raises:
        UserError: if the frames are of another kind, all episodes are too short, or actions are
            measured numbers.
    """

    def __init__(self, dreamer: Dreamer, frames: Frames, context: int) -> None:
        dreamer.check(frames)
        if dreamer.saved.frames.continuous_actions:
            raise UserError(
                "the model was trained on actions of measured numbers, which no key stands for: "
                "forecast with framecast forecast --actions FILE"
            )
        self.dreamer, self.frames, self.context = dreamer, frames, context
        self.episodes = [n for n, length in enumerate(frames.lengths) if length >= context]
        if not self.episodes or context < 1:
            raise UserError(
                f"{frames.source}: no episode has the {context} frames of --context that are shown "
                "before the first step: choose another number, at least 1"
            )
        self._actions = fitting_actions(frames, dreamer.saved.frames)
        self._walks: OrderedDict[str, Walk] = OrderedDict()
        self._lock = Lock()

    @property
    def about(self) -> dict[str, Any]:
        """What a page needs to know: actions, episodes, and the size of a frame."""
        spec, named = self.dreamer.saved.frames, self.frames.coordinates.get("sequence")
        names = [str(n) for n in range(len(self.frames.lengths))]
        if named is not None:
            names = [str(name) for name in named.values]
        return {
            "actions": list(spec.action_names) or [str(n) for n in range(spec.actions)],
            "episodes": [{"number": n, "name": names[n]} for n in self.episodes],
            "rows": spec.grid[0],
            "columns": spec.grid[1],
            "context": self.context,
        }

    def begin(self, episode: int, seed: int) -> dict[str, Any]:
        """Begin a walk at the end of the given frames of an episode.

        Raises:
            EndedError: if there is no such episode, or the seed is no number from 0 to 2⁶³ − 1.
        """
        if episode not in self.episodes or not 0 <= seed < 1 << 63:
            raise EndedError(f"episode {episode}, seed {seed}: there is no such walk")
        seen = self.frames.values[episode, : self.context]
        before = None if self._actions is None else self._actions[episode, : self.context - 1]
        with self._lock:
            memory = self.dreamer.observe(seen, before)
            name = secrets.token_urlsafe(9)
            last = self.context - 1
            self._walks[name] = Walk(memory, draws_of(seed, 0, episode, last))
            while len(self._walks) > MOST_WALKS:
                self._walks.popitem(last=False)
        return {"walk": name, "steps": 0, "frame": self._drawn(seen[-1])}

    def step(self, name: str, action: int) -> dict[str, Any]:
        """Do an action in a walk, and draw what is seen then.

        Raises:
            EndedError: if the walk is not remembered any more, what it remembers has grown too
                large, or there is no such action.
        """
        count = self.dreamer.saved.frames.actions
        if not 0 <= action < max(1, count):
            raise EndedError(f"there is no action {action}")
        done = torch.eye(count)[action] if count else None
        with self._lock:
            walk = self._walks.get(name)
            if walk is None:
                raise EndedError("this walk was forgotten, since others were begun: begin again")
            began = time.perf_counter()
            frame, memory = next(self.dreamer.imagine(walk.memory, [done], walk.random))
            seconds = time.perf_counter() - began
            if size_of(memory) > MOST_BYTES:
                del self._walks[name]
                raise EndedError(
                    f"what the model remembers has grown to {MOST_BYTES >> 20} MB after "
                    f"{walk.steps + 1} steps: begin again"
                )
            self._walks[name] = Walk(memory, walk.random, walk.steps + 1)
            self._walks.move_to_end(name)
        return {"steps": walk.steps + 1, "frame": self._drawn(frame), "seconds": seconds}

    def _drawn(self, frame: Float[Tensor, "C H W"]) -> str:
        """A frame as red, green and blue bytes, row by row, in base64."""
        spread = _spread(frame, self.dreamer.saved.frames.predicted)
        colours = spread.expand(3, -1, -1) if len(spread) == 1 else spread[:3]
        content = colours.movedim(0, -1).mul(255).round().byte().contiguous().numpy().tobytes()
        return base64.b64encode(content).decode()


def _spread(frame: Float[Tensor, "C H W"], channels: Sequence[Channel]) -> Float[Tensor, "C H W"]:
    """A frame from 0 to 1, by the range that each channel declares, or else its own."""
    ends = [c.valid_range or (f.min(), f.max()) for c, f in zip(channels, frame, strict=True)]
    low, high = (torch.tensor([float(e[n]) for e in ends])[:, None, None] for n in range(2))
    return ((frame.float() - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)


def size_of(memory: Memory) -> int:
    """Return how many bytes a memory holds."""
    leaves = (leaf for leaf in pytree.tree_leaves(memory) if isinstance(leaf, Tensor))
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves)
