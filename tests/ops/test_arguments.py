"""Arguments that an op cannot compute with are refused, before any kernel sees an address."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from op_calls import PUBLIC, QUANTISERS, REGISTERED, WIDE, Call, Sizes, flat, tensors
from torch import Tensor

from conftest import close
from framecast import ops
from framecast.ops import dispatch, library

pytestmark = pytest.mark.usefixtures("unchecked_types")
KERNELS = ["reference", "torch"]
if library.unavailable_reason() is None:
    KERNELS.append("native")
TOLERANCE = {torch.float16: 4e-3, torch.bfloat16: 3e-2}
FORMS = range(6)


def emptied(**sizes: int) -> list[tuple[str, Sizes]]:
    """The forms of all ops that have such sizes."""
    forms = [(name, Sizes(**sizes, form=form)) for name in PUBLIC for form in FORMS]
    return [
        (name, n)
        for name, n in forms
        if any(0 in x.shape for x in PUBLIC[name](n).arguments.values())
    ]


@pytest.fixture(params=KERNELS)
def kernels(request: pytest.FixtureRequest) -> Any:
    with dispatch.kernels(request.param):
        yield request.param


every_op = pytest.mark.parametrize("name", PUBLIC)
every_registered_op = pytest.mark.parametrize("name", REGISTERED)


def each_argument(name: str) -> list[tuple[Call, dict[str, Tensor], str]]:
    calls = [PUBLIC[name](Sizes(form=form)) for form in (1, 2)]
    return [(call, tensors(call, torch.float32), bent) for call in calls for bent in call.arguments]


def test_every_public_op_has_a_call() -> None:
    assert set(PUBLIC) - {"bilinear", "zero_order_hold"} == set(ops.__all__) - QUANTISERS


def test_every_registered_op_has_a_call() -> None:
    defined = torch._C._dispatch_get_all_op_names()
    ours = {name.removeprefix("framecast::") for name in defined if "framecast::" in name}
    assert set(REGISTERED) == ours


# --- public functions ----------------------------------------------------------------------


@every_op
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e5m2])
def test_other_types_than_floating_point_are_refused(
    kernels: str, name: str, dtype: torch.dtype
) -> None:
    for call, values, bent in each_argument(name):
        values[bent] = values[bent].to(dtype)
        with pytest.raises(TypeError, match=rf"^{name}: {bent} has the type {dtype}: expected"):
            call.run(*values.values())


@every_op
@pytest.mark.parametrize("value", [1.0, [1.0, 2.0], "x"])
def test_what_is_no_tensor_is_refused(kernels: str, name: str, value: Any) -> None:
    for call, values, bent in each_argument(name):
        values[bent] = value
        with pytest.raises(TypeError, match=rf"^{name}: {bent} must be a tensor, not"):
            call.run(*values.values())


@every_op
def test_sparse_tensors_are_refused(kernels: str, name: str) -> None:
    for call, values, bent in each_argument(name):
        values[bent] = values[bent].to_sparse()
        with pytest.raises(ValueError, match=rf"^{name}: {bent} is stored as torch.sparse_coo"):
            call.run(*values.values())


@every_op
def test_tensors_on_several_devices_are_refused(kernels: str, name: str) -> None:
    for call, values, bent in each_argument(name):
        if len(values) > 1:
            values[bent] = values[bent].to("meta")
            with pytest.raises(ValueError, match=rf"^{name}: .* is on (meta|cpu), but"):
                call.run(*values.values())


FREE = {
    ("min_exp_lstm_scan", "gates", 1), ("min_gru_scan", "gates", 1), ("min_lstm_scan", "gates", 1),
    ("complex_diagonal_scan", "b", 1),
    *((name, "b", 1) for name in ("conv_scan", "spectral_conv_scan")),
    *((name, "step", d) for name in ("bilinear", "zero_order_hold") for d in (0, 1)),
    *(("wrap", "x", dim) for dim in range(4)),
    ("bounded_kernel", "weight", 2), ("bounded_kernel", "weight", 3),
    *((name, "factor 1", 0) for name in (
        "conv_tensor_train", "conv_tensor_train_reconstructed", "reconstruct_kernels")),
    ("reconstruct_kernels", "factor 2", 1), ("reconstruct_kernels", "factor 3", 1),
    *(("train_matrices", f"core {i}", dim) for i in (1, 2, 3) for dim in (2, 3)),
    ("train_matrices", "core 1", 0),
    *(("tensor_train_conv", "frames", dim) for dim in (0, 2, 3)),
    ("tensor_train_conv", "matrices", 1),
}  # fmt: skip
"""Dimensions of one argument that no other one fixes."""


@every_op
@pytest.mark.parametrize("change", [-1, 1])
def test_every_size_that_does_not_fit_is_refused(kernels: str, name: str, change: int) -> None:
    for call, values, bent in each_argument(name):
        x = values[bent]
        for dim in range(x.ndim):
            if (name, bent, dim) in FREE or x.shape[dim] + change < 1:
                continue
            shape = [size + change * (i == dim) for i, size in enumerate(x.shape)]
            with pytest.raises(ValueError, match=f"^{name}: "):
                call.run(*(values | {bent: torch.zeros(shape)}).values())


@every_op
def test_every_rank_that_does_not_fit_is_refused(kernels: str, name: str) -> None:
    for call, values, bent in each_argument(name):
        x = values[bent]
        for wrong in (x[0], x[None], x.sum()):
            # A step may be one for each frame of each sequence.
            if (name, bent, 0) not in FREE or bent not in ("step",):
                with pytest.raises(ValueError, match=f"^{name}: "):
                    call.run(*(values | {bent: wrong}).values())


@every_op
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("form", FORMS)
def test_half_precision_is_computed_in_float32(
    kernels: str, name: str, dtype: torch.dtype, form: int
) -> None:
    if kernels == "native":
        dispatch.force(None)  # compiled kernels that are not forced step aside for float16
    call = PUBLIC[name](Sizes(form=form))
    values = tensors(call, dtype)
    with dispatch.kernels("reference"):
        exact = flat(call.run(*(x.double() for x in values.values())))
    for got, want in zip(flat(call.run(*values.values())), exact, strict=True):
        assert got.dtype == dtype
        close(got, want, TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "sizes"), emptied(batch=0))
def test_an_empty_batch_gives_empty_results(kernels: str, name: str, sizes: Sizes) -> None:
    call, full = PUBLIC[name](sizes), PUBLIC[name](sizes._replace(batch=2))
    values = [x.requires_grad_() for x in tensors(call, torch.float64).values()]
    outputs = flat(call.run(*values))
    more = flat(full.run(*tensors(full, torch.float64).values()))
    assert [x.shape for x in outputs] == [(0, *x.shape[1:]) for x in more]
    gradients = torch.autograd.grad(sum(x.sum() for x in outputs), values)
    assert all(x.shape == y.shape for x, y in zip(gradients, values, strict=True))
    assert all((x == 0).all() for x in gradients)


@pytest.mark.parametrize(("name", "sizes"), emptied(height=0))
def test_an_empty_grid_gives_empty_results_or_is_refused(
    kernels: str, name: str, sizes: Sizes
) -> None:
    call = PUBLIC[name](sizes)
    values = [x.requires_grad_() for x in tensors(call, torch.float64).values()]
    if "conv" in name:
        with pytest.raises(ValueError, match=f"^{name}: "):
            call.run(*values)
        return
    outputs = flat(call.run(*values))
    assert all(x.numel() == 0 for x in outputs)
    gradients = torch.autograd.grad(sum(x.sum() for x in outputs), values)
    assert all((x == 0).all() for x in gradients)


@pytest.mark.parametrize("eps", [math.nan, math.inf, -math.inf, -1e-5])
def test_an_eps_that_makes_no_norm_is_refused(kernels: str, eps: float) -> None:
    x = torch.ones(1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"^residual_norm: eps must be"):
        ops.residual_norm(x, None, torch.ones(2), torch.ones(2), eps)


@pytest.mark.parametrize("reach", [1.5, "1", None])
def test_a_reach_that_is_not_whole_is_refused(kernels: str, reach: Any) -> None:
    with pytest.raises((TypeError, RuntimeError), match="wrap"):
        ops.wrap(torch.ones(1, 1, 3, 4), reach, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.reconstruct_kernels([]),
        lambda: ops.train_matrices([]),
        lambda: ops.conv_tensor_train([], []),
    ],
)
def test_empty_lists_are_refused(kernels: str, call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        call()


def test_a_negation_that_is_not_written_down_yet_is_computed_with(kernels: str) -> None:
    gates = torch.randn(1, 2, 4, 3, 3, dtype=torch.complex128).conj().imag
    assert gates.is_neg()
    h0 = torch.rand(1, 2, 3, 3, dtype=torch.float64)
    want = ops.min_gru_scan(gates.resolve_neg().clone(), h0)
    assert torch.equal(ops.min_gru_scan(gates, h0), want)


def test_nothing_shares_memory_with_the_arguments(kernels: str) -> None:
    for x in (torch.ones(1, 2, 3, 4), torch.ones(1, 3, 4, 2).permute(0, 3, 1, 2)):
        ops.wrap(x, 0, 0).zero_()
        assert (x == 1).all()


# --- registered ops ------------------------------------------------------------------------


def registered_arguments(name: str) -> list[tuple[Call, dict[str, Tensor], str]]:
    found = []
    for form in range(3):
        for channels_last in (False, True):
            call = REGISTERED[name](Sizes(form=form))
            values = tensors(call, torch.float32)
            if channels_last:
                values = {
                    key: x.movedim(-3, -1).contiguous().movedim(-1, -3) if x.ndim > 3 else x
                    for key, x in values.items()
                }
            found += [(call, values, bent) for bent in call.arguments]
    return found


@every_registered_op
@pytest.mark.parametrize("kernels", KERNELS[1:], indirect=True)
def test_registered_ops_refuse_every_size_that_does_not_fit(kernels: str, name: str) -> None:
    for call, values, bent in registered_arguments(name):
        x = values[bent]
        for dim in range(x.ndim):
            public = name.removesuffix("_backward")
            if name == "wrap_backward" or (name == public and (name, bent, dim) in FREE):
                continue
            for size in {0, 1, x.shape[dim] - 1, x.shape[dim] + 1} - {x.shape[dim]}:
                shape = [size if i == dim else n for i, n in enumerate(x.shape)]
                with pytest.raises(ValueError, match=f"^{name}: "):
                    call.run(*(values | {bent: torch.zeros(shape)}).values())


@every_registered_op
def test_registered_ops_refuse_other_types_devices_and_memory(kernels: str, name: str) -> None:
    for call, values, bent in registered_arguments(name):
        x = values[bent]
        wrong = [x.int(), x.cfloat()]
        if len(values) > 1:
            wrong += [x.to("meta"), x.double(), x.half() if bent in WIDE else x.bfloat16()]
        for bad in wrong:
            with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
                call.run(*(values | {bent: bad}).values())


@every_registered_op
def test_registered_ops_read_slices_of_any_argument(kernels: str, name: str) -> None:
    """Memory that is not dense is copied, also that of states, which the backward ops are given."""
    for call, values, bent in registered_arguments(name):
        x = values[bent]
        sparse_memory = torch.full((*x.shape, 2), math.nan)
        sparse_memory[..., 0] = x
        got = call.run(*(values | {bent: sparse_memory[..., 0]}).values())
        want = call.run(*(values | {bent: x.contiguous()}).values())
        for ours, theirs in zip(flat(got), flat(want), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
