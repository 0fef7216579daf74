"""The recurrences against their definitions: every backend, in float64 and through autograd."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from framecast import ops
from framecast.ops import dispatch, layout, library, scan
from framecast.ops.cell import definition as cell_definition
from framecast.ops.diagonal_scan import definition as diagonal_definition
from framecast.ops.scan import definition, log_domain

GATED = {"min_gru_scan": 2, "min_lstm_scan": 3, "min_exp_lstm_scan": 3}
SCANS = ["linear_scan", *GATED]
OPS = [*SCANS, "complex_diagonal_scan", "lstm_cell"]
DEFINITIONS = {
    **definition.GATED_SCANS,
    "linear_scan": definition.linear_scan,
    "complex_diagonal_scan": diagonal_definition.complex_diagonal_scan,
    "lstm_cell": cell_definition.lstm_cell,
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Largest error beside the largest value; inputs are rounded to the type beforehand."""

needs_native = pytest.mark.skipif(
    library.unavailable_reason() is not None, reason="the compiled kernels are missing"
)
BACKENDS = ["reference", "torch", pytest.param("native", marks=needs_native)]


@pytest.fixture
def force() -> Iterator[Callable[[str], None]]:
    """Force kernels by name, until the test ends."""
    yield dispatch.force
    dispatch.force(None)


class Case(NamedTuple):
    """The size, type and layout of one example."""

    name: str
    batch: int
    time: int
    channels: int
    height: int
    width: int
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    seed: int = 0
    lam_by_frame: bool = False


CASES = st.builds(
    Case,
    name=st.sampled_from(OPS),
    batch=st.integers(1, 3),
    time=st.sampled_from([1, 2, 7, 63]),
    channels=st.sampled_from([1, 2, 5, 16, 19, 33]),
    height=st.integers(1, 5),
    width=st.integers(1, 9),
    dtype=st.sampled_from(list(TOLERANCE)),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**16),
    lam_by_frame=st.booleans(),
)


def make_inputs(case: Case) -> list[Tensor]:
    """Leaf tensors in the order of the op's arguments, the state before it last."""
    generator = torch.Generator().manual_seed(case.seed)

    def draw(channels: int, time: int | None = None) -> Tensor:
        shape = [case.batch, *([time] if time else []), channels, case.height, case.width]
        values = torch.randn(shape, generator=generator).to(case.dtype)
        return (layout.sequence if time else layout.frame)(values, case.channels_last)

    if case.name == "linear_scan":
        a, b = (draw(case.channels, case.time) for _ in range(2))
        inputs = [torch.tanh(a), b, draw(case.channels)]
    elif case.name == "lstm_cell":
        inputs = [3 * draw(4 * case.channels), draw(case.channels)]
    elif case.name == "complex_diagonal_scan":
        wide = torch.float64 if case.dtype == torch.float64 else torch.float32
        steps = [case.batch, case.time] if case.lam_by_frame else []
        angle = torch.randn(2, *steps, case.channels, generator=generator, dtype=wide)
        lam = torch.tanh(angle[0]) * torch.stack([angle[1].cos(), angle[1].sin()])
        inputs = [*lam, draw(2 * case.channels, case.time), draw(2 * case.channels)]
    else:
        gates = 3 * draw(GATED[case.name] * case.channels, case.time)
        inputs = [gates, draw(case.channels)]
    return [x.detach().requires_grad_() for x in inputs]


def run(function: Callable[..., Tensor | tuple[Tensor, ...]], inputs: list[Tensor]) -> list[Tensor]:
    """The outputs and the gradient of each input, for fixed gradients of the outputs."""
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    weights = [torch.linspace(-1, 1, x.numel()).view(x.shape).to(x.dtype) for x in outputs]
    return [*(x.detach() for x in outputs), *torch.autograd.grad(outputs, inputs, weights)]


def error(got: Tensor, expected: Tensor) -> float:
    """Largest difference beside the largest expected value (or 0.1, if all are smaller)."""
    scale = expected.detach().abs().max().clamp_min(0.1)
    return float((got.detach().double() - expected.detach().double()).abs().max() / scale)


def check(case: Case) -> None:
    inputs = make_inputs(case)
    wide = [x.detach().double().requires_grad_() for x in inputs]
    expected = run(DEFINITIONS[case.name], wide)
    for got, want in zip(run(getattr(ops, case.name), inputs), expected, strict=True):
        # λ's gradient is a sum over pixels of products with states rounded to bfloat16, which
        # may cancel while their errors add up.
        slack = 8 if want.ndim in (1, 3) and case.dtype == torch.bfloat16 else 1
        assert error(got, want) < slack * TOLERANCE[case.dtype]


@pytest.mark.parametrize("backend", BACKENDS[1:])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=CASES)
def test_outputs_and_gradients_equal_the_definition(
    force: Callable[[str], None], backend: str, case: Case
) -> None:
    force(backend)
    check(case)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", OPS)
def test_backends_at_an_awkward_size(force: Callable[[str], None], backend: str, name: str) -> None:
    force(backend)
    check(Case(name, batch=2, time=63, channels=5, height=3, width=7))


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("name", OPS)
def test_gradcheck(force: Callable[[str], None], backend: str, name: str) -> None:
    force(backend)
    for by_frame in {False, name == "complex_diagonal_scan"}:
        inputs = make_inputs(Case(name, 1, 3, 2, 2, 1, torch.float64, lam_by_frame=by_frame))
        assert torch.autograd.gradcheck(getattr(ops, name), inputs)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_results_take_the_layout_of_the_input(
    force: Callable[[str], None], backend: str, name: str, channels_last: bool
) -> None:
    force(backend)
    inputs = make_inputs(Case(name, 2, 3, 5, 3, 4, channels_last=channels_last))
    for x in run(getattr(ops, name), inputs):
        if x.ndim > 3:  # λ has no pixels
            stored = x.movedim(-3, -1) if channels_last else x
            assert stored.is_contiguous()


def test_slices_and_mixed_layouts_are_accepted() -> None:
    gates, h0 = make_inputs(Case("min_gru_scan", 2, 9, 5, 3, 4, torch.float64, channels_last=True))
    part, plain = gates[:, 2:7], gates[:, 2:7].contiguous()
    got = run(scan.min_gru_scan, [part, h0.contiguous()])
    for a, b in zip(got, run(scan.min_gru_scan, [plain, h0]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_state_takes_the_type_of_the_gates() -> None:
    gates, h0 = make_inputs(Case("min_gru_scan", 2, 3, 5, 3, 4))
    output, grad_gates, grad_h0 = run(scan.min_gru_scan, [gates.bfloat16(), h0])
    assert (output.dtype, grad_gates.dtype, grad_h0.dtype) == (
        torch.bfloat16,
        torch.bfloat16,
        torch.float32,
    )


def test_autocast_follows_the_convolution_before_the_scan() -> None:
    convolution = torch.nn.Conv2d(3, 10, 3, padding=1)
    frames = torch.randn(2, 4, 3, 6, 5)
    h0 = torch.full((2, 5, 6, 5), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        gates = convolution(frames.flatten(0, 1)).unflatten(0, (2, 4))
        output = scan.min_gru_scan(gates, h0)
    assert output.dtype == torch.bfloat16
    wide = convolution(frames.flatten(0, 1)).unflatten(0, (2, 4))
    assert error(output, scan.min_gru_scan(wide, h0)) < TOLERANCE[torch.bfloat16]
    output.float().sum().backward()
    assert convolution.weight.grad is not None


def test_the_linear_scan_computes_in_the_wider_type() -> None:
    a, b, h0 = make_inputs(Case("linear_scan", 1, 3, 2, 3, 4))
    assert scan.linear_scan(a, b.bfloat16(), h0.double()).dtype == torch.float32


@pytest.mark.parametrize("name", GATED)
def test_the_linear_form_keeps_its_precision_over_long_sequences(name: str) -> None:
    """T = 2000 with gate pre-activations of scale 12: the published form loses three digits."""
    generator = torch.Generator().manual_seed(1)
    gates = 12 * torch.randn(1, 2000, 4 * GATED[name], 8, 8, generator=generator)
    h0 = torch.full((1, 4, 8, 8), 0.5)
    exact = DEFINITIONS[name](gates.double(), h0.double())

    def relative(h: Tensor) -> float:
        return float(((h.double() - exact) / exact).abs().max())

    assert relative(getattr(scan, name)(gates, h0)) < 1e-5
    assert relative(getattr(log_domain, name)(gates, h0)) > 1e-4


@pytest.mark.parametrize("name", [*SCANS, "complex_diagonal_scan"])
def test_split_scans_agree(name: str) -> None:
    *sequences, h0 = make_inputs(Case(name, 2, 9, 5, 3, 4, torch.float64))
    function = getattr(ops, name)
    first = function(*(x[:, :4] if x.ndim > 1 else x for x in sequences), h0)
    second = function(*(x[:, 4:] if x.ndim > 1 else x for x in sequences), first[:, -1])
    whole = function(*sequences, h0)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-12, atol=1e-12)


def test_a_decay_for_each_frame() -> None:
    """λ [T,P] is λ [B,T,P] with equal rows, and λ [P] is either with equal frames."""
    lam_re, lam_im, b, x0 = make_inputs(Case("complex_diagonal_scan", 2, 5, 3, 2, 4))
    same = [run(ops.complex_diagonal_scan, [lam_re, lam_im, b, x0])]
    for shape in ((5, 3), (2, 5, 3)):
        lam = [x.detach().expand(shape).clone().requires_grad_() for x in (lam_re, lam_im)]
        x, grad_re, grad_im, *others = run(ops.complex_diagonal_scan, [*lam, b, x0])
        grads = [grad.reshape(-1, 3).sum(0) for grad in (grad_re, grad_im)]
        same.append([x, *grads, *others])
    for other in same[1:]:
        for got, want in zip(other, same[0], strict=True):
            assert error(got, want) < TOLERANCE[torch.float32]


def test_complex_states_of_one_value() -> None:
    """Without pixels, b is [B, T, 2P]: an S5 layer over vectors."""
    lam_re, lam_im, b, x0 = make_inputs(Case("complex_diagonal_scan", 2, 5, 3, 1, 1))
    flat = [lam_re, lam_im, b[..., 0, 0], x0[..., 0, 0]]
    for by_frame in (False, True):
        if by_frame:
            flat[:2] = [x.expand(2, 5, 3) for x in flat[:2]]
        whole = ops.complex_diagonal_scan(*flat[:2], b, x0)[..., 0, 0]
        assert error(ops.complex_diagonal_scan(*flat), whole) < TOLERANCE[torch.float32]


def backward_inputs(name: str, inputs: list[Tensor], output: Tensor) -> tuple[Tensor, ...]:
    """What the gradient rule passes to the backward op, the output standing in for its gradient."""
    if name == "linear_scan":
        a, _, h0 = inputs
        return output, a, h0, output
    if name == "complex_diagonal_scan":
        lam_re, lam_im, _, x0 = inputs
        return output, lam_re, lam_im, x0, output
    if name == "lstm_cell":
        return output, output, *inputs
    return output, *inputs, output


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_opcheck(
    force: Callable[[str], None], backend: str, name: str, channels_last: bool
) -> None:
    force(backend)
    for by_frame in {False, name == "complex_diagonal_scan"}:
        case = Case(name, 2, 3, 5, 3, 4, channels_last=channels_last, lam_by_frame=by_frame)
        inputs = make_inputs(case)
        torch.library.opcheck(getattr(torch.ops.framecast, name).default, inputs)
        inputs = [x.detach() for x in inputs]
        output = getattr(ops, name)(*inputs)
        output = output[0] if isinstance(output, tuple) else output
        backward = getattr(torch.ops.framecast, f"{name}_backward").default
        torch.library.opcheck(backward, backward_inputs(name, inputs, output))


class Model(torch.nn.Module):
    """A convolution and a scan, for what traces whole programs."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 15, 3, padding=1).to(
            memory_format=torch.channels_last
        )

    def forward(self, frames: Tensor, h0: Tensor) -> Tensor:
        gates = self.convolution(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return scan.min_lstm_scan(gates, h0)


@pytest.mark.usefixtures("unchecked_types")
def test_export_goes_through() -> None:
    model, inputs = Model(), (torch.randn(2, 4, 3, 6, 5), torch.rand(2, 5, 6, 5))
    program = torch.export.export(model, inputs)
    assert any("min_lstm_scan" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(*inputs), model(*inputs))


@pytest.mark.usefixtures("unchecked_types")
def test_compile_agrees_with_eager_forward_and_backward() -> None:
    torch.manual_seed(0)
    model, inputs = Model(), [torch.randn(2, 4, 3, 6, 5), torch.rand(2, 5, 6, 5)]
    leaves = [x.requires_grad_() for x in inputs]
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for got, want in zip(run(compiled, leaves), run(model, leaves), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scan.min_gru_scan(torch.ones(1, 2, 3, 1, 1), torch.ones(1, 1, 1, 1)), "2·C"),
        (lambda: scan.min_gru_scan(torch.ones(1, 2, 4, 1, 1), torch.ones(1, 1, 1, 1)), "expected"),
        (lambda: scan.min_gru_scan(torch.ones(1, 0, 4, 1, 1), torch.ones(1, 2, 1, 1)), "T = 0"),
        (
            lambda: scan.linear_scan(*[torch.ones(1, 2, n) for n in (2, 3)], torch.ones(1, 2)),
            "differ",
        ),
        (
            lambda: ops.complex_diagonal_scan(
                *torch.ones(2, 3, 2), torch.ones(1, 2, 4, 1, 1), torch.ones(1, 4, 1, 1)
            ),
            r"\[T, P\]",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_shapes_that_do_not_fit_are_refused(call: Callable[[], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_backend_is_refused(force: Callable[[str], None]) -> None:
    force("cuda")
    with pytest.raises(ValueError, match="FRAMECAST_KERNELS=cuda"):
        check(Case("min_gru_scan", 1, 2, 1, 1, 1))


def test_the_environment_variable_forces_kernels() -> None:
    environment = {**os.environ, dispatch.VARIABLE: "torch"}
    program = "from framecast.ops import dispatch; print(dispatch.choose('cpu').name)"
    output = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    assert output == "torch\n"


def test_a_missing_library_is_said_once(
    monkeypatch: pytest.MonkeyPatch, force: Callable[[str | None], None]
) -> None:
    monkeypatch.setattr(library, "_reason", "it was not built")
    force(None)
    with pytest.warns(UserWarning, match="it was not built"):
        check(Case("min_gru_scan", 1, 2, 1, 1, 1))
    check(Case("min_gru_scan", 1, 2, 1, 1, 1))
    assert "it was not built" in dispatch.describe()["kernels on cpu"]


def test_forcing_missing_kernels_is_an_error(
    monkeypatch: pytest.MonkeyPatch, force: Callable[[str], None]
) -> None:
    monkeypatch.setattr(library, "_reason", "it was not built")
    force("native")
    with pytest.raises(RuntimeError, match=r"FRAMECAST_KERNELS=native.*not built"):
        check(Case("min_gru_scan", 1, 2, 1, 1, 1))
