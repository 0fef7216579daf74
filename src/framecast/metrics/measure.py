"""Measuring predictions against the truth, a stretch of frames at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from framecast.metrics.clips import ClipFeatures
from framecast.metrics.family import Family, Truth
from framecast.metrics.frechet import ClipSums, Gaussians
from framecast.metrics.images import to_images
from framecast.metrics.scores import Scores
from framecast.metrics.spectrum import Bins
from framecast.metrics.thresholds import Thresholds
from framecast.metrics.weights import Weights


class Reference(NamedTuple):
    """The truth, with what every prediction of it is compared with.

    Attributes:
        truth: as it is.
        parts: what each family made of it.
        clips: the features of the stretch; None where it makes no clip.
        whole: which of the windows make clips: those without gaps.
    """

    truth: Truth
    parts: tuple[Any, ...]
    clips: Gaussians | None = None
    whole: Bool[Tensor, " B"] | None = None


@dataclass(frozen=True, eq=False)
class Measure:
    """The metrics that are taken, with what they need. `prepare` makes one.

    Attributes:
        names: of the metrics, in the order of METRICS.
        families: which give them.
        absent: metrics that cannot be had though they might be expected, and why.
        weights: of the cells, in each region.
        ranges: values of each channel that are 0 and 1 of an image, [C,2].
        thresholds: of events; None if none are judged.
        neighbourhoods: sides of neighbourhoods, in cells.
        bins: of spectra; None if none are taken.
        features: the network of FVD.
        clip: forecast frames of a clip, and most frames of a stretch.
        whole: whether a clip is a whole window, the given frames and all that are forecast.
        asked: whether somebody named the metrics, so that reports show each of them.
        protocol: that of a paper, and what it says of its reductions; empty for none.
        by_input: whether reports tell predictions from true frames from those of own ones.
        edges: of the bins of ages; none where ages are not told apart.
    """

    names: tuple[str, ...]
    families: tuple[Family, ...]
    absent: Mapping[str, str]
    weights: Weights
    ranges: Float[Tensor, "C 2"] | None
    thresholds: Thresholds | None
    neighbourhoods: tuple[int, ...]
    bins: Bins | None
    features: ClipFeatures | None
    clip: int
    whole: bool = False
    asked: bool = False
    protocol: str = ""
    by_input: bool = False
    edges: tuple[int, ...] = ()

    @property
    def wavelengths(self) -> Float64[np.ndarray, " K"]:
        """Wavelengths of spectra; none where none are taken."""
        return np.zeros(0) if self.bins is None else self.bins.wavelengths

    def reference(self, truth: Truth) -> Reference:
        """Make ready the truth of a stretch.

        Raises:
            UserError: if the truth lies outside its range.
        """
        parts = tuple(family.reference(truth) for family in self.families)
        full = truth.forecast and truth.values.shape[1] == self.clip
        if not full or self.features is None:
            return Reference(truth, parts)
        clip = self._clip(truth.values, truth.given)
        whole = ~clip.isnan().flatten(1).any(1)
        return Reference(truth, parts, self._describe(clip, whole), whole)

    def scores(self, predictions: Float[Tensor, "*M B S C H W"], reference: Reference) -> Scores:
        """Measure the predictions of a stretch: sums of each of the B windows.

        Args:
            predictions: in physical units, of M members, or of none in particular.
            reference: the truth.
        """
        clips = None
        if reference.clips is not None:
            mean = predictions if predictions.ndim == 5 else predictions.mean(0)
            clip = self._clip(mean, reference.truth.given)
            clips = ClipSums(self._describe(clip, reference.whole), reference.clips)
        return Scores.of(predictions, reference.truth, self.families, reference.parts, clips)

    def _clip(self, frames: Tensor, given: Tensor | None) -> Tensor:
        if not self.whole:
            return frames
        assert given is not None
        return torch.cat([given, frames], dim=1)

    def _describe(self, clip: Tensor, whole: Tensor | None) -> Gaussians:
        assert self.features is not None
        assert self.ranges is not None
        return Gaussians.of(self.features(to_images(clip, self.ranges))[whole])
