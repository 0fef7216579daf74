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

from framecast.ops.kernels import layout, pytorch

_VERSION = 4
_PATH = Path(__file__).with_name("_native.so")
_SCANS = {"linear_scan": 0, "min_gru_scan": 1, "min_lstm_scan": 2, "min_exp_lstm_scan": 3}
_ACTIVATIONS = {"none": 0, "gelu": 1, "elu": 2}
_TENSORS = [ctypes.c_int] * 3 + [ctypes.c_int64] * 4
_POINTER = ctypes.c_void_p
_ARGUMENTS: dict[str, list[type]] = {
    "scan": [ctypes.c_int] + [_POINTER] * 4,
    "scan_backward": [ctypes.c_int] + [_POINTER] * 7,
    "complex_scan": [ctypes.c_int] + [_POINTER] * 5,
    "complex_scan_backward": [ctypes.c_int] + [_POINTER] * 9,
    "lstm_cell": [_POINTER] * 4,
    "lstm_cell_backward": [_POINTER] * 6,
    "norm": [ctypes.c_int64, ctypes.c_int, ctypes.c_double, *[_POINTER] * 7],
    "norm_backward": [ctypes.c_int64, ctypes.c_int, *[_POINTER] * 10],
}
_WRAP = [ctypes.c_int] * 2 + [ctypes.c_int64] * 6 + [_POINTER] * 2
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
    for name, arguments in _ARGUMENTS.items():
        function = getattr(library, f"framecast_{name}")
        function.argtypes = [*_TENSORS, *arguments]
        function.restype = None
    for name in ("wrap", "wrap_backward"):
        function = getattr(library, f"framecast_{name}")
        function.argtypes, function.restype = _WRAP, None


_library, _reason = _load()
if _library is not None:
    _declare(_library)
    _scan = _library.framecast_scan
    _scan_backward = _library.framecast_scan_backward
    _complex_scan = _library.framecast_complex_scan
    _complex_scan_backward = _library.framecast_complex_scan_backward
    _lstm_cell = _library.framecast_lstm_cell
    _lstm_cell_backward = _library.framecast_lstm_cell_backward
    _norm, _norm_backward = _library.framecast_norm, _library.framecast_norm_backward
    _wrap, _wrap_backward = _library.framecast_wrap, _library.framecast_wrap_backward


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
    _scan(*_describe_linear(b), a.data_ptr(), b.data_ptr(), h0.data_ptr(), h.data_ptr())
    return h


def linear_scan_backward(
    grad: Tensor, a: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for a, b and h0, from the gradient of h and h itself."""
    results = torch.empty_like(a), torch.empty_like(a), torch.empty_like(h0)
    _scan_backward(*_describe_linear(a), *[x.data_ptr() for x in (grad, a, h0, h, *results)])
    return results


def gated_scan(kind: str, gates: Tensor, h0: Tensor) -> Tensor:
    """The gated scan named `kind`.  gates [B,T,parts·C,...], h0 [B,C,...] → h [B,T,C,...]."""
    channels, channels_last = h0.shape[1], layout.is_channels_last(gates)
    h = layout.empty_sequence(gates, channels, channels_last)
    tensors = _describe(gates, channels, channels_last)
    _scan(*tensors, _SCANS[kind], gates.data_ptr(), None, h0.data_ptr(), h.data_ptr())
    return h


def gated_scan_backward(
    kind: str, grad: Tensor, gates: Tensor, h0: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and h0; the gates' activations are computed again, not kept."""
    grad_gates, grad_h0 = torch.empty_like(gates), torch.empty_like(h0)
    tensors = _describe(gates, h0.shape[1], layout.is_channels_last(gates))
    inputs = grad.data_ptr(), gates.data_ptr(), h0.data_ptr(), h.data_ptr()
    results = grad_gates.data_ptr(), None, grad_h0.data_ptr()
    _scan_backward(*tensors, _SCANS[kind], *inputs, *results)
    return grad_gates, grad_h0


def complex_diagonal_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ_t ⊙ x_{t−1} + b_t.  λ [P] or [B,T,P], b [B,T,2P,...], x0 [B,2P,...] → x."""
    x = torch.empty_like(b)
    tensors = _describe_complex(b, lam_re)
    _complex_scan(*tensors, *[y.data_ptr() for y in (lam_re, lam_im, b, x0, x)])
    return x


def complex_diagonal_scan_backward(
    grad: Tensor, lam_re: Tensor, lam_im: Tensor, x0: Tensor, x: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients for Re λ, Im λ, b and x0."""
    inputs = grad, lam_re, lam_im, x0, x
    results = (
        torch.empty_like(lam_re),
        torch.empty_like(lam_im),
        torch.empty_like(x),
        torch.empty_like(x0),
    )
    tensors = _describe_complex(x, lam_re)
    _complex_scan_backward(*tensors, *[y.data_ptr() for y in (*inputs, *results)])
    return results


# --- cells ---------------------------------------------------------------------------------


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The state (h', c') after one step; gates [B,4C,...] = [i, f, o, g], c [B,C,...]."""
    h, next_c = torch.empty_like(c), torch.empty_like(c)
    tensors = _describe_frame(gates, c)
    _lstm_cell(*tensors, gates.data_ptr(), c.data_ptr(), h.data_ptr(), next_c.data_ptr())
    return h, next_c


def lstm_cell_backward(
    grad_h: Tensor, grad_next_c: Tensor, gates: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for gates and c; everything between is computed again, not kept."""
    results = torch.empty_like(gates), torch.empty_like(c)
    inputs = grad_h, grad_next_c, gates, c
    _lstm_cell_backward(*_describe_frame(gates, c), *[x.data_ptr() for x in (*inputs, *results)])
    return results


# --- frames --------------------------------------------------------------------------------
# These are for channels-last frames; in PyTorch's own layout its code is as fast.


def residual_norm(
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Norm of x + update [B,C,H,W], activated; also mean and 1/√(variance + eps)."""
    if not layout.is_channels_last_frame(x):
        return pytorch.residual_norm(x, update, weight, bias, eps, groups, activation)
    y = torch.empty_like(x)
    mean = weight.new_empty(len(x), pytorch.statistics(x, weight, groups))
    scale = torch.empty_like(mean)
    pointers = _pointers(x, update, weight, bias, y, mean, scale)
    _norm(*_describe_norm(x, weight, groups, activation), eps, *pointers)
    return y, mean, scale


def residual_norm_backward(
    grad: Tensor,
    x: Tensor,
    update: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    scale: Tensor,
    groups: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients for x + update, weight and bias; what the norm put out is computed again."""
    inputs = grad, x, update, weight, bias, mean, scale
    if not layout.is_channels_last_frame(x):
        return pytorch.residual_norm_backward(*inputs, groups, activation)
    results = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    _norm_backward(*_describe_norm(x, weight, groups, activation), *_pointers(*inputs, *results))
    return results


def wrap(x: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """Frames [B,C,H,W] continued periodically by so many cells on each side."""
    if not layout.is_channels_last_frame(x):
        return pytorch.wrap(x, reach_y, reach_x)
    padded = pytorch.empty_wrapped(x, reach_y, reach_x)
    _wrap(*_describe_wrap(x, reach_y, reach_x), x.data_ptr(), padded.data_ptr())
    return padded


def wrap_backward(grad: Tensor, reach_y: int, reach_x: int) -> Tensor:
    """The gradient of the frames, each the sum over its copies."""
    if not layout.is_channels_last_frame(grad):
        return pytorch.wrap_backward(grad, reach_y, reach_x)
    summed = pytorch.empty_wrapped(grad, -reach_y, -reach_x)
    _wrap_backward(*_describe_wrap(summed, reach_y, reach_x), grad.data_ptr(), summed.data_ptr())
    return summed


# --- what the library is told of its tensors: type, layout, threads, B, T, C and pixels ----


def _describe_norm(x: Tensor, weight: Tensor, groups: int, activation: str) -> tuple[int, ...]:
    """As `_describe`, then the groups of channels, 0 for norms over the grid; and what follows."""
    return *_describe_frame(x, x), groups if weight.ndim == 1 else 0, _ACTIVATIONS[activation]


def _pointers(*tensors: Tensor | None) -> list[int | None]:
    return [None if x is None else x.data_ptr() for x in tensors]


def _describe(x: Tensor, channels: int, channels_last: bool) -> tuple[int, ...]:
    batch, time, _, *space = x.shape
    sizes = batch, time, channels, math.prod(space)
    return DTYPES[x.dtype], channels_last, torch.get_num_threads(), *sizes


def _describe_complex(x: Tensor, lam: Tensor) -> tuple[int, ...]:
    """Of a complex scan, followed by whether there is a λ for each frame.

    Channels without pixels are taken as the channels of one pixel.
    """
    last = layout.is_channels_last(x) or math.prod(x.shape[3:]) == 1
    return *_describe(x, lam.shape[-1], last), lam.ndim > 1


def _describe_frame(gates: Tensor, c: Tensor) -> tuple[int, ...]:
    batch, channels, *space = c.shape
    channels_last = layout.is_channels_last_frame(gates)
    sizes = batch, 1, channels, math.prod(space)
    return DTYPES[gates.dtype], channels_last, torch.get_num_threads(), *sizes


def _describe_linear(x: Tensor) -> tuple[int, ...]:
    """Of a linear scan, followed by its name: elementwise in all of space, in any layout."""
    batch, time, *rest = x.shape
    sizes = batch, time, 1, math.prod(rest)
    return DTYPES[x.dtype], False, torch.get_num_threads(), *sizes, _SCANS["linear_scan"]


def _describe_wrap(x: Tensor, reach_y: int, reach_x: int) -> tuple[int, ...]:
    """Of the frames without their continuation: type, threads, B, C, H, W and the reach."""
    return DTYPES[x.dtype], torch.get_num_threads(), *x.shape, reach_y, reach_x
