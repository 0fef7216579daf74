"""Residual norms and periodic padding against their definitions, on every backend."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from conftest import close
from framecast import ops
from framecast.ops import dispatch, layout, library
from framecast.ops.norm import Activation
from framecast.ops.norm import definition as norm_definition
from framecast.ops.padding import definition as padding_definition

DEFINITIONS = {
    "residual_norm": norm_definition.residual_norm,
    "wrap": padding_definition.wrap,
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 3e-5, torch.bfloat16: 2e-2}
"""In float32 the sum over a single channel may cancel: 1.1e-5 was the worst of 1500 cases."""
BACKENDS = ["torch", *(library.instruction_sets() if not library.unavailable_reason() else [])]
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The PyTorch code, then the compiled kernels on each instruction set of the processor."""
    if request.param == "torch":
        dispatch.force("torch")
        yield request.param
    else:
        before = library.instruction_set()
        dispatch.force("native")
        library.use_instruction_set(request.param)
        yield request.param
        library.use_instruction_set(before)
    dispatch.force(None)


class Case(NamedTuple):
    """The size, type and layout of one example."""

    batch: int = 2
    channels: int = 5
    height: int = 6
    width: int = 7
    dtype: torch.dtype = torch.float64
    channels_last: bool = True
    seed: int = 0


CASES = st.builds(
    Case,
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 2, 5, 16, 19, 49, 70, 130]),
    height=st.integers(2, 19),
    width=st.integers(2, 19),
    dtype=st.sampled_from(list(TOLERANCE)),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**16),
)


ACTIVATIONS = st.sampled_from(get_args(Activation))


def norm_inputs(case: Case, whole: bool, offset: float = 3) -> list[Tensor]:
    """Leaves x, update, weight and bias; x far from zero mean."""
    random = torch.Generator().manual_seed(case.seed)
    size = case.batch, case.channels, case.height, case.width
    frames = [torch.randn(size, generator=random).to(case.dtype) for _ in range(2)]
    frames = [layout.frame(x, case.channels_last) for x in (frames[0] + offset, frames[1])]
    wide = torch.float64 if case.dtype == torch.float64 else torch.float32
    shape = (case.channels,) if whole else (case.height, case.width)
    affine = [torch.randn(shape, generator=random, dtype=wide) for _ in range(2)]
    return [x.detach().requires_grad_() for x in (*frames, *affine)]


def run(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """The output and the gradient of each input, for a gradient that every type can hold.

    Neighbours have unlike gradients (multiples of the golden ratio): under like ones the gradients
    of a norm cancel, and what is left is rounding.
    """
    output = function(*inputs)
    places = torch.arange(output.numel(), dtype=torch.float64)
    weights = (places * (5**0.5 - 1) / 2).frac().view(output.shape) * 2 - 1
    weights = weights.bfloat16().to(output.dtype)
    return [output, *torch.autograd.grad(output, inputs, weights)]


def compare(
    function: str, inputs: list[Tensor], rest: tuple[int, ...] = (), **options: Any
) -> None:
    """Output and gradients against the definition in float64."""
    wide = [x.detach().double().requires_grad_() for x in inputs]
    got = run(lambda *x: getattr(ops, function)(*x, *rest, **options), inputs)
    want = run(lambda *x: DEFINITIONS[function](*x, *rest, **options), wide)
    for ours, exact in zip(got, want, strict=True):
        scale = exact.abs().max().clamp_min(0.1)
        worst = (ours.double() - exact).abs().max() / scale
        assert worst.item() < TOLERANCE[inputs[0].dtype]


@relaxed
@given(case=CASES, whole=st.booleans(), activation=ACTIVATIONS)
def test_residual_norms_equal_the_definition(
    backend: str, case: Case, whole: bool, activation: str
) -> None:
    compare("residual_norm", norm_inputs(case, whole), activation=activation)


@relaxed
@given(case=CASES, place=st.integers(0, 7), activation=ACTIVATIONS)
def test_group_norms_equal_the_definition(
    backend: str, case: Case, place: int, activation: str
) -> None:
    divisors = [n for n in range(1, case.channels + 1) if case.channels % n == 0]
    groups = divisors[place % len(divisors)]
    compare("residual_norm", norm_inputs(case, True), groups=groups, activation=activation)


@relaxed
@given(case=CASES, reach=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_periodic_frames_equal_the_definition(
    backend: str, case: Case, reach: tuple[int, int]
) -> None:
    compare("wrap", norm_inputs(case, whole=True)[:1], reach)


@pytest.mark.parametrize("whole", [False, True])
def test_without_an_update_the_frames_themselves_are_normalised(backend: str, whole: bool) -> None:
    x, _, *affine = norm_inputs(Case(), whole)
    zeros = torch.zeros_like(x)
    close(ops.residual_norm(x, None, *affine), ops.residual_norm(x, zeros, *affine), 1e-12)


@pytest.mark.parametrize("whole", [False, True])
def test_a_mean_a_thousand_deviations_away_costs_no_digits(backend: str, whole: bool) -> None:
    case = Case(channels=17, height=40, width=33, dtype=torch.float32)
    x, update, *affine = norm_inputs(case, whole, offset=1000)
    wide = [a.double() for a in (x, update, *affine)]
    exact = norm_definition.residual_norm(*wide)
    rounding = 1000 * 2**-24  # of x + update itself
    assert (ops.residual_norm(x, update, *affine) - exact).abs().max() < 10 * rounding


@pytest.mark.parametrize("channels_last", [False, True])
def test_results_take_the_layout_of_the_frames(backend: str, channels_last: bool) -> None:
    x, update, *affine = norm_inputs(Case(channels_last=channels_last), whole=False)
    assert layout.is_channels_last_frame(ops.wrap(x, 1, 2)) == channels_last
    other = update.detach().contiguous(
        memory_format=torch.contiguous_format if channels_last else torch.channels_last
    )
    y = ops.residual_norm(x, other, *affine)
    assert layout.is_channels_last_frame(y) == channels_last


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_opcheck_and_gradcheck(backend: str, whole: bool, channels_last: bool) -> None:
    case = Case(batch=1, channels=2, height=3, width=4, channels_last=channels_last)
    x, _, weight, bias = inputs = norm_inputs(case, whole)
    assert torch.autograd.gradcheck(ops.residual_norm, inputs)
    assert torch.autograd.gradcheck(lambda x: ops.wrap(x, 2, 1), x)
    norm, rest = torch.ops.framecast.residual_norm.default, (1e-5, 1, "gelu")
    torch.library.opcheck(norm, (*inputs, *rest))
    torch.library.opcheck(norm, (x, None, weight, bias, *rest))
    torch.library.opcheck(torch.ops.framecast.wrap.default, (x, 2, 1))


class Frames(torch.nn.Module):
    """What traces whole programs is given modules."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return ops.wrap(ops.residual_norm(x, x, weight, bias), 2, 1)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("whole", [False, True])
def test_export_leaves_the_batch_open(whole: bool) -> None:
    x, _, *affine = norm_inputs(Case(batch=2), whole)
    batch = torch.export.Dim("batch", min=2, max=9)
    program = torch.export.export(Frames(), (x, *affine), dynamic_shapes=({0: batch}, None, None))
    more = norm_inputs(Case(batch=5), whole)[0]
    close(program.module()(more, *affine), Frames()(more, *affine), 1e-12)


@pytest.mark.usefixtures("unchecked_types")
def test_a_saved_program_refuses_what_its_ops_refuse() -> None:
    """It calls the registered ops alone, without the functions before them."""
    x, _, *affine = norm_inputs(Case(batch=2), whole=True)
    program = torch.export.export(Frames(), (x, *affine)).graph_module
    wrong = norm_inputs(Case(batch=2, channels=6), whole=True)[0]
    with pytest.raises(ValueError, match=r"^residual_norm: weight \[5\] .* do not fit frames"):
        torch.fx.Interpreter(program).run(wrong, *affine)


@pytest.mark.skipif(len(BACKENDS) == 1, reason="the compiled kernels are missing")
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("whole", [False, True])
def test_threads_do_not_change_a_bit(whole: bool, batch: int) -> None:
    inputs = norm_inputs(Case(batch, 19, 65, 65, torch.float32), whole)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(
            [*run(ops.residual_norm, inputs), *run(lambda x: ops.wrap(x, 2, 3), inputs[:1])]
        )
    torch.set_num_threads(before)
    for one, *others in zip(*results, strict=True):
        assert all(torch.equal(one, other) for other in others)


def test_the_wider_type_wins() -> None:
    x, update, *affine = norm_inputs(Case(dtype=torch.float32), whole=True)
    assert ops.residual_norm(x.bfloat16(), update, *affine).dtype == torch.float32
    assert ops.residual_norm(x.bfloat16(), update.bfloat16(), *affine).dtype == torch.bfloat16


def test_a_nan_stays_in_its_channel(backend: str) -> None:
    x, update, *affine = norm_inputs(Case(), whole=False)
    with torch.no_grad():
        x[0, 1, 2, 3] = torch.nan
    y = ops.residual_norm(x, update, *affine)
    assert y[0, 1].isnan().all()
    assert y.isnan().sum() == y[0, 1].numel()


@pytest.mark.usefixtures("unchecked_types")
def test_shapes_that_do_not_fit_are_refused() -> None:
    x, update, *affine = norm_inputs(Case(), whole=False)
    with pytest.raises(ValueError, match=r"do not fit frames .* expected \[6, 7\]"):
        ops.residual_norm(x, update, *(a.T for a in affine))
    with pytest.raises(ValueError, match="groups 2 must divide the 5 channels"):
        ops.residual_norm(x, update, torch.ones(5), torch.zeros(5), groups=2)
    with pytest.raises(ValueError, match="groups 5 of channels need a weight for each channel"):
        ops.residual_norm(x, update, *affine, groups=5)
    with pytest.raises(ValueError, match="activation 'relu' is not one of none, gelu, elu"):
        ops.residual_norm(x, update, *affine, activation="relu")
    with pytest.raises(ValueError, match="8 columns beyond each edge of a grid of 7"):
        ops.wrap(x, 0, 8)
