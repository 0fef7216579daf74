"""Which kernels run an op: one place decides, and can say why.

On a CPU the compiled library where it was built, on a GPU Triton where it is installed, and
PyTorch code everywhere else. The environment variable FRAMECAST_KERNELS forces one of
`reference` (the definitions: plain loops, slow), `torch`, `native` or `triton`; within a
program the context manager `kernels` does the same.
"""

import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from framecast.ops import library

Name = Literal["reference", "torch", "native", "triton"]
"""The kinds of kernels: definition.py, eager.py, native.py and triton.py in the folder of an op."""

VARIABLE = "FRAMECAST_KERNELS"
NAMES: tuple[str, ...] = get_args(Name)
_forced = os.environ.get(VARIABLE) or None


class Choice(NamedTuple):
    """The kernels that run on a kind of device, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Kernels:
    """The modules with the kernels of one op: a function has the same name in all of them.

    Args:
        eager: PyTorch code, which steps in for whatever the other modules do not have.
        native: calls into the compiled library.
        triton: name of the module for GPUs, which is imported only when it is needed, since
            Triton is slow to import; None where there is none.
    """

    eager: ModuleType
    native: ModuleType
    triton: str | None = None

    def __call__(self, x: Tensor, name: str) -> Callable[..., Any]:
        """Find the function of that name that runs on tensors of the device and type of x.

        Raises:
            ValueError: if FRAMECAST_KERNELS is set to an unknown name.
            RuntimeError: if it forces kernels that cannot run there.
        """
        return _find(self, x.device.type, x.dtype, name)


@contextmanager
def kernels(name: Name) -> Iterator[None]:
    """Run ops on the kernels of that name within a `with` block, as FRAMECAST_KERNELS does.

    The choice holds for all threads, since autograd may run backward passes in threads of its
    own. A backward pass must run inside the block to use these kernels, but what `reference`
    computed is differentiated by autograd wherever that happens.

    Raises:
        ValueError: if the name is unknown.
    """
    _check_name(name)
    before = _forced
    force(name)
    try:
        yield
    finally:
        force(before)


def force(name: str | None) -> None:
    """Force kernels by name from now on; None lets the choice be made again.

    An unknown name is refused when the first kernel is needed, as that in FRAMECAST_KERNELS is.
    """
    global _forced
    _forced = name
    choose.cache_clear()
    _find.cache_clear()


def uses_definitions() -> bool:
    """Whether the plain loops are to run, differentiated by autograd, without any kernel."""
    return _forced == "reference"


@cache
def choose(device_type: str) -> Choice:
    """The kernels for a kind of device ("cpu", "cuda", ...), and why.

    Warns once where the compiled library is missing.

    Raises:
        ValueError: if FRAMECAST_KERNELS is set to an unknown name.
        RuntimeError: if it forces kernels that cannot run there.
    """
    if (name := _forced) is not None:
        _check_name(name)
        if (reason := _unavailable_reason(name, device_type)) is not None:
            raise RuntimeError(f"{VARIABLE}={name}: these kernels cannot run: {reason}")
        return Choice(name, f"forced by {VARIABLE}")
    preferred = {"cpu": "native", "cuda": "triton"}.get(device_type, "torch")
    if (reason := _unavailable_reason(preferred, device_type)) is None:
        return Choice(preferred, f"the fastest on {device_type}")
    if preferred == "native":
        warnings.warn(
            f"framecast: the compiled CPU kernels are missing ({reason}); the recurrences run "
            "in PyTorch, several times slower. Install from a wheel or with a C++ compiler.",
            stacklevel=2,
        )
    return Choice("torch", f"{preferred} kernels cannot run: {reason}")


def describe() -> dict[str, str]:
    """For people: what would run on each kind of device and why, and with what means."""
    lines = {"kernels on cpu": _describe("cpu"), "kernels on cuda": _describe("cuda")}
    if library.unavailable_reason() is None:
        lines["instruction set"] = library.instruction_set()
        lines["instruction sets here"] = ", ".join(library.instruction_sets())
        lines["threads from"] = library.parallel_backend()
    lines["threads"] = str(torch.get_num_threads())
    return lines


@cache
def _find(op: Kernels, device_type: str, dtype: torch.dtype, name: str) -> Callable[..., Any]:
    chosen = choose(device_type).name
    missing = chosen == "native" and dtype not in library.DTYPES
    if missing and _forced == "native":
        raise RuntimeError(f"{VARIABLE}=native: the compiled kernels do not compute in {dtype}")
    # An op that a saved program calls has no plain loop, even if those are asked for.
    module = op.eager
    if chosen == "native" and not missing:
        module = op.native
    if chosen == "triton" and op.triton is not None:
        module = importlib.import_module(op.triton)
    function: Callable[..., Any] = getattr(module, name, None) or getattr(op.eager, name)
    return function


def _check_name(name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"{VARIABLE}={name}: unknown kernels, expected one of {NAMES}")


def _describe(device_type: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reason is in the line itself
            name, reason = choose(device_type)
    except (RuntimeError, ValueError) as error:
        return str(error)
    return f"{name} ({reason})"


def _unavailable_reason(name: str, device_type: str) -> str | None:
    if name == "native":
        if device_type != "cpu":
            return f"they run on the CPU, not on {device_type}"
        return library.unavailable_reason()
    if name == "triton":
        if device_type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            return "on the CPU they need Triton's interpreter (TRITON_INTERPRET=1)"
        reason: str | None = importlib.import_module("framecast.ops.triton").unavailable_reason()
        return reason
    return None
