"""Which kernels run a recurrence: one place decides, and can say why.

On a CPU the compiled library where it was built, on a GPU Triton where it is installed, and
PyTorch code everywhere else. The environment variable FRAMECAST_KERNELS forces one of
`reference` (the definitions: plain loops, slow), `torch`, `native` or `triton`.
"""

import importlib
import os
import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch

from framecast.ops.kernels import native, pytorch

VARIABLE = "FRAMECAST_KERNELS"
NAMES = ("reference", "torch", "native", "triton")
_forced = os.environ.get(VARIABLE) or None


class Choice(NamedTuple):
    """The kernels that run on a kind of device, and the reason."""

    name: str
    reason: str


def force(name: str | None) -> None:
    """Force kernels by name, as FRAMECAST_KERNELS does; None lets the choice be made again."""
    global _forced
    _forced = name
    choose.cache_clear()
    kernel_for.cache_clear()


def uses_definitions() -> bool:
    """Whether the plain loops are to run, differentiated by autograd, without any kernel."""
    return _forced == "reference"


@cache
def kernel_for(device_type: str, dtype: torch.dtype, name: str) -> Callable[..., Any]:
    """The function of that name that runs on tensors of this device and type.

    PyTorch's steps in for what the chosen kernels do not have.

    Raises:
        RuntimeError: if FRAMECAST_KERNELS forces kernels that cannot run there.
    """
    chosen = choose(device_type).name
    missing = chosen == "native" and dtype not in native.DTYPES
    if missing and _forced == "native":
        raise RuntimeError(f"{VARIABLE}=native: the compiled kernels do not compute in {dtype}")
    module = pytorch if missing else _module(chosen)
    function: Callable[..., Any] = getattr(module, name, None) or getattr(pytorch, name)
    return function


@cache
def choose(device_type: str) -> Choice:
    """The kernels for a kind of device ("cpu", "cuda", ...), and why.

    Warns once where the compiled library is missing.

    Raises:
        ValueError: if FRAMECAST_KERNELS is set to an unknown name.
        RuntimeError: if it forces kernels that cannot run there.
    """
    if (name := _forced) is not None:
        if name not in NAMES:
            raise ValueError(f"{VARIABLE}={name}: unknown kernels, expected one of {NAMES}")
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
    if native.unavailable_reason() is None:
        lines["instruction set"] = native.instruction_set()
        lines["instruction sets here"] = ", ".join(native.instruction_sets())
        lines["threads from"] = native.parallel_backend()
    lines["threads"] = str(torch.get_num_threads())
    return lines


def _module(name: str) -> ModuleType:
    # Triton is slow to import and of no use without a GPU: only when it is asked for.
    if name == "triton":
        return importlib.import_module("framecast.ops.kernels.triton")
    # An op that a saved program calls has no plain loop, even if those are asked for.
    return native if name == "native" else pytorch


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
        return native.unavailable_reason()
    if name == "triton":
        if device_type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
            return "on the CPU they need Triton's interpreter (TRITON_INTERPRET=1)"
        reason: str | None = _module("triton").unavailable_reason()
        return reason
    return None
