"""Forecasts and the truth on one grid, at the same times, with the same variables and units."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from framecast.base.errors import UserError
from framecast.evaluate.forecast_files import Filed, ForecastFile
from framecast.evaluate.one_grid import fitting, on_grid
from framecast.frames.channels import Coordinate
from framecast.frames.frames import Frames
from framecast.frames.lazy import LazyValues, Values
from framecast.frames.months import later_month, months_of, place_of
from framecast.frames.times import Step, counted, places_at, readable
from framecast.readers.joins import choose_channels


class Aligned(NamedTuple):
    """What can be scored.

    Attributes:
        frames: the truth, a sequence for each start: the frame at the start, then at each lead
            time; NaN where the truth has no frame.
        starts: times of the starts, [S].
        valid: times of the frames, [S,1+K].
        competitors: the forecasts, by their labels.
        has_start: whether the truth has the frame at each start.
        notes: what was left out, in words.
    """

    frames: Frames
    starts: np.ndarray
    valid: np.ndarray
    competitors: dict[str, Filed]
    has_start: list[bool]
    notes: tuple[str, ...]

    def times_of(self, sequence: int, start: int, count: int) -> np.ndarray:
        """Return the valid times of some frames of a sequence."""
        return np.asarray(self.valid[sequence, start : start + count])

    def window(self, sequence: int) -> Frames:
        """Return the truth of a start, in memory, at its valid times."""
        own = self.frames.select(slice(sequence, sequence + 1)).predicted()
        times = self.times_of(sequence, 0, own.length)
        axis = replace(own.coordinates[own.time_dim], values=times)
        return replace(own, coordinates={**own.coordinates, own.time_dim: axis})


@dataclass(frozen=True, eq=False)
class AlignedReader:
    """Reads the truth at the times of forecasts: a `Reader`.

    Attributes:
        truth: values of one sequence.
        places: of the frames in it, [S,1+K]; −1 where there is none.
        source: of the truth.
    """

    truth: Values
    places: Int[np.ndarray, "S L"]
    source: str

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        _, _, c, h, w = self.truth.shape
        return *self.places.shape, c, h, w

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a start."""
        unknown = torch.full((1, *self.shape[2:]), torch.nan)
        return torch.cat([
            unknown if place < 0 else self.truth[0, place : place + 1]
            for place in self.places[sequence, start:stop].tolist()
        ])  # fmt: skip

    def fingerprint(self) -> str:
        """Return what tells it from others."""
        return f"{self.source} {self.places.tolist()}"


def align(files: Sequence[ForecastFile], truth: Frames) -> Aligned:
    """Put forecasts beside the truth.

    All are scored at the starts and lead times that all have, on the grid of the first.

    Raises:
        UserError: if the truth holds several sequences, they have no variable, start or lead time
            in common, or the grids differ.
    """
    if len(truth.values) > 1:
        raise UserError(
            f"{truth.source} holds {len(truth.values)} sequences, and the truth is one: choose "
            "with --data.select"
        )
    names = _names(files, truth)
    truth = choose_channels(on_grid(truth, files[0].frames), names)
    alike = [ForecastFile(f.label, fitting(f.frames, files[0].frames, truth)) for f in files]
    starts, leads = _common(alike)
    _check_kinds(starts, files[0].frames, truth)
    valid = _valid(alike[0], truth.step, starts, leads)
    places = _places(truth, valid, leads)
    kept = np.asarray((places[:, 1:] >= 0).any(1))
    if not kept.any():
        raise UserError(
            f"{truth.source} goes from {readable(truth.times[0])} to {readable(truth.times[-1])}, "
            f"and no forecast is for a time of its frames: they start at {readable(starts[0])} to "
            f"{readable(starts[-1])}"
        )
    competitors = {
        file.label: Filed(file, _among(file.starts, starts[kept]), _among(file.leads, leads))
        for file in alike
    }
    frames = _aligned(truth, places[kept], leads)
    notes = _notes(files, truth, names, starts, places)
    known = (places[kept][:, 0] >= 0).tolist()
    return Aligned(frames, starts[kept], valid[kept], competitors, known, notes)


def _names(files: Sequence[ForecastFile], truth: Frames) -> list[str]:
    common = [
        name
        for name in files[0].frames.names
        if all(name in other.names for other in (truth, *(file.frames for file in files[1:])))
    ]
    if not common:
        raise UserError(
            f"{files[0].frames.source} forecasts {', '.join(files[0].frames.names)}, but "
            f"{truth.source} holds {', '.join(truth.names)}: they have no variable in common. Name "
            "variables alike that are one (xarray: rename)"
        )
    return common


def _common(files: Sequence[ForecastFile]) -> tuple[np.ndarray, np.ndarray]:
    """Starts, and lead times after them, that all files have."""
    starts, leads = files[0].starts, files[0].leads[files[0].ahead]
    for file in files[1:]:
        starts = starts[_is_among(starts, file.starts)]
        leads = leads[_is_among(leads, file.leads)]
    for what, values in (("start", starts), ("lead time", leads)):
        if not len(values):
            listed = " and ".join(file.frames.source for file in files)
            raise UserError(f"{listed} have no {what} in common: score them one by one")
    return starts, leads


def _check_kinds(starts: np.ndarray, forecasts: Frames, truth: Frames) -> None:
    """Refuse times that cannot be compared: dates and numbers, or dates of two calendars."""
    own, true = _kind(starts[0]), _kind(truth.times[0])
    if own == true:
        return
    remedy = "they must be alike; xarray's convert_calendar changes one of them"
    if true == "numbers":
        remedy = "say what they count with --data.time_units, such as 'hours since 2020-01-01'"
    elif own == "numbers":
        remedy = "give them units, such as 'hours since 2020-01-01'"
    raise UserError(
        f"the times of {truth.source} are {true}, and {forecasts.source} starts at {own}: {remedy}"
    )


def _kind(time: Any) -> str:
    """What a time is, in words."""
    if isinstance(time, np.datetime64):
        return "dates"
    if isinstance(time, np.timedelta64 | timedelta):
        return "durations"
    calendar = getattr(time, "calendar", None)
    return "numbers" if calendar is None else f"dates of the calendar {calendar}"


def _is_among(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    known = set(others.tolist())
    return np.array([value in known for value in values.tolist()])


def _among(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Places of values among those that are known."""
    place = {value: number for number, value in enumerate(known.tolist())}
    return np.array([place[value] for value in values.tolist()])


def _valid(
    file: ForecastFile, step: Step | None, starts: np.ndarray, leads: np.ndarray
) -> np.ndarray:
    """Times of the frames at each start and its lead times [S,1+K].

    They are those that the file holds. Else, of months, which are of different lengths, as many
    pass from each start as from the first one.
    """
    months = _months_ahead(file.starts[0], leads, step)
    chosen = _among(file.leads, leads)
    rows = []
    for start in starts:
        ahead = file.times_from(start)[chosen]
        if months is not None and file.held_times(start) is None:
            assert step is not None
            place = step.place or place_of(starts[:1])
            ahead = np.array([later_month(start, int(n), place) for n in months])
        rows.append([start, *ahead])
    return np.array(rows)


def _months_ahead(start: Any, leads: np.ndarray, step: Step | None) -> np.ndarray | None:
    """Return how many months pass up to each lead time; None where it is not whole months."""
    if step is None or not step.months:
        return None
    place = step.place or place_of(np.array([start]))
    times = np.array([start + lead for lead in leads])
    months = months_of(times) - months_of(np.array([start]))
    later = [later_month(start, int(n), place) for n in months]
    return months if all(a == b for a, b in zip(times, later, strict=True)) else None


def _places(truth: Frames, valid: np.ndarray, leads: np.ndarray) -> Int[np.ndarray, "S L"]:
    """Where frames stand in the truth; −1 for nowhere."""
    step = truth.step or Step(difference=leads[0])
    if valid.dtype.kind == "M":
        valid = valid.astype(truth.times.dtype)
    rows = []
    for wanted in valid:
        each = (places_at(truth.times, wanted[n : n + 1], step, truth.tolerance)
                for n in range(len(wanted)))  # fmt: skip
        rows.append([found[0] if found else -1 for found in each])
    return np.array(rows)


def _aligned(truth: Frames, places: np.ndarray, leads: np.ndarray) -> Frames:
    """The truth as a sequence for each start, over lead times from 0 on."""
    reader = AlignedReader(truth.values, places, truth.source)
    space = set(truth.dims[-2:])
    kept: dict[str, Any] = {n: c for n, c in truth.coordinates.items() if set(c.dims) <= space}
    axis = np.concatenate([leads[:1] - leads[:1], leads])
    kept["lead_time"] = Coordinate(("lead_time",), axis)
    return replace(
        truth,
        values=LazyValues.of(reader),
        dims=("start", "lead_time", *truth.dims[-2:]),
        coordinates=kept,
        irregular=True,
        actions=None,
        labels=None,
        static=None,
    )


def _notes(
    files: Sequence[ForecastFile],
    truth: Frames,
    names: Sequence[str],
    starts: np.ndarray,
    places: np.ndarray,
) -> tuple[str, ...]:
    notes = []
    for file in files:
        if others := [name for name in file.frames.names if name not in names]:
            notes.append(f"{file.label}: {', '.join(others)} is not in all files, and left out")
        if early := len(file.leads) - len(file.ahead):
            notes.append(f"{file.label}: {counted(early, 'frame')} of each start, of lead time 0 "
                         "or less, forecasts nothing, and is left out")  # fmt: skip
        if more := len(file.starts) - len(starts):
            notes.append(f"{file.label}: {more} starts are not in all files, and left out")
    known = places[:, 1:] >= 0
    kept = known.any(1)
    if unknown := int((~kept).sum()):
        notes.append(f"{unknown} starts are left out: {truth.source} has no frame of their times")
    if lost := int((~known[kept]).sum()):
        notes.append(
            f"{lost} of {known[kept].size} frames count in no score: {truth.source} has no frame "
            "of their times"
        )
    return tuple(notes)
