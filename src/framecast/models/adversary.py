"""A network that tells frames from their reconstructions, and how much it counts.

Sources: Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, 2017
(patches); Esser et al., Taming Transformers, 2021 (the adaptive weight, Eq. 7).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SLOPE = 0.2
"""Of a rectifier below 0."""
LARGEST = 1e4
"""Most that the adaptive weight may be."""
SMALLEST = 32
"""Least height and width of a frame: below, nothing is left of it after the halvings."""


class PatchDiscriminator(nn.Sequential):
    """Says of each patch of a frame how real it looks: 4×4 convolutions, three of which halve.

    Args:
        in_channels: channels of the frames.
        width: channels of the first convolution; they double, up to eight times as many.
    """

    def __init__(self, in_channels: int, width: int = 64) -> None:
        widths = [width * factor for factor in (1, 2, 4, 8)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for place, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if place < 2 else 1
            layers += [
                nn.Conv2d(before, after, 4, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(SLOPE),
            ]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)


def hinge(real: Float[Tensor, "B 1 h w"], made: Float[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """Return the loss of a discriminator: ½·(mean max(0, 1 − real) + mean max(0, 1 + made))."""
    return (F.relu(1 - real).mean() + F.relu(1 + made).mean()) / 2


def adaptive_weight(
    reconstruction: Float[Tensor, ""], adversarial: Float[Tensor, ""], last: Tensor
) -> Float[Tensor, ""]:
    """Return ‖∇ reconstruction‖ / (‖∇ adversarial‖ + 1e−4), from 0 to 10,000, without a gradient.

    Args:
        reconstruction: the loss of reconstructions.
        adversarial: the loss that the discriminator gives them.
        last: the weight of the decoder's last layer, by which both are differentiated.
    """
    ours, theirs = (
        torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
        for loss in (reconstruction, adversarial)
    )
    weight: Tensor = (ours / (theirs + 1e-4)).clamp(0, LARGEST)
    return weight.detach()
