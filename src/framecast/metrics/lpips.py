"""LPIPS: the distance of two images in the features of a network that classifies images."""

from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError

import torch
from jaxtyping import Float, Float64
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS
from framecast.base.whole import PathLike

Taps = list[Float[Tensor, "N _C _H _W"]]
"""What the network sees in N images, at each of five depths."""

SMALLEST = 31
"""Least height and width of an image; below, the last features of the network are empty."""
_WIDTHS = (64, 192, 384, 256, 256)
_EPSILON = 1e-10
_BATCH = 64
"""Images that go through the network together; bounds memory."""


class Lpips(nn.Module):
    """Learned perceptual image patch similarity, version 0.1, on AlexNet.

    Both images go through the convolutions of AlexNet. At each of its five rectified outputs,
    features are scaled to length 1 over channels; their squared differences, weighted by
    channel and averaged over pixels, are added up. At least 0 with the published weights, which
    are not negative; 0 for equal images. Source: Zhang et al., The Unreasonable Effectiveness of
    Deep Features as a Perceptual Metric, 2018, Eq. 1.

    The names of the parameters are those under which the weights are published:
    features.0, 3, 6, 8, 10 (weight and bias) and lin0 to lin4 (weight).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, _WIDTHS[0], 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(_WIDTHS[0], _WIDTHS[1], 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        for inputs, outputs in pairwise(_WIDTHS[1:]):
            self.features.extend([nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()])
        for place, width in enumerate(_WIDTHS):
            self.add_module(f"lin{place}", nn.Conv2d(width, 1, 1, bias=False))
        for name, values in {"shift": _SHIFT, "scale": _SCALE}.items():
            constant = torch.tensor(values)[:, None, None]
            self.register_buffer(name, constant, persistent=False)

    @classmethod
    def load(cls, path: PathLike) -> "Lpips":
        """Read the weights.

        Args:
            path: a safetensors file, or the folder into which `framecast fetch lpips` put the
                published files.

        Raises:
            UserError: if a file is missing, cannot be read, or holds other weights.
        """
        try:
            weights = _read_published(Path(path)) if Path(path).is_dir() else load_file(path)
        except (OSError, SafetensorError, UnpicklingError, RuntimeError) as error:
            raise UserError(f"{path} holds no weights that can be read: {error}") from error
        network = cls()
        for name, expected in network.state_dict().items():
            found = list(weights[name].shape) if name in weights else "missing"
            if found != list(expected.shape):
                raise UserError(
                    f"{path}: {name} is {found}, but the LPIPS weights on AlexNet have "
                    f"{list(expected.shape)}: name another file"
                )
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # is faster
        return network.eval().requires_grad_(False)

    def forward(
        self, images: Float[Tensor, "N C H W"], truth: Float[Tensor, "N C H W"]
    ) -> Float64[Tensor, " N"]:
        """Return the distance of each image from the truth.

        Args:
            images: with values in [0, 1]; C is 3, or 1 for grey. H and W are at least 31.
            truth: likewise.
        """
        return self.compare(self.describe(images), self.describe(truth))

    def describe(self, images: Float[Tensor, "N C H W"]) -> Taps:
        """Return the features of images, of length 1 over channels, after each rectifier."""
        parts = [self._describe(part) for part in torch.split(images, _BATCH)]
        return [torch.cat(taps) for taps in zip(*parts, strict=True)]

    def compare(self, images: Taps, truth: Taps) -> Float64[Tensor, " N"]:
        """Return the distance of images that `describe` has described."""
        total = torch.zeros(len(truth[0]), dtype=torch.float64, device=truth[0].device)
        for place, (ours, theirs) in enumerate(zip(images, truth, strict=True)):
            weights = self.get_parameter(f"lin{place}.weight")
            squares = (ours - theirs).square().mean((2, 3), dtype=torch.float64)
            total += squares @ weights.double().flatten()
        return total

    def _describe(self, images: Tensor) -> list[Tensor]:
        values = (2 * images.float() - 1 - self.shift) / self.scale
        taps = []
        for layer in self.features:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                taps.append(values / (values.norm(dim=1, keepdim=True) + _EPSILON))
        return taps


def _read_published(folder: Path) -> dict[str, Tensor]:
    """Read AlexNet and the heads as they are published; tensors alone, no code is run."""
    weights: dict[str, Tensor] = {}
    for file in DOWNLOADS["lpips"].files:
        weights |= torch.load(folder / file.name, map_location="cpu", weights_only=True)
    return {name.replace(".model.1.", "."): values for name, values in weights.items()}


_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Mean and spread of the three colours, of images in [-1, 1], as the network was trained."""
