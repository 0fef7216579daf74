"""The compiled file with kernels for CPUs: finding it, loading it, calling its functions.

The file (built from csrc/) is plain C++ without torch's headers, loaded with ctypes; it picks the
best instruction set of the processor. Its functions are told of their tensors by numbers: type,
layout, threads, B, T, C and pixels. Tensors must be dense in one of the two layouts of
`framecast.ops.layout`, the same for all.
"""

import ctypes
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from framecast.ops import layout

_VERSION = 4
_PATH = Path(__file__).with_name("_native.so")

INT, INT64, DOUBLE, POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
"""Types of the arguments of compiled functions."""
HEADER = (INT, INT, INT, INT64, INT64, INT64, INT64)
"""Types of the numbers that `sequence_header` and `frame_header` give."""
DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
"""The types that the kernels read and write; bfloat16 is computed in float32."""


def _load() -> tuple[ctypes.CDLL | None, str | None]:
    if not _PATH.exists():
        return None, "the library was not built: there was no working C++ compiler at install"
    try:
        library = ctypes.CDLL(str(_PATH))
    except OSError as error:
        return None, f"the library cannot be loaded: {error}"
    if (version := library.framecast_version()) != _VERSION:
        return None, f"the library is of version {version}, not {_VERSION}: install again"
    library.framecast_instruction_set.restype = ctypes.c_char_p
    library.framecast_parallel_backend.restype = ctypes.c_char_p
    return library, None


_library, _reason = _load()


def function(name: str, *arguments: type) -> Callable[..., None]:
    """The compiled function of that name, without results, once its arguments are declared.

    Where the library is missing, what is returned raises a RuntimeError when it is called.
    """
    if _library is None:
        return _refuse
    found = getattr(_library, f"framecast_{name}")
    found.argtypes, found.restype = arguments, None
    declared: Callable[..., None] = found
    return declared


def unavailable_reason() -> str | None:
    """Why the compiled kernels cannot run; None if they can."""
    return _reason


def instruction_set() -> str:
    """The instruction set in use: baseline, avx2 or avx512."""
    return str(_require().framecast_instruction_set().decode())


def instruction_sets() -> list[str]:
    """All that the library has and the processor can run, the best one first."""
    used = instruction_set()
    names = [name for name in ("avx512", "avx2", "baseline") if _try_instruction_set(name)]
    use_instruction_set(used)
    return names


def use_instruction_set(name: str) -> None:
    """Take another instruction set than the best one, for tests and measurements.

    Raises:
        ValueError: if the library or the processor does not have it.
    """
    if not _try_instruction_set(name):
        raise ValueError(f"instruction set {name!r} cannot run here")


def parallel_backend() -> str:
    """Whose threads do the work: `openmp` (torch's own runtime) or `threads`."""
    return str(_require().framecast_parallel_backend().decode())


def _try_instruction_set(name: str) -> bool:
    return bool(_require().framecast_use_instruction_set(name.encode()))


def _refuse(*_: object) -> None:
    _require()


def _require() -> ctypes.CDLL:
    if _library is None:
        raise RuntimeError(f"the compiled kernels are missing: {_reason}")
    return _library


# --- what a function is told of its tensors ------------------------------------------------


def sequence_header(x: Tensor, channels: int, channels_last: bool) -> tuple[int, ...]:
    """Of sequences [B,T,C,...], where x may have other channels than are counted."""
    batch, time, _, *space = x.shape
    sizes = batch, time, channels, math.prod(space)
    return DTYPES[x.dtype], channels_last, torch.get_num_threads(), *sizes


def frame_header(x: Tensor, channels: int) -> tuple[int, ...]:
    """Of frames [B,C,...] in the type and layout of x, where x may have other channels."""
    batch, _, *space = x.shape
    channels_last = layout.is_channels_last_frame(x)
    sizes = batch, 1, channels, math.prod(space)
    return DTYPES[x.dtype], channels_last, torch.get_num_threads(), *sizes


def pointers(*tensors: Tensor | None) -> list[int | None]:
    """Where tensors lie in memory."""
    return [None if x is None else x.data_ptr() for x in tensors]
