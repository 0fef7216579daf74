"""Graphs as ONNX files of standard operators, and sessions that run them."""

import logging
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from framecast.base.errors import UserError
from framecast.base.extras import need

OPSET = 18
"""Version of the standard operators that are used."""
STANDARD = ("", "ai.onnx")


def write_onnx(
    graph: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str], path: Path
) -> None:
    """Write a graph as one ONNX file.

    Args:
        graph: of a program.
        inputs: names of what it takes.
        outputs: names of what it returns, none of which is that of an input.
        path: the file.

    Raises:
        UserError: if a library is missing, or a part of the graph has no standard operators.
    """
    onnx = need("onnx", "export", "--onnx")
    need("onnxscript", "export", "--onnx")
    with _quiet():
        program: Any = torch.onnx.export(
            graph,
            input_names=[*inputs],
            output_names=[*outputs],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    program.save(path, external_data=False)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    foreign = {f"{n.domain}.{n.op_type}" for n in model.graph.node if n.domain not in STANDARD}
    if foreign:
        raise UserError(f"{path.name} would need operators that are not standard: {foreign}")


class Session:
    """A program in ONNX Runtime: tensors in, tensors out.

    Args:
        path: an ONNX file.

    Raises:
        UserError: if ONNX Runtime is not installed.
    """

    def __init__(self, path: Path) -> None:
        runtime = need("onnxruntime", "export", "--onnx")
        self._session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._inputs = [given.name for given in self._session.get_inputs()]

    def __call__(self, given: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        """Run it on inputs by name; those that its graph does not need are left out."""
        arrays = {name: np.asarray(given[name]) for name in self._inputs}
        return [torch.from_numpy(result) for result in self._session.run(None, arrays)]


@contextmanager
def _quiet() -> Any:
    """Keep the exporter's notes on its own progress from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
