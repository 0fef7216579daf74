"""Gradients of gradients: right for every op on every kind of kernels, or refused in words."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import torch
from op_calls import QUANTISERS
from torch import Tensor

from framecast import ops
from framecast.ops import dispatch, library

KERNELS = [
    "reference",
    "torch",
    pytest.param(
        "native",
        marks=pytest.mark.skipif(
            library.unavailable_reason() is not None, reason="the compiled kernels are missing"
        ),
    ),
]
every_kind = pytest.mark.parametrize("kernels", KERNELS)


class Case(NamedTuple):
    """A function of tensors [sizes], and the memory format of those that are frames."""

    function: Callable[..., Any]
    sizes: Sequence[tuple[int, ...]]
    channels_last: bool = False


def normed(activation: str, **options: Any) -> Callable[..., Tensor]:
    return lambda *x: ops.residual_norm(*x, activation=activation, **options)


def alone(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ops.residual_norm(x, None, weight, bias)


def convolved(scan: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda kernel, *rest: scan(kernel / 4, *rest)


def trained(name: str) -> Case:
    channels = 2, 1, 2
    states = [(1, c, 3, 3) for c in channels[1:]]
    factors = [(*pair, 3, 3) for pair in pairwise(channels)]
    return Case(lambda *x: getattr(ops, name)(x[:2], x[2:]), [*states, *factors])


frames, plane, vector = (1, 2, 3, 2), (3, 2), (2,)
CASES = {
    "bounded_kernel": Case(lambda w, r: ops.bounded_kernel(w, r), [(2, 1, 3, 3), (2,)]),
    "bounded_kernel, dense": Case(ops.bounded_kernel, [(2, 2, 1, 1), (2,)]),
    "complex_diagonal_scan": Case(
        ops.complex_diagonal_scan, [(2,), (2,), (2, 3, 4, 1, 2), (2, 4, 1, 2)]
    ),
    "complex_diagonal_scan, by frame": Case(
        ops.complex_diagonal_scan, [(2, 3, 2), (2, 3, 2), (2, 3, 4), (2, 4)]
    ),
    "complex_diagonal_scan, last": Case(
        ops.complex_diagonal_scan, [(3, 2), (3, 2), (1, 3, 4, 1, 2), (1, 4, 1, 2)], True
    ),
    "conv_scan": Case(convolved(ops.conv_scan), [(2, 1, 3, 3), (1, 3, 2, 3, 3), (1, 2, 3, 3)]),
    "conv_tensor_train": trained("conv_tensor_train"),
    "conv_tensor_train_reconstructed": trained("conv_tensor_train_reconstructed"),
    "linear_scan": Case(ops.linear_scan, [(2, 3, 2, 1, 2), (2, 3, 2, 1, 2), (2, 2, 1, 2)]),
    "linear_scan, last": Case(
        ops.linear_scan, [(1, 3, 2, 1, 2), (1, 3, 2, 1, 2), (1, 2, 1, 2)], True
    ),
    "lstm_cell": Case(ops.lstm_cell, [(2, 8, 1, 2), (2, 2, 1, 2)]),
    "lstm_cell, last": Case(ops.lstm_cell, [(2, 8, 1, 2), (2, 2, 1, 2)], True),
    "min_exp_lstm_scan": Case(ops.min_exp_lstm_scan, [(1, 3, 6, 1, 2), (1, 2, 1, 2)]),
    "min_gru_scan": Case(ops.min_gru_scan, [(1, 3, 4, 1, 2), (1, 2, 1, 2)]),
    "min_gru_scan, last": Case(ops.min_gru_scan, [(1, 1, 4, 1, 2), (1, 2, 1, 2)], True),
    "min_lstm_scan": Case(ops.min_lstm_scan, [(1, 3, 6, 1, 2), (1, 2, 1, 2)]),
    "reconstruct_kernels": Case(
        lambda *x: ops.reconstruct_kernels(x)[1], [(2, 1, 3, 3), (1, 2, 3, 3)]
    ),
    "residual_norm": Case(normed("none"), [frames, frames, plane, plane]),
    "residual_norm, last": Case(normed("gelu"), [frames, frames, plane, plane], True),
    "residual_norm, groups": Case(normed("elu", groups=2), [frames, frames, vector, vector], True),
    "residual_norm, alone": Case(alone, [frames, vector, vector], True),
    "tensor_train_conv": Case(ops.tensor_train_conv, [(1, 2, 3, 4), (2, 3, 3), (2, 1, 2)]),
    "train_matrices": Case(lambda *x: ops.train_matrices(x), [(1, 2, 2, 1), (2, 1, 1, 2)]),
    "wrap": Case(lambda x: ops.wrap(x, 2, 1), [(1, 2, 3, 2)]),
    "wrap, last": Case(lambda x: ops.wrap(x, 1, 0), [(1, 2, 3, 2)], True),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def inputs_of(case: Case) -> list[Tensor]:
    random = torch.Generator().manual_seed(3)
    inputs = [torch.randn(size, generator=random, dtype=torch.float64) for size in case.sizes]
    if case.channels_last:
        inputs = [
            x.movedim(-3, -1).contiguous().movedim(-1, -3) if x.ndim > 3 else x for x in inputs
        ]
    return [x.requires_grad_() for x in inputs]


def test_every_op_has_a_case() -> None:
    named = {name.split(",")[0] for name in CASES} | {"spectral_conv_scan"}
    assert named == set(ops.__all__) - QUANTISERS


@every_kind
@every_case
def test_second_derivatives_are_those_of_finite_differences(
    case: Case, kernels: dispatch.Name
) -> None:
    with dispatch.kernels(kernels):
        assert torch.autograd.gradgradcheck(case.function, inputs_of(case))


def derivatives(case: Case) -> list[Tensor]:
    """The first, second and third derivatives of one number, along fixed directions."""
    inputs = inputs_of(case)
    outputs = case.function(*inputs)
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    total = sum((x**3).sum() for x in outputs)
    found: list[Tensor] = []
    for _ in range(3):
        gradients = torch.autograd.grad(total, inputs, create_graph=True, materialize_grads=True)
        found += [x.detach() for x in gradients]
        total = sum((x**2).sum() for x in gradients)
    return found


@pytest.mark.parametrize("kernels", KERNELS[1:])
@every_case
def test_third_derivatives_equal_those_of_the_definition(
    case: Case, kernels: dispatch.Name
) -> None:
    with dispatch.kernels("reference"):
        exact = derivatives(case)
    with dispatch.kernels(kernels):
        found = derivatives(case)
    for ours, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8 * theirs.abs().max().item())


def test_one_tensor_may_be_several_arguments() -> None:
    """Each place of a tensor has a gradient of its own."""

    def same(x: Tensor) -> Tensor:
        return ops.linear_scan(x, x, x[:, 0])

    assert torch.autograd.gradgradcheck(same, inputs_of(Case(same, [(1, 3, 2)])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["min_gru_scan", "lstm_cell", "residual_norm", "wrap, last"])
def test_gradients_of_gradients_keep_their_types(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    inputs = [x.detach().to(dtype).requires_grad_() for x in inputs_of(case)]
    outputs = case.function(*inputs)
    output = outputs if isinstance(outputs, Tensor) else outputs[0]
    first = torch.autograd.grad(output.square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(x.square().sum() for x in first), inputs)
    assert [x.dtype for x in second] == [dtype] * len(inputs)
    assert all(x.isfinite().all() for x in second)


class TestSpectralConvScan:
    sizes = ((2, 1, 3, 3), (1, 3, 2, 3, 3), (1, 2, 3, 3))
    dense = ((2, 2, 3, 3), *sizes[1:])

    @pytest.mark.parametrize("sizes", [sizes, dense])
    def test_second_derivatives_are_refused_in_words(self, sizes: Sequence[Any]) -> None:
        case = Case(convolved(ops.spectral_conv_scan), sizes)
        with pytest.raises(RuntimeError, match=r"use conv_scan, or .*kernels\(\"reference\"\)"):
            derivatives(case)

    @pytest.mark.parametrize("of", [0, 1, 2])
    @pytest.mark.parametrize("by", [0, 1, 2])
    def test_they_are_refused_of_each_argument_by_each(self, of: int, by: int) -> None:
        """None of them is zero, nor left out in silence."""
        inputs = inputs_of(Case(ops.spectral_conv_scan, self.sizes))
        output = ops.spectral_conv_scan(*inputs).square().sum()
        (gradient,) = torch.autograd.grad(output, inputs[of], create_graph=True)
        with pytest.raises(RuntimeError, match="no second derivatives"):
            torch.autograd.grad(gradient.square().sum() + inputs[by].sum(), inputs[by])

    def test_the_definition_has_them(self) -> None:
        case = Case(convolved(ops.spectral_conv_scan), self.sizes)
        with dispatch.kernels("reference"):
            assert torch.autograd.gradgradcheck(case.function, inputs_of(case))

    def test_a_graph_of_first_derivatives_changes_none_of_them(self) -> None:
        inputs = inputs_of(Case(ops.spectral_conv_scan, self.sizes))
        plain, kept = (
            torch.autograd.grad(
                ops.spectral_conv_scan(*inputs).square().sum(), inputs, create_graph=keep
            )
            for keep in (False, True)
        )
        for one, other in zip(plain, kept, strict=True):
            assert torch.equal(one, other)
