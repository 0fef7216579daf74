"""The loss of ensembles: the continuous ranked probability score, of values and on scales."""

from itertools import combinations

import torch
from jaxtyping import Bool, Float, Inexact
from torch import Tensor

from framecast.models.losses import Losses, gather


def measure_members(
    members: Float[Tensor, "M B T V H W"],
    truth: Float[Tensor, "B T V H W"],
    known: Bool[Tensor, "B T V H W"] | None,
    area: Float[Tensor, "H W"] | None,
    epsilon: float = 0.0,
    spectral_weight: float = 0.0,
) -> Losses:
    """Sum the CRPS of an ensemble where the truth is known, for each variable.

    Args:
        members: M ≥ 2 predictions, as the network gives them.
        truth: finite everywhere; what is not known does not count, whatever its value.
        known: where the truth is known; None for everywhere.
        area: weight of each cell; None for 1.
        epsilon: see `almost_fair_crps`.
        spectral_weight: of `spectral_crps`, which counts for all cells of its frame alike.
    """
    members = members.to(truth.dtype)
    errors = almost_fair_crps(members, truth, epsilon)
    if spectral_weight:
        on_scales = spectral_crps(members, truth, known, epsilon)
        errors = errors + spectral_weight * on_scales[..., None, None]
    return gather(errors, known, area)


def almost_fair_crps(
    members: Inexact[Tensor, "M *any"], truth: Inexact[Tensor, "*any"], epsilon: float = 0.0
) -> Float[Tensor, "*any"]:
    """Return Σ_{j<k} (|x_j − y| + |x_k − y| − (1 − ε) |x_j − x_k|) / (M (M − 1)).

    With ε = 0 this is the fair CRPS, whose expectation is least for the true distribution whatever
    M is; but it is blind to a member as long as all others equal the truth. With ε = 1 / M it is
    the CRPS of the M members as they stand, which is least for too small a spread. The almost fair
    score between, α · fair + (1 − α) · CRPS, has ε = (1 − α) / M. As this sum of pairs no term is
    negative. Complex numbers are scored by the moduli of their differences.

    Args:
        members: M ≥ 2 predictions x.
        truth: y.
        epsilon: ε in [0, 1 / M].

    Source: Lang et al. 2024, AIFS-CRPS (arXiv:2412.15832).
    """
    errors = [(member - truth).abs() for member in members]
    total = torch.zeros_like(errors[0])
    for j, k in combinations(range(len(members)), 2):
        total = total + errors[j] + errors[k] - (1 - epsilon) * (members[j] - members[k]).abs()
    return total / (len(members) * (len(members) - 1))


def spectral_crps(
    members: Float[Tensor, "M *any H W"],
    truth: Float[Tensor, "*any H W"],
    known: Bool[Tensor, "*any H W"] | None = None,
    epsilon: float = 0.0,
) -> Float[Tensor, "*any"]:
    """Return the CRPS of the complex Fourier amplitudes of each frame, a mean over scales.

    Every coefficient of the discrete Fourier transform (orthonormal, over rows and columns as they
    are) is scored by the moduli of complex differences, and so by phase too. The mean over the
    coefficients of a scale, whose wavenumbers round to the same number of waves along the longer
    side, is taken first, then that over all scales, so that the few large ones count like the many
    small ones. Values that are not known are 0 in members and truth alike.
    """
    if known is not None:
        members, truth = members.where(known, 0.0), truth.where(known, 0.0)
    spectra, true = (torch.fft.fft2(values, norm="ortho") for values in (members, truth))
    shares = scale_shares(truth.shape[-2], truth.shape[-1]).to(truth)
    return (almost_fair_crps(spectra, true, epsilon) * shares).sum((-2, -1))


def scale_shares(height: int, width: int) -> Float[Tensor, "H W"]:
    """Return how much each Fourier coefficient counts, of 1 in all: all scales count alike."""
    rows, columns = (torch.fft.fftfreq(n, dtype=torch.float64) for n in (height, width))
    waves = torch.hypot(rows[:, None], columns) * max(height, width)
    every = torch.unique(waves.round(), return_inverse=True, return_counts=True)
    scale, counts = every[1:]
    shares: Tensor = 1 / (counts[scale] * len(counts))
    return shares
