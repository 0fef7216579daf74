"""Programs as graphs of PyTorch's own operators, which need no code of framecast."""

from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from framecast.export.program import Program
from framecast.export.signature import BATCH, HEIGHT, PAST, WIDTH, Entry, example
from framecast.layers.blocks import SPHERES
from framecast.ops.dispatch import kernels


def entries_of(program: Program) -> list[Entry]:
    """Return all that a program takes, in order."""
    state = program.signature.state if program.context is None else ()
    return [*program.signature.inputs, *state]


def trace(program: Program) -> ExportedProgram:
    """Return the graph of a program; sizes that have names in its signature may differ."""
    entries = entries_of(program)
    cells, columns = _multiples(program)
    sizes = {BATCH: 2, HEIGHT: 4 * cells, WIDTH: 6 * cells * columns, PAST: 3}
    dims = _dims(cells, columns)
    shapes = tuple(
        {place: dims[side] for place, side in enumerate(entry.shape) if side in dims}
        for entry in entries
    )
    with kernels("reference"), torch.no_grad():
        return torch.export.export(
            program, tuple(example(entries, sizes)), dynamic_shapes={"given": shapes}, strict=False
        )


def save(graph: ExportedProgram, path: Path) -> None:
    """Write a graph as .pt2, which torch.export.load reads."""
    torch.export.save(graph, path)


def _multiples(program: Program) -> tuple[int, int]:
    """By what the rows divide, and by what the columns of the coarse grid do."""
    config = program.checkpoint.model.config
    return program.checkpoint.model.reduction, 2 if config.padding in SPHERES else 1


def _dims(cells: int, columns: int) -> dict[int | str, Any]:
    """The sizes that may differ, by their names in a signature."""
    rows, half = Dim("rows"), Dim("columns")
    coarse = columns * half
    suffix = "" if cells == 1 else f"/{cells}"
    dims: dict[int | str, Any] = {BATCH: Dim(BATCH), PAST: Dim(PAST)}
    dims |= {HEIGHT: cells * rows, WIDTH: cells * coarse}
    return dims | {HEIGHT + suffix: rows, WIDTH + suffix: coarse}
