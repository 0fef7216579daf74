"""What a world model is to be good at: the parts of its loss, and which frames they are of.

Source: Yan et al., Temporally Consistent Transformers for Video Generation (TECO), 2023.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from framecast.models.prior import SpatialPrior

ABSENT = -2.0
"""What the memory reads in place of a frame that is kept from it."""


def keep_back(
    inputs: Float[Tensor, "B T D h w"],
    told: Bool[Tensor, "B T"],
    first: int,
    limit: int | None,
) -> Float[Tensor, "B T D h w"]:
    """Replace what is read of later frames where the action after them is told.

    Args:
        inputs: what the memory reads of each frame.
        told: whether the action after a frame is.
        first: frames of the window that came before.
        limit: frames that are read all the same; None for all.
    """
    if limit is None:
        return inputs
    late = first + torch.arange(inputs.shape[1], device=inputs.device) >= limit
    return inputs.masked_fill((told & late)[..., None, None, None], ABSENT)


def draw_frames(targets: int, share: float) -> Int64[Tensor, " n"]:
    """Draw which of the frames after the first are scored; with repetition, as in TECO."""
    return torch.randint(targets, (max(1, int(share * targets + 1e-9)),))


def entropy_of(
    scores: Float[Tensor, "B n K H W"],
    codes: Int64[Tensor, "B n H W"],
    smoothing: float,
) -> Float[Tensor, ""]:
    """Return the cross-entropy of codes, summed over cells, as a mean over frames."""
    flat = scores.flatten(0, 1).float(), codes.flatten(0, 1)
    entropy = F.cross_entropy(*flat, reduction="sum", label_smoothing=smoothing)
    mean: Tensor = entropy / len(flat[1])
    return mean


def prior_loss(
    prior: SpatialPrior,
    codes: Int64[Tensor, "B n h w"],
    told: Float[Tensor, "B n G h w"],
    kept: Bool[Tensor, " B"],
    frames: Int64[Tensor, " n"],
    inputs: int | None,
) -> Float[Tensor, ""]:
    """Return the cross-entropy of hidden latents, as a mean over these, times a frame's cells.

    Where frames are kept back, windows with and without actions are summed as terms of their own,
    over the frames that were kept back.

    Args:
        prior: which scores them.
        codes: of the latents of n frames.
        told: by the memory, of each.
        kept: whether the actions of a window are told.
        frames: their places in the window.
        inputs: frames that are not kept back; None for all.
    """
    entropies, hidden = prior.entropies(codes.flatten(0, 1), told.flatten(0, 1))
    entropies, hidden = (x.view(codes.shape) for x in (entropies, hidden))
    groups = [torch.ones_like(kept)]
    if inputs is not None:
        hidden = hidden & (frames >= inputs)[:, None, None]
        groups = [kept, ~kept]
    total = entropies.new_zeros(())
    for group in groups:
        counted = (hidden & group[:, None, None, None]).to(entropies.dtype)
        total = total + (entropies * counted).sum() / counted.sum().clamp(min=1)
    return total * codes.shape[-2:].numel()
