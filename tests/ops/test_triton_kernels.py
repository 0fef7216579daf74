"""The Triton kernels: against the definitions in Triton's interpreter, and through its compilers.

Triton decides when it is imported whether its kernels are interpreted, and other tests may have
imported it before. So `test_in_the_interpreter` runs this file again in a process of its own,
for the tests marked `interpreted`. Those marked `compiled` run in the first process, and compile
the kernels for GPUs that need not be there.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framecast import ops
from framecast.ops import dispatch, layout
from framecast.ops import triton as kernels
from framecast.ops.cell import definition as cell_definition
from framecast.ops.cell import triton as cell
from framecast.ops.diagonal_scan import definition as diagonal_definition
from framecast.ops.diagonal_scan import triton as diagonal_scan
from framecast.ops.scan import definition
from framecast.ops.scan import triton as scan

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

PARTS = {"min_gru_scan": 2, "min_lstm_scan": 3, "min_exp_lstm_scan": 3}
SCANS = ["linear_scan", *PARTS]
TOLERANCE = {
    torch.float64: 1e-13,
    torch.float32: 2e-6,
    torch.float16: 2e-3,
    torch.bfloat16: 2e-2,
}
"""Largest error beside the largest value. The interpreter cuts bfloat16 off: 2⁻⁷ at most."""
SHAPES = [(2, 1, 5, 3, 4), (2, 7, 5, 3, 4)]
LAYOUTS = pytest.mark.parametrize("channels_last", [False, True], ids=["contiguous", "last"])


def interpreted(test: Any) -> Any:
    """Collect a test only where kernels are interpreted."""
    test.__test__ = INTERPRETED
    return test


def compiled(test: Any) -> Any:
    """Collect a test only where kernels are compiled."""
    test.__test__ = not INTERPRETED
    return test


@compiled
def test_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 50


def as_state(x: Tensor, channels_last: bool) -> Tensor:
    return layout.sequence(x.unsqueeze(1), channels_last).squeeze(1)


def make_inputs(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool = False
) -> list[Tensor]:
    """The sequences of a scan, the state before it, and a gradient of its output."""
    generator = torch.Generator().manual_seed(0)
    batch, time, channels, *space = shape

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, *space, generator=generator).to(dtype)

    if name == "linear_scan":
        sequences = [draw(batch, time, channels).tanh(), draw(batch, time, channels)]
    else:
        sequences = [3 * draw(batch, time, PARTS[name] * channels)]
    state, grad = draw(batch, channels), draw(batch, time, channels)
    return [
        *(layout.sequence(x, channels_last) for x in sequences),
        as_state(state, channels_last),
        layout.sequence(grad, channels_last),
    ]


def run_kernels(name: str, *sequences: Tensor, h0: Tensor, grad: Tensor) -> list[Tensor]:
    """The output and the gradient of each input, by the kernels alone."""
    if name == "linear_scan":
        h = scan.linear_scan(*sequences, h0)
        return [h, *scan.linear_scan_backward(grad, sequences[0], h0, h)]
    h = scan.gated_scan(name, *sequences, h0)
    return [h, *scan.gated_scan_backward(name, grad, *sequences, h0, h)]


def run_definition(name: str, *sequences: Tensor, h0: Tensor, grad: Tensor) -> list[Tensor]:
    """The same by the definition, in float64 and through autograd."""
    inputs = [x.double().requires_grad_() for x in (*sequences, h0)]
    h = getattr(definition, name)(*inputs)
    return [h.detach(), *torch.autograd.grad(h, inputs, grad.double())]


def error(got: Tensor, expected: Tensor) -> float:
    return float((got.double() - expected).abs().max() / expected.abs().max().clamp_min(0.1))


def check(name: str, inputs: list[Tensor]) -> list[Tensor]:
    *sequences, h0, grad = inputs
    got = run_kernels(name, *sequences, h0=h0, grad=grad)
    compare(got, run_definition(name, *sequences, h0=h0, grad=grad), grad.dtype)
    return got


def compare(got: Sequence[Tensor], expected: Sequence[Tensor], dtype: torch.dtype) -> None:
    for x, want in zip(got, expected, strict=True):
        assert x.dtype == dtype
        assert error(x, want) < TOLERANCE[dtype]


@interpreted
@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@LAYOUTS
def test_outputs_and_gradients_equal_the_definition(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    h, *gradients, grad_h0 = check(name, make_inputs(name, shape, dtype, channels_last))
    for x in (h, *gradients):
        assert x.stride() == layout.sequence(x, channels_last).stride()
    assert grad_h0.stride() == as_state(grad_h0, channels_last).stride()


@interpreted
@pytest.mark.parametrize("name", SCANS)
def test_many_programs_share_the_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks much smaller than the batch entries, one of them cut off by the end."""
    monkeypatch.setattr(kernels, "_block", lambda positions: 32)
    for channels_last in (False, True):
        check(name, make_inputs(name, (2, 2, 3, 3, 5), torch.float64, channels_last))


@interpreted
@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 4), (3, 2, 1, 1, 5)], ids=str)
def test_dimensions_may_be_missing_or_one(name: str, shape: tuple[int, ...]) -> None:
    check(name, make_inputs(name, shape, torch.float64))


@interpreted
def test_a_linear_scan_needs_no_channels() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, grad = torch.randn(3, 2, 6, generator=generator, dtype=torch.float64)
    check("linear_scan", [a, b, torch.randn(2, dtype=torch.float64, generator=generator), grad])


@interpreted
@pytest.mark.parametrize("name", SCANS)
def test_slices_mixed_layouts_and_uneven_pixels(name: str) -> None:
    """Inputs in several layouts, cut out of larger tensors or with H and W exchanged."""
    inputs = make_inputs(name, (2, 6, 4, 3, 5), torch.float64, channels_last=True)
    inputs[-1] = inputs[-1].contiguous()
    inputs[-2] = inputs[-2].contiguous()
    inputs[0] = torch.cat([inputs[0], inputs[0]], dim=2)[:, :, : inputs[0].shape[2]]
    check(name, [*(x[:, 1:5] for x in inputs[:-2]), inputs[-2], inputs[-1][:, 1:5]])
    plain = make_inputs(name, (2, 6, 4, 3, 5), torch.float64)
    check(name, [x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in plain])


@interpreted
@pytest.mark.parametrize("name", SCANS)
def test_gradients_that_are_not_stored_one_by_one(name: str) -> None:
    *rest, grad = make_inputs(name, (2, 3, 5, 3, 4), torch.float64)
    check(name, [*rest, torch.ones((), dtype=grad.dtype).expand(grad.shape)])


@interpreted
@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_extreme_pre_activations(name: str, dtype: torch.dtype) -> None:
    """Gates far open and far closed: neither overflow nor NaN, and small shares stay exact."""
    values = torch.tensor([-1e4, -500.0, -100.0, -30.0, 0.0, 30.0, 100.0, 1e4], dtype=dtype)
    pre = torch.cartesian_prod(*[values] * PARTS[name])[:, :, None, None]
    gates = torch.stack([pre, pre.flip(0)], dim=1)
    h0, grad = torch.ones(len(pre), 1, 1, 1, dtype=dtype), torch.ones(len(pre), 2, 1, 1, 1)
    got = run_kernels(name, gates, h0=h0, grad=grad.to(dtype))
    # The definition of MinLSTM divides 0 by 0 where both gates are far closed. Only their
    # difference matters there, so they may be moved.
    wide = gates.double()
    if name == "min_lstm_scan":
        closed = (wide[:, :, :2] < -50).all(dim=2, keepdim=True)
        shift = wide[:, :, :2].amax(dim=2, keepdim=True) + 50
        wide[:, :, :2] -= torch.where(closed, shift, 0)
    expected = run_definition(name, wide, h0=h0, grad=grad)
    torch.testing.assert_close(got[0].double(), expected[0], rtol=1e-5, atol=1e-37)
    compare(got, expected, dtype)


@interpreted
@pytest.mark.parametrize("name", SCANS)
def test_nan_reaches_what_depends_on_it_and_nothing_else(name: str) -> None:
    *sequences, h0, grad = make_inputs(name, (1, 5, 1, 1, 4), torch.float32)
    together = torch.cat(sequences, dim=2)
    for channel in range(together.shape[2]):
        broken = together.clone()
        broken[0, 2, channel, 0, 1] = torch.nan
        h, *_ = run_kernels(name, *broken.chunk(len(sequences), dim=2), h0=h0, grad=grad)
        assert h.isnan().nonzero()[:, [1, 4]].tolist() == [[2, 1], [3, 1], [4, 1]]


def run_complex(
    b: Tensor, x0: Tensor, grad: Tensor, by_frame: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """States and gradients (Re λ, Im λ, b, x0) of the complex scan: kernels and definition."""
    wide = torch.float64 if b.dtype == torch.float64 else torch.float32
    turns = torch.linspace(0, 3, x0.shape[1] // 2)
    if by_frame:
        turns = turns + torch.linspace(0, 1, b.shape[0] * b.shape[1]).view(*b.shape[:2], 1)
    lam = [(0.95 * part).to(wide) for part in (turns.cos(), turns.sin())]
    x = diagonal_scan.complex_diagonal_scan(*lam, b, x0)
    got = [x, *diagonal_scan.complex_diagonal_scan_backward(grad, *lam, x0, x)]
    inputs = [y.double().requires_grad_() for y in (*lam, b, x0)]
    expected = diagonal_definition.complex_diagonal_scan(*inputs)
    gradients = torch.autograd.grad(expected, inputs, grad.double())
    return got, [expected.detach(), *gradients]


@interpreted
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@LAYOUTS
@pytest.mark.parametrize("by_frame", [False, True])
def test_the_complex_scan_equals_the_definition(
    shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool, by_frame: bool
) -> None:
    batch, time, channels, *space = shape
    _, b, x0, grad = make_inputs(
        "linear_scan", (batch, time, 2 * channels, *space), dtype, channels_last
    )
    (x, *grad_lam, grad_b, grad_x0), expected = run_complex(b, x0, grad, by_frame)
    compare([x, grad_b, grad_x0], [expected[0], *expected[3:]], dtype)
    assert (
        max(error(x, want) for x, want in zip(grad_lam, expected[1:3], strict=True))
        < (TOLERANCE[dtype])
    )
    for y in (x, grad_b):
        assert y.stride() == layout.sequence(y, channels_last).stride()
    assert grad_x0.stride() == as_state(grad_x0, channels_last).stride()


@interpreted
def test_the_gradient_of_lambda_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the blocks: no sum depends on which program comes first."""
    _, b, x0, grad = make_inputs("linear_scan", (3, 4, 6, 5, 7), torch.float32)
    whole, _ = run_complex(b, x0, grad)
    monkeypatch.setattr(kernels, "_block", lambda positions: 64)
    parts, _ = run_complex(b, x0, grad)
    assert all(torch.equal(x, y) for x, y in zip(whole, parts, strict=True))


def run_cell(
    gates: Tensor, c: Tensor, grads: tuple[Tensor, Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """New h and c, and the gradients of gates and c: kernels and definition."""
    got = [*cell.lstm_cell(gates, c), *cell.lstm_cell_backward(*grads, gates, c)]
    inputs = [x.double().requires_grad_() for x in (gates, c)]
    outputs = cell_definition.lstm_cell(*inputs)
    gradients = torch.autograd.grad(outputs, inputs, [x.double() for x in grads])
    return got, [*(x.detach() for x in outputs), *gradients]


@interpreted
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@LAYOUTS
def test_the_lstm_cell_equals_the_definition(
    shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool
) -> None:
    batch, _, channels, *space = shape
    generator = torch.Generator().manual_seed(0)
    gates, *states = (
        as_state(torch.randn(batch, size, *space, generator=generator).to(dtype), channels_last)
        for size in (4 * channels, channels, channels, channels)
    )
    got, expected = run_cell(2 * gates, states[0], (states[1], states[2]))
    compare(got, expected, dtype)
    assert all(x.stride() == as_state(x, channels_last).stride() for x in got)


@interpreted
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_lstm_cell_is_exact_for_small_and_for_large_states(dtype: torch.dtype) -> None:
    """Each value to a few units in the last place, even where tanh(x) is near 0 or ±1."""
    c = torch.cat([torch.logspace(-6, 4, 200), -torch.logspace(-6, 4, 200)]).to(dtype)
    c = c.view(1, 1, 1, -1)
    gates = torch.cat([torch.full_like(c, x) for x in (-1e4, 1e4, 1e4, 0.0)], dim=1)
    h, next_c = cell.lstm_cell(gates, c)
    _, grad_c = cell.lstm_cell_backward(torch.ones_like(c), torch.zeros_like(c), gates, c)
    wide = c.double()
    for x, want in ((h, wide.tanh()), (next_c, wide), (grad_c, wide.cosh() ** -2)):
        torch.testing.assert_close(x.double(), want, rtol=8 * torch.finfo(dtype).eps, atol=1e-30)


@interpreted
def test_offsets_beyond_32_bits(tmp_path: Path) -> None:
    """Frames 2³⁰ values apart, in a file that is nearly all hole."""
    file = torch.from_file(
        str(tmp_path / "sparse"), shared=True, size=2**31 + 8, dtype=torch.bfloat16
    )
    far = file.as_strided((1, 3, 1, 1, 4), (0, 2**30, 0, 0, 1))
    a, b, h0, grad = make_inputs("linear_scan", (1, 3, 1, 1, 4), torch.bfloat16)
    far.copy_(b)
    assert torch.equal(scan.linear_scan(a, far, h0), scan.linear_scan(a, b, h0))
    far.copy_(grad)
    h = scan.linear_scan(a, b, h0)
    for x, y in zip(
        scan.linear_scan_backward(far, a, h0, h),
        scan.linear_scan_backward(grad, a, h0, h),
        strict=True,
    ):
        assert torch.equal(x, y)


@pytest.fixture
def forced() -> Iterator[None]:
    dispatch.force("triton")
    yield
    dispatch.force(None)


@interpreted
@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("name", [*SCANS, "complex_diagonal_scan", "lstm_cell"])
def test_gradcheck_through_the_public_functions(name: str) -> None:
    function = getattr(ops, name)
    if name in SCANS:
        *inputs, _ = make_inputs(name, (1, 2, 1, 2, 1), torch.float64)
    else:
        _, *inputs, _ = make_inputs("linear_scan", (1, 2, 2, 2, 1), torch.float64)
        if name == "lstm_cell":
            inputs = [inputs[0].view(1, 4, 2, 1), inputs[1][:, :1]]
        else:
            inputs = [torch.tensor([x], dtype=torch.float64) for x in (0.5, 0.7)] + inputs
    leaves = [x.detach().requires_grad_() for x in inputs]
    assert dispatch.choose("cpu").name == "triton"
    assert torch.autograd.gradcheck(function, leaves)


class NoGPU:
    """Enough of a Triton driver to compile for a GPU that is not there."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def get_current_device(self) -> str:
        return str(self.target)

    def get_current_stream(self, device: str | None = None) -> int:
        return 0

    def get_current_target(self) -> Any:
        return self.target


@pytest.fixture
def compile_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Instead of launching kernels, compile them for a target as a launch would."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    built: list[Any] = []
    run = triton.JITFunction.run

    def compile_only(self: Any, *args: Any, warmup: bool, **options: Any) -> None:
        built.append(run(self, *args, warmup=True, **options))

    monkeypatch.setattr(triton.JITFunction, "run", compile_only)

    def use(*target: Any) -> list[Any]:
        driver.set_active(NoGPU(GPUTarget(*target)))
        return built

    yield use
    driver.set_active(None)


@compiled
@pytest.mark.parametrize("target", [("cuda", 80, 32), ("hip", "gfx942", 64)], ids=str)
@pytest.mark.parametrize(
    ("name", "by_frame"),
    [*((name, False) for name in (*SCANS, "complex", "cell")), ("complex", True)],
)
def test_kernels_compile(
    compile_for: Callable[..., Any], target: Any, name: str, by_frame: bool
) -> None:
    built = compile_for(*target)
    if name in SCANS:
        *sequences, h0, grad = make_inputs(name, (2, 7, 5, 3, 4), torch.bfloat16)
        run_kernels(name, *sequences, h0=h0, grad=grad)
    elif name == "complex":
        run_complex(*make_inputs("linear_scan", (2, 7, 6, 3, 4), torch.bfloat16)[1:], by_frame)
    else:
        state = torch.zeros(2, 5, 3, 4, dtype=torch.bfloat16)
        run_cell(state.repeat(1, 4, 1, 1), state, (state, state))
    assert [kernel.name.split("_")[-1] for kernel in built] == ["forward", "backward"]


@compiled
@LAYOUTS
def test_threads_move_16_bytes_at_once(
    compile_for: Callable[..., Any], channels_last: bool
) -> None:
    """What the numbering of positions is for; on large grids with sizes in multiples of 16."""
    built = compile_for("cuda", 90, 32)
    gates = layout.sequence(torch.zeros(32, 1, 192, 16, 16), channels_last)
    h0 = as_state(torch.zeros(32, 64, 16, 16), channels_last)
    grad = layout.sequence(torch.zeros(32, 1, 64, 16, 16), channels_last)
    run_kernels("min_lstm_scan", gates, h0=h0, grad=grad)
    moves = [Counter(re.findall(r"(?:ld|st)\.global[.\w]*", x.asm["ptx"])) for x in built]
    assert moves[0] == {"ld.global.v4.b32": 4, "st.global.v4.b32": 1}
    assert set(moves[1]) == {"ld.global.v4.b32", "st.global.v4.b32"}


def test_the_kernels_say_why_they_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    reason = kernels.unavailable_reason()
    assert reason is None if INTERPRETED else "no GPU" in str(reason)
    monkeypatch.setattr(kernels, "triton", None)
    assert "not installed" in str(kernels.unavailable_reason())


@compiled
def test_the_module_can_be_imported_without_triton() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "from framecast.ops import triton as kernels\n"
        "from framecast.ops.cell import triton as cell\n"
        "from framecast.ops.diagonal_scan import triton as diagonal_scan\n"
        "from framecast.ops.scan import triton as scan\n"
        "print(kernels.unavailable_reason())"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output == "the package triton is not installed\n"
