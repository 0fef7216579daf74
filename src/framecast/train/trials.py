"""What a sweep tries: each combination of some values, or some that are drawn at random."""

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.runs.experiment import Experiment
from framecast.train.many import Job

RANGE = ("low", "high", "log")
"""What says between which values is drawn, and whether evenly in the logarithm."""

_LARGEST = 2**62
"""What numbers are drawn below, beyond which NumPy's whole numbers end."""


def grid(file: Path | None, given: Mapping[str, str], values: Mapping[str, Any]) -> list[Job]:
    """Return a run for each combination of values.

    Args:
        file: the configuration that they have in common; None for the defaults.
        given: texts of keys that all have.
        values: by key, those that are tried.

    Raises:
        UserError: if a key is unknown, has no list of values, or a combination does not fit.
    """
    for key, tried in values.items():
        if isinstance(tried, Mapping):
            raise UserError(f"{key}: values are drawn from a range where draws says how many runs")
        _check_list(key, tried)
    every = itertools.product(*values.values())
    return _jobs(file, given, (dict(zip(values, chosen, strict=True)) for chosen in every))


def draws(
    file: Path | None, given: Mapping[str, str], values: Mapping[str, Any], count: int, seed: int
) -> list[Job]:
    """Return runs with values that are drawn at random, each by itself.

    Run n is the same for any count above n.

    Args:
        file: the configuration that they have in common; None for the defaults.
        given: texts of keys that all have.
        values: by key, a list to choose from, or a range {low, high}, in whole numbers where both
            ends are; with log: true even in the logarithm.
        count: runs, at least 1.
        seed: of the draws, at least 0.

    Raises:
        UserError: if a key is unknown or its values are not of this kind, or a run does not fit.
    """
    for name, number, least in (("draws", count, 1), ("seed", seed, 0)):
        if number < least:
            raise UserError(f"{name} {number} must be at least {least}")
    for key, tried in values.items():
        if isinstance(tried, Mapping):
            _check_range(key, tried)
        else:
            _check_list(key, tried)
    chosen = (
        {
            key: _draw(tried, np.random.default_rng([seed, run, place]))
            for place, (key, tried) in enumerate(values.items())
        }
        for run in range(count)
    )
    return _jobs(file, given, chosen)


def _jobs(
    file: Path | None, given: Mapping[str, str], chosen: Iterator[dict[str, Any]]
) -> list[Job]:
    jobs = []
    for number, own in enumerate(chosen):
        for key in own.keys() & given.keys():
            raise UserError(f"--{key} is given, and the file tries values of it: leave one out")
        texts = {key: _as_text(value) for key, value in own.items()}
        experiment = load_config(Experiment, file, {**given, **texts})
        jobs.append(Job(_name(number, own), experiment, own))
    return jobs


def _draw(tried: Any, random: np.random.Generator) -> Any:
    if isinstance(tried, list):
        return tried[random.integers(len(tried))]
    low, high = tried["low"], tried["high"]
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and not tried.get("log"):
        return int(random.integers(low, high, endpoint=True))
    if tried.get("log"):
        value = math.exp(random.uniform(math.log(low), math.log(high)))
    else:
        value = random.uniform(low, high)
    # Three digits say enough, and are what the configuration and the table show.
    return min(max(round(value) if whole else float(f"{value:.3g}"), low), high)


def _check_list(key: str, tried: Any) -> None:
    if not isinstance(tried, list) or not tried:
        raise UserError(f"{key}: {tried} must be a list of the values to try, such as [16, 32]")


def _check_range(key: str, tried: Mapping[str, Any]) -> None:
    ends = [tried.get(name) for name in ("low", "high")]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    known = not set(tried) - set(RANGE) and isinstance(tried.get("log", False), bool)
    if not known or len(numbers) < 2:
        raise UserError(
            f"{key}: {dict(tried)} must be a range, such as "
            "{low: 1.0e-4, high: 1.0e-2, log: true}"
        )
    low, high = numbers
    if max(abs(low), abs(high)) > _LARGEST:
        raise UserError(f"{key}: low {low} and high {high} must be between ±{_LARGEST:g}")
    if not low < high:
        raise UserError(f"{key}: low {low} must be below high {high}")
    if tried.get("log") and low <= 0:
        raise UserError(f"{key}: low {low} must be above 0 where log is true")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


def _name(number: int, values: Mapping[str, Any]) -> str:
    """A name for a folder that says what is tried."""
    said = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
    kept = "".join(c if c.isalnum() or c in ",=.-_+" else "_" for c in said)
    return f"{number:03}_{kept}"[:100]
