"""A picture of data: a few frames of each channel."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from framecast.base.errors import UserError
from framecast.base.whole import whole
from framecast.doctor.findings import Findings
from framecast.frames.leads import with_units
from framecast.frames.places import rows_ascend
from framecast.frames.times import readable

MOST_CHANNELS, COLUMNS = 6, 4
SUFFIXES = (".png", ".pdf", ".svg")


def save_picture(findings: Findings, path: Path) -> None:
    """Draw frames from the first to the last, a row for each channel.

    Raises:
        UserError: if the name is not that of a picture, or something stands there already.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"--picture {path}: choose a name that ends in {', '.join(SUFFIXES)}")
    if path.exists():
        raise UserError(f"--picture {path} exists already: choose another name")
    figure = _draw(findings)
    with whole(path) as partial:
        figure.savefig(partial, dpi=120)


def _draw(findings: Findings) -> Figure:
    frames = findings.frames
    places = np.unique(np.linspace(0, frames.lengths[0] - 1, COLUMNS).round().astype(int)).tolist()
    channels = findings.channels[:MOST_CHANNELS]
    size = (2.6 * len(places) + 1.2, 2.2 * len(channels) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(channels), len(places), squeeze=False)
    ascends = rows_ascend(frames)
    for column, place in enumerate(places):
        values = frames.values[0, place : place + 1][0].numpy()
        axes[0, column].set_title(readable(frames.times[place]), fontsize="small")
        for row, channel in enumerate(channels):
            axes[row, column].imshow(
                values[row],
                vmin=channel.low,
                vmax=channel.high,
                aspect="auto",
                origin="lower" if ascends else "upper",
            )
            axes[row, column].set(xticks=[], yticks=[])
            axes[row, column].set_facecolor("0.8")
    for row, channel in enumerate(channels):
        bar = figure.colorbar(axes[row, -1].images[0], ax=axes[row].tolist())
        bar.set_label(with_units(channel.name, channel.units), fontsize="small")
    return figure
