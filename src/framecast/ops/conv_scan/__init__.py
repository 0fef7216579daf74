"""Linear recurrences whose state moves through a convolution: x_t = A ∗ x_{t−1} + b_t.

Both scans are exact on periodic grids only: there the convolutions of many steps compose into one
(`conv_scan`), and are products in Fourier space (`spectral_conv_scan`). With zeros beyond the
edges neither holds: what leaves the grid in one step is lost before the next, which no single
kernel expresses, so that those grids must be stepped. `definition.py` steps.

Kernels have the form of `torch.nn.functional.conv2d`'s weights, which it correlates with the
frames: depthwise [P,1,k,k] or dense [P,P,k,k], k odd. A result has the type of b and is computed
in float32 or better.

Source: ConvSSM (Smith et al. 2023) for the associative scan; the form in Fourier space and the
bound of `bounded_kernel` follow from the convolution theorem.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.ops import dispatch
from framecast.ops.conv_scan import definition, eager, spectral
from framecast.ops.conv_scan.checks import check_bounded_kernel, check_conv_scan
from framecast.ops.widening import wide_type

__all__ = ["bounded_kernel", "conv_scan", "conv_steps", "spectral_conv_scan"]

Kernel = Float[Tensor, "P Q k k"]
Sequence = Float[Tensor, "B T P H W"]


def conv_scan(kernel: Kernel, b: Sequence, x0: Float[Tensor, "B P H W"]) -> Sequence:
    """Run x_t = A ∗ x_{t−1} + b_t on a periodic grid by the associative operator.

    Frames are combined in pairs, (a_i, b_i) • (a_j, b_j) = (a_j ∗ a_i, a_j ∗ b_i + b_j), the pairs
    in pairs, and so on: about 2 log₂ T convolutions instead of T, of kernels that grow. After
    s steps the kernel has n = s(k−1) + 1 cells a side, and its level costs n²/s multiplications
    a cell where stepping costs k². Levels are added while n² ≤ 4 s k² and the grid holds the
    kernel; what is left is stepped. A 1×1 kernel does not grow.

    Args:
        kernel: A, depthwise [P,1,k,k] or dense [P,P,k,k].
        b: inputs.
        x0: state before the first frame.

    Returns:
        The states x_1 … x_T.

    Raises:
        ValueError: if the shapes do not fit together, T is 0, or the grid is empty.
        TypeError: if an argument does not hold floating-point numbers.
    """
    return _run("conv_scan", eager.conv_scan, kernel, b, x0)


def spectral_conv_scan(kernel: Kernel, b: Sequence, x0: Float[Tensor, "B P H W"]) -> Sequence:
    """Run x_t = A ∗ x_{t−1} + b_t on a periodic grid in Fourier space; arguments as `conv_scan`.

    A convolution is a product at each frequency ω. Depthwise: x̂_t = λ(ω) x̂_{t−1} + b̂_t, one
    complex diagonal scan over all states and frequencies. Dense: λ(ω) is a P×P matrix, and each
    step one product batched over frequencies. (Chunks of time side by side, which give that
    product more vectors at twice the arithmetic, pay only for a single sequence of many
    states, and an eigenbasis of λ(ω) may be arbitrarily ill-conditioned.) The gradient of λ is
    one product over all of time.

    The transforms cost O(log HW) a cell and frame whatever the kernel's size.

    Raises:
        ValueError: if the shapes do not fit together, T is 0, or the grid is empty.
        TypeError: if an argument does not hold floating-point numbers.
    """
    return _run("spectral_conv_scan", spectral.spectral_conv_scan, kernel, b, x0)


def conv_steps(kernel: Kernel, steps: int, x: Float[Tensor, "B P H W"]) -> Float[Tensor, "B P H W"]:
    """Return what is left of a state after steps without input, Aⁿ ∗ x, on a periodic grid.

    In Fourier space it is a power of λ(ω), or of a matrix P×P. Linear in x, with a gradient for x.

    Args:
        kernel: A.
        steps: n, at least 1.
        x: the state before them.
    """
    left: Tensor = spectral.conv_steps(kernel.detach().double(), steps, x.double())
    return left.to(x.dtype)


def bounded_kernel(weight: Kernel, bound: Float[Tensor, " P"]) -> Kernel:
    """Scale a kernel so that its recurrence is stable whatever the weights: A_δ = ρ W_δ / Σ_δ‖W_δ‖.

    ‖·‖ is a number's absolute value (depthwise, one sum for each channel) or a matrix's spectral
    norm (dense, one sum). Then |λ(ω)|, or ‖λ(ω)‖, is at most max ρ at every frequency of every
    grid; and, since each cell becomes a sum over cells, the largest state of a cell does not
    grow without input under any boundary padding that repeats cells or puts zeros. The bound
    is reached by a kernel of one cell and, depthwise, by one of equal signs (at ω = 0). Dense,
    it costs k² singular value decompositions of P×P matrices.

    Args:
        weight: W, any real numbers.
        bound: ρ of each state, between 0 and 1.

    Raises:
        ValueError: if the shapes do not fit together.
        TypeError: if an argument does not hold floating-point numbers.
    """
    check_bounded_kernel(weight, bound)
    wide = wide_type(weight.dtype, bound.dtype)
    scale = (definition if dispatch.uses_definitions() else eager).bounded_kernel
    bounded: Tensor = scale(weight.to(wide), bound.to(wide))
    return bounded.to(torch.promote_types(weight.dtype, bound.dtype))


def _run(name: str, fast: Callable[..., Tensor], kernel: Tensor, b: Tensor, x0: Tensor) -> Tensor:
    check_conv_scan(name, kernel, b, x0)
    wide = wide_type(kernel.dtype, b.dtype)
    # The Fourier transforms of PyTorch refuse an empty batch.
    by_definition = dispatch.uses_definitions() or b.shape[0] == 0
    scan = definition.conv_scan if by_definition else fast
    return scan(kernel.to(wide), b.to(wide), x0.to(wide)).to(b.dtype)
