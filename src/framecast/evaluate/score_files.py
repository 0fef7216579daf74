"""Scoring forecasts that stand in files, beside the truth and what is usual."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.evaluate.align import Aligned, align
from framecast.evaluate.evaluation import CLIMATOLOGY
from framecast.evaluate.examples import Example, affordable, choose, forecast_again
from framecast.evaluate.forecast_files import ForecastFile, label_of
from framecast.evaluate.missing import where_possible
from framecast.evaluate.one_grid import fitting
from framecast.evaluate.plan import ALL
from framecast.evaluate.results import Evaluation, Forecasts
from framecast.evaluate.scoring import Scored, ScoredWindows, score
from framecast.forecast.baselines import BASELINES, Climate, Following, Training
from framecast.forecast.baselines.stored import StoredClimate, is_stored
from framecast.forecast.competitor import Competitor
from framecast.frames.batch import Place
from framecast.frames.frames import Frames
from framecast.metrics import MetricChoice, Scores, Subject, prepare
from framecast.readers.open import open_frames
from framecast.readers.paths import Paths
from framecast.readers.selection import EVERYTHING, Selection

_LOOKED_AT = 64
"""Starts whose frames tell what is typical."""


def score_files(
    forecasts: Sequence[PathLike],
    truth: Paths,
    *,
    climatology: Paths | None = None,
    metrics: MetricChoice | None = None,
    selection: Selection = EVERYTHING,
    batch_size: int = 16,
    progress: bool = False,
) -> Evaluation:
    """Score forecasts in files by lead time, at the starts and lead times that all have.

    Args:
        forecasts: files with (start, lead time) or valid times, with members or without.
        truth: a file, or a folder, a pattern or a list of files, that is one series.
        climatology: the same, of frames that tell what is usual, or a file that holds it by day of
            the year and hour; None where it is not asked for.
        metrics: which are wanted; those that the frames suggest if None.
        selection: how the truth, and the climatology, are read.
        batch_size: starts computed together; needs memory, changes no score.
        progress: whether to show a progress bar on stderr.

    Raises:
        UserError: if a file cannot be read, or they do not fit one another.
    """
    aligned = align(_read(forecasts), open_frames(truth, selection))
    for note in aligned.notes:
        warnings.warn(note, stacklevel=2)
    usual = None if climatology is None else open_frames(climatology, selection)
    known = _baselines(aligned, usual)
    wanted = metrics or MetricChoice()
    measure = prepare(wanted, _subject(aligned, known, usual, wanted))
    windows = windows_of(aligned, known, batch_size, where_possible(aligned))
    scored = score([*known.values(), *aligned.competitors.values()], windows, measure, progress)
    labels = [*known, *aligned.competitors]
    every = [_forecasts(label, one) for label, one in zip(labels, scored, strict=True)]
    errors = scored[len(known)].errors
    return Evaluation(
        examples=_examples(
            aligned, windows, [*aligned.competitors.values(), *known.values()], errors
        ),
        first=aligned.frames.select(slice(0, 1)).predicted(),
        windows=len(aligned.starts),
        context=1,
        models=tuple(every[len(known) :]),
        baselines=tuple(every[: len(known)]),
        measure=measure,
    )


def _examples(
    aligned: Aligned, windows: ScoredWindows, competitors: Sequence[Competitor], errors: Tensor
) -> tuple[Example, ...]:
    """Choose starts by the error of the first file [B,C], and look up what was forecast there."""
    choices = choose(errors, affordable(windows, len(competitors)))
    again = forecast_again(
        competitors, windows, [Place(c.place, 0) for c in choices], windows.leads
    )
    return tuple(
        Example(choice, aligned.window(choice.place), made)
        for choice, made in zip(choices, again, strict=True)
    )


def _read(forecasts: Sequence[PathLike]) -> list[ForecastFile]:
    files: list[ForecastFile] = []
    for path in forecasts:
        label = label_of(Path(path), {*BASELINES.names(), *(file.label for file in files)})
        files.append(ForecastFile(label, open_frames(path, EVERYTHING)))
    return files


def _baselines(aligned: Aligned, usual: Frames | None) -> dict[str, Following]:
    """Persistence of the truth at the start, and climatology where it is given."""
    known = {}
    if all(aligned.has_start):
        typical = Climate.constant(_typical(aligned))
        kind = BASELINES.find("persistence").fit(Training(aligned.frames, typical))
        everywhere = replace(typical, possible=torch.ones_like(typical.possible))
        known["persistence"] = Following(kind, everywhere, aligned.times_of)
    else:
        warnings.warn(
            f"persistence is left out: {aligned.has_start.count(False)} starts have no frame in "
            f"{aligned.frames.source}",
            stacklevel=3,
        )
    if usual is not None:
        known[CLIMATOLOGY] = _climatology(aligned, usual)
    return known


def _typical(aligned: Aligned) -> Tensor:
    """The mean of the truth at some starts, for what is missing at one of them."""
    every = -(-len(aligned.starts) // _LOOKED_AT)
    firsts = [aligned.frames.values[n, 0:1] for n in range(0, len(aligned.starts), every)]
    return torch.cat(firsts).nanmean(0)


def _climatology(aligned: Aligned, usual: Frames) -> Following:
    if missing := [name for name in aligned.frames.names if name not in usual.names]:
        raise UserError(
            f"{usual.source} has no {', '.join(missing)}: a climatology has the variables of the "
            f"forecasts, {', '.join(aligned.frames.names)}"
        )
    frames = fitting(usual, aligned.frames, aligned.frames)
    climate = StoredClimate.of(frames) if is_stored(frames) else Climate.of(frames)
    fitted = BASELINES.find(CLIMATOLOGY).fit(Training(frames, climate))
    return Following(fitted, climate, aligned.times_of)


def _learned(aligned: Aligned, usual: Frames) -> Frames:
    """The frames that percentiles are taken of.

    Raises:
        UserError: if there are means alone.
    """
    if is_stored(usual):
        raise UserError(
            f"{usual.source} holds means by day of the year and hour, of which percentiles and "
            "SEEPS cannot be taken: name frames of many years with --climatology"
        )
    return fitting(usual, aligned.frames, aligned.frames)


def _subject(
    aligned: Aligned,
    known: Mapping[str, Following],
    usual: Frames | None,
    choice: MetricChoice,
) -> Subject:
    channels = aligned.frames.channels
    ranges = [choice.data_range or channel.valid_range for channel in channels]
    declared = [ends for ends in ranges if ends is not None]
    return Subject(
        frames=aligned.frames,
        channels=channels,
        leads=aligned.frames.length - 1,
        ranges=torch.tensor(declared) if len(declared) == len(ranges) else None,
        climatology=CLIMATOLOGY in known,
        members=max(filed.file.members for filed in aligned.competitors.values()),
        training=None if usual is None else lambda: _learned(aligned, usual),
    )


def windows_of(
    aligned: Aligned,
    known: Mapping[str, Following],
    size: int,
    possible: Bool[Tensor, "C H W"] | None = None,
) -> ScoredWindows:
    """Return the windows of aligned forecasts, one for each start.

    Args:
        aligned: the forecasts and the truth.
        known: baselines, of which the climatology says what is usual.
        size: windows of a batch.
        possible: where all forecast values at all; None for everywhere.
    """
    starts = [Place(sequence, 0) for sequence in range(len(aligned.starts))]
    usual = None
    if CLIMATOLOGY in known:
        climate = known[CLIMATOLOGY].climate

        def usual(places: Sequence[Place], steps: int) -> Tensor:
            each = [climate.at(aligned.times_of(*place, steps)) for place in places]
            return torch.stack(each).where(climate.possible, torch.nan)

    return ScoredWindows(
        aligned.frames,
        len(aligned.frames.channels),
        1,
        aligned.frames.length - 1,
        {ALL: starts},
        size,
        possible,
        usual=usual,
        spans=_spans(aligned.starts, aligned.valid[:, -1]),
    )


def _spans(starts: np.ndarray, ends: np.ndarray) -> tuple[list[Place], int]:
    """Where forecasts lie in one series, and how long the longest is, by the least time between."""
    if len(starts) < 2:
        return [Place(0, 0)], 1
    unit = np.diff(starts).min()
    places = [Place(0, round(float((start - starts[0]) / unit))) for start in starts]
    return places, math.ceil(float((ends - starts).max() / unit) - 1e-6)


def _forecasts(label: str, scored: Scored) -> Forecasts:
    scores = (Scores.join(list(scored.groups.values())),)
    return Forecasts(label=label, runs=(), scores=scores, example=scored.example)
