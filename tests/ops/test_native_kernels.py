"""The compiled kernels themselves: accuracy, special values, threads, instruction sets, build."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from framecast import ops
from framecast.ops import dispatch, layout, library
from framecast.ops.scan import definition, native

pytestmark = pytest.mark.skipif(
    library.unavailable_reason() is not None, reason="the compiled kernels are missing"
)
INSTRUCTION_SETS = library.instruction_sets() if library.unavailable_reason() is None else []
EPSILON = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}
GATED = {"min_gru_scan": 2, "min_lstm_scan": 3, "min_exp_lstm_scan": 3}
OPS = [*GATED, "linear_scan", "complex_diagonal_scan", "lstm_cell"]


@pytest.fixture(autouse=True, params=INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test runs once on each instruction set of the processor."""
    dispatch.force("native")
    before = library.instruction_set()
    library.use_instruction_set(request.param)
    yield request.param
    library.use_instruction_set(before)
    dispatch.force(None)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's number of threads, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# --- accuracy ------------------------------------------------------------------------------


def arguments(dtype: torch.dtype) -> Tensor:
    """Small, moderate and large arguments of both signs."""
    tiny = torch.logspace(-30, 0, 3001, dtype=torch.float64)
    wide = torch.linspace(0, 85 if dtype == torch.float32 else 700, 20001, dtype=torch.float64)
    return torch.cat([tiny, -tiny, wide, -wide]).to(dtype)


def ulps(got: Tensor, exact: Tensor) -> Tensor:
    """Errors in units of the last place of the exact (wider) value."""
    exact = exact.to(torch.float64)
    last_place = torch.exp2(exact.abs().clamp_min(1e-300).log2().floor()) * EPSILON[got.dtype]
    return (got.double() - exact).abs() / last_place


def one_step(name: str, *gates: Tensor, h0: Tensor) -> Tensor:
    stacked = torch.stack(gates)[None, None]
    output: Tensor = getattr(ops, name)(stacked, h0[None, None])
    return output[0, 0, 0]


def exact_sigmoid(x: Tensor) -> Tensor:
    """σ in float64 with full relative precision on both sides."""
    return torch.where(x < 0, x.exp() / (1 + x.exp()), 1 / (1 + (-x).exp()))


def test_sigmoid_keeps_within_4_ulp() -> None:
    k = arguments(torch.float32)
    zero = torch.zeros_like(k)
    half = torch.full_like(k, 0.5)  # g(0.5) = 1
    assert ulps(one_step("min_gru_scan", k, half, h0=zero), exact_sigmoid(k.double())).max() < 4


def test_the_kept_share_keeps_within_4_ulp() -> None:
    k = arguments(torch.float32)
    lowest = torch.full_like(k, -200)  # g(−200) = 0
    kept = one_step("min_gru_scan", k, lowest, h0=torch.ones_like(k))
    assert ulps(kept, exact_sigmoid(-k.double())).max() < 4


def test_shares_of_the_lstm_keep_within_4_ulp_of_their_rounded_difference() -> None:
    f = arguments(torch.float32)
    i = f.flip(0)
    wide_f, wide_i = exact_sigmoid(f.double()), exact_sigmoid(i.double())
    kept = one_step("min_lstm_scan", f, i, torch.full_like(f, -200), h0=torch.ones_like(f))
    smallest = 2.0**-126  # below it, shares are zero
    exact = (wide_f / (wide_f + wide_i)).clamp_min(smallest)
    assert (ulps(kept.clamp_min(smallest), exact) < 4 + (f - i).abs() / 2).all()


def test_tanh_keeps_within_4_ulp() -> None:
    x = arguments(torch.float32)
    large, zero = torch.full_like(x, 200), torch.zeros_like(x)
    gates = torch.stack([large, -large, large, x])[None]
    h, c = ops.lstm_cell(gates, zero[None, None])
    exact = torch.tanh(x.double())
    assert ulps(c[0, 0], exact).max() < 4
    assert ulps(h[0, 0], torch.tanh(c[0, 0].double())).max() < 4


def test_float64_functions_agree_with_the_c_library() -> None:
    x = arguments(torch.float64)
    half, zero = torch.full_like(x, 0.5), torch.zeros_like(x)
    large = torch.full_like(x, 800)
    c = ops.lstm_cell(torch.stack([large, -large, large, x])[None], zero[None, None])[1]
    sigmoid = one_step("min_gru_scan", x, half, h0=zero)
    math_sigmoid = [math.exp(v) / (1 + math.exp(v)) if v < 0 else 1 / (1 + math.exp(-v)) for v in x]
    # Both sides err: 4 ulp of the kernel and one or two of the library's formula.
    assert ulps(sigmoid, torch.tensor(math_sigmoid, dtype=torch.float64)).max() < 6
    exact = torch.tensor([math.tanh(v) for v in x], dtype=torch.float64)
    assert ulps(c[0, 0], exact).max() < 5


def test_results_below_the_normal_numbers_are_zero() -> None:
    k = torch.tensor([-88.0, -200.0, -1e30, -math.inf])
    half = torch.full_like(k, 0.5)
    assert one_step("min_gru_scan", k, half, h0=torch.zeros_like(k)).tolist() == [0, 0, 0, 0]


# --- special values ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30])
@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_special_values_come_out_as_in_the_definition(
    name: str, dtype: torch.dtype, value: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    gates = torch.randn(1, 4, GATED[name] * 20, 1, 3, generator=generator).to(dtype)
    h0 = torch.rand(1, 20, 1, 3, generator=generator).to(dtype)
    for channel in range(0, gates.shape[2], 7):
        gates[0, 1, channel, 0, 1] = value
    got = getattr(ops, name)(gates, h0).double()
    want = getattr(definition, name)(gates.double(), h0.double()).to(dtype).double()
    # σ(f)/(σ(f)+σ(i)) is 0/0 in the definition where both underflow; the kernel knows better.
    known = ~want.isnan() if value == -1e30 else torch.ones_like(want, dtype=torch.bool)
    torch.testing.assert_close(got[known], want[known], rtol=1e-2, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", OPS)
def test_a_nan_in_the_state_reaches_outputs_and_gradients(name: str) -> None:
    inputs = large_inputs(name, channels_last=False)
    inputs[-1][0, 1, 3, 4] = math.nan
    for x in gradients(name, inputs):
        assert x.isnan().any()


def test_bfloat16_rounds_to_nearest_even() -> None:
    b = torch.linspace(-3, 3, 4099, dtype=torch.float64)
    b = torch.cat([b, torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.3e38])])
    high = b.bfloat16()
    low = (b - high.double()).bfloat16()
    # high + low is exact in float32, so storing it is the only rounding.
    got = ops.linear_scan(torch.ones_like(high)[None, None], high[None, None], low[None])
    torch.testing.assert_close(got[0, 0], (high.float() + low.float()).bfloat16(), rtol=0, atol=0)


# --- sizes, threads, layouts ---------------------------------------------------------------


def gradients(name: str, inputs: list[Tensor]) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    outputs = getattr(ops, name)(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return [*outputs, *torch.autograd.grad([x.square().sum() for x in outputs], leaves)]


def large_inputs(name: str, channels_last: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        x = torch.randn(*shape, 33, 31, generator=generator)
        return (layout.sequence if x.ndim == 5 else layout.frame)(x, channels_last)

    lam = torch.tensor([0.9, -0.5, 0.3, 0.1, 0.99])
    return {
        "linear_scan": lambda: [draw(2, 9, 5).tanh(), draw(2, 9, 5), draw(2, 5)],
        "complex_diagonal_scan": lambda: [lam, lam.flip(0), draw(2, 9, 10), draw(2, 10)],
        "lstm_cell": lambda: [draw(9, 20), draw(9, 5)],
    }.get(name, lambda: [draw(2, 9, 5 * GATED[name]), draw(2, 5)])()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", OPS)
def test_one_and_two_threads_agree_bit_for_bit(
    threads: Callable[[int], None], name: str, channels_last: bool
) -> None:
    inputs = large_inputs(name, channels_last)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(gradients(name, inputs))
    for one, *others in zip(*results, strict=True):
        for other in others:
            assert torch.equal(one, other)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_decay_for_each_frame_does_not_depend_on_threads(
    threads: Callable[[int], None], channels_last: bool
) -> None:
    _, _, b, x0 = large_inputs("complex_diagonal_scan", channels_last)
    lam = 0.7 * torch.rand(2, 2, 9, 5, generator=torch.Generator().manual_seed(1))
    results = []
    for count in (1, 3):
        threads(count)
        results.append(gradients("complex_diagonal_scan", [*lam, b, x0]))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("channels", [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 4097])
@pytest.mark.parametrize("channels_last", [False, True])
def test_every_tail_equals_the_definition(channels: int, channels_last: bool) -> None:
    generator = torch.Generator().manual_seed(channels)
    gates = torch.randn(1, 3, 2 * channels, 1, 2, generator=generator)
    h0 = torch.rand(1, channels, 1, 2, generator=generator)
    inputs = [layout.sequence(gates, channels_last), layout.frame(h0, channels_last)]
    leaves = [x.detach().double().requires_grad_() for x in inputs]
    exact = definition.min_gru_scan(*leaves)
    want = [exact, *torch.autograd.grad(exact.square().sum(), leaves)]
    for got, expected in zip(gradients("min_gru_scan", inputs), want, strict=True):
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)


def test_nothing_outside_the_outputs_is_written() -> None:
    """Rows that end inside a vector, next to memory that must stay as it is."""
    for channels in (1, 5, 16, 17, 65):
        memory = torch.full((channels * 6 + 64,), 7.0)
        gates = torch.randn(1, 2, 2 * channels, 1, 3)
        h0 = torch.rand(1, channels, 1, 3)
        h = memory[32:-32]
        sizes = 0, 0, 1, 1, 2, channels, 3
        pointers = gates.data_ptr(), None, h0.data_ptr(), h.data_ptr()
        native._scan(*sizes, 1, *pointers)
        assert torch.equal(h.view(1, 2, channels, 1, 3), ops.min_gru_scan(gates, h0))
        assert (memory[:32] == 7).all()
        assert (memory[-32:] == 7).all()


def test_an_empty_batch_gives_an_empty_result() -> None:
    assert ops.min_gru_scan(torch.empty(0, 3, 4, 2, 2), torch.empty(0, 2, 2, 2)).shape[0] == 0


# --- the library ---------------------------------------------------------------------------


def test_an_unknown_instruction_set_is_refused(instruction_set: str) -> None:
    with pytest.raises(ValueError, match="mmx"):
        library.use_instruction_set("mmx")
    assert library.instruction_set() == instruction_set


def test_the_description_says_what_runs(instruction_set: str) -> None:
    lines = dispatch.describe()
    assert lines["kernels on cpu"] == "native (forced by FRAMECAST_KERNELS)"
    assert lines["instruction set"] == instruction_set
    assert lines["threads from"] in ("openmp", "threads")


def test_torch_and_the_kernels_share_one_openmp_runtime() -> None:
    if library.parallel_backend() == "openmp":
        loaded = re.findall(r"\S*/lib[a-z]*omp[^/\s]*\.so\S*", Path("/proc/self/maps").read_text())
        assert len(set(loaded)) == 1
