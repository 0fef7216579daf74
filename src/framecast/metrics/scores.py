"""Scores of predictions against the truth, as named sums that merge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from framecast.metrics.error import Errors
from framecast.metrics.family import Family, Prediction, Truth
from framecast.metrics.frechet import ClipSums
from framecast.metrics.weights import Weights


@dataclass(frozen=True, eq=False)
class Scores:
    """Sums over Z sets of windows, for each of S steps.

    Adding scores of some windows to those of others gives the scores of all of them, in whatever
    order and parts they come, so that evaluation needs memory for one batch only.

    Attributes:
        sums: by name, each [Z,S,...], in float64.
        families: which make metrics of them.
        clips: features of clips of all sets together, which Q stretches of the steps make; None
            where there are none.
    """

    sums: Mapping[str, Float64[Tensor, "Z S *any"]]
    families: tuple[Family, ...]
    clips: ClipSums | None = None

    @classmethod
    def of(
        cls,
        predictions: Float[Tensor, "*M B S C H W"],
        truth: Float[Tensor, "B S C H W"] | Truth,
        families: Sequence[Family] | None = None,
        references: Sequence[Any] | None = None,
        clips: ClipSums | None = None,
    ) -> "Scores":
        """Sum what families ask for, for each window: B sets.

        Args:
            predictions: in physical units, of M members, or of none in particular.
            truth: likewise, NaN where nothing is known. Where predictions are not a number though
                the truth is known, all sums of that channel and step are not, and so are its
                metrics: no comparison with a threshold hides it.
            families: of metrics; the error, with all cells alike, if None.
            references: what each family made of the truth; made here if None.
            clips: features of clips.

        Raises:
            ValueError: if the shapes differ.
        """
        truth = truth if isinstance(truth, Truth) else Truth(truth)
        members = predictions if predictions.ndim == 6 else predictions[None]
        if members.shape[1:] != truth.values.shape:
            raise ValueError(
                f"predictions {list(members.shape[1:])} and truth {list(truth.values.shape)} differ"
            )
        if families is None:
            height, width = truth.values.shape[-2:]
            families = (Errors(Weights.of((height, width))),)
        if references is None:
            references = [family.reference(truth) for family in families]
        prediction = Prediction(members)
        sums: dict[str, Tensor] = {}
        for family, reference in zip(families, references, strict=True):
            sums |= family.sums(prediction, truth, reference)
        missing = prediction.missing(truth)
        if missing is not None:
            sums = {name: _spoil(each, missing) for name, each in sums.items()}
        return cls(sums, tuple(families), clips)

    @classmethod
    def cat(cls, parts: Sequence["Scores"]) -> "Scores":
        """Put the steps of the same windows behind one another."""
        return replace(
            parts[0],
            sums={n: torch.cat([part.sums[n] for part in parts], 1) for n in parts[0].sums},
            clips=ClipSums.cat([part.clips for part in parts if part.clips is not None]),
        )

    @classmethod
    def join(cls, parts: Sequence["Scores"]) -> "Scores":
        """Put sets of other windows, at the same steps, behind one another."""
        clips = [part.clips for part in parts if part.clips is not None]
        return replace(
            parts[0],
            sums={n: torch.cat([part.sums[n] for part in parts]) for n in parts[0].sums},
            clips=reduce(add, clips) if clips else None,
        )

    def gather(
        self, sets: Int64[Tensor, " Z"], count: int, onto: "Scores | None" = None
    ) -> "Scores":
        """Add the sums of sets into larger ones.

        Args:
            sets: which of the larger ones each goes to.
            count: how many of these there are.
            onto: earlier sums of them, which are added to in place; None for none.
        """
        sums = {}
        for name, each in self.sums.items():
            total = each.new_zeros(count, *each.shape[1:]) if onto is None else onto.sums[name]
            sums[name] = total.index_add_(0, sets, each)
        clips = [s.clips for s in (onto, self) if s is not None and s.clips is not None]
        return replace(self, sums=sums, clips=reduce(add, clips) if clips else None)

    def __add__(self, other: "Scores") -> "Scores":
        """Add the sums of further windows to each set."""
        ours, theirs = ({n: list(v.shape) for n, v in s.sums.items()} for s in (self, other))
        if ours != theirs:
            raise ValueError(f"scores of {ours} and {theirs} do not merge")
        clips = [s.clips for s in (self, other) if s.clips is not None]
        return replace(
            self,
            sums={name: self.sums[name] + other.sums[name] for name in self.sums},
            clips=reduce(add, clips) if clips else None,
        )

    @property
    def sets(self) -> int:
        """Z."""
        return len(next(iter(self.sums.values()), ()))

    def total(self) -> "Scores":
        """Merge all sets into one."""
        return replace(self, sums={n: v.sum(0, keepdim=True) for n, v in self.sums.items()})

    def steps(self, steps: slice) -> "Scores":
        """Return the sums of some steps."""
        return replace(self, sums={name: each[:, steps] for name, each in self.sums.items()})

    def pool(self, steps: slice = slice(None)) -> "Scores":
        """Merge steps into one, and all clips likewise."""
        return replace(
            self,
            sums={n: v[:, steps].sum(1, keepdim=True) for n, v in self.sums.items()},
            clips=None if self.clips is None else self.clips.pool(),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that the sums give."""
        given = [f.metrics for f in self.families if set(f.statistics) <= set(self.sums)]
        return (*(name for names in given for name in names), *(("fvd",) if self.clips else ()))

    def metric(self, name: str) -> Float64[Tensor, "S R _C *axes"]:
        """Return a metric by its name in METRICS, over all sets.

        Returns:
            For each step, region and channel, and what else the metric is a function of. There is
            one region where regions are not told apart, and one channel where frames are judged
            whole; fvd has one value for each stretch of time that makes a clip, [Q,1,1].

        Raises:
            ValueError: if the sums do not give it.
        """
        if name == "fvd":
            if self.clips is None:
                raise ValueError("no clip was measured")
            return self.clips.distances[:, None, None]
        family = self._family(name)
        return family.metric(name, {n: self.sums[n].sum(0) for n in family.statistics})

    def resampled(
        self, name: str, draws: Float64[Tensor, "Y Z"], region: int = 0
    ) -> Float64[Tensor, "Y S _C *axes"]:
        """Return a metric of Y samples of the sets, each of which is drawn so many times.

        Args:
            name: of the metric.
            draws: how often each set is drawn.
            region: the place of one of the regions that are told apart.
        """
        family = self._family(name)
        sums = {n: _drawn(draws, self.sums[n][:, :, region, None]) for n in family.statistics}
        return family.metric(name, sums)[:, :, 0]

    def width(self, name: str) -> int:
        """Return how many numbers the largest sum behind a metric has at a step, in a region."""
        sums = [self.sums[n] for n in self._family(name).statistics]
        return max(each[0, 0, 0].numel() for each in sums)

    def left_out(self, name: str) -> Float64[Tensor, " S"]:
        """Return how many frames are not in a mean over frames: equal to the truth, or with gaps.

        NaN where a forecast is missing.
        """
        frames, counted = (self.sums[n].sum(0).flatten() for n in ("frames", f"{name}_count"))
        return frames - counted

    def _family(self, name: str) -> Family:
        for family in self.families:
            if name in family.metrics and set(family.statistics) <= set(self.sums):
                return family
        raise ValueError(f"the scores have no metric {name}: they have {', '.join(self.names)}")


def _drawn(draws: Float64[Tensor, "Y Z"], sums: Float64[Tensor, "Z *any"]) -> Tensor:
    """Add up sets as often as they are drawn; those that are not add nothing, infinite or not."""
    infinite = sums.isinf()
    total: Tensor = torch.tensordot(draws, sums.masked_fill(infinite, 0.0), 1)
    if not infinite.any():
        return total
    for end in (torch.inf, -torch.inf):
        reached = torch.tensordot(draws, (sums == end).double(), 1) > 0
        total = total + torch.where(reached, end, 0.0)
    return total


def _spoil(sums: Tensor, missing: Bool[Tensor, "B S C"]) -> Tensor:
    """Make sums [B,S,R,C,...] not a number where something is missing of a channel, or of any."""
    spoilt = missing if sums.shape[3] == missing.shape[2] else missing.any(-1, keepdim=True)
    further = (1,) * (sums.ndim - 4)
    return sums.masked_fill(
        spoilt[:, :, None].reshape(*spoilt.shape[:2], 1, -1, *further), torch.nan
    )
