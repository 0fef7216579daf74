"""Trained models for other programs: ONNX and .pt2 files that need no framecast."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike, whole
from framecast.export.check import Run, compare
from framecast.export.graph import entries_of, save, trace
from framecast.export.manifest import describe, outputs_of
from framecast.export.onnx_file import Session, write_onnx
from framecast.export.program import Program, make_program, suits_any_grid
from framecast.frames import formulas
from framecast.runs.checkpoint import load_checkpoint

Kind = Literal["onnx", "torch"]
SUFFIXES: dict[Kind, str] = {"onnx": ".onnx", "torch": ".pt2"}
MANIFEST = "manifest.json"
FORMULAS = "derived.py"
_FILES = {MANIFEST, FORMULAS, *(f"{p}{s}" for p in ("context", "step") for s in SUFFIXES.values())}
"""All that an exported model may consist of."""


class Exported(NamedTuple):
    """What was exported.

    Attributes:
        suffix: of the files of the programs.
        context: given frames of the pass.
        grids: which frames the step takes, in words.
        difference: largest one from PyTorch, in deviations of the training frames.
    """

    suffix: str
    context: int
    grids: str
    difference: float


def export(
    run: PathLike,
    out: PathLike,
    kind: Kind = "onnx",
    context: int | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a trained forecaster as two programs that need no framecast, and a manifest.

    `context` reads given frames in one pass; `step` goes on frame by frame, on any grid and for any
    number of sequences. Normalisation, gaps, masks, bounds and roles are within. Both are run over
    a context and 20 steps and compared with PyTorch before anything is written.

    Args:
        run: a run folder, or a `.safetensors` file.
        out: the folder to write.
        kind: onnx, or torch (.pt2).
        context: given frames of the pass; as in training if None.
        overwrite: whether an exported model at `out` may be replaced.

    Raises:
        UserError: if `run` is no forecaster, there is no such kind, no frame is given, something
            stands at `out` that is not this alone, a library is missing, or the files would
            forecast something else than the run.
    """
    if kind not in SUFFIXES:
        raise UserError(f"{kind!r} is no kind of export: there are {', '.join(SUFFIXES)}")
    if context is not None and context < 1:
        raise UserError(f"context {context}: a forecast needs at least one given frame")
    out, suffix = Path(out), SUFFIXES[kind]
    _check_place(out, overwrite)
    checkpoint = load_checkpoint(run)
    steps = checkpoint.context if context is None else context
    any_grid = suits_any_grid(checkpoint)
    programs = make_program(checkpoint, False, steps), make_program(checkpoint, any_grid)
    with whole(out, replaces_folder=overwrite) as partial:
        partial.mkdir()
        runs = [
            _write(program, partial / f"{name}{suffix}", kind)
            for name, program in zip(("context", "step"), programs, strict=True)
        ]
        difference = compare(*programs, *runs)
        said = describe(*programs, suffix, difference)
        (partial / MANIFEST).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        if checkpoint.frames.derived or checkpoint.frames.derived_static:
            shutil.copy(Path(formulas.__file__), partial / FORMULAS)
    height, width = checkpoint.frames.grid
    grids = "any grid" if any_grid else f"a grid of {height}×{width}"
    return Exported(suffix, steps, grids, difference)


def _write(program: Program, path: Path, kind: Kind) -> Run:
    """Write a program, and return what runs the file."""
    graph, names = trace(program), [entry.name for entry in entries_of(program)]
    if kind == "onnx":
        write_onnx(graph, names, outputs_of(program), path)
        return Session(path)
    save(graph, path)
    loaded = torch.export.load(path).module()

    def run(given: dict[str, Tensor]) -> Sequence[Tensor]:
        with torch.inference_mode():
            results: Sequence[Tensor] = loaded(*(given[name] for name in names))
        return results

    return run


def _check_place(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not _is_export(out):
        raise UserError(f"{out} is there already and is no exported model: choose another name")
    others = {file.name for file in out.iterdir()} - _FILES
    if others:
        raise UserError(
            f"{out} holds an exported model, and {', '.join(sorted(others))} beside it, which "
            "would be lost: choose another name"
        )
    if not overwrite:
        raise UserError(f"{out} holds an exported model: choose another name, or give --overwrite")


def _is_export(folder: Path) -> bool:
    """Whether a folder holds a manifest that framecast wrote."""
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and {"framecast", "programs"} <= said.keys()
