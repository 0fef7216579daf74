"""A step of an exported model in ONNX Runtime and as .pt2, beside framecast's own.

The networks are those of two Navier-Stokes recipes, untrained; batch 1, two threads at most, with
normalisation within. All three forecast the same before they are timed.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import interleave, print_table
from benchmarks.training_step import model_of
from framecast.export import SUFFIXES, export
from framecast.export.graph import entries_of
from framecast.export.onnx_file import Session
from framecast.export.program import make_program
from framecast.export.signature import example
from framecast.frames.channels import Channel
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.runs.checkpoint import Checkpoint, load_checkpoint

LAYERS = ("conv_lstm", "min_conv_gru")
"""One layer that goes step by step, and one that learns in parallel; to export takes its time."""
GRIDS = (16, 64)
TOLERANCE = 1e-4


def run() -> dict[str, Any]:
    """Rows for each grid and layer."""
    rows = [row(layer, side) for side in GRIDS for layer in LAYERS]
    print_table("A step of forecasting, batch 1, float32", rows)
    return {"rows": rows}


def row(layer: str, side: int) -> dict[str, object]:
    """Export a network in both kinds, and time a step of each."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        checkpoint_of(layer, side).save(root / "best.safetensors")
        for kind in SUFFIXES:
            export(root / "best.safetensors", root / kind, kind, context=2)
        calls = steps(root, side)
        times = interleave(calls, seconds=1, fewest=20)
    ours = times["framecast"].median
    told: dict[str, object] = {"layer": layer, "grid": f"{side}×{side}"}
    return told | {name: f"{time} ({time.median / ours:.2f}×)" for name, time in times.items()}


def steps(root: Path, side: int) -> dict[str, Callable[[], object]]:
    """A step of the same network in three runtimes, after a check that they agree."""
    program = make_program(load_checkpoint(root), True)
    entries = entries_of(program)
    sizes = {"batch": 1, "height": side, "width": side, "past": 20}
    given = example(entries, sizes)
    named = {entry.name: tensor for entry, tensor in zip(entries, given, strict=True)}
    session = Session(root / "onnx" / "step.onnx")
    graph = torch.export.load(root / "torch" / "step.pt2").module()
    calls: dict[str, Callable[[], Any]] = {
        "framecast": partial(inferred, program, given),
        "ONNX Runtime": partial(session, named),
        ".pt2": partial(inferred, graph, given),
    }
    wanted = calls["framecast"]()[0]
    for call in calls.values():
        torch.testing.assert_close(call()[0], wanted, rtol=TOLERANCE, atol=TOLERANCE)
    return dict(calls)


def inferred(module: Callable[..., Any], given: list[Tensor]) -> Any:
    """Call a module without recording gradients."""
    with torch.inference_mode():
        return module(*given)


def checkpoint_of(layer: str, side: int) -> Checkpoint:
    """An untrained network of the Navier-Stokes recipes, with the statistics of noise."""
    spec = FrameSpec((Channel("vorticity", {"units": "1"}),), (side, side), "1")
    statistics = Statistics(torch.zeros(1), torch.ones(1), torch.zeros(1, side, side))
    model = model_of(layer, grid=(side, side)).eval()
    return Checkpoint(model, statistics, spec, 20, 5, 1, 1.0)
