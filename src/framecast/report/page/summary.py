"""What an evaluation says, in sentences: computed from its numbers and their intervals.

Nothing is called better or worse whose interval holds 0, and what too few windows were seen for is
said so.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from framecast.evaluate import Evaluation, Forecasts
from framecast.frames.leads import lead_times, spoken
from framecast.metrics import ERRORS, LEVEL, METRICS
from framecast.metrics.bootstrap import FEWEST
from framecast.report.axes import channels_of
from framecast.report.words import title

State = Literal["better", "worse", "unclear", "unknown"]

FEW_BLOCKS = 20
"""Blocks of windows below which intervals are rough: quantiles of few draws."""
_MOST_RUNS = 3
"""Changes of state along the lead times that are still told one by one."""
_RELIABLE = (0.8, 1.25)
"""Spread over skill within which the spread of an ensemble suits its error."""
_NOTABLE = 0.1
"""Share of the RMSE above which a bias, or of 1 by which a ratio is off, is worth a sentence."""


class Finding(NamedTuple):
    """What is said of a model and a variable.

    Attributes:
        model: its name.
        channel: name of the variable; empty for whole frames.
        sentences: about it.
    """

    model: str
    channel: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """What a report says first.

    Attributes:
        headlines: a sentence for each model: where it beats which baseline.
        findings: of each model and variable.
        cautions: what stands behind the numbers, and how sure they are.
    """

    headlines: tuple[str, ...]
    findings: tuple[Finding, ...]
    cautions: tuple[str, ...]


def summarise(evaluation: Evaluation) -> Summary:
    """Say in plain sentences what an evaluation found."""
    return Summary(
        tuple(_headline(evaluation, model) for model in evaluation.models),
        tuple(_findings(evaluation)),
        tuple(_cautions(evaluation)),
    )


def states(
    evaluation: Evaluation, model: Forecasts, other: Forecasts, metric: str, place: int
) -> list[State]:
    """Return how a model does beside another at each lead time, by the sign of the difference.

    Where there are intervals, what they leave open is unclear; where there are none, it is the
    difference alone that speaks, and `summarise` says that it proves nothing.
    """
    compared, leads = evaluation.compare(model, other, metric), evaluation.phases["closed_loop"]
    if METRICS[metric].perfect is not None:
        gain, bounds = compared.skill, compared.skill_interval
        lower = None if bounds is None else bounds.low
        upper = None if bounds is None else bounds.high
    else:
        sign = 1 if METRICS[metric].better == "higher" else -1
        gain, bounds = sign * compared.difference, compared.interval
        ends = None if bounds is None else torch.stack([sign * bounds.low, sign * bounds.high])
        lower, upper = (None, None) if ends is None else (ends.amin(0), ends.amax(0))
    values = [gain, lower if lower is not None else gain, upper if upper is not None else gain]
    return [_state(*each) for each in zip(*(v[leads, place].tolist() for v in values), strict=True)]


def _state(gain: float, low: float, high: float) -> State:
    if math.isnan(gain):
        return "unknown"
    if low > 0:
        return "better"
    return "worse" if high < 0 else "unclear"


def describe_states(states: Sequence[State], times: Sequence[str], other: str) -> str:
    """Say at which lead times a model is better, or worse, than another.

    Args:
        states: at each lead time.
        times: the lead times, as they are spoken of.
        other: what the model stands beside.
    """
    better, worse = _where(states, "better", times), _where(states, "worse", times)
    if set(states) == {"unknown"}:
        return f"cannot be compared with {other}, since an error is not known"
    if better:
        return f"better than {other} {better}" + (f", but worse {worse}" if worse else "")
    if worse == _everywhere(times):
        return f"worse than {other} {worse}"
    return f"no better than {other} at any lead time" + (f", and worse {worse}" if worse else "")


def _everywhere(times: Sequence[str]) -> str:
    return f"at all lead times, up to {times[-1]}" if len(times) > 1 else f"at {times[0]}"


def _where(states: Sequence[State], kind: State, times: Sequence[str]) -> str:
    """At which lead times a state holds; nothing for none."""
    numbered = groupby(enumerate(states), key=lambda pair: pair[1])
    runs = [[place for place, _ in own] for state, own in numbered if state == kind]
    if runs and len(runs[0]) == len(states):
        return _everywhere(times)
    if len(runs) > _MOST_RUNS:
        return f"at {list(states).count(kind)} of {len(states)} lead times"
    return " and ".join(_from_to(run, times) for run in runs)


def _from_to(places: Sequence[int], times: Sequence[str]) -> str:
    """Where a stretch of lead times lies."""
    first, last = places[0], places[-1]
    if first == last:
        return f"at {times[first]}"
    if first == 0:
        return f"up to {times[last]}"
    return f"from {times[first]} " + ("on" if last == len(times) - 1 else f"to {times[last]}")


def _judge(evaluation: Evaluation) -> str:
    """The metric by which forecasts are called better or worse."""
    known = [m for m in evaluation.metrics if METRICS[m].difference and not METRICS[m].axes]
    wanted = [*(m for m in ERRORS if m != "bias"), "crps", "seeps", "ssim", "psnr", "image_mse"]
    return next((m for m in wanted if m in known), "")


def _times(evaluation: Evaluation) -> list[str]:
    return spoken(*lead_times(evaluation.first, evaluation.steps))


def _headline(evaluation: Evaluation, model: Forecasts) -> str:
    """Where a model beats which baseline, over all variables."""
    metric = _judge(evaluation)
    if not metric or not evaluation.baselines:
        return f"{title(model)} stands alone: there is nothing that it could be compared with."
    count, times = len(channels_of(evaluation, metric)), _times(evaluation)
    parts = []
    for other in evaluation.baselines:
        each = [states(evaluation, model, other, metric, place) for place in range(count)]
        if count == 1:
            parts.append(describe_states(each[0], times, other.label))
        else:
            found = [state for own in each for state in own]
            won, lost = found.count("better"), found.count("worse")
            parts.append(f"{won} better than {other.label} and {lost} worse")
    label = METRICS[metric].label
    end = " These are too few windows to be sure." if model.blocks < FEWEST else ""
    if count == 1:
        return f"{title(model)} is {'; '.join(parts)} (by {label}).{end}"
    return (
        f"Of {count * len(times)} scores of {title(model)} ({label} of {count} variables at "
        f"{len(times)} lead times), {'; '.join(parts)}.{end}"
    )


def _findings(evaluation: Evaluation) -> Iterator[Finding]:
    metric, times = _judge(evaluation), _times(evaluation)
    for model in evaluation.models:
        hedge = "in these few windows " if model.blocks < FEWEST else ""
        for place, channel in enumerate(channels_of(evaluation, metric) if metric else ()):
            beside = [
                hedge + describe_states(states(evaluation, model, b, metric, place), times, b.label)
                for b in evaluation.baselines
            ]
            further = (_blur, _tameness, _lean, _confidence)
            said = [text for text in (f(evaluation, model, place) for f in further) if text]
            if METRICS[metric].per != "channel":
                said = []
            yield Finding(title(model), channel, tuple(_sentence(text) for text in beside + said))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _along(
    evaluation: Evaluation, model: Forecasts, metric: str, place: int
) -> tuple[Tensor, Tensor, Tensor] | None:
    """A number by lead time with the ends of its interval; with itself where it has none."""
    if metric not in evaluation.metrics or not model.has(metric):
        return None
    leads, value = evaluation.phases["closed_loop"], model.mean(metric)
    ends = model.interval(metric) or (value, value)
    return value[leads, place], ends[0][leads, place], ends[1][leads, place]


def _blur(evaluation: Evaluation, model: Forecasts, place: int) -> str:
    """From which lead time on details are missing, and how large these are."""
    found, bins = _along(evaluation, model, "effective_resolution", place), evaluation.measure.bins
    if found is None or bins is None:
        return ""
    finest, (value, low, _) = float(bins.wavelengths[-1]), found
    if value.isnan().all():
        return ""
    # Resamples in which nothing is resolved are in no interval.
    blurred = (low.where(low.isfinite(), value) > finest * (1 + 1e-6)).tolist()
    if not any(blurred):
        return f"as detailed as the truth down to the finest scale, {_length(finest, bins.units)}"
    if not blurred[-1]:
        return f"blurred at {blurred.count(True)} of {len(blurred)} lead times"
    first = len(blurred) - next(n for n, b in enumerate([*blurred[::-1], False]) if not b)
    times = _times(evaluation)
    sizes = [_size(value[n].item(), bins.units) for n in (first, -1)]
    until = "" if sizes[0] == sizes[1] else f", and {sizes[1]} at {times[-1]}"
    return f"blurred {sizes[0]} from {times[first]} on{until}"


def _size(length: float, units: str) -> str:
    return "at all scales" if math.isinf(length) else f"below {_length(length, units)}"


def _length(length: float, units: str) -> str:
    """A length to two digits."""
    return f"{float(f'{length:.2g}'):g} {units}"


def _tameness(evaluation: Evaluation, model: Forecasts, place: int) -> str:
    """Whether anomalies are too weak or too strong at the last lead time."""
    found = _along(evaluation, model, "activity", place)
    if found is None:
        return ""
    value, low, high = (each[-1].item() for each in found)
    last = _times(evaluation)[-1]
    if high < 1 and value < 1 - _NOTABLE:
        return f"too tame: at {last} its anomalies are {value:.2g} times as strong as the true ones"
    if low > 1 and value > 1 + _NOTABLE:
        return f"too wild: at {last} its anomalies are {value:.2g} times as strong as the true ones"
    return ""


def _lean(evaluation: Evaluation, model: Forecasts, place: int) -> str:
    """A bias over all lead times that matters beside the error."""
    average = evaluation.average(model)
    if not {"bias", "rmse"} <= set(evaluation.metrics):
        return ""
    bias, rmse = (average.mean(m)[0, place].item() for m in ("bias", "rmse"))
    ends = average.interval("bias")
    sure = ends is not None and (ends.low[0, place] > 0 or ends.high[0, place] < 0)
    if not sure or abs(bias) < _NOTABLE * rmse:
        return ""
    units = evaluation.first.channels[place].units
    size = f"{abs(bias):.3g} {units}".strip() if units != "1" else f"{abs(bias):.3g}"
    return f"too {'high' if bias > 0 else 'low'} by {size} on average"


def _confidence(evaluation: Evaluation, model: Forecasts, place: int) -> str:
    """Whether the spread of an ensemble suits its error."""
    if "spread_skill" not in evaluation.metrics or not model.has("spread_skill"):
        return ""
    ratio = evaluation.average(model).mean("spread_skill")[0, place].item()
    low, high = _RELIABLE
    if math.isnan(ratio):
        return ""
    if low <= ratio <= high:
        return f"as sure as it may be: its spread is {ratio:.2f} of its error"
    word = "too sure" if ratio < low else "not sure enough"
    return f"{word}: the spread of its members is {ratio:.2f} of its error"


def _cautions(evaluation: Evaluation) -> Iterator[str]:
    """How many windows there were, and what their number allows to say."""
    blocks, windows = evaluation.forecasts[0].blocks, evaluation.windows
    seen = f"{windows} window{'s' if windows > 1 else ''}"
    if blocks < FEWEST:
        yield (
            f"Seen on {seen} only: too few to be sure of anything. With {FEWEST} or more blocks of "
            "windows there would be intervals."
        )
    elif blocks < FEW_BLOCKS:
        yield (
            f"Seen on {seen} in {blocks} blocks in time: the {LEVEL:.0%} intervals are rough, and "
            "what they call better may still be chance."
        )
    else:
        yield (
            f"Seen on {seen} in {blocks} blocks in time. Better and worse are said only where the "
            f"{LEVEL:.0%} interval of the difference does not hold 0."
        )
    if any(len(f.runs) > 1 for f in evaluation.models):
        yield "Numbers of a model of several seeds are means over its runs."
    if evaluation.models and all(len(f.runs) == 1 for f in evaluation.models):
        yield "Each model is one training: another seed may do better or worse."
