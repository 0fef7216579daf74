"""A trained model ready to forecast: network, scaling and device."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.forecast.members import Draws
from framecast.forecast.outlook import Outlook
from framecast.frames.batch import Batch, Conditions, Limits, Place
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.windows import Windows
from framecast.models import Recogniser
from framecast.models.recogniser import Watched
from framecast.models.unroll import Carry, closed_loop
from framecast.runs.checkpoint import Checkpoint
from framecast.runs.device import choose_device


class Progress(NamedTuple):
    """How far a forecast has come: a value that is passed in and returned.

    Attributes:
        carry: the network's state, and its last prediction.
        limits: what holds of predictions.
        draws: random numbers of the steps to come; None where there are none.
    """

    carry: Carry
    limits: Limits
    draws: Draws | None


class Predictor:
    """Predicts frames in physical units, from batches; all that it remembers is passed in.

    Args:
        checkpoint: the trained model.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Attributes:
        channels: that are predicted.

    Raises:
        UserError: if there is no such device.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto") -> None:
        self.checkpoint, self.device = checkpoint, choose_device(device)
        self.model = checkpoint.model.to(self.device).eval()
        self.scaling = checkpoint.scaling
        self.channels: tuple[Channel, ...] = checkpoint.frames.predicted

    @property
    def reads_noise(self) -> bool:
        """Whether forecasts from the same frames differ by noise."""
        return self.model.noise_channels > 0

    @torch.inference_mode()
    def given(
        self,
        batch: Batch,
        conditions: Conditions,
        progress: Progress | None = None,
        draws: Draws | None = None,
    ) -> tuple[Float[Tensor, "B T C H W"], Progress]:
        """Read true frames, T ≥ 1, in one pass; predict the frame after each.

        Args:
            batch: the frames, all of which are read.
            conditions: of the T steps.
            progress: what an earlier call returned; None starts afresh.
            draws: random numbers of a fresh start; None for those of member 0 of each window,
                or, of a distribution head, for its mean or median.
        """
        if progress is not None:
            draws = progress.draws
        elif draws is None and self.model.head is None:
            draws = Draws.of(batch.places or [Place(row, 0) for row in range(len(batch))])
        state = None if progress is None else progress.carry.state
        if draws is not None and draws.variation.perturb:
            batch = replace(batch, frames=batch.limits.hold(draws.perturbed(batch.frames)))
        noise, draws = self._noise(draws, batch.frames)
        batch = batch.to(self.device)
        conditions = _to(conditions._replace(noise=noise), self.device)
        inputs = self.model.read(batch.frames, batch.mask)
        predictions, state = self.model(inputs, state, conditions)
        after = Progress(Carry(state, predictions[:, -1]), batch.limits, draws)
        return self._physical(predictions, batch.limits), after

    def ahead(
        self, conditions: Iterator[Conditions], progress: Progress
    ) -> Iterator[tuple[Float[Tensor, "B C H W"], Progress]]:
        """Predict one frame after the other from the last prediction, in a closed loop.

        Args:
            conditions: of each step; the forecast ends with them.
            progress: what the call before returned.
        """
        carry, limits, draws = progress
        for now in conditions:
            with torch.inference_mode():
                noise, draws = self._noise(draws, carry.frame[:, None])
                step = now._replace(noise=None if noise is None else noise[:, 0])
                moved = iter([_to(step, self.device)])
                (carry,) = closed_loop(self.model, carry, moved, limits)
                frame = self._physical(carry.frame, limits)
            yield frame, Progress(carry, limits, draws)

    @torch.inference_mode()
    def name(self, batch: Batch) -> Float[Tensor, "B K"]:
        """Return the probabilities of the classes, of a network that tells some apart.

        Args:
            batch: the frames, all of which are read.
        """
        assert isinstance(self.model, Recogniser)
        batch = batch.to(self.device)
        inputs = self.model.read(batch.frames, batch.mask)
        scores = self.model.score(inputs, batch.conditions(batch.length))
        return scores.float().softmax(1).cpu()

    @torch.inference_mode()
    def watch(
        self, batch: Batch, watched: Watched | None = None
    ) -> tuple[Float[Tensor, "B T K"], Watched]:
        """Return the probabilities of the classes after each frame, of frames that go on.

        Args:
            batch: the frames, all of which are read.
            watched: what the call before returned, of the frames before these; None for a start.
        """
        assert isinstance(self.model, Recogniser)
        batch = batch.to(self.device)
        inputs, conditions = (
            self.model.read(batch.frames, batch.mask),
            batch.conditions(batch.length),
        )
        _, scores, watched = self.model.watch(inputs, watched, conditions)
        return scores.float().softmax(2).cpu(), watched

    def forecast(
        self, outlook: Outlook, draws: Draws | None = None
    ) -> Iterator[Float[Tensor, "B C H W"]]:
        """Yield the frames at lead 1, 2, ..., in physical units, NaN where none is possible.

        Memory does not grow with the number of steps.

        Args:
            outlook: what is read.
            draws: random numbers of its forecasts (see `given`).
        """
        conditions = outlook.conditions()
        predictions, progress = self.given(outlook.past(), next(conditions), draws=draws)
        yield predictions[:, -1]
        for frame, _ in self.ahead(conditions, progress):
            yield frame

    def outlook(
        self,
        frames: Frames,
        places: list[Place],
        context: int,
        steps: int,
        further: Frames | None = None,
    ) -> Outlook:
        """Return what forecasts from frames read.

        Args:
            frames: of the kind that the model was trained on.
            places: where each context begins.
            context: frames that are given.
            steps: frames to forecast.
            further: forcings and actions beyond the end of the frames.

        Raises:
            UserError: if the frames do not suit the model.
        """
        self.checkpoint.check(frames)
        return Outlook(Windows(frames, self.scaling, context), places, context, steps, further)

    def _noise(
        self, draws: Draws | None, frames: Float[Tensor, "B T _C H W"]
    ) -> tuple[Tensor | None, Draws | None]:
        """Draw the noise of as many steps as there are frames; none where it is not read."""
        steps, channels = frames.shape[1], self.model.noise_channels
        if draws is None:
            return None, None
        if not channels:
            return None, draws._replace(step=draws.step + steps)
        return draws.noise(steps, channels, (frames.shape[-2], frames.shape[-1]))

    def _physical(
        self, predictions: Float[Tensor, "*any _P H W"], limits: Limits
    ) -> Float[Tensor, "*any C H W"]:
        """Predictions on the CPU, in physical units, within their bounds to the last digit."""
        held = limits.hold(self.model.frame_of(predictions)).float().cpu()
        possible = limits.possible
        return self.scaling.physical(held, None if possible is None else possible.cpu())


def _to(conditions: Conditions, device: torch.device) -> Conditions:
    return Conditions(*(None if part is None else part.to(device) for part in conditions))
