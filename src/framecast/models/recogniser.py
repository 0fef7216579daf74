"""The network that foresees frames and says what is going on, from the beginning of a sequence.

Source: Conv-TT-LSTM (Su et al. 2020), sections 4 and B.2: early activity recognition.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from framecast.base.draws import normal
from framecast.base.shapes import FrameSequence
from framecast.frames.batch import NO_CONDITIONS, Batch, Conditions
from framecast.layers.recurrence import State
from framecast.models.classifier import Classifier, make_options
from framecast.models.config import ForecasterConfig
from framecast.models.forecaster import Forecaster
from framecast.models.losses import ERRORS, Losses
from framecast.models.model import register_model
from framecast.models.spec import Ports
from framecast.models.unroll import Carry, Unrolling, draw_given, unroll


class Watched(NamedTuple):
    """What a recogniser remembers of the frames that it saw: passed in and returned.

    Attributes:
        state: of the recurrent layers.
        features: of the last frames, as many as the classifier reads but one, [B,T,C,h,w].
    """

    state: State
    features: Tensor


@register_model("recogniser")
class Recogniser(Forecaster):
    """A forecaster with a classifier of what its recurrent layers make of the given frames.

    It forecasts as any `Forecaster` does. Its loss is λ times the mean error of the predicted
    frames, plus the cross-entropy of the classes after the last given frame, both as means over the
    windows.

    Args:
        config: the network, with a classifier.
        channels: what it reads and predicts, and how many classes there are.
        grid: (H, W) of the frames.

    Attributes:
        class_weights: by how much each class counts in the cross-entropy, [K].

    Raises:
        ValueError: as `Forecaster`, or if there are fewer than two classes, or no grid.
    """

    class_weights: Tensor

    def __init__(
        self, config: ForecasterConfig, channels: Ports, grid: tuple[int, int] | None = None
    ) -> None:
        super().__init__(config, channels, grid)
        if channels.classes < 2:
            raise ValueError(
                f"model.classifier {config.classifier} tells classes apart, but the data are "
                "labelled with none: choose a data.source with labels (video_classes, "
                "something_something), or model.classifier none"
            )
        if grid is None:
            raise ValueError("a classifier reads all cells of a grid: give grid=(height, width)")
        cells = -(-grid[0] // self.reduction), -(-grid[1] // self.reduction)
        options = make_options(config.classifier_options)
        features = self.recurrences.out_channels
        self.classifier = Classifier(features, channels.classes, cells, options)
        self.register_buffer("class_weights", torch.ones(channels.classes), persistent=False)

    def watch(
        self,
        frames: FrameSequence,
        watched: Watched | None = None,
        conditions: Conditions = NO_CONDITIONS,
    ) -> tuple[FrameSequence, Float[Tensor, "B T K"], Watched]:
        """Predict the frame after each given frame, and score the classes after each.

        A sequence in one call, or in several with what the call before returned, gives the same.

        Args:
            frames: T ≥ 1 given frames, as `read` makes them.
            watched: what an earlier call returned; None starts afresh.
            conditions: of the T steps.

        Returns:
            The predictions; the scores, whose softmax are probabilities; and what is remembered.
        """
        state = None if watched is None else watched.state
        features, state = self.look(frames, state, conditions)
        seen = features if watched is None else torch.cat([watched.features, features], dim=1)
        before = seen.shape[1] - features.shape[1]
        ends = range(before + 1, seen.shape[1] + 1)
        scores = torch.stack([self.classifier(seen[:, :end]) for end in ends], dim=1)
        kept = max(1, self.classifier.frames - 1)
        if watched is None:
            seen = self.classifier.filled(seen)
        return self.show(features, frames, conditions), scores, Watched(state, seen[:, -kept:])

    def score(
        self, frames: FrameSequence, conditions: Conditions = NO_CONDITIONS
    ) -> Float[Tensor, "B K"]:
        """Score the classes after the last of given frames: the last scores of `watch`."""
        scores: Tensor = self.classifier(self.look(frames, None, conditions)[0])
        return scores

    @property
    def terms(self) -> int:
        """One: frames and classes together, weighed for each window."""
        return 1

    def weigh(self, batch: Batch) -> Float64[Tensor, " V"]:
        """Return the number of windows."""
        return torch.full((1,), len(batch), dtype=torch.float64, device=batch.frames.device)

    def losses(self, batch: Batch, unrolling: Unrolling) -> Iterator[Losses]:
        """Yield the loss of a batch of labelled windows, in one part.

        Frames are not predicted beyond the given ones where their error counts nothing.
        """
        scores, errors = self._run(batch, unrolling, unrolling.prediction_weight > 0)
        labels = _labels(batch)
        entropy = F.cross_entropy(
            scores.to(batch.frames.dtype),
            labels,
            reduction="none",
            label_smoothing=unrolling.label_smoothing,
        )
        loss = self.class_weights[labels] * entropy
        if errors is not None:
            loss = loss + unrolling.prediction_weight * errors
        yield Losses(loss.sum()[None], self.weigh(batch))

    def validate(self, batch: Batch, unrolling: Unrolling) -> Losses:
        """Return plain cross-entropy, error of frames and accuracy, as sums over windows."""
        scores, errors = self._run(batch, unrolling.forecast, True)
        labels = _labels(batch)
        assert errors is not None
        entropy = F.cross_entropy(scores.to(batch.frames.dtype), labels, reduction="none")
        right = (scores.argmax(1) == labels).to(entropy.dtype)
        sums = torch.stack([entropy.sum(), errors.sum(), right.sum()])
        return Losses(sums, self.weigh(batch).expand(3))

    def compare(self, validated: Losses, shares: Tensor) -> Tensor:
        """Return the cross-entropy: it means the same while λ falls."""
        return validated.means()[0]

    def tell(self, validated: Losses, names: list[str]) -> dict[str, float]:
        """Return the error of frames and the accuracy in [0, 1], for the log."""
        _, errors, right = validated.means().tolist()
        return {"val_prediction_loss": errors, "val_accuracy": right}

    def _run(
        self, batch: Batch, unrolling: Unrolling, predicts: bool
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, " B"] | None]:
        """Score the classes after the given frames; and measure the predicted frames of windows."""
        frames, context = batch.frames, unrolling.context
        if unrolling.noise:
            frames = frames + unrolling.noise * normal(tuple(frames.shape), frames)
        inputs, conditions = self.read(frames, batch.mask)[:, :-1], batch.conditions()
        windows, steps = inputs.shape[:2]
        given = draw_given(windows, steps, context, unrolling.teacher_forcing)
        seen, now = inputs[:, :context], conditions.between(0, context)
        features, state = self.look(seen, None, now)
        scores = self.classifier(features)
        if not predicts:
            return scores, None
        predictions = self.show(features, seen, now)
        if context < inputs.shape[1]:
            carry = Carry(state, predictions[:, -1])
            rest = conditions.between(context, inputs.shape[1])
            later = inputs[:, context:], given[:, context:]
            further, _ = unroll(self, *later, rest, batch.limits, carry)
            predictions = torch.cat([predictions, further], dim=1)
        return scores, _errors(predictions, batch, unrolling)


def _labels(batch: Batch) -> Int64[Tensor, " B"]:
    if batch.labels is None:
        raise ValueError("a recogniser learns from labelled windows, but the batch has no labels")
    return batch.labels


def _errors(
    predictions: Float[Tensor, "B T C H W"], batch: Batch, unrolling: Unrolling
) -> Float[Tensor, " B"]:
    """The mean, or the sum, of the errors of each window over all that is known of its frames."""
    truth = batch.frames[:, 1:]
    errors = ERRORS[unrolling.loss](predictions.to(truth.dtype) - truth)
    weights = torch.ones_like(truth) if batch.mask is None else batch.mask[:, 1:].to(truth.dtype)
    if batch.area is not None:
        weights = weights * batch.area
    sums = (errors * weights).sum((1, 2, 3, 4))
    if unrolling.prediction_sum:
        return sums
    return sums / weights.sum((1, 2, 3, 4)).clamp(min=1)
