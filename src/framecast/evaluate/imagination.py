"""A world model as it is scored: it watches the given frames, then draws one after the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.competitor import Stretch
from framecast.forecast.worlds import Dreamer, draws_of
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.frames.windows import fitting_actions
from framecast.models.world import Memory


class _Course(NamedTuple):
    """What is remembered of windows, and what each goes on to be drawn from."""

    memory: Memory
    sources: list[torch.Generator]


class Imagination:
    """One sample of each window, drawn by a world model: a `Competitor`.

    A sample follows from the seed, its number and its window alone: it is that of `framecast
    forecast --start` from the last given frame. Among the given frames nothing is predicted.

    Args:
        dreamer: the model.
        frames: where the windows lie.
        context: frames that are given.
        member: number of the sample.
        seed: of what is drawn.
        actions: whether the model is told what is done.

    Raises:
        UserError: if it is to be told, and the frames do not say; or if it is not, and has always
            been told in training.
    """

    def __init__(
        self,
        dreamer: Dreamer,
        frames: Frames,
        context: int,
        member: int = 0,
        seed: int = 0,
        actions: bool = True,
    ) -> None:
        self.dreamer, self.frames, self.context = dreamer, frames, context
        self.member, self.seed = member, seed
        if not actions:
            dreamer.check_hiding()
        told = actions and dreamer.saved.frames.actions > 0
        self.actions = fitting_actions(frames, dreamer.saved.frames) if told else None
        if told and self.actions is None:
            raise UserError(
                f"{frames.source} does not say what was done, which the model was trained to be "
                "told: name data with actions (--data), or hide them (--actions none)"
            )

    def check(self, places: Sequence[Place], length: int) -> None:
        """Raise a UserError unless it is known what is done within all windows of a length."""
        for sequence, start in places if self.actions is not None else ():
            assert self.actions is not None
            known = self.actions[sequence, start : start + length - 1].isfinite().all(1)
            if not known.all():
                frame = start + int(known.int().argmin())
                raise UserError(
                    f"{self.frames.source}: what is done after frame {frame} of sequence "
                    f"{sequence} is not known: hide all actions (--actions none), or choose fewer "
                    "--steps"
                )

    def predict(
        self, stretch: Stretch, state: _Course | None
    ) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Draw the frames of a stretch of the forecast; NaN among given frames."""
        if not stretch.forecast:
            return torch.full_like(stretch.values[None, :, 1:], torch.nan), None
        course = self._begun(stretch.places) if state is None else state
        memory, drawn = course.memory, []
        for step in range(stretch.steps):
            done = self._done(stretch.places, step)
            codes, memory = self.dreamer.world.imagine(memory, done, course.sources)
            drawn.append(self.dreamer.show(codes))
        return torch.stack(drawn, dim=1)[None], course._replace(memory=memory)

    def _begun(self, lasts: Sequence[Place]) -> _Course:
        """Watch the given frames of windows, by the last of each."""
        codes: list[Int64[Tensor, "T h w"]] = []
        for sequence, last in lasts:
            seen = self.frames.values[sequence, last + 1 - self.context : last + 1]
            codes.append(self.dreamer.encode(seen))
        before = None
        if self.actions is not None:
            each = [self.actions[n, last + 1 - self.context : last] for n, last in lasts]
            before = torch.stack(each).to(self.dreamer.device)
        sources = [draws_of(self.seed, self.member, *last) for last in lasts]
        return _Course(self.dreamer.world.observe(torch.stack(codes), before), sources)

    def _done(self, places: Sequence[Place], step: int) -> Float[Tensor, "B A"] | None:
        """What is done in each window after a frame of a stretch."""
        if self.actions is None:
            return None
        each = [self.actions[sequence, start + step] for sequence, start in places]
        return torch.stack(each).to(self.dreamer.device)
