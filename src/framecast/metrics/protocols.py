"""Protocols: the metrics of a paper or a benchmark, and how they are reduced there."""

from dataclasses import dataclass
from typing import Literal

from framecast.metrics.clips import FvdClips

ProtocolName = Literal["openstl", "conv_tt_lstm", "conv_ssm", "min_conv_rnn", "weatherbench"]


@dataclass(frozen=True)
class Protocol:
    """What a benchmark measures.

    Attributes:
        metrics: that it takes.
        weights: of the cells: area, or none.
        reductions: what is summed and averaged over what, for reports.
        by_input: whether it takes numbers over all predictions that follow from true frames, and
            over all that follow from the network's own.
        clips: of FVD (see `clips.FvdClips`).
    """

    metrics: tuple[str, ...]
    weights: Literal["area", "none"]
    reductions: str
    by_input: bool = False
    clips: FvdClips = "forecast"


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "openstl": Protocol(
        ("mse_openstl", "mae_openstl", "ssim_openstl", "psnr"),
        "none",
        "MSE and MAE are sums over the pixels and channels of a frame in [0, 1], not clipped, and "
        "means over frames; SSIM (windows of 7×7, range 2) and PSNR (dB) are means over frames "
        "that are clipped to [0, 1]",
    ),
    "conv_tt_lstm": Protocol(
        ("image_mse", "psnr", "ssim", "lpips"),
        "none",
        "each is a number of a frame that is clipped to [0, 1], and a mean over frames; the MSE is "
        "a mean over pixels, which the paper prints in thousandths; LPIPS is on AlexNet",
    ),
    "conv_ssm": Protocol(
        ("psnr", "ssim", "lpips", "fvd"),
        "none",
        "PSNR, SSIM and LPIPS (AlexNet) are means over forecast frames that are clipped to [0, 1]; "
        "FVD is between whole videos, with the given frames (I3D)",
        clips="whole",
    ),
    "min_conv_rnn": Protocol(
        ("rmse",),
        "none",
        "all cells count alike; the RMSE of a step is the root of the mean over windows and cells; "
        "TF is that over all predictions that follow from true frames, the last of which is lead "
        "1, and CL that over all that follow from the network's own",
        by_input=True,
    ),
    "weatherbench": Protocol(
        ("rmse", "mae", "bias", "acc"),
        "area",
        "cells count by the cosine of latitude; the RMSE is the root of the mean over windows and "
        "cells, and the ACC is of sums over windows and cells, not centred",
    ),
}
