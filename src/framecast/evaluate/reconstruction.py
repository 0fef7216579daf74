"""What a tokeniser keeps of frames: how like them their reconstructions are."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.fetch import fetched
from framecast.base.progress import track
from framecast.base.whole import PathLike
from framecast.evaluate.runs import own_test
from framecast.frames.frames import Frames
from framecast.metrics.images import WANG, psnr, ssim
from framecast.metrics.lpips import SMALLEST, Lpips
from framecast.models import Tokeniser
from framecast.models.codebook import perplexity
from framecast.readers.selection import Selection
from framecast.runs.checkpoint import Saved, load_saved
from framecast.runs.contents import source_of
from framecast.runs.device import choose_device

AT_ONCE = 16
"""Frames that are reconstructed together."""
SHOWN = 8
"""Frames that are shown."""


@dataclass(frozen=True)
class Reconstructed:
    """How like frames their reconstructions are, as means over frames.

    Attributes:
        frames: that were reconstructed.
        psnr: peak signal-to-noise ratio in dB.
        ssim: structural similarity; None for frames that are too small.
        lpips: perceptual distance; None without its weights, or for frames that are too small.
        codes: that there are.
        codes_used: that stand for some cell.
        perplexity: of how often each was used: from 1, one alone, to all, alike.
        fingerprint: of the tokeniser.
    """

    frames: int
    psnr: float
    ssim: float | None
    lpips: float | None
    codes: int
    codes_used: int
    perplexity: float
    fingerprint: str

    def to_dict(self) -> dict[str, float | int | str | None]:
        """Return plain values, as JSON has them."""
        return asdict(self)


def load_tokeniser(run: PathLike) -> tuple[Saved, Tokeniser]:
    """Load a run that is a tokeniser.

    Raises:
        UserError: as `load_saved`, or if it is a model of another kind.
    """
    saved = load_saved(run)
    if not isinstance(saved.model, Tokeniser):
        raise UserError(
            f"{run} is a {saved.model.kind}, and no tokeniser, as framecast train makes one where "
            "tokeniser.quantiser is set"
        )
    return saved, saved.model


def reconstruct(
    run: PathLike,
    data: str | Path | None = None,
    frames: int = 1000,
    lpips_weights: PathLike | None = None,
    device: str = "auto",
) -> tuple[Reconstructed, UInt8[np.ndarray, "H W C"]]:
    """Measure the reconstructions of frames that are spread evenly over all.

    Args:
        run: of a tokeniser.
        data: other frames of the kind that it was trained on; None for the test part.
        frames: to be reconstructed, at most.
        lpips_weights: a file; None for those that were fetched, if any.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, mps.

    Returns:
        The numbers; and a picture of some frames with their reconstructions below.

    Raises:
        UserError: if the run is no tokeniser, or the frames cannot be read or are others.
    """
    saved, tokeniser = load_tokeniser(run)
    source, chosen = source_of(run), choose_device(device)
    selection = Selection.of(saved.frames)
    seen = own_test(source, run) if data is None else source.read(data, selection)
    _check(seen, saved)
    weights = lpips_weights or fetched("lpips")
    large = min(seen.grid) >= SMALLEST
    network = Lpips.load(weights).to(chosen) if weights is not None and large else None
    tokeniser.to(chosen)
    places = _places(seen, frames)
    chosen_to_show = set(_spread(places, SHOWN))
    sums: dict[str, list[Tensor]] = {"psnr": [], "ssim": [], "lpips": []}
    counts, shown = torch.zeros(tokeniser.codes, dtype=torch.float64), []
    parts = [places[start : start + AT_ONCE] for start in range(0, len(places), AT_ONCE)]
    for part in track(parts, "reconstruct", len(parts)):
        values = torch.cat([seen.values[n, t : t + 1] for n, t in part])
        truth = saved.scaling.normalise(values).to(chosen)
        with torch.no_grad():
            made, quantised = tokeniser(truth)
        counts += torch.bincount(quantised.codes.flatten().cpu(), minlength=tokeniser.codes)
        made, truth = ((x.clamp(-1, 1) + 1) / 2 for x in (made, truth))
        sums["psnr"].append(psnr(made, truth))
        if min(seen.grid) >= WANG.side:
            sums["ssim"].append(ssim(made, truth))
        if network is not None:
            sums["lpips"].append(network(made, truth))
        kept = [place for place, one in enumerate(part) if one in chosen_to_show]
        shown.append(torch.stack([truth[kept], made[kept]]).cpu())
    means = {k: float(torch.cat(v).mean()) if v else None for k, v in sums.items()}
    result = Reconstructed(
        frames=len(places),
        psnr=means["psnr"] or 0.0,
        ssim=means["ssim"],
        lpips=means["lpips"],
        codes=tokeniser.codes,
        codes_used=int((counts > 0).sum()),
        perplexity=perplexity(counts),
        fingerprint=tokeniser.fingerprint(),
    )
    return result, _picture(torch.cat(shown, dim=1))


def _check(frames: Frames, saved: Saved) -> None:
    spec = saved.frames
    if frames.names != spec.names or frames.grid != spec.grid:
        theirs, ours = (
            f"{', '.join(names)} on {grid[0]}×{grid[1]}"
            for names, grid in ((frames.names, frames.grid), (spec.names, spec.grid))
        )
        raise UserError(f"{frames.source} has {theirs}, but the tokeniser reads {ours}")
    saved.check_units(frames)


def _places(frames: Frames, most: int) -> list[tuple[int, int]]:
    """Sequence and place of frames that are spread evenly over all, in order."""
    if most < 1:
        raise UserError(f"{most} frames: at least 1 is needed")
    return _spread([(n, t) for n, length in enumerate(frames.lengths) for t in range(length)], most)


def _spread(places: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    chosen = np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int)
    return [places[number] for number in chosen]


def _picture(pairs: Float[Tensor, "2 N C H W"]) -> UInt8[np.ndarray, "_H _W _C"]:
    """Frames side by side, with their reconstructions below."""
    rows = [torch.cat(list(row), dim=-1) for row in pairs]
    picture = torch.cat(rows, dim=-2).movedim(0, -1)
    return (picture * 255).round().to(torch.uint8).numpy()
