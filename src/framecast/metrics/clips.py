"""Features of short clips of video, from a network that is loaded from a TorchScript file."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS
from framecast.base.whole import PathLike

FvdClips = Literal["forecast", "whole"]
"""Clips of FVD: stretches of the forecast, or whole windows with the frames that were given."""
CLIP = 16
"""Frames of a stretch; fewer where the forecast is shorter."""
SHORTEST = 9
"""Least frames of a clip that I3D can read: two are left after it has halved time three times."""
I3D = DOWNLOADS["i3d"].files[0]
"""I3D trained on Kinetics-400, 400 features: the file by which FVD is commonly reported."""
_AT_ONCE = 64
"""Frames that go through the network together, or one clip; bounds memory."""


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """Turns clips into features, by I3D or another network that is called as it is.

    Attributes:
        network: maps clips [N,3,T,H,W] in [0, 255] to features [N,F]; called with the keywords
            rescale, resize and return_features, all true: it brings values and size to what
            it was trained on and returns what comes before its probabilities.
        source: the file, for messages.
    """

    network: torch.jit.ScriptModule
    source: str

    @classmethod
    def load(cls, path: PathLike, sha256: str | None = None) -> "ClipFeatures":
        """Read a TorchScript file, whose code is run from then on.

        Args:
            path: of the file.
            sha256: the checksum of a file that is trusted; None to trust the known I3D alone.

        Raises:
            UserError: if the file has another checksum (it is then not loaded), or it is no
                TorchScript.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        found, known = hashlib.sha256(content).hexdigest(), I3D.checksum.removeprefix("sha256:")
        if sha256 is None and found != known:
            raise UserError(
                f"{path} is not the I3D network that is known here (SHA-256 {known[:12]}...), "
                "and was not loaded, since TorchScript runs code. If you trust this file, say so "
                f"with --fvd-sha256 {found}"
            )
        if sha256 is not None and found != sha256.lower():
            raise UserError(
                f"{path} has SHA-256 {found}, not {sha256}: it is another file, or damaged, and "
                "was not loaded"
            )
        try:
            with warnings.catch_warnings():
                # torch.jit is deprecated, but TorchScript is how the network is published.
                warnings.simplefilter("ignore", DeprecationWarning)
                network = torch.jit.load(  # type: ignore[no-untyped-call]
                    io.BytesIO(content), map_location="cpu"
                )
        except RuntimeError as error:
            raise UserError(f"{path} is no TorchScript file: {error}") from error
        return cls(network.eval(), str(path))

    def __call__(self, clips: Float[Tensor, "N T C H W"]) -> Float[Tensor, "N F"]:
        """Return the features of clips with values in [0, 1], of 3 channels, or 1 for grey.

        Raises:
            UserError: if the network cannot be called as I3D is, or gives no features.
        """
        colour = (255 * clips.float()).expand(-1, -1, 3, -1, -1).transpose(1, 2)
        try:
            features = [
                self.network(part, rescale=True, resize=True, return_features=True)
                for part in torch.split(colour, max(1, _AT_ONCE // clips.shape[1]))
            ]
        except (RuntimeError, torch.jit.Error) as error:
            raise UserError(
                f"{self.source} cannot be called as I3D is, with {list(colour.shape)}: {error}"
            ) from error
        result = torch.cat(features)
        if result.shape[:-1] != clips.shape[:1]:
            raise UserError(
                f"{self.source} gives {list(result.shape)} for {len(clips)} clips: one row of "
                "features for each is needed"
            )
        return result
