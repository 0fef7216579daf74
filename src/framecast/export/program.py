"""The programs that are exported: a trained model from physical units to physical units.

Normalisation, the filling of gaps, masks and bounds are within. A program is told of a missing
value by NaN, and says NaN where no value is possible; so a closed loop gives its prediction back as
the next frame.
"""

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from framecast.export.signature import (
    BATCH,
    Entry,
    Signature,
    initial_state,
    read_beside,
    sides,
    state_entries,
)
from framecast.frames.batch import Conditions, Limits, make_conditions
from framecast.frames.scaling import fill
from framecast.layers.conv_ssm import ConvSSM
from framecast.models import Forecaster, Recogniser
from framecast.runs.checkpoint import Checkpoint


class Program(nn.Module, ABC):
    """What the step and the pass over a context share.

    Args:
        checkpoint: the trained model.
        limits: what holds of every prediction.
        any_grid: whether frames may have any grid, or that of the training alone.
        context: T, frames of the pass; None for a step.
    """

    def __init__(
        self, checkpoint: Checkpoint, limits: Limits, any_grid: bool, context: int | None
    ) -> None:
        super().__init__()
        self.model = checkpoint.model
        self.checkpoint, self.limits, self.context = checkpoint, limits, context
        self.scaling, self.spec = checkpoint.scaling, checkpoint.frames
        self.signature = _signature(checkpoint, any_grid, context)
        # Computed here, since what a trace computes first is no number yet.
        self.read_channels = len(self.spec.of_role("prognostic"))
        self.predicted, self.forcing = self.scaling.predicted, self.scaling.forcing
        self.read_scaling = self.predicted.part(slice(0, self.read_channels))
        self.typical = self.scaling.typical()[: self.read_channels].clone()

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs and the state, in the order of the signature."""
        names = [entry.name for entry in self.signature.inputs]
        if self.context is None:
            names += [entry.name for entry in self.signature.state]
        return self.run(dict(zip(names, given, strict=True)))

    @abstractmethod
    def run(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs and the state from the inputs by name."""

    def read(self, frames: Tensor, last: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what the network reads of frames [B,T,C,H,W], and the last known values."""
        known = ~frames.isnan()
        filled = fill(self.read_scaling.normalise(frames), known, last)
        return self.model.read(filled, known), filled[:, -1]

    def conditions(self, given: dict[str, Tensor], steps: int) -> tuple[Conditions, list[Tensor]]:
        """Return what is read beside frames, and the last known forcings, where there are any."""
        forcings, last = self._forcings(given)
        actions, intervals = given.get("actions"), given.get("intervals")
        frames = given["frames"] if self.context else given["frame"][:, None]
        if self.context is None:
            actions = None if actions is None else actions[:, None]
            intervals = None if intervals is None else intervals[:, None]
        static = self._static(given)
        made = make_conditions(forcings, static, actions, intervals, frames.shape[0], steps)
        noise = given.get("noise")
        if noise is not None and self.context is None:
            noise = noise[:, None]
        return made._replace(noise=noise), last

    def physical(self, prediction: Tensor) -> Tensor:
        """Return a prediction in physical units, within its bounds."""
        held = self.limits.hold(self.model.frame_of(prediction))
        return self.scaling.physical(held, self.limits.possible)

    def _forcings(self, given: dict[str, Tensor]) -> tuple[Tensor | None, list[Tensor]]:
        """All forcings as the network reads them, and the last known ones of the data."""
        parts, masks, last = [], [], []
        if (values := given.get("forcings")) is not None:
            known = ~values.isnan()
            filled = fill(self.scaling.forcing.normalise(values), known, given.get("last_forcings"))
            parts, last = [filled], [filled[:, -2]]
            channels = self.spec.of_role("forcing")
            flagged = [i for i, c in enumerate(channels) if c.name in self.spec.flagged]
            masks = [known[:, :, i : i + 1].float() for i in flagged]
        if (derived := given.get("derived_forcings")) is not None:
            parts.append(derived)
        return (torch.cat([*parts, *masks], dim=2) if parts else None), last

    def _static(self, given: dict[str, Tensor]) -> Tensor | None:
        parts = []
        if (fields := given.get("static")) is not None:
            parts.append(self.scaling.statistics.normalise_static(fields))
        if (derived := given.get("derived_static")) is not None:
            parts.append(derived)
        return torch.cat(parts) if parts else None


class StepProgram(Program):
    """One frame and the state → the next frame and the next state."""

    def run(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the prediction, and the state in its order."""
        frame, last = given["frame"][:, None], given["last_known"]
        inputs, last = self.read(frame, last)
        conditions, forcings = self.conditions(given, 1)
        like = initial_state(self.checkpoint, 1, self.spec.grid)
        carried = [given[entry.name] for entry in self.signature.state if _carried(entry)]
        state = pytree.tree_unflatten(carried, pytree.tree_structure(like))
        prediction, state = self.model.step(inputs[:, 0], state, conditions.at(0))
        return self.physical(prediction), last, *forcings, *pytree.tree_leaves(state)


class ContextProgram(Program):
    """All given frames → the frame after the last of them, and the state from which to go on."""

    def run(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the prediction, the classes' probabilities if there are any, and the state."""
        frames = given["frames"]
        first = self.typical.expand(frames.shape[0], *self.typical.shape)
        inputs, last = self.read(frames, first)
        conditions, forcings = self.conditions(given, frames.shape[1])
        predictions, state = self.model(inputs, None, conditions)
        outputs = [self.physical(predictions[:, -1])]
        if isinstance(self.model, Recogniser):
            outputs.append(self.model.score(inputs, conditions).softmax(1))
        return *outputs, last, *forcings, *pytree.tree_leaves(state)


def make_program(checkpoint: Checkpoint, any_grid: bool, context: int | None = None) -> Program:
    """Return the step of a trained model, or its pass over a context of so many frames."""
    frozen = replace(checkpoint, model=_frozen(checkpoint.model))
    kind = StepProgram if context is None else ContextProgram
    return kind(frozen, frozen.scaling.training_limits, any_grid, context).eval()


def suits_any_grid(checkpoint: Checkpoint) -> bool:
    """Return whether nothing ties a model to the grid of its training: no norm, and no mask."""
    free = checkpoint.scaling.training_limits.possible is None
    return free and checkpoint.model.config.norm != "grid"


def _signature(checkpoint: Checkpoint, any_grid: bool, context: int | None) -> Signature:
    spec, size = checkpoint.frames, sides(checkpoint, any_grid)
    read, predicted = spec.of_role("prognostic"), spec.predicted
    frames = Entry("frame", (BATCH, len(read), *size), "a frame; NaN where missing", read)
    if context is not None:
        shape = (BATCH, context, len(read), *size)
        frames = Entry("frames", shape, "given frames, oldest first; NaN where missing", read)
    meaning = "the next frame; NaN where there is never a value"
    if checkpoint.model.head is not None:
        meaning = f"{meaning}; the mean or the median of the distribution that the network predicts"
    outputs = [Entry("prediction", (BATCH, len(predicted), *size), meaning, predicted)]
    if context is not None and isinstance(checkpoint.model, Recogniser):
        meaning = "probability of each class: " + ", ".join(spec.classes)
        outputs.append(Entry("probabilities", (BATCH, len(spec.classes)), meaning))
    beside = read_beside(checkpoint, any_grid, context)
    state = state_entries(checkpoint, any_grid)
    return Signature((frames, *beside), tuple(state), tuple(outputs))


def _carried(entry: Entry) -> bool:
    return entry.name.startswith("state_")


def _frozen(model: Forecaster) -> Forecaster:
    """A copy in which what follows from the weights alone is computed once and for all.

    Its weights lie row by row, as files of other programs have them.
    """
    copied = deepcopy(model)
    for parameter in copied.parameters():
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    for layer in copied.modules():
        if isinstance(layer, ConvSSM):
            layer.freeze()
    return copied
