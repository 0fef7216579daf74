"""A trained network as it is scored: given frames in one pass, then a closed loop of any length."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.forecast.competitor import Stretch
from framecast.forecast.ensemble import draws_of, members_at_once
from framecast.forecast.members import Variation
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Batch
from framecast.frames.frames import Frames
from framecast.frames.windows import Windows


class _Memory(NamedTuple):
    """State of each group of members, and the last given frame, which fills what is missing."""

    groups: tuple[range, ...]
    progress: tuple[Any, ...]
    last: Float[Tensor, "B C H W"]


class Network:
    """A trained model on frames of its own kind: a `Competitor`.

    Args:
        predictor: the model, on its device.
        frames: where the windows lie.
        members: M forecasts of each window, which differ by noise or perturbed frames; or their
            numbers, which random numbers follow from.
        variation: what these follow from.
        at_once: members that are forecast side by side; None for what memory suggests.
    """

    def __init__(
        self,
        predictor: Predictor,
        frames: Frames,
        members: int | range = 1,
        variation: Variation | None = None,
        at_once: int | None = None,
    ) -> None:
        self.predictor, self.at_once = predictor, at_once
        self.numbers = members if isinstance(members, range) else range(members)
        self.variation = variation or Variation()
        self.windows = Windows(frames, predictor.scaling, 1)

    def predict(
        self, stretch: Stretch, state: _Memory | None
    ) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Read what is given in one pass, and go on from there, frame by frame."""
        batch = self._batch(stretch, state)
        if state is None:
            groups = self._groups(stretch)
            state = _Memory(groups, (None,) * len(groups), batch.frames[:, 0])
        every = [
            self._predict(batch, stretch, members, progress)
            for members, progress in zip(state.groups, state.progress, strict=True)
        ]
        last = batch.frames[:, stretch.given - 1] if stretch.given else state.last
        after = _Memory(state.groups, tuple(progress for _, progress in every), last)
        return torch.cat([frames for frames, _ in every]), after

    def _groups(self, stretch: Stretch) -> tuple[range, ...]:
        """Members that are forecast side by side."""
        size = self.at_once or 1
        count = len(self.numbers)
        if count > 1 and self.at_once is None:
            size = members_at_once(self.predictor, len(stretch.places), stretch.steps)
        return tuple(self.numbers[start : start + size] for start in range(0, count, size))

    def _predict(
        self, batch: Batch, stretch: Stretch, members: Sequence[int], progress: Any
    ) -> tuple[Tensor, Any]:
        """Predict a stretch by some members."""
        several = len(self.numbers) > 1
        draws = draws_of(self.predictor, batch.places, members, self.variation, several)
        batch = batch if len(members) == 1 else batch.repeated(len(members))
        conditions, given = batch.conditions(), stretch.given
        parts = []
        if given:
            read, known = batch.part(slice(0, given)), conditions.between(0, given)
            predictions, progress = self.predictor.given(read, known, progress, draws)
            parts.append(predictions)
        ahead = (conditions.at(step) for step in range(given, stretch.steps))
        followed = list(self.predictor.ahead(ahead, progress))
        if followed:
            parts.append(torch.stack([frame for frame, _ in followed], dim=1))
            progress = followed[-1][1]
        frames = torch.cat(parts, dim=1)
        return frames.view(len(members), -1, *frames.shape[1:]), progress

    def _batch(self, stretch: Stretch, state: _Memory | None) -> Batch:
        length = stretch.values.shape[1]
        before = [None] * len(stretch.places) if state is None else list(state.last)
        return Batch.stack([
            self.windows.make(self.windows.values(place, place.start + length), place, last)
            for place, last in zip(stretch.places, before, strict=True)
        ])  # fmt: skip


class Together:
    """Several trained models whose members are those of one ensemble: a `Competitor`.

    Member m is of model m mod K, as in a forecast by several runs.

    Args:
        networks: K models on the same frames.
        members: of all of them together, a multiple of K.
        variation: what members follow from beside their model.
    """

    def __init__(
        self, networks: Sequence[Network], members: int, variation: Variation | None = None
    ) -> None:
        count = len(networks)
        self.networks = [
            Network(one.predictor, one.windows.frames, range(place, members, count), variation)
            for place, one in enumerate(networks)
        ]

    def predict(
        self, stretch: Stretch, state: Sequence[Any] | None
    ) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Let each model predict by its own members."""
        before = [None] * len(self.networks) if state is None else state
        every = [
            network.predict(stretch, own)
            for network, own in zip(self.networks, before, strict=True)
        ]
        return torch.cat([frames for frames, _ in every]), [after for _, after in every]
