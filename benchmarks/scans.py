"""The recurrences: compiled kernels against PyTorch, the published form, and memory itself.

Each is timed forward and backward. "bytes" is the time to read and write as many bytes as the
kernel must: every result is written by a copy, the rest of its input is summed up. Results are
fresh memory in both, as training allocates them; "kept" repeats the measurement with an
allocator that keeps freed memory, which spares the operating system's page faults.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Timing, fastest, interleave, peak_allocated, print_table, seeded
from framecast import ops
from framecast.ops import dispatch, layout
from framecast.ops.cell import definition as cell_definition
from framecast.ops.diagonal_scan import definition as diagonal_definition
from framecast.ops.scan import definition, log_domain
from framecast.train.allocator import kept_memory

GATED = {"min_gru_scan": 2, "min_lstm_scan": 3, "min_exp_lstm_scan": 3}
SHAPES = ((1, 20, 49, 16, 16), (4, 100, 64, 32, 32))
COMPLEX_SHAPE = (2, 300, 64, 32, 32)
CELL_SHAPES = ((1, 25, 16, 16), (8, 64, 64, 64))
DTYPES = (torch.float32, torch.bfloat16)
Call = Callable[[], object]


def run() -> dict[str, Any]:
    """All measurements, after the gate."""
    check()
    results: dict[str, Any] = {"kernels": dispatch.describe()}
    results["scans"] = [
        scan_row(name, shape, dtype)
        for shape in SHAPES
        for dtype in DTYPES
        for name in ("linear_scan", *GATED)
    ]
    print_table("Scans, forward and backward", results["scans"])
    results["layouts"] = [
        layout_row(name, dtype, last)
        for name in GATED
        for dtype in DTYPES
        for last in (False, True)
    ]
    print_table(f"Layouts at {SHAPES[1]}", results["layouts"])
    results["complex"] = [complex_row()]
    print_table("Complex diagonal scan, forward and backward", results["complex"])
    results["cell"] = [cell_row(shape, dtype) for shape in CELL_SHAPES for dtype in DTYPES]
    print_table("LSTM cell, forward and backward", results["cell"])
    results["kept"] = kept_rows()
    print_table(f"Memory kept by the allocator, at {SHAPES[1]}", results["kept"])
    return results


# --- the gate ------------------------------------------------------------------------------


def check() -> None:
    """The candidates agree with the definition in float64; nothing is timed that is wrong."""
    generator = seeded(0)
    for name, parts in GATED.items():
        gates = torch.randn(2, 63, 5 * parts, 7, 9, generator=generator)
        h0 = torch.rand(2, 5, 7, 9, generator=generator)
        exact = differentiate(getattr(definition, name), gates.double(), h0.double())
        for scan in (getattr(ops, name), under("torch", getattr(ops, name))):
            _agree(differentiate(scan, gates, h0), exact, 1e-5)
        _agree(differentiate(getattr(log_domain, name), gates, h0), exact, 1e-2)
    lam, b, x0 = torch.rand(2, 5) * 0.7, torch.randn(2, 63, 10, 7, 9), torch.randn(2, 10, 7, 9)
    exact = differentiate(
        diagonal_definition.complex_diagonal_scan, *(x.double() for x in (*lam, b, x0))
    )
    _agree(differentiate(ops.complex_diagonal_scan, *lam, b, x0), exact, 1e-5)
    _agree(differentiate(associative_scan, *lam, b, x0), exact, 1e-4)


def _agree(results: Sequence[Tensor], exact: Sequence[Tensor], tolerance: float) -> None:
    for got, want in zip(results, exact, strict=True):
        error = float((got.double() - want).abs().max() / want.abs().max())
        if error > tolerance:
            raise AssertionError(f"a candidate is wrong by {error:.1e}: nothing was timed")


def differentiate(function: Callable[..., Any], *inputs: Tensor) -> list[Tensor]:
    """Outputs and the gradients of all inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    outputs = function(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    gradients = torch.autograd.grad(outputs, leaves, [torch.ones_like(x) for x in outputs])
    return [*(x.detach() for x in outputs), *gradients]


def under(kernels: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose forward pass runs on the kernels of that name."""

    def call(*inputs: Tensor) -> Any:
        dispatch.force(kernels)
        return function(*inputs)

    return call


# --- candidates ----------------------------------------------------------------------------


def step(
    function: Callable[..., Any], inputs: Sequence[Tensor], kernels: str | None = None
) -> Call:
    """A forward and a backward pass on the kernels of that name, or the fastest."""
    kernels = kernels or fastest()
    leaves = [x.detach().requires_grad_() for x in inputs]
    outputs = function(*leaves)
    single = not isinstance(outputs, tuple)
    gradients = [torch.randn_like(x) for x in ((outputs,) if single else outputs)]

    def call() -> None:
        dispatch.force(kernels)
        outputs = function(*leaves)
        torch.autograd.grad((outputs,) if single else outputs, leaves, gradients)

    return call


def move(read: int, results: Sequence[Tensor]) -> Call:
    """Reads so many bytes and writes as many as the results have, in parallel."""
    written = sum(x.nbytes for x in results)
    rest = torch.ones(max(read - written, 4) // 4)

    def call() -> None:
        kept = [x.clone(memory_format=torch.preserve_format) for x in results]
        rest.sum()
        del kept

    return call


def gated_inputs(
    name: str, shape: Sequence[int], dtype: torch.dtype, channels_last: bool = False
) -> list[Tensor]:
    """Inputs of a scan; gates with decay between 0 and 1 and positive for the linear one."""
    batch, time, channels, height, width = shape
    h0 = torch.rand(batch, channels, height, width) + 0.1
    if name == "linear_scan":
        return [torch.rand(*shape).to(dtype), torch.rand(*shape).to(dtype), h0.to(dtype)]
    gates = torch.randn(batch, time, GATED[name] * channels, height, width).to(dtype)
    return [layout.sequence(gates, channels_last), layout.frame(h0.to(dtype), channels_last)]


def move_scan(inputs: Sequence[Tensor]) -> Call:
    """What a scan moves.

    Forward it reads its inputs and writes h; backward it reads the gradient of h, the gates
    (or a) and h, and writes the gradients of its inputs.
    """
    *sequences, h0 = inputs
    h = sequences[0][:, :, : h0.shape[1]].clone()
    read = sum(x.nbytes for x in sequences) + 2 * h.nbytes + sequences[0].nbytes
    return move(read, [h, *sequences])


def associative_scan(lam_re: Tensor, lam_im: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    """x_t = λ x_{t−1} + b_t in about log2(T) passes over the whole sequence (Hillis and Steele)."""
    lam = torch.complex(lam_re, lam_im)[:, None, None]
    x = torch.complex(*b.chunk(2, dim=2))
    first = (lam * torch.complex(*x0.chunk(2, dim=1))).unsqueeze(1) + x[:, :1]
    x = torch.cat([first, x[:, 1:]], dim=1)
    shift = 1
    while shift < x.shape[1]:
        x = torch.cat([x[:, :shift], x[:, shift:] + lam**shift * x[:, :-shift]], dim=1)
        shift *= 2
    return torch.cat([x.real, x.imag], dim=2)


def pointwise_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM's pointwise half as PyTorch code usually has it, through autograd."""
    return cell_definition.lstm_cell(gates, c)


# --- tables --------------------------------------------------------------------------------


def ratios(times: dict[str, Timing]) -> dict[str, object]:
    """Every time, and how many times longer than ours the others take."""
    row: dict[str, object] = dict(times)
    mine = fastest()
    for name, other in times.items():
        if name == "bytes":
            row[f"{mine} / bytes"] = f"{times[mine].median / other.median:.2f}"
        elif name != mine:
            row[f"{name} / {mine}"] = f"{other.median / times[mine].median:.1f}"
    return row


def scan_row(name: str, shape: Sequence[int], dtype: torch.dtype) -> dict[str, object]:
    """A scan on each kind of kernels, forward and backward."""
    inputs = gated_inputs(name, shape, dtype)
    candidates = {
        fastest(): step(getattr(ops, name), inputs),
        "torch": step(getattr(ops, name), inputs, "torch"),
        "log-domain": step(getattr(log_domain, name), inputs),
    }
    peaks = {
        f"MiB, {each}": f"{peak_allocated(call) / 2**20:.1f}" for each, call in candidates.items()
    }
    times = interleave({**candidates, "bytes": move_scan(inputs)}, seconds=1)
    row = {"scan": name, "shape": _text(shape), "type": _type(dtype)}
    return {**row, **ratios(times), **peaks}


def layout_row(name: str, dtype: torch.dtype, channels_last: bool) -> dict[str, object]:
    """A scan in one memory layout."""
    inputs = gated_inputs(name, SHAPES[1], dtype, channels_last)
    times = interleave({fastest(): step(getattr(ops, name), inputs), "bytes": move_scan(inputs)})
    where = "channels-last" if channels_last else "contiguous"
    return {"scan": name, "type": _type(dtype), "layout": where, **ratios(times)}


def complex_row() -> dict[str, object]:
    """The complex scan against the associative scan in PyTorch."""
    batch, time, channels, height, width = COMPLEX_SHAPE
    b = torch.randn(batch, time, 2 * channels, height, width)
    lam, x0 = torch.rand(2, channels) * 0.7, torch.randn(b[:, 0].shape)
    inputs = [*lam, b, x0]
    by_frame = [part.repeat(batch, time, 1) for part in lam]
    times = interleave(
        {
            fastest(): step(ops.complex_diagonal_scan, inputs),
            "λ by frame": step(ops.complex_diagonal_scan, [*by_frame, b, x0]),
            "torch": step(ops.complex_diagonal_scan, inputs, "torch"),
            "associative": step(associative_scan, inputs),
            "bytes": move(3 * b.nbytes, [b, b]),
        }
    )
    return {"shape": _text(COMPLEX_SHAPE), **ratios(times)}


def cell_row(shape: Sequence[int], dtype: torch.dtype) -> dict[str, object]:
    """The LSTM cell against the same in PyTorch."""
    batch, channels, height, width = shape
    gates = torch.randn(batch, 4 * channels, height, width).to(dtype)
    c = torch.randn(*shape).to(dtype)
    times = interleave(
        {
            fastest(): step(ops.lstm_cell, [gates, c]),
            "pointwise": step(pointwise_cell, [gates, c]),
            # gates and c twice, two gradients; h', c' and the gradients of gates and c
            "bytes": move(2 * (gates.nbytes + c.nbytes) + 2 * c.nbytes, [c, c, gates, c]),
        },
        seconds=1,
    )
    return {"shape": _text(shape), "type": _type(dtype), **ratios(times)}


def kept_rows() -> list[dict[str, object]]:
    """The larger shape again, without page faults."""
    with kept_memory():
        return [
            layout_row(name, dtype, last)
            for name in GATED
            for dtype in DTYPES
            for last in (False, True)
        ]


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
