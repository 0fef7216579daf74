"""An evaluation as plain values for JSON."""

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from framecast.evaluate import Evaluation, Forecasts, Run
from framecast.frames.leads import lead_times
from framecast.metrics import LEVEL, METRICS
from framecast.metrics.ages import labels_of
from framecast.metrics.bootstrap import RESAMPLES
from framecast.models import Recogniser
from framecast.models.cost import classifier_multiplications
from framecast.report.recognition import describe_recognition

CREATOR = f"framecast evaluate {version('framecast')}"
"""What metrics.json says of who wrote the folder."""


def describe(evaluation: Evaluation) -> dict[str, Any]:
    """Return all numbers of an evaluation as plain values; None for what is not finite."""
    first = evaluation.first
    times, units = lead_times(first, evaluation.steps)
    ranges = evaluation.measure.ranges
    return {
        "created_by": CREATOR,
        "data": {
            "source": first.source,
            "grid": list(first.grid),
            "channels": [{"name": c.name, "units": c.units} for c in first.channels],
            "data_range": None if ranges is None else ranges.tolist(),
        },
        "windows": evaluation.windows,
        "strides": list(evaluation.strides),
        "context": evaluation.context,
        "group_size": evaluation.group_size,
        "actions_hidden": evaluation.actions_hidden,
        "same_pose": _same_pose(evaluation),
        "steps": evaluation.steps,
        "lead_times": times.tolist(),
        "lead_time_units": units,
        "catalogue": {name: _about(name) for name in evaluation.metrics},
        "weights": evaluation.measure.weights.kind,
        "regions": list(evaluation.regions),
        "protocol": evaluation.measure.protocol or None,
        "intervals": {
            "level": LEVEL,
            "blocks": evaluation.forecasts[0].blocks,
            "resamples": RESAMPLES,
        },
        "axes": _axes(evaluation),
        "absent_metrics": dict(evaluation.measure.absent),
        "clips": _clips(evaluation),
        "clip_ends": evaluation.clip_ends if "fvd" in evaluation.metrics else [],
        "models": [_describe(f, evaluation) for f in evaluation.models],
        "baselines": [_describe(f, evaluation) for f in evaluation.baselines],
    }


def _clips(evaluation: Evaluation) -> str | None:
    """Of what FVD is: whole windows with their given frames, or stretches of the forecast."""
    if "fvd" not in evaluation.metrics:
        return None
    return "whole" if evaluation.measure.whole else "forecast"


def _same_pose(evaluation: Evaluation) -> dict[str, float] | None:
    """Within what two poses of an agent count as one."""
    if evaluation.returns is None or not evaluation.measure.edges:
        return None
    return {"distance": evaluation.returns.distance, "degrees": evaluation.returns.degrees}


def _about(metric: str) -> dict[str, Any]:
    """What a metric is."""
    about = METRICS[metric]
    return {
        "label": about.label,
        "summary": about.summary,
        "better": about.better,
        "perfect": about.perfect,
        "units": about.units,
        "axes": ["step", *about.axes],
    }


def _axes(evaluation: Evaluation) -> dict[str, Any]:
    """What metrics are functions of, beside lead time, region and channel."""
    measure = evaluation.measure
    axes: dict[str, Any] = {}
    if measure.thresholds is not None:
        axes["thresholds"] = {
            channel: dict(zip(labels, values, strict=False))
            for channel, labels, values in zip(
                evaluation.first.names,
                measure.thresholds.labels,
                measure.thresholds.values.tolist(),
                strict=True,
            )
        }
    if measure.neighbourhoods:
        axes["neighbourhoods"] = list(measure.neighbourhoods)
    if measure.edges:
        axes["age"] = {"labels": labels_of(measure.edges), "units": "frames"}
    if measure.bins is not None:
        bins = measure.bins
        axes["spectrum"] = {"kind": bins.kind, "units": bins.units}
        axes["spectrum"]["wavelengths"] = bins.wavelengths.tolist()
    return axes


def _describe(forecasts: Forecasts, evaluation: Evaluation) -> dict[str, Any]:
    groups = {
        group: {"windows": count, **_numbers(forecasts.of_group(group), evaluation)}
        for group, count in evaluation.groups.items()
    }
    described = {
        "label": forecasts.label,
        "members": forecasts.members,
        "samples": forecasts.samples,
        "runs": [_describe_run(run) for run in forecasts.runs],
        **_numbers(forecasts, evaluation),
    }
    if forecasts.recognition:
        described["recognition"] = [describe_recognition(r) for r in forecasts.recognition]
    return described | ({"by": evaluation.by, "groups": groups} if groups else {})


def _describe_run(run: Run) -> dict[str, Any]:
    model = run.checkpoint.model
    further = {}
    if isinstance(model, Recogniser):
        further["classifier_multiplications"] = classifier_multiplications(model)
    return {
        "path": str(run.path),
        "layer": run.network.layer,
        "seed": run.seed,
        "epoch": run.checkpoint.epoch,
        "fingerprint": run.checkpoint.fingerprint(),
        "parameters": run.parameters,
        "multiplications": run.multiplications,
        **further,
    }


def _numbers(forecasts: Forecasts, evaluation: Evaluation) -> dict[str, Any]:
    """Metrics of each channel, of whole frames, of clips; and averages over lead times."""
    every, average = slice(None), evaluation.average(forecasts)
    kinds = {kind: _of_kind(evaluation, forecasts, kind) for kind in ("channel", "frame", "clip")}
    further = [(place, name) for place, name in enumerate(evaluation.regions) if place]
    numbers = {
        "metrics": _of_channels(forecasts, evaluation, kinds["channel"]),
        "frame_metrics": {
            phase: {
                m: {
                    **_entry(forecasts, m, steps, 0),
                    **_left_out(forecasts, m, steps),
                }
                for m in kinds["frame"]
            }
            for phase, steps in evaluation.phases.items()
        },
        "clip_metrics": {m: _entry(forecasts, m, every, 0) for m in kinds["clip"]},
        "averages": {
            "metrics": _averages(average, evaluation, kinds["channel"]),
            "frame_metrics": {m: _entry(average, m, every, 0) for m in kinds["frame"]},
            "clip_metrics": {m: _entry(average, m, every, 0) for m in kinds["clip"]},
        },
    }
    regions = {
        name: {
            "metrics": _of_channels(forecasts, evaluation, kinds["channel"], place),
            "averages": {"metrics": _averages(average, evaluation, kinds["channel"], place)},
        }
        for place, name in further
    }
    if evaluation.measure.by_input:
        numbers["by_input"] = {
            name: _averages(forecasts.pool(steps), evaluation, kinds["channel"])
            for name, steps in evaluation.by_input.items()
        }
    return numbers | ({"regions": regions} if regions else {})


def _left_out(forecasts: Forecasts, metric: str, steps: slice) -> dict[str, list[int | None]]:
    """How many frames a mean over frames leaves out, over all runs and samples together."""
    if METRICS[metric].axes:
        return {}
    each = (scores.left_out(metric)[steps].tolist() for scores in forecasts.scores)
    counts = (sum(of_step) for of_step in zip(*each, strict=True))
    return {"left_out": [None if math.isnan(count) else int(count) for count in counts]}


def _of_channels(
    forecasts: Forecasts, evaluation: Evaluation, metrics: Sequence[str], region: int = 0
) -> dict[str, Any]:
    """The metrics of each channel in each phase."""
    return {
        channel: {
            phase: {
                m: _entry(forecasts, m, steps, place, region) for m in _in_region(metrics, region)
            }
            for phase, steps in evaluation.phases.items()
        }
        for place, channel in enumerate(evaluation.first.names)
    }


def _averages(
    average: Forecasts, evaluation: Evaluation, metrics: Sequence[str], region: int = 0
) -> dict[str, Any]:
    return {
        channel: {
            m: _entry(average, m, slice(None), place, region) for m in _in_region(metrics, region)
        }
        for place, channel in enumerate(evaluation.first.names)
    }


def _in_region(metrics: Sequence[str], region: int) -> list[str]:
    return [m for m in metrics if METRICS[m].regional or not region]


def _entry(
    forecasts: Forecasts, metric: str, steps: slice, place: int, region: int = 0
) -> dict[str, Any]:
    """A metric of a channel by step, and along its axes: value, spread, ends of the interval."""
    spread = forecasts.spread(metric, region)
    entry = {
        "value": _plain(forecasts.mean(metric, region)[steps, place].tolist()),
        "spread": None if spread is None else _plain(spread[steps, place].tolist()),
    }
    bounds = None if METRICS[metric].curve else forecasts.interval(metric, region)
    if bounds is not None:
        entry |= {
            end: _plain(values[steps, place].tolist()) for end, values in bounds._asdict().items()
        }
    return entry


def _of_kind(evaluation: Evaluation, forecasts: Forecasts, kind: str) -> list[str]:
    known = (name for name in evaluation.metrics if forecasts.has(name))
    return [name for name in known if METRICS[name].per == kind]


def _plain(values: Any) -> Any:
    """Numbers, nested as they are, with None for what is not finite."""
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return _finite(values)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
