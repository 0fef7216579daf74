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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from framecast.ops import reference, scan
from framecast.ops.kernels import choice, layout
from framecast.ops.kernels import triton as kernels

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

PARTS = {"min_gru_scan": 2, "min_lstm_scan": 3, "min_exp_lstm_scan": 3}
SCANS = ["linear_scan", *PARTS]
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 2e-2}
"""Largest error beside the largest value. The interpreter cuts bfloat16 off: 2⁻⁷ at most."""
SHAPES = [(2, 1, 5, 3, 4), (2, 7, 5, 3, 4), (3, 2, 1, 1, 5)]
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
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
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
        h = kernels.linear_scan(*sequences, h0)
        return [h, *kernels.linear_scan_backward(grad, sequences[0], h0, h)]
    h = kernels.gated_scan(name, *sequences, h0)
    return [h, *kernels.gated_scan_backward(name, grad, *sequences, h0, h)]


def run_definition(name: str, *sequences: Tensor, h0: Tensor, grad: Tensor) -> list[Tensor]:
    """The same by the definition, in float64 and through autograd."""
    inputs = [x.double().requires_grad_() for x in (*sequences, h0)]
    h = getattr(reference, name)(*inputs)
    return [h.detach(), *torch.autograd.grad(h, inputs, grad.double())]


def error(got: Tensor, expected: Tensor) -> float:
    return float((got.double() - expected).abs().max() / expected.abs().max().clamp_min(0.1))


def check(name: str, inputs: list[Tensor]) -> list[Tensor]:
    *sequences, h0, grad = inputs
    got = run_kernels(name, *sequences, h0=h0, grad=grad)
    for x, want in zip(got, run_definition(name, *sequences, h0=h0, grad=grad), strict=True):
        assert x.dtype == grad.dtype
        assert error(x, want) < TOLERANCE[grad.dtype]
    return got


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
        check(name, make_inputs(name, (2, 2, 3, 5, 7), torch.float64, channels_last))


@interpreted
@pytest.mark.parametrize("name", SCANS)
def test_dimensions_beside_the_grid_are_optional(name: str) -> None:
    check(name, make_inputs(name, (2, 3, 5), torch.float64))
    check(name, make_inputs(name, (2, 3, 5, 4), torch.float64))


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
    for x, want in zip(got, expected, strict=True):
        assert error(x, want) < TOLERANCE[dtype]


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


@interpreted
def test_offsets_beyond_32_bits(tmp_path: Path) -> None:
    """Frames 2³⁰ values apart, in a file that is nearly all hole."""
    file = torch.from_file(
        str(tmp_path / "sparse"), shared=True, size=2**31 + 8, dtype=torch.bfloat16
    )
    far = file.as_strided((1, 3, 1, 1, 4), (0, 2**30, 0, 0, 1))
    a, b, h0, grad = make_inputs("linear_scan", (1, 3, 1, 1, 4), torch.bfloat16)
    far.copy_(b)
    assert torch.equal(kernels.linear_scan(a, far, h0), kernels.linear_scan(a, b, h0))
    far.copy_(grad)
    h = kernels.linear_scan(a, b, h0)
    for x, y in zip(
        kernels.linear_scan_backward(far, a, h0, h),
        kernels.linear_scan_backward(grad, a, h0, h),
        strict=True,
    ):
        assert torch.equal(x, y)


@pytest.fixture
def forced() -> Iterator[None]:
    choice.force("triton")
    yield
    choice.force(None)


@interpreted
@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("name", SCANS)
def test_gradcheck_through_the_public_functions(name: str) -> None:
    *inputs, _ = make_inputs(name, (1, 2, 1, 2, 1), torch.float64)
    leaves = [x.requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(getattr(scan, name), leaves, fast_mode=True)


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
@pytest.mark.parametrize("target", [("cuda", 80, 32), ("cuda", 90, 32), ("hip", "gfx942", 64)])
@pytest.mark.parametrize("name", SCANS)
def test_kernels_compile(compile_for: Callable[..., Any], target: Any, name: str) -> None:
    built = compile_for(*target)
    *sequences, h0, grad = make_inputs(name, (2, 7, 5, 3, 4), torch.bfloat16)
    run_kernels(name, *sequences, h0=h0, grad=grad)
    assert [kernel.name for kernel in built] == ["_scan_forward", "_scan_backward"]


@compiled
@LAYOUTS
def test_threads_move_16_bytes_at_once(
    compile_for: Callable[..., Any], channels_last: bool
) -> None:
    """What the numbering of positions is for; on large grids with sizes in multiples of 16."""
    built = compile_for("cuda", 80, 32)
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
        "from framecast.ops.kernels import triton as kernels\n"
        "print(kernels.unavailable_reason())"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output == "the package triton is not installed\n"
