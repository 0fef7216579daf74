"""Whether an exported model forecasts what the trained one does, before anybody relies on it."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.export.graph import entries_of
from framecast.export.program import Program
from framecast.export.signature import BATCH, HEIGHT, PAST, WIDTH, Entry, example

STEPS = 20
"""Steps of the closed loop that are compared."""
TOLERANCE = 1e-3
"""Largest difference, in deviations of the training frames."""
MISSING = 0.05
"""Share of the values that are left out of the given frames, where the training data had gaps."""

Run = Callable[[dict[str, Tensor]], Sequence[Tensor]]
"""A program: tensors by name in, tensors in the order of the signature out."""


def compare(context: Program, step: Program, run_context: Run, run_step: Run) -> float:
    """Run a context and 20 steps in a closed loop in PyTorch and elsewhere; return the difference.

    Args:
        context: the pass over a context, in PyTorch.
        step: the step, in PyTorch.
        run_context: what is compared with it.
        run_step: likewise.

    Returns:
        The largest difference of a value, in deviations of the training frames.

    Raises:
        UserError: if it is too large, or one knows a value where the other has none.
    """
    ours = _forecast(context, step, _runs(context), _runs(step))
    theirs = _forecast(context, step, run_context, run_step)
    scale, worst = context.predicted.scale[:, None, None], 0.0
    for lead, (one, other) in enumerate(zip(ours, theirs, strict=True), start=1):
        apart = ((one - other) / scale).abs()
        worst = max(worst, float(apart.nan_to_num(0.0).max()))
        if not torch.equal(one.isnan(), other.isnan()) or not worst <= TOLERANCE:
            raise UserError(
                f"the exported model forecasts something else than the trained one: at lead {lead} "
                f"they are up to {worst:.2g} deviations apart, or differ in where a value is. "
                "Nothing was written"
            )
    return worst


def _forecast(context: Program, step: Program, run_context: Run, run_step: Run) -> Iterator[Tensor]:
    """Yield the frames that follow a random context, in a closed loop."""
    height, width = context.spec.grid
    sizes = {BATCH: 2, HEIGHT: height, WIDTH: width, PAST: 1}
    given = _plausible(context, context.signature.inputs, sizes, 0)
    outputs = len(context.signature.outputs)
    results = run_context(given)
    prediction, state = results[0], results[outputs:]
    yield prediction
    for lead in range(STEPS):
        given = _plausible(step, step.signature.inputs, sizes, lead + 1)
        given["frame"] = prediction[:, : step.read_channels]
        names = [entry.name for entry in step.signature.state]
        prediction, *state = run_step(given | dict(zip(names, state, strict=True)))
        yield prediction


def _plausible(
    program: Program, entries: Sequence[Entry], sizes: dict[str, int], seed: int
) -> dict[str, Tensor]:
    """Random inputs, spread as those of the training are."""
    values = {e.name: v for e, v in zip(entries, example(entries, sizes, seed), strict=True)}
    if "frames" in values:
        frames = program.read_scaling.denormalise(values["frames"])
        if any(program.read_scaling.gaps):
            random = torch.Generator().manual_seed(seed)
            known = torch.rand(frames.shape, generator=random) >= MISSING
            frames = frames.where(known, torch.nan)
        values["frames"] = frames
    if "forcings" in values:
        values["forcings"] = program.forcing.denormalise(values["forcings"])
    if "intervals" in values:
        values["intervals"] = values["intervals"].abs()
    return values


def _runs(program: Program) -> Run:
    """A program in PyTorch, which takes its tensors by name."""
    names = [entry.name for entry in entries_of(program)]

    def run(given: dict[str, Tensor]) -> Sequence[Tensor]:
        with torch.inference_mode():
            results: Sequence[Tensor] = program(*(given[name] for name in names))
        return results

    return run
