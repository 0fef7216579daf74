"""A classifier of what recurrent layers make of frames: which class a whole sequence is of.

Source: Conv-TT-LSTM (Su et al. 2020), appendix B.2, for early activity recognition, where the main
text says otherwise (two 2-D convolutions and one linear layer).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from framecast.base.config import check_options
from framecast.models.codecs.strided import start_xavier


@dataclass(frozen=True)
class ClassifierOptions:
    """Settings of the classifier; the defaults are those of the published network.

    Attributes:
        frames: F, whose features are read together: the last ones; at least 1.
        channels: of the convolutions, at least 1.
        hidden: units of the hidden layer of the perceptron, at least 1.

    Raises:
        ValueError: if one of them is not positive.
    """

    frames: int = 16
    channels: int = 128
    hidden: int = 512

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")


def make_options(given: Mapping[str, Any]) -> ClassifierOptions:
    """Check settings and build them.

    Raises:
        ValueError: for a name that is none, or a value out of its range.
    """
    return ClassifierOptions(**check_options(ClassifierOptions, given))


class Classifier(nn.Sequential):
    """Two strided 3-D convolutions, each followed by a pooling, and a perceptron of two layers.

    Each convolution, 3×3×3 with stride 2, is followed by max(·, 0) and a pooling of maxima. The
    first pooling halves space and time, the second time alone: the paper's 56×56 become 28×28,
    14×14, and 7×7, and 16 frames become one. The perceptron reads all cells, so that the classifier
    is for one grid. Weights start Xavier-normal, biases at zero. All of it is computed in the type
    of the weights, under autocast too.

    Args:
        in_channels: channels C of the features.
        classes: K.
        grid: (h, w) of the features.
        options: of what size it is.
    """

    def __init__(
        self, in_channels: int, classes: int, grid: tuple[int, int], options: ClassifierOptions
    ) -> None:
        super().__init__()
        self.frames, width = options.frames, options.channels
        for channels, pool in ((in_channels, (2, 2, 2)), (width, (2, 1, 1))):
            conv = start_xavier(nn.Conv3d(channels, width, 3, stride=2, padding=1))
            self.extend([conv, nn.ReLU(), nn.MaxPool3d(pool, ceil_mode=True)])
        cells = width
        for size, divisions in ((options.frames, 4), (grid[0], 3), (grid[1], 3)):
            cells *= -(-size // 2**divisions)
        hidden = start_xavier(nn.Linear(cells, options.hidden))
        scores = start_xavier(nn.Linear(options.hidden, classes))
        self.extend([nn.Flatten(), hidden, nn.ReLU(), scores])

    def forward(self, features: Float[Tensor, "B F C h w"]) -> Float[Tensor, "B K"]:
        """Return the scores of the classes, whose softmax are their probabilities.

        Args:
            features: of F frames that follow one another; of fewer, the first are repeated.
        """
        scores = self.filled(features).transpose(1, 2).to(next(self.parameters()).dtype)
        # In bfloat16, oneDNN leaves gradients unset of weights that meet nothing but padding.
        with torch.autocast(features.device.type, enabled=False):
            for module in self:
                scores = module(scores)
        return scores

    def filled(self, features: Float[Tensor, "B T C h w"]) -> Float[Tensor, "B F C h w"]:
        """Return the last F features, the first of which is repeated where there are fewer."""
        missing = self.frames - features.shape[1]
        if missing <= 0:
            return features[:, -self.frames :]
        return torch.cat([features[:, :1].expand(-1, missing, -1, -1, -1), features], dim=1)
