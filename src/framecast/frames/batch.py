"""What a step of training, a forecast or a score reads: windows of frames with all that belongs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from framecast.base.draws import Portion


class Place(NamedTuple):
    """Where a window begins: its sequence, and the place of its first frame in it."""

    sequence: int
    start: int


class Conditions(NamedTuple):
    """What a network reads beside frames at T steps, and knows ahead of time.

    Attributes:
        fields: forcings at each frame and at the one after it, then static fields, [B,T,E,H,W].
        actions: what is done between each frame and the next, [B,T,A].
        intervals: time since the frame before, in steps, [B,T].
        noise: standard normal numbers, drawn for each step, [B,T,N,H,W]: by them the members of
            an ensemble differ.
    """

    fields: Float[Tensor, "B T E H W"] | None = None
    actions: Float[Tensor, "B T A"] | None = None
    intervals: Float[Tensor, "B T"] | None = None
    noise: Float[Tensor, "B T N H W"] | None = None

    def between(self, start: int, stop: int) -> "Conditions":
        """Return the conditions of steps start to stop - 1."""
        return Conditions(*(None if part is None else part[:, start:stop] for part in self))

    def at(self, step: int) -> "Conditions":
        """Return the conditions of one step, without a dimension of time."""
        return Conditions(*(None if part is None else part[:, step] for part in self))

    def repeated(self, members: int) -> "Conditions":
        """Return the conditions of so many members of each sequence, [members·B,...]."""
        return Conditions(*(None if part is None else repeated(part, members) for part in self))


class Limits(NamedTuple):
    """What holds of every frame that is predicted, in the units that the network sees.

    Attributes:
        low: least value of each predicted channel, [C,1,1]; −∞ for no bound. None for no bounds.
        high: greatest value, likewise.
        possible: where a value may be known at all, [C,H,W]: elsewhere there is none in the
            training data. None where there is one everywhere.
    """

    low: Float[Tensor, "C 1 1"] | None = None
    high: Float[Tensor, "C 1 1"] | None = None
    possible: Bool[Tensor, "C H W"] | None = None

    def hold(self, frame: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any C H W"]:
        """Return predictions within their bounds, and 0, the mean, where no value is possible."""
        if self.low is not None and self.high is not None:
            frame = frame.clamp(self.low, self.high)
        return frame if self.possible is None else frame.where(self.possible, 0.0)


def repeated(values: Float[Tensor, "B *any"], members: int) -> Float[Tensor, "_MB *any"]:
    """Return values of B sequences once for each member, all of a member together."""
    return values.repeat(members, *[1] * (values.ndim - 1))


NO_CONDITIONS = Conditions()
NO_LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of B sequences, in the units that the network sees.

    Changing what lies under the mask changes nothing: missing values are filled when a batch is
    made, by the last known value before, else by the climatology.

    Attributes:
        frames: prognostic, then diagnostic channels, [B,L,C,H,W].
        mask: True where a value is known, [B,L,C,H,W]; None where all are.
        forcings: known ahead: read from the data or derived, and the masks of those that have
            gaps, [B,L,F,H,W]; None if there are none.
        static: the same at all times, [S,H,W]; None if there are none.
        actions: what is done between each frame and the next, [B,L,A]; None if nothing is.
        intervals: time since the frame before, in steps, [B,L]; None at regular steps.
        labels: place of each window's class among those of the model, [B]; None if there are none.
        limits: what holds of every predicted frame.
        area: weight of each cell in the loss, with mean 1, [H,W]; None where all count alike.
        places: which window each is, so that anything found can be named to a user.
        portion: which windows of a batch that several processes share these are; None for all.
    """

    frames: Float[Tensor, "B L C H W"]
    mask: Bool[Tensor, "B L C H W"] | None = None
    forcings: Float[Tensor, "B _L F H W"] | None = None
    static: Float[Tensor, "S H W"] | None = None
    actions: Float[Tensor, "B _L A"] | None = None
    intervals: Float[Tensor, "B _L"] | None = None
    labels: Int64[Tensor, " B"] | None = None
    limits: Limits = NO_LIMITS
    area: Float[Tensor, "H W"] | None = None
    places: tuple[Place, ...] = ()
    portion: Portion | None = None

    @classmethod
    def stack(cls, windows: Sequence["Batch"]) -> "Batch":
        """Put batches of one grid behind one another; a mask that only some have becomes all's."""
        first = windows[0]
        masks: Any = [window.mask for window in windows]
        if any(mask is not None for mask in masks):
            masks = [
                torch.ones_like(window.frames, dtype=torch.bool) if mask is None else mask
                for window, mask in zip(windows, masks, strict=True)
            ]

        def joined(parts: Sequence[Tensor | None]) -> Any:
            known = [part for part in parts if part is not None]
            return torch.cat(known) if known else None

        return replace(
            first,
            frames=joined([w.frames for w in windows]),
            mask=joined(masks),
            forcings=joined([w.forcings for w in windows]),
            actions=joined([w.actions for w in windows]),
            intervals=joined([w.intervals for w in windows]),
            labels=joined([w.labels for w in windows]),
            places=tuple(place for window in windows for place in window.places),
        )

    def repeated(self, members: int) -> "Batch":
        """Return every window so many times, all of a member together."""
        return Batch.stack([self] * members)

    def part(self, steps: slice) -> "Batch":
        """Return the same with some of the frames alone, and all that is known beside them."""
        mask = None if self.mask is None else self.mask[:, steps]
        return replace(self, frames=self.frames[:, steps], mask=mask)

    def between(self, first: int, stop: int) -> "Batch":
        """Return the same windows from frame `first` to `stop` - 1, with what belongs to these."""

        def cut(values: Any) -> Any:
            return None if values is None else values[:, first:stop]

        return replace(
            self,
            frames=cut(self.frames),
            mask=cut(self.mask),
            forcings=cut(self.forcings),
            actions=cut(self.actions),
            intervals=cut(self.intervals),
        )

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def length(self) -> int:
        """L, frames of each window."""
        return self.frames.shape[1]

    def to(self, device: torch.device | str, **options: Any) -> "Batch":
        """Return the same batch on another device; the one place where its tensors move."""
        return Batch(
            **{f.name: _move(getattr(self, f.name), device, options) for f in fields(self)}
        )

    def conditions(self, steps: int | None = None) -> Conditions:
        """Return what is read beside the frames at some steps, each of which predicts a frame.

        The step from frame t to t + 1 reads the forcings at both.

        Args:
            steps: T; one less than the frames of a window if None. Forcings of T + 1 frames must
                be there, and actions of T.
        """
        steps = self.length - 1 if steps is None else steps
        return make_conditions(
            self.forcings, self.static, self.actions, self.intervals, len(self), steps
        )


def make_conditions(
    forcings: Float[Tensor, "B L F H W"] | None,
    static: Float[Tensor, "S H W"] | None,
    actions: Float[Tensor, "B _T A"] | None,
    intervals: Float[Tensor, "B _T"] | None,
    batch: int,
    steps: int,
) -> Conditions:
    """Lay out what the network reads at each of T steps; forcings are given at T + 1 frames."""
    parts = []
    if forcings is not None:
        parts += [forcings[:, :steps], forcings[:, 1 : steps + 1]]
    if static is not None:
        parts.append(static.expand(batch, steps, *static.shape))
    return Conditions(
        fields=torch.cat(parts, dim=2) if parts else None,
        actions=None if actions is None else actions[:, :steps],
        intervals=None if intervals is None else intervals[:, :steps],
    )


def _move(value: Any, device: torch.device | str, options: dict[str, Any]) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, **options)
    if isinstance(value, Limits):
        return Limits(*(_move(part, device, options) for part in value))
    return value
