"""The manifest beside an exported model: all that another program must know to run it."""

from importlib.metadata import version
from typing import Any

from framecast.export.graph import entries_of
from framecast.export.program import Program

FORMAT = 1
"""Of the manifest; it grows where a reader of an older one would be misled."""
PREFIX = "next_"
"""Before the name of a state, where a program returns it."""


def outputs_of(program: Program) -> list[str]:
    """Return the names of what a program returns, in order."""
    state = (PREFIX + entry.name for entry in program.signature.state)
    return [*(entry.name for entry in program.signature.outputs), *state]


def describe(context: Program, step: Program, suffix: str, difference: float) -> dict[str, Any]:
    """Return the manifest of a model.

    Args:
        context: the pass over a context.
        step: the step.
        suffix: of the files of both.
        difference: what the check found.
    """
    spec, checkpoint = context.spec, context.checkpoint
    return {
        "format": FORMAT,
        "framecast": version("framecast"),
        "model": checkpoint.model.kind,
        "layer": checkpoint.model.config.layer,
        "context": context.context,
        "horizon": checkpoint.horizon,
        "time_step": spec.step,
        "grid": list(spec.grid),
        "derived_forcings": list(spec.derived),
        "derived_static": list(spec.derived_static),
        "fed_back": len(spec.of_role("prognostic")),
        "programs": {
            "context": _program(context, f"context{suffix}"),
            "step": _program(step, f"step{suffix}"),
        },
        "largest_difference": difference,
        "notes": NOTES,
    }


def _program(program: Program, file: str) -> dict[str, Any]:
    return {
        "file": file,
        "inputs": [entry.describe() for entry in entries_of(program)],
        "outputs": [entry.describe() for entry in program.signature.outputs],
        "state": [entry.describe() for entry in program.signature.state],
        "returns": outputs_of(program),
    }


NOTES = [
    "All tensors are float32, in the physical units that stand beside their channels.",
    "NaN says that a value is missing, in what goes in, and that there is never one, in what comes "
    "out.",
    "The program context reads the given frames and returns the frame after the last of them; the "
    "program step goes on from there. Both return the state behind their outputs, in the order of "
    "'state': step is given it again.",
    "In a closed loop the first 'fed_back' channels of a prediction are the next frame.",
    "A step may also start afresh, from states that are filled with their 'start'.",
    "Sizes that are names may differ from call to call; height/2 is half of the height.",
    "The largest difference from PyTorch, over the first prediction and 20 steps, is in deviations "
    "of the training frames.",
]
