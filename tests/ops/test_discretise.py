"""Sampled linear systems: against matrix exponentials, closed forms and published numbers."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import DATA, close
from framecast.ops.discretise import bilinear, hippo_normal, zero_order_hold

PUBLISHED = DATA / "convssm"
parts = st.floats(-3, 0), st.floats(-20, 20)


def hippo_legs(size):
    """A + p pᵀ entry by entry, as the formula has it."""
    n, k = np.ogrid[:size, :size]
    a = -np.sqrt(2 * n + 1) * np.sqrt(2 * k + 1) * (n > k) - (n + 1) * (n == k)
    return a + np.sqrt(n + 0.5) * np.sqrt(k + 0.5)


@pytest.mark.parametrize(("size", "blocks"), [(2, 1), (16, 1), (32, 4), (128, 2), (256, 1)])
def test_half_of_the_spectrum_is_the_whole_matrix(size, blocks):
    eigenvalues, v, inverse = hippo_normal(size, blocks)
    rebuilt = 2 * (v * eigenvalues @ inverse).real
    expected = scipy.linalg.block_diag(*[hippo_legs(size // blocks)] * blocks)
    close(rebuilt, torch.from_numpy(expected), 1e-13)
    close((inverse @ v).real, torch.eye(size // 2), 1e-13)
    assert (eigenvalues.imag < 0).all()
    assert (eigenvalues.imag.view(blocks, -1).diff() > 0).all()


@pytest.mark.parametrize(("name", "size", "blocks"), [("n16_b1", 16, 1), ("n32_b4", 32, 4)])
def test_the_published_initial_values(name, size, blocks):
    published = {
        k: torch.from_numpy(v) for k, v in np.load(PUBLISHED / f"hippo_{name}.npz").items()
    }
    eigenvalues, v, inverse = hippo_normal(size, blocks)
    close(eigenvalues.real, published["f64/Lambda_re"], 1e-10)
    close(eigenvalues.imag, published["f64/Lambda_im"], 1e-10)
    # Projections on the eigenvectors, unlike these, do not depend on phases.
    ours = torch.einsum("np,pm->pnm", v, inverse)
    theirs = torch.complex(published["f64/V_re"], published["f64/V_im"])
    assert (ours - torch.einsum("np,mp->pnm", theirs, theirs.conj())).abs().max() < 1e-8
    theirs = torch.complex(published["V_re"], published["V_im"])
    their_inverse = torch.complex(published["Vinv_re"], published["Vinv_im"])
    assert (ours - torch.einsum("np,pm->pnm", theirs, their_inverse)).abs().max() < 1e-5


@pytest.mark.parametrize(("size", "blocks"), [(6, 2), (7, 1), (0, 1), (8, 3)])
def test_blocks_of_an_odd_size_are_refused(size, blocks):
    with pytest.raises(ValueError, match=f"{size} states do not divide into {blocks} blocks"):
        hippo_normal(size, blocks)


def test_the_published_discretisation():
    published = {
        k: torch.from_numpy(v) for k, v in np.load(PUBLISHED / "discretize_zoh.npz").items()
    }
    inputs = [published[name] for name in ("Lambda_re", "Lambda_im", "step")]
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-8)):
        lam_re, lam_im, gain_re, gain_im = zero_order_hold(*(x.to(dtype) for x in inputs))
        b = torch.complex(published["B_re"], published["B_im"]).to(torch.complex128)
        b_bar = torch.complex(gain_re.double(), gain_im.double())[:, None] * b
        close(lam_re, published["f64/Lambda_bar_re"], tolerance)
        close(lam_im, published["f64/Lambda_bar_im"], tolerance)
        close(b_bar.real, published["f64/B_bar_re"], tolerance)
        close(b_bar.imag, published["f64/B_bar_im"], tolerance)


@given(re=parts[0], im=parts[1], step=st.floats(1e-6, 2))
def test_zero_order_hold_is_the_matrix_exponential(re, im, step):
    """x' = λx + u with u constant is one linear system in (x, u): exact by its exponential."""
    exact = scipy.linalg.expm(step * np.array([[re + 1j * im, 1], [0, 0]]))
    lam_re, lam_im, gain_re, gain_im = sampled(zero_order_hold, re, im, step)
    assert abs(lam_re + 1j * lam_im - exact[0, 0]) < 1e-13
    assert abs(gain_re + 1j * gain_im - exact[0, 1]) < 1e-13


@pytest.mark.parametrize("rule", [zero_order_hold, bilinear])
def test_a_constant_input_leads_to_the_steady_state(rule):
    """λx + u = 0 in the end, whatever the step."""
    lam_re, lam_im, gain_re, gain_im = sampled(rule, -0.3, 2.0, 0.7)
    fixed_point = (gain_re + 1j * gain_im) / (1 - (lam_re + 1j * lam_im))
    assert abs(fixed_point - 1 / (0.3 - 2j)) < 1e-14


def test_bilinear_is_of_second_order():
    """Halving the step divides the error over a fixed time by four."""
    lam = complex(-0.5, 2.0)
    errors = []
    for steps in (50, 100, 200):
        re, im, *_ = sampled(bilinear, lam.real, lam.imag, 1 / steps)
        errors.append(abs(complex(re, im) ** steps - np.exp(lam)))
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2, atol=0.01)


@given(re=parts[0], im=parts[1], step=st.floats(1e-3, 10))
def test_both_keep_a_stable_system_stable(re, im, step):
    for rule in (zero_order_hold, bilinear):
        lam_re, lam_im, *_ = sampled(rule, re, im, step)
        assert abs(lam_re + 1j * lam_im) <= 1 + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gain_of_a_slow_state_keeps_its_digits(dtype):
    """(e^z − 1)/z for |z| from 1e-12 to 1, also at z = 0, where it is 1."""
    size = torch.logspace(-12, 0, 200, dtype=torch.float64).to(dtype)
    angle = torch.linspace(0, 6.28, 200, dtype=torch.float64).to(dtype)
    re, im = size * angle.cos(), size * angle.sin()
    *_, gain_re, gain_im = zero_order_hold(re, im, torch.ones(200, dtype=dtype))
    z = [complex(a, b) for a, b in zip(re.double(), im.double(), strict=True)]
    # The matrix exponential of a 2×2 Jordan-like block has the quotient above its diagonal.
    exact = torch.tensor([scipy.linalg.expm(np.array([[x, 1], [0, 0]]))[0, 1] for x in z])
    error = torch.complex(gain_re.double(), gain_im.double()) - exact
    assert error.abs().max() < 4 * torch.finfo(dtype).eps
    *_, gain_re, gain_im = sampled(zero_order_hold, 0.0, 0.0, 0.25)
    assert (gain_re, gain_im) == (0.25, 0)


@pytest.mark.parametrize("rule", [zero_order_hold, bilinear])
def test_gradients_and_a_step_for_each_frame(rule):
    generator = torch.Generator().manual_seed(0)
    lam_re, lam_im = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    steps = 0.1 + torch.rand(2, 4, 3, generator=generator, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (-lam_re.abs(), lam_im, steps)]
    assert torch.autograd.gradcheck(lambda *x: tuple(rule(*x)), inputs)
    tiny = [x.detach().mul(1e-9).requires_grad_() for x in inputs[:2]]
    assert torch.autograd.gradcheck(lambda *x: tuple(rule(*x)), [*tiny, inputs[2]])
    for whole, one in zip(rule(*inputs), rule(*inputs[:2], steps[1, 2]), strict=True):
        assert torch.equal(whole[1, 2], one)


def sampled(rule, re, im, step):
    values = [torch.tensor([x], dtype=torch.float64) for x in (re, im, step)]
    return [float(x) for x in rule(*values)]
