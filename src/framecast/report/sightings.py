"""Sequences with what models make of them, as a picture: frames, class and confidence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from framecast.evaluate import Evaluation
from framecast.evaluate.sightings import Glance, Sighting
from framecast.frames.channels import in_colours
from framecast.report.recognition import named_models
from framecast.report.words import chosen

COLUMNS = 7
"""Shares that are shown at most."""
RIGHT, WRONG = "#009E73", "#D55E00"
CELL = 1.25
"""Inches."""


def draw_sightings(evaluation: Evaluation) -> Figure:
    """Draw sequences at some shares: what was seen, what followed, and what models made of it.

    Rows of a sequence: the last frame that was seen; the one that followed at a lead time; and, of
    each model by its first run, that frame as it was predicted, with the most probable class and
    its probability above.
    """
    sightings, names = evaluation.sightings, [m.label for m in named_models(evaluation)]
    rows, places = 2 + len(names), chosen(len(sightings[0].shares), COLUMNS)
    height = 0.35 + rows * (CELL + 0.2)
    size = (1.3 + len(places) * (CELL + 0.15), len(sightings) * height)
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(len(sightings), 1, squeeze=False)[:, 0]
    for part, sighting in zip(parts, sightings, strict=True):
        _draw(part, sighting, names, places.tolist())
    return figure


def _draw(
    figure: SubFigure, sighting: Sighting, names: Sequence[str], places: Sequence[int]
) -> None:
    axes = figure.subplots(2 + len(names), len(places), squeeze=False)
    which = "/".join(sighting.names)
    figure.suptitle(f"{which}: {sighting.title}, {sighting.classes[sighting.label]}", fontsize=9)
    ahead = f"{sighting.lead} frame{'s' if sighting.lead > 1 else ''} later"
    look = _look(sighting)
    for column, place in enumerate(places):
        _show(axes[0, column], sighting.seen[place], look)
        axes[0, column].set_title(f"{sighting.shares[place]:.0%} seen", fontsize=7)
        _show(axes[1, column], sighting.truth[place], look)
        for row, glance in enumerate(sighting.glances, start=2):
            _show(axes[row, column], glance.predicted[place], look)
            _name(axes[row, column], sighting, glance, place)
    for row, label in enumerate(["last seen", ahead, *(f"{name}:\n{ahead}" for name in names)]):
        axes[row, 0].set_ylabel(label, fontsize=7)


def _name(axes: Axes, sighting: Sighting, glance: Glance, place: int) -> None:
    """Write the most probable class and its probability above a picture."""
    probability, number = glance.probabilities[place].max(0)
    colour = RIGHT if int(number) == sighting.label else WRONG
    text = f"{sighting.classes[int(number)]} {float(probability):.0%}"
    axes.set_title(text, fontsize=6, color=colour)


def _look(sighting: Sighting) -> dict[str, Any]:
    """How the first channel becomes a picture; colours are shown as they are."""
    if in_colours(sighting.channels):
        return {}
    declared = sighting.channels[0].valid_range
    if declared is not None:
        return {"cmap": "gray", "vmin": declared[0], "vmax": declared[1]}
    values = sighting.seen[:, 0]
    return {"vmin": float(np.nanmin(values)), "vmax": float(np.nanmax(values))}


def _show(axes: Axes, frame: Tensor, look: dict[str, Any]) -> None:
    """Show a frame; nothing but its border where it is not known."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.4, color="0.6")
    if frame.isnan().all():
        axes.set_box_aspect(frame.shape[-2] / frame.shape[-1])
        return
    picture = frame[0] if look else (frame / 255).clamp(0, 1).movedim(0, -1)
    axes.imshow(picture.numpy(), **look)
