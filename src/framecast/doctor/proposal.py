"""A configuration that learns from the data at once, and the reason for each of its keys."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from framecast.base.config import load_config
from framecast.doctor.findings import Findings
from framecast.doctor.windows import Division, as_set, divide
from framecast.frames.channels import is_picture
from framecast.frames.frames import Frames
from framecast.frames.lazy import HELD
from framecast.frames.places import AXES, area_weights, find_axis, has_areas
from framecast.readers.decoding import find_videos
from framecast.readers.open import files_of
from framecast.runs.experiment import Experiment

LARGEST_SIDE = 128
"""Points beyond which video is made smaller."""
STEPS = 2000
"""Steps of the optimiser that a run aims at, where no time is given."""
MOST_EPOCHS, FEWEST_EPOCHS = 100, 5
STEPS_OF_EPOCH = 20
"""Steps that an epoch should have at least, so that it is worth a validation."""
ALIKE = 0.8
"""Correlation of successive frames from which on the change is predicted, not the frame."""
SUNLIGHT = {
    *("toa_incoming_shortwave_flux", "toa_incident_solar_radiation", "tisr"),
    *("solar_zenith_angle", "solar_elevation_angle", "solar_azimuth_angle"),
}
"""Standard names, and names in files of ERA5, of what follows from date and place."""
FEW_FRAMES = 4
"""Frames of a file, on average, up to which opening it takes longer than reading them."""
UNEQUAL = 1.1
"""Largest area of a cell over the smallest, from which on the loss is weighed by area."""


class Choice(NamedTuple):
    """A value of a key, and why."""

    value: Any
    why: str


@dataclass(frozen=True)
class Proposal:
    """A configuration in the making.

    Attributes:
        choices: values of keys by their dotted names, in order, each with its reason.
        given: texts of the keys that the user set, which count before all choices.
        notes: what a reader should know beside.
    """

    choices: Mapping[str, Choice]
    given: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def experiment(self) -> Experiment:
        """Build the configuration.

        Raises:
            UserError: if what the user gave does not fit.
        """
        texts = {key: _as_text(choice.value) for key, choice in self.choices.items()}
        return load_config(Experiment, None, {**texts, **self.given})

    def with_choices(self, choices: Mapping[str, Choice]) -> "Proposal":
        """Return the proposal with other values of some keys, those that the user set left out."""
        free = {key: choice for key, choice in choices.items() if key not in self.given}
        return Proposal({**self.choices, **free}, self.given, self.notes)


def propose(findings: Findings, given: Mapping[str, str]) -> Proposal:
    """Propose how to learn from data.

    Args:
        findings: what is known of them.
        given: texts of the keys that the user set, by their dotted names.

    Raises:
        UserError: if no window fits into them.
    """
    division = divide(findings, given)
    choices = dict(_data(findings, division))
    choices |= dict(_roles(findings))
    choices |= dict(_bounds(findings, choices))
    choices |= dict(_model(findings, given))
    choices |= dict(_training(findings, division, given))
    notes = (*division.notes, *_notes(findings))
    free = {key: choice for key, choice in choices.items() if key not in given}
    return Proposal(free, given, notes)


def _data(findings: Findings, division: Division) -> Iterator[tuple[str, Choice]]:
    data, frames = findings.data, findings.frames
    yield "data.path", Choice(data.path, findings.kind)
    if data.source != "files":
        yield "data.source", Choice(data.source, "what reads such a folder")
    large = is_picture(frames.channels) and max(frames.grid) > LARGEST_SIDE
    if large and _are_videos(findings):
        smaller = [max(8, round(side * LARGEST_SIDE / max(frames.grid))) for side in frames.grid]
        yield "data.source", Choice("videos", "what resizes video")
        yield "data.options.size", Choice(smaller, "[rows, columns]: large pictures take long")
    elif files := _many_small_files(findings):
        why = f"{files} files of a few frames: to open one takes longer than to read it"
        yield "data.cache", Choice(True, why)
    if _have_range(findings):
        yield "data.normalise", Choice("unit", "pictures have a range, which becomes [0, 1]")
    if not findings.divided:
        why = f"{division.counts}"
        yield "data.validation_fraction", Choice(division.validation, why)
        yield "data.test_fraction", Choice(division.test, "the last, never learned from")
    if division.crops is not None:
        why = "windows from each stretch in an epoch, at places that are drawn anew"
        yield "data.crops_per_sequence", Choice(division.crops, why)


def _are_videos(findings: Findings) -> bool:
    """Whether the source of videos can read what was found."""
    data = findings.data
    if data.source != "files" or not isinstance(data.path, str):
        return data.source == "videos"
    return bool(find_videos(Path(data.path)))


def _have_range(findings: Findings) -> bool:
    """Whether the frames are pictures that say between which values they lie."""
    channels = findings.frames.channels
    return is_picture(channels) and all(channel.valid_range for channel in channels)


def _many_small_files(findings: Findings) -> int:
    """How many files hold few frames each, where they are read in each epoch anew; else 0."""
    frames, path = findings.frames, findings.data.path
    held = 4 * math.prod(frames.values.shape) <= HELD
    if held or path is None or findings.data.source != "files":
        return 0
    files = len(files_of(path))
    return files if files > 1 and sum(frames.lengths) <= FEW_FRAMES * files else 0


def _roles(findings: Findings) -> Iterator[tuple[str, Choice]]:
    """Part what changes from what is known beforehand, and derive what dates and places tell."""
    sunlight = _sunlight(findings)
    derives = bool(sunlight) and _is_placed(findings) and findings.days is not None
    yield from _variables(findings, sunlight)
    yield from _static(findings)
    forcings = list(_known_ahead(findings)) + (["insolation"] if derives else sunlight)
    if forcings:
        why = "known ahead of time, from the dates"
        if derives:
            why += f"; insolation stands for {', '.join(sunlight)} and needs no file"
        yield "data.forcings", Choice(forcings, why if not sunlight or derives else "sunlight")


def _variables(findings: Findings, sunlight: Sequence[str]) -> Iterator[tuple[str, Choice]]:
    """What is predicted, where not all of it is: without what never changes, and sunlight."""
    if findings.data.variables is not None:
        return
    free = {c.name for c in findings.frames.channels if c.role == "prognostic"}
    channels = [c for c in findings.channels if c.name in free]
    still = [c.name for c in channels if c.constant or c.uniform]
    moving = [c.name for c in channels if c.name not in (*still, *sunlight)]
    if moving and len(moving) < len(channels):
        changes = "changes" if len(still) == 1 else "change"
        why = [f"{', '.join(still)} never {changes} in time"] if still else []
        why += [f"{', '.join(sunlight)} follows from the date"] if sunlight else []
        yield "data.variables", Choice(moving, "; ".join(why))


def _bounds(findings: Findings, choices: Mapping[str, Choice]) -> Iterator[tuple[str, Choice]]:
    """Hold amounts such as rain at 0 or above; the range of pictures holds them already."""
    if _have_range(findings):
        return
    chosen = choices.get("data.variables")
    predicted = {c.name for c in findings.frames.channels if c.role != "forcing"}
    predicted &= set(predicted if chosen is None else chosen.value)
    names = [c.name for c in findings.channels if c.starts_at_zero and c.name in predicted]
    if names:
        bounds = {name: [0.0, None] for name in names}
        yield "data.bounds", Choice(bounds, f"{', '.join(names)} is never below 0")


def _static(findings: Findings) -> Iterator[tuple[str, Choice]]:
    placed = ["latitude", "longitude"] if _is_placed(findings) else []
    fields = [*placed, *findings.static]
    if fields:
        why = ["weather depends on where it is"] if placed else []
        why += [f"{', '.join(findings.static)} is the same at all times"] if findings.static else []
        yield "data.static", Choice(fields, "; ".join(why))


def _known_ahead(findings: Findings) -> Iterator[str]:
    """The forcings that follow from the dates."""
    step = findings.frames.step
    if not _is_placed(findings) or findings.frames.times.dtype.kind not in "MO":
        return
    if step is not None and step.seconds is not None and step.seconds < 86400:
        yield "time_of_day"
    if (findings.days or 0) > 60:
        yield "time_of_year"


def _is_placed(findings: Findings) -> bool:
    """Whether each point has a latitude and a longitude."""
    frames = findings.frames
    return all(find_axis(frames, axis) is not None for axis in AXES)


def _sunlight(findings: Findings) -> list[str]:
    """The channels of the sun's place, or its light above the atmosphere, if there are others."""
    channels = findings.frames.channels
    found = [c.name for c in channels if {c.name, c.attributes.get("standard_name")} & SUNLIGHT]
    chosen = findings.data.variables is not None
    return [] if chosen or len(found) == len(channels) else found


def _model(findings: Findings, given: Mapping[str, str]) -> Iterator[tuple[str, Choice]]:
    yield "model.layer", Choice("min_conv_gru", "learns a window in parallel over time: fast")
    yield "model.depth", Choice(4, "layers")
    yield "model.hidden", Choice(48, "channels of a layer")
    yield "model.padding", Choice(findings.grid.padding, f"{findings.grid.name} grid")
    if {"model.output", "model.predicts"} & given.keys():
        return  # of which not every one goes with the other
    correlations = [c.correlation for c in findings.channels if not math.isnan(c.correlation)]
    if _have_range(findings):
        yield "model.output", Choice("sigmoid", "pictures stay within their range")
    elif correlations and min(correlations) > ALIKE:
        why = f"successive frames resemble each other (correlation {min(correlations):.2f})"
        yield "model.predicts", Choice("change", why)


def _training(
    findings: Findings, division: Division, given: Mapping[str, str]
) -> Iterator[tuple[str, Choice]]:
    yield "training.context", Choice(division.context, "frames that are given")
    yield "training.horizon", Choice(division.horizon, "frames that are forecast")
    windows = min(division.windows, as_set(given, "data.windows_per_epoch", division.windows))
    batch = max(1, min(8, windows // STEPS_OF_EPOCH))
    batch = as_set(given, "training.batch_size", batch)
    yield "training.batch_size", Choice(batch, f"of {windows} windows in an epoch")
    steps = max(1, math.ceil(windows / (batch * as_set(given, "training.accumulate", 1))))
    epochs = max(FEWEST_EPOCHS, min(MOST_EPOCHS, math.ceil(STEPS / steps)))
    yield "training.epochs", Choice(epochs, f"of {steps} steps")
    yield "training.warmup_steps", warm_up(as_set(given, "training.epochs", epochs) * steps)
    yield "training.optimiser", Choice("adamw", "with a weight decay of its own")
    yield "training.learning_rate", Choice(1e-3, "falls with a cosine to 0")
    yield "training.weight_decay", Choice(1e-4, "keeps weights small")
    yield "training.gradient_clip", Choice(1.0, "no single window throws the weights off")
    yield "training.noise", Choice(0.01, "the forecast bears its own errors better")
    if _areas_differ(findings.frames):
        yield "training.area_weights", Choice(True, "cells near the poles are small")


def warm_up(steps: int) -> Choice:
    """For how many of all steps the learning rate rises."""
    return Choice(min(50, steps // 20), "a twentieth of all steps, 50 at most")


def _areas_differ(frames: Frames) -> bool:
    if not has_areas(frames):
        return False
    weights = area_weights(frames)
    return float(weights.max()) > UNEQUAL * float(weights.min())


def _notes(findings: Findings) -> Iterator[str]:
    for channel in findings.channels:
        if channel.sentinel is not None:
            value, share = channel.sentinel
            yield (
                f"{channel.name}: {value:g} ({100 * share:.2g} % of the values) lies far from all "
                f"others: if it stands for a missing value, add --data.missing '[{value:g}]'"
            )


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")
