"""The network that users train: encoder → recurrences → decoder."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from framecast.base.draws import normal
from framecast.base.shapes import Frame, FrameSequence
from framecast.frames.batch import NO_CONDITIONS, Batch, Conditions, Limits, repeated
from framecast.layers.recurrence import State, per_frame
from framecast.layers.stacks import Stack
from framecast.models.build import make_stack
from framecast.models.codecs.codec import (
    ActionConditioning,
    check_reduction,
    check_sphere,
    coarsen_noise,
    encoded_channels,
    fill_up,
    make_decoder,
    make_encoder,
)
from framecast.models.config import ForecasterConfig
from framecast.models.crps import measure_members
from framecast.models.heads import make_head, part_by_value, say
from framecast.models.losses import Losses, gather, measure, weigh
from framecast.models.model import Model, register_model
from framecast.models.spec import ModelSpec, Ports
from framecast.models.unroll import Unrolling, draw_given, unroll_parts

Features = Float[Tensor, "B T _F h w"]
"""What the recurrences put out, on the grid of the encoder."""


@register_model("forecaster")
class Forecaster(Model):
    """Predicts the next frame from each frame and all before it.

    Maps frames 1..T to predictions of frames 2..T+1: in one pass when the frames are given
    (`forward`), or one frame at a time (`step`). It knows nothing of horizons or units.

    Args:
        config: the network.
        channels: what it reads and predicts; a number for that many prognostic channels.
        grid: (H, W), needed only for norm `grid`.

    Raises:
        ValueError: if options contradict each other, or the grid is smaller than one cell of what
            the encoder makes of it.
    """

    def __init__(
        self,
        config: ForecasterConfig,
        channels: Ports | int,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.ports = Ports(channels) if isinstance(channels, int) else channels
        self.spec = ModelSpec(config, self.ports, grid)
        self.config = config
        self.reduction = config.reduction
        if grid is not None:
            check_reduction(self.reduction, grid)
            check_sphere(self.reduction, grid, config.padding)
            grid = (-(-grid[0] // self.reduction), -(-grid[1] // self.reduction))
        read = self.ports.read + config.noise_channels
        self.encoder = make_encoder(config, read, self.ports.vectors)
        features = encoded_channels(config, read)
        actions = self.ports.actions
        self.conditioning = ActionConditioning(actions, features) if actions else None
        self.recurrences: Stack = make_stack(config, features, grid)
        if self.ports.irregular and not self.recurrences.reads_intervals:
            raise ValueError(
                f"layer {config.layer} does not read the time between frames, which "
                "data.irregular asks for: choose conv_s5, or resample the data"
            )
        self.head = make_head(config.head, config.head_options)
        numbers = self.ports.predicted * (1 if self.head is None else self.head.size)
        self.decoder = make_decoder(config, self.recurrences.out_channels, numbers)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def from_spec(cls, described: Mapping[str, Any]) -> "Forecaster":
        """Build a network from the plain values of its `spec`."""
        spec = ModelSpec.from_dict(described)
        return cls(spec.config, spec.ports, spec.grid)

    def forward(
        self,
        frames: FrameSequence,
        state: State | None = None,
        conditions: Conditions = NO_CONDITIONS,
    ) -> tuple[FrameSequence, State]:
        """Predict frames 2..T+1 from frames 1..T, [B,T,C_in,H,W] → [B,T,C_out,H,W].

        With a distribution head the predicted channels, drawn from the distribution where there
        is noise and else its mean or median, are followed by the numbers that stand for it.

        Args:
            frames: T ≥ 1 given frames (teacher forcing), as `read` makes them.
            state: state returned by an earlier call; None starts afresh.
            conditions: of the T steps.

        Returns:
            The predictions, and the state after the last given frame.
        """
        features, state = self.look(frames, state, conditions)
        return self.show(features, frames, conditions), state

    def look(
        self,
        frames: FrameSequence,
        state: State | None = None,
        conditions: Conditions = NO_CONDITIONS,
    ) -> tuple[Features, State]:
        """Return what the recurrences make of given frames, [B,T,C,h,w], and the state after them.

        The first half of `forward`; `show` is the other.
        """
        seen, noise = self._see(frames, conditions), self._read_noise(conditions)
        given = (seen,) if conditions.actions is None else (seen, conditions.actions)
        features = per_frame(self._encode, *given)
        if noise is not None:
            coarsen = partial(coarsen_noise, cells=self.reduction)
            noise = per_frame(coarsen, noise.to(frames.dtype))
        made: tuple[Features, State] = self.recurrences(
            features, state, conditions.intervals, noise
        )
        return made

    def show(
        self, features: Features, frames: FrameSequence, conditions: Conditions = NO_CONDITIONS
    ) -> FrameSequence:
        """Return the predictions from what `look` made of frames."""
        return self._finish(frames, per_frame(self._decode, features), conditions.noise)

    def step(
        self, frame: Frame, state: State, conditions: Conditions = NO_CONDITIONS
    ) -> tuple[Frame, State]:
        """Predict the frame after `frame` [B,C_in,H,W] → [B,C_out,H,W], and the next state.

        Args:
            frame: as `read` makes it, without its dimension of time.
            state: after the frame before.
            conditions: of this step, without a dimension of time.
        """
        features = self._encode(self._see(frame, conditions), conditions.actions)
        noise = self._read_noise(conditions)
        if noise is not None:
            noise = coarsen_noise(noise.to(frame.dtype), self.reduction)
        features, state = self.recurrences.step(features, state, conditions.intervals, noise)
        return self._finish(frame, self._decode(features), conditions.noise), state

    def read(
        self,
        frames: Float[Tensor, "B T C H W"],
        mask: Bool[Tensor, "B T C H W"] | None = None,
    ) -> Float[Tensor, "B T _C H W"]:
        """Return what the network reads of frames: prognostic channels, and masks as numbers."""
        if self.ports.diagnostic:
            frames = frames[:, :, : self.ports.prognostic]
        if not self.ports.flags:
            return frames
        known = torch.ones_like(frames) if mask is None else mask.to(frames.dtype)
        return torch.cat([frames, *(known[:, :, i : i + 1] for i in self.ports.flags)], dim=2)

    def feed_back(self, prediction: Frame, limits: Limits) -> Frame:
        """Return what the network reads of its own prediction, as `read` does of a true frame.

        It is held within its limits; its mask is that of what may be known at all.
        """
        frame = limits.hold(self.frame_of(prediction))
        if self.ports.diagnostic:
            frame = frame[:, : self.ports.prognostic]
        if not self.ports.flags:
            return frame
        known = torch.ones_like(frame)
        if limits.possible is not None:
            known = limits.possible[: frame.shape[1]].to(frame.dtype).expand_as(frame)
        return torch.cat([frame, *(known[:, i : i + 1] for i in self.ports.flags)], dim=1)

    def frame_of(self, prediction: Float[Tensor, "*any C H W"]) -> Float[Tensor, "*any _V H W"]:
        """Return the predicted channels, without what a head says of their distribution."""
        return prediction if self.head is None else prediction.narrow(-3, 0, self.ports.predicted)

    @property
    def noise_channels(self) -> int:
        """N, channels of the noise by which members differ: those read, or those of a head."""
        return self.config.noise_channels if self.head is None else self.ports.predicted

    def losses(self, batch: Batch, unrolling: Unrolling) -> Iterator[Losses]:
        """Yield the losses of parts of a batch of windows, between which no gradient flows.

        Members of an ensemble read the same frames, each with its own noise.

        Args:
            batch: windows of context + horizon frames.
            unrolling: how they are gone through, and which error counts.
        """
        frames, mask = batch.frames, batch.mask
        if unrolling.noise:
            frames = frames + unrolling.noise * normal(tuple(frames.shape), frames)
        inputs = self.read(frames, mask)[:, :-1]
        batches, steps = inputs.shape[:2]
        given = draw_given(batches, steps, unrolling.context, unrolling.teacher_forcing)
        conditions, members = batch.conditions(), unrolling.members
        if members > 1:
            inputs, given = repeated(inputs, members), given.repeat(members, 1)
            conditions = conditions.repeated(members)
        conditions = conditions._replace(noise=self._draw_noise(inputs))
        targets, done = batch.frames[:, 1:], 0
        known = None if mask is None else mask[:, 1:]
        for predictions in unroll_parts(self, inputs, given, conditions, batch.limits, unrolling):
            part = slice(done, done + predictions.shape[1])
            truth = targets[:, part], None if known is None else known[:, part], batch.area
            yield self._measure(predictions, *truth, unrolling)
            done = part.stop

    @property
    def terms(self) -> int:
        """The predicted variables: each has a term of the loss."""
        return self.ports.predicted

    def weigh(self, batch: Batch) -> Float64[Tensor, " V"]:
        """Return how much the losses of a batch will count, for each predicted variable."""
        known = None if batch.mask is None else batch.mask[:, 1:]
        return weigh(batch.frames[:, 1:], known, batch.area)

    def validate(self, batch: Batch, unrolling: Unrolling) -> Losses:
        """Return the loss of forecasts from a batch of windows: no teacher's help.

        There is no noise but that by which members differ.
        """
        parts = list(self.losses(batch, unrolling.forecast))
        return sum(parts[1:], start=parts[0])

    def tell(self, validated: Losses, names: list[str]) -> dict[str, float]:
        """Return the loss of each variable, where there are several."""
        if len(names) == 1:
            return {}
        means = validated.means().tolist()
        return {f"val_loss_{name}": mean for name, mean in zip(names, means, strict=True)}

    def _draw_noise(self, inputs: FrameSequence) -> FrameSequence | None:
        """Draw what every step reads of noise; None where it reads none."""
        channels = self.noise_channels
        if not channels:
            return None
        batch, steps, _, height, width = inputs.shape
        return normal((batch, steps, channels, height, width), inputs)

    def _see(self, frames: Tensor, conditions: Conditions) -> Tensor:
        """Return all that is encoded of [...,C,H,W]: frames, fields that are known, noise."""
        noise = self._read_noise(conditions)
        parts = [part for part in (conditions.fields, noise) if part is not None]
        if not parts:
            return frames
        return torch.cat([frames, *(part.to(frames.dtype) for part in parts)], dim=-3)

    def _read_noise(self, conditions: Conditions) -> Tensor | None:
        """Return the noise that the network reads; that of a head is none, and may be left out."""
        noise, expected = conditions.noise, self.noise_channels
        channels = 0 if noise is None else noise.shape[-3]
        if channels != expected and not (self.head is not None and noise is None):
            raise ValueError(
                f"this network reads {expected} channels of noise, but {channels} are given"
            )
        return noise if self.head is None else None

    def _encode(self, frame: Frame, action: Tensor | None = None) -> Tensor:
        """Encode a frame and lay its channels last in memory.

        Convolutions are faster in this layout, and every layer hands it on; a frame of one
        channel does not say by itself which layout it has.
        """
        features: Tensor = self.encoder(fill_up(frame, self.reduction, self.config.padding))
        if self.conditioning is not None:
            if action is None:
                raise ValueError("this network reads an action with each frame, but none is given")
            features = self.conditioning(features, action)
        elif action is not None:
            raise ValueError("actions are given to a network that was built without")
        return features.contiguous(memory_format=torch.channels_last)

    def _decode(self, features: Tensor) -> Tensor:
        """Decode features into a frame, within the range that `output` names."""
        frame: Tensor = self.decoder(features)
        if self.config.output == "linear":
            return frame
        return frame.sigmoid() if self.config.output == "sigmoid" else frame.tanh()

    def _measure(
        self,
        predictions: Float[Tensor, "_MB T _C H W"],
        truth: Float[Tensor, "B T V H W"],
        known: Bool[Tensor, "B T V H W"] | None,
        area: Float[Tensor, "H W"] | None,
        unrolling: Unrolling,
    ) -> Losses:
        """The loss that is asked for: of forecasts, of members, or of a distribution."""
        if unrolling.loss == "crps":
            members = predictions.view(unrolling.members, *truth.shape)
            settings = unrolling.crps_epsilon, unrolling.spectral_weight
            return measure_members(members, truth, known, area, *settings)
        if unrolling.loss != "head":
            return measure(predictions, truth, known, area, unrolling.loss)
        assert self.head is not None
        said = part_by_value(predictions[:, :, self.ports.predicted :], self.head)
        return gather(self.head.score(said.to(truth.dtype), truth), known, area)

    def _finish(self, read: Tensor, decoded: Tensor, noise: Tensor | None) -> Tensor:
        """Return predictions: what is decoded of the grid, or that much more than what was read."""
        height, width = read.shape[-2:]
        if decoded.shape[-2:] != read.shape[-2:]:
            decoded = decoded[..., :height, :width]
        if self.head is not None:
            last: Tensor | float = 0.0
            if self.config.predicts == "change":
                before = read.narrow(-3, 0, self.ports.prognostic)
                last = F.pad(before, (0, 0, 0, 0, 0, self.ports.diagnostic))
            return say(self.head, decoded, last, noise)
        if self.config.predicts == "frame":
            return decoded
        prognostic = self.ports.prognostic
        change, diagnostic = decoded.tensor_split([prognostic], dim=-3)
        next_frame = read.narrow(-3, 0, prognostic) + change
        if not self.ports.diagnostic:
            return next_frame
        return torch.cat([next_frame, diagnostic.to(next_frame.dtype)], dim=-3)
