"""What scores are compared with, and networks that judge, for the tests of metrics."""

import hashlib
import math
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from framecast import load_checkpoint

WIDTHS = (64, 192, 384, 256, 256)
PUBLISHED_SHAPES = {
    "features.0.weight": (64, 3, 11, 11),
    "features.3.weight": (192, 64, 5, 5),
    "features.6.weight": (384, 192, 3, 3),
    "features.8.weight": (256, 384, 3, 3),
    "features.10.weight": (256, 256, 3, 3),
    **{f"features.{n}.bias": (w,) for n, w in zip((0, 3, 6, 8, 10), WIDTHS, strict=True)},
    **{f"lin{n}.weight": (1, w, 1, 1) for n, w in enumerate(WIDTHS)},
}


def walk(*shape, seed=0):
    """Frames that wander: [N,T,C,H,W]."""
    random = np.random.default_rng(seed)
    return 280 + random.normal(size=shape).cumsum(axis=1).astype(np.float32)


def plain_scores(run, windows, context):
    """Errors [B,L-1,C,H,W] with the network run afresh on all frames before each prediction."""
    loaded = load_checkpoint(run)
    mean, std = (
        s.numpy()[:, None, None] for s in (loaded.statistics.offset, loaded.statistics.scale)
    )
    errors = []
    for window in windows:
        seen, predicted = [], []
        for n in range(len(window) - 1):
            frame = window[n] if n < context else predicted[-1]
            seen.append((frame - mean) / std)
            with torch.no_grad():
                out, _ = loaded.model(torch.from_numpy(np.stack(seen)[None]))
            predicted.append(out[0, -1].numpy() * std + mean)
        errors.append(np.stack(predicted) - window[1:])
    return np.stack(errors).astype(np.float64)


class Statistics(nn.Module):
    """Mean of each colour, of each half of the time, of what it was given."""

    def forward(self, clips: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        if clips.dim() != 5 or clips.size(1) != 3 or clips.size(2) < 9:
            raise RuntimeError("clips must be [N,3,T,H,W]")
        if rescale:
            clips = 2 * clips / 255 - 1
        if not resize or not return_features:
            raise RuntimeError("not as I3D is called")
        half = clips.size(2) // 2
        means = [clips[:, :, :half].mean((2, 3, 4)), clips[:, :, half:].mean((2, 3, 4))]
        return torch.cat(means, 1)


def scripted(path, network=None):
    """Write a network as TorchScript; return the path and its checksum."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network or Statistics()).save(path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def random_weights():
    """Weights that keep the size of features from layer to layer; heads are not negative."""
    random = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in PUBLISHED_SHAPES.items():
        values = torch.randn(shape, generator=random)
        if name.startswith("lin"):
            weights[name] = values.abs()
        else:
            weights[name] = values * math.sqrt(2 / max(1, math.prod(shape[1:])))
    return weights
