"""Quantisation: codes against the loop that defines them, gradients against autograd of it."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framecast.ops import finite_scalar, finite_scalar_vectors, nearest_codes, straight_through
from framecast.ops.dispatch import kernels
from framecast.ops.quantise import definition, eager

LEVELS = st.lists(st.integers(2, 9), min_size=1, max_size=4)


def numbers(*shape, scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("count", "codes", "size"), [(1, 1, 1), (63, 5, 3), (40, 64, 16)])
def test_the_nearest_row_is_that_of_the_loop(count, codes, size):
    vectors, codebook = numbers(count, size), numbers(codes, size, seed=1)
    expected = definition.nearest_codes(vectors, codebook)
    assert torch.equal(nearest_codes(vectors, codebook), expected)
    shaped = nearest_codes(vectors.reshape(1, count, 1, size), codebook)
    assert torch.equal(shaped, expected.reshape(1, count, 1))


def test_many_vectors_are_compared_in_parts(monkeypatch):
    vectors, codebook = numbers(50, 4), numbers(8, 4, seed=1)
    whole = nearest_codes(vectors, codebook)
    monkeypatch.setattr(eager, "AT_ONCE", 24)
    assert torch.equal(nearest_codes(vectors, codebook), whole)


def test_between_unit_vectors_it_is_the_greatest_cosine():
    vectors = torch.nn.functional.normalize(numbers(30, 5), dim=-1)
    codebook = torch.nn.functional.normalize(numbers(7, 5, seed=1), dim=-1)
    assert torch.equal(nearest_codes(vectors, codebook), (vectors @ codebook.T).argmax(1))


def test_what_passes_straight_through_has_the_value_of_one_and_the_gradient_of_the_other():
    values, quantised = numbers(4, 5).requires_grad_(), numbers(4, 5, seed=1).requires_grad_()
    weights = numbers(4, 5, seed=2)
    through = straight_through(values, quantised)
    assert torch.equal(through, quantised)
    ours = torch.autograd.grad(
        (through.sin() * weights).sum(), [values, quantised], allow_unused=True
    )
    by_definition = definition.straight_through(values, quantised)
    theirs = torch.autograd.grad(
        (by_definition.sin() * weights).sum(), [values, quantised], allow_unused=True
    )
    torch.testing.assert_close(ours[0], theirs[0])
    assert ours[1] is None
    assert theirs[1] is None


@given(LEVELS, st.integers(0, 1000))
def test_levels_and_gradients_are_those_of_the_loop(levels, seed):
    values = numbers(17, len(levels), scale=3, seed=seed).requires_grad_()
    weights = numbers(17, len(levels), seed=seed + 1)
    ours, theirs = finite_scalar(values, levels), definition.finite_scalar(values, levels)
    torch.testing.assert_close(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])
    gradients = [
        torch.autograd.grad((rounded * weights).sum(), values)[0]
        for rounded in (ours[0], theirs[0])
    ]
    torch.testing.assert_close(*gradients)


@given(LEVELS)
def test_codes_and_vectors_are_one_to_one(levels):
    count = torch.tensor(levels).prod().item()
    vectors = finite_scalar_vectors(torch.arange(count), levels)
    expected = {
        tuple((place - n // 2) / (n // 2) for place, n in zip(places, levels, strict=True))
        for places in itertools.product(*map(range, levels))
    }
    assert {tuple(v) for v in vectors.tolist()} == {
        tuple(torch.tensor(v, dtype=vectors.dtype).tolist()) for v in expected
    }


@given(LEVELS, st.integers(0, 1000))
def test_the_vector_of_a_code_is_what_was_rounded(levels, seed):
    rounded, codes = finite_scalar(numbers(2, 9, len(levels), scale=5, seed=seed), levels)
    vectors = finite_scalar_vectors(codes, levels)
    torch.testing.assert_close(vectors, rounded.to(vectors.dtype))
    assert rounded.abs().max() <= 1


def test_each_level_is_reached():
    values = torch.linspace(-9, 9, 2001, dtype=torch.float64)[:, None]
    for count in range(2, 10):
        codes = finite_scalar(values, [count])[1]
        assert codes.unique().tolist() == list(range(count))
        assert (codes.diff() >= 0).all()


def test_only_the_definition_runs_where_that_is_asked_for(monkeypatch):
    def fail(*_):
        raise AssertionError("eager code ran")

    for name in ("nearest_codes", "straight_through", "finite_scalar"):
        monkeypatch.setattr(eager, name, fail)
    values = numbers(3, 2)
    with kernels("reference"):
        nearest_codes(values, values)
        straight_through(values, values)
        finite_scalar(values, [3, 4])


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda x: nearest_codes(x, x[:, :1]), ValueError, r"codebook \[3, 1\] does not fit"),
        (lambda x: nearest_codes(x, x[:0]), ValueError, "at least one code"),
        (lambda x: nearest_codes(x, x.float()), TypeError, "differ in type"),
        (lambda x: straight_through(x, x[:1]), ValueError, "do not stand for"),
        (lambda x: finite_scalar(x, [3]), ValueError, "must be 2 numbers"),
        (lambda x: finite_scalar(x, [3, 1]), ValueError, "each at least 2"),
        (lambda x: finite_scalar(x.long(), [3, 3]), TypeError, "floating-point"),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call(numbers(3, 2))
