"""Forward and backward passes of the recurrences in compiled code, for CPUs.

The functions have the names, arguments and results of those in
`framecast.ops.kernels.pytorch`; the tensors must be dense in one of the two layouts of
`framecast.ops.kernels.layout`, the same for all. The library (csrc/) is plain C++ without
torch's headers, loaded with ctypes; it picks the best instruction set of the processor.
"""

import ctypes
import math
from pathlib import Path

import torch
from torch import Tensor

from framecast.ops.kernels import layout
from framecast.ops.kernels.pytorch import GATINGS

_VERSION = 1
_PATH = Path(__file__).with_name("_native.so")
_SCANS = {"linear_scan": 0, "min_gru_scan": 1, "min_lstm_scan": 2, "min_exp_lstm_scan": 3}
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
    return library, None


def _declare(library: ctypes.CDLL) -> None:
    library.framecast_instruction_set.restype = ctypes.c_char_p
    library.framecast_parallel_backend.restype = ctypes.c_char_p
    for name, pointers in (("scan", 4), ("scan_backward", 7)):
        function = getattr(library, f"framecast_{name}")
        function.argtypes = [ctypes.c_int] * 4 + [ctypes.c_int64] * 4 + [ctypes.c_void_p] * pointers
        function.restype = None


_library, _reason = _load()
if _library is not None:
    _declare(_library)
    _scan = _library.framecast_scan
    _scan_backward = _library.framecast_scan_backward


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


def _require() -> ctypes.CDLL:
    if _library is None:
        raise RuntimeError(f"the compiled kernels are missing: {_reason}")
    return _library


# --- scans ---------------------------------------------------------------------------------


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t ⊙ h_{t−1} + b_t.  a, b [B,T,...], h0 [B,...] → h [B,T,...] in b's dtype."""
    h = torch.empty_like(b)
    pointers = a.data_ptr(), b.data_ptr(), h0.data_ptr(), h.data_ptr()
    _scan(*_linear_header(b), *pointers)
    return h


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    results = torch.empty_like(a), torch.empty_like(a), torch.empty_like(h0)
    tensors = (grad, a, h0, h, *results)
    _scan_backward(*_linear_header(a), *[x.data_ptr() for x in tensors])
    return results


def gated_scan(kind: str, gates: Tensor, h0: Tensor) -> Tensor:
    """The gated scan named `kind`.  gates [B,T,parts·C,...], h0 [B,C,...] → h [B,T,C,...]."""
    channels_last = layout.is_channels_last(gates)
    h = layout.empty_sequence(gates, h0.shape[1], channels_last)
    header = _gated_header(kind, gates, channels_last)
    _scan(*header, gates.data_ptr(), None, h0.data_ptr(), h.data_ptr())
    return h


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    grad_gates, grad_h0 = torch.empty_like(gates), torch.empty_like(h0)
    header = _gated_header(kind, gates, layout.is_channels_last(gates))
    inputs = grad.data_ptr(), gates.data_ptr(), h0.data_ptr(), h.data_ptr()
    _scan_backward(*header, *inputs, grad_gates.data_ptr(), None, grad_h0.data_ptr())
    return grad_gates, grad_h0


def _linear_header(x: Tensor) -> tuple[int, ...]:
    """Scan, type, layout, threads and sizes; elementwise in all of space, in either layout."""
    batch, time, *rest = x.shape
    threads = torch.get_num_threads()
    return 0, DTYPES[x.dtype], 0, threads, batch, time, 1, math.prod(rest)


def _gated_header(kind: str, gates: Tensor, channels_last: bool) -> tuple[int, ...]:
    batch, time, channels, *space = gates.shape
    sizes = batch, time, channels // GATINGS[kind].parts, math.prod(space)
    return _SCANS[kind], DTYPES[gates.dtype], channels_last, torch.get_num_threads(), *sizes
