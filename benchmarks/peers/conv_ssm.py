"""ConvSSM: forward and backward of one ConvS5 state space model, in JAX theirs, ours in PyTorch.

It is the model between input and readout: kernels B and C, and the scan over time between them.
Its readouts are left out on both sides.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.checkout import load, ratio
from benchmarks.timing import interleave
from framecast.layers import ConvS5

CHANNELS, STATE, GRID, KERNEL = 64, 64, 16, 3
LENGTHS = (50, 200)


def rows(checkout: Path) -> list[dict[str, object]]:
    """Times for each length, theirs and ours, in turns."""
    return [row(checkout, length) for length in LENGTHS]


def row(checkout: Path, length: int) -> dict[str, object]:
    """Times of sequences of one length, once outputs and gradients are found equal."""
    frames = np.random.default_rng(0).normal(size=(length, 1, GRID, GRID, CHANNELS))
    theirs, weights = published(checkout, frames.astype(np.float32))
    layer = with_weights(weights)
    given = torch.from_numpy(frames.astype(np.float32)).permute(1, 0, 4, 2, 3).contiguous()

    def ours() -> Tensor:
        layer.zero_grad()
        outputs: Tensor = layer(given)[0]
        outputs.square().mean().backward()  # type: ignore[no-untyped-call]
        return outputs.detach()

    outputs, gradient = theirs()
    own = ours().permute(1, 0, 3, 4, 2).numpy()
    np.testing.assert_allclose(own, outputs, rtol=1e-3, atol=1e-3)
    assert layer.log_step.grad is not None
    expected = np.asarray(gradient["log_step"])[:, 0]
    own_gradient = layer.log_step.grad.numpy()
    np.testing.assert_allclose(own_gradient, expected, rtol=1e-2, atol=1e-3 * abs(expected).max())
    times = interleave({"ours": ours, "theirs": theirs}, seconds=5, fewest=5)
    longer = ratio(times["theirs"].median, times["ours"].median)
    return {"frames": length, **times, "theirs / ours": longer}


def published(
    checkout: Path, frames: np.ndarray
) -> tuple[Callable[[], tuple[np.ndarray, dict[str, Any]]], dict[str, np.ndarray]]:
    """Their model, compiled, forward and backward; and its weights."""
    jax = _jax()
    module = load(checkout, "convS5.diagonal_ssm", "src/models", needs="jax and flax")
    make = module.init_ConvS5SSM(
        *(STATE, 1, True, CHANNELS, KERNEL, KERNEL, KERNEL, 1e-3, 1e-1),
        C_D_config="none",
    )
    # No group norm is run without a readout, and no activation.
    model = make(parallel=True, activation=jax.nn.gelu, num_groups=1)
    start = jax.numpy.zeros((1, GRID, GRID, STATE // 2), jax.numpy.complex64)
    variables = model.init(jax.random.PRNGKey(0), frames, start)

    def loss(params: Any) -> Any:
        outputs = model.apply({"params": params}, frames, start)[1]
        return (outputs**2).mean(), outputs

    both = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run() -> tuple[np.ndarray, dict[str, Any]]:
        (_, outputs), gradient = jax.block_until_ready(both(variables["params"]))
        return np.asarray(outputs), gradient

    return run, {key: np.array(value) for key, value in variables["params"].items()}


def with_weights(weights: dict[str, np.ndarray]) -> ConvS5:
    """Our layer with their weights, and no readout."""
    layer = ConvS5(CHANNELS, CHANNELS, KERNEL, state_size=STATE, form="linear")
    layer.readout = _NoReadout()
    half, sides = STATE // 2, (KERNEL, KERNEL)
    b = torch.from_numpy(weights["B"]).view(half, CHANNELS, *sides, 2)
    c = torch.from_numpy(weights["C"]).permute(3, 2, 0, 1, 4)
    with torch.no_grad():
        layer.b.weight.copy_(torch.cat([b[..., 0], b[..., 1]]))
        layer.c.weight.copy_(torch.cat([c[..., 0], -c[..., 1]], dim=1))
        layer.lam_re.copy_(torch.from_numpy(weights["Lambda_re"]))
        layer.lam_im.copy_(torch.from_numpy(weights["Lambda_im"]))
        layer.log_step.copy_(torch.from_numpy(weights["log_step"])[:, 0])
    return layer


class _NoReadout(torch.nn.Module):
    def forward(self, y: Tensor, frames: Tensor) -> Tensor:
        """Return what the state tells."""
        return y


def _jax() -> Any:
    try:
        import jax
    except ImportError:
        sys.exit("--convssm needs JAX beside the checkout: pip install jax flax")
    if not hasattr(jax.numpy, "DeviceArray"):
        # A name that their annotations use, and that JAX has meanwhile given up.
        jax.numpy.DeviceArray = jax.Array
    return jax
