"""What was reported, done again: commands, and how near another machine must come to the scores."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from framecast.base.errors import UserError, nearest
from framecast.base.plain import build
from framecast.runs.weights import CHECKOUT

FOLDER = "reproduce"


@dataclass(frozen=True)
class Claim:
    """A reported result that can be made again.

    Attributes:
        about: what it shows, and how long it takes.
        commands: of framecast, one after the other in one folder; the last writes an evaluation.
        evaluation: the folder that it is written to.
        expected: the evaluation that was reported, beside the claim.
        tolerance: by what share the mean RMSE over the forecast may differ from the reported one.
    """

    about: str
    commands: tuple[str, ...]
    expected: str
    evaluation: str = "evaluation"
    tolerance: float = 0.1


class Score(NamedTuple):
    """The mean RMSE of one model's forecasts of one variable, as reported and as found."""

    model: str
    variable: str
    reported: float
    found: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the two are as near as they must be."""
        return abs(self.found - self.reported) <= self.tolerance * self.reported


def claims(root: Path | None = None) -> dict[str, Path]:
    """Return the files of all claims by name; none where the results are not to hand.

    Args:
        root: the folder of all results; None for that of this checkout.
    """
    folder = (root or CHECKOUT) / FOLDER
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def read_claim(name: str, root: Path | None = None) -> Claim:
    """Read a claim; see `claims`.

    Raises:
        UserError: if there is none of that name.
    """
    known = claims(root)
    if name not in known:
        where = "" if known else ": they lie in the folder results of a clone of framecast"
        raise UserError(f"there is no claim {name!r}{nearest(name, list(known))}{where}")
    said: dict[str, Any] = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    return build(Claim, said, str(known[name]))


def compare(claim: Claim, found: Path, root: Path | None = None) -> list[Score]:
    """Compare an evaluation with the one that was reported.

    Args:
        claim: which says what is expected.
        found: the folder of the evaluation that was made now.
        root: the folder of all results; None for that of this checkout.

    Raises:
        UserError: if a model or a variable is missing in what was found.
    """
    ours = _means(json.loads((found / "metrics.json").read_text()))
    theirs = _means(json.loads(((root or CHECKOUT) / FOLDER / claim.expected).read_text()))
    if missing := [key for key in theirs if key not in ours]:
        raise UserError(f"{found} has no scores of {', '.join(map(' '.join, missing))}")
    return [Score(*key, mean, ours[key], claim.tolerance) for key, mean in theirs.items()]


def _means(evaluation: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    return dict(_each_mean(evaluation))


def _each_mean(evaluation: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    """Model and variable, and the mean RMSE over the lead times."""
    for model in (*evaluation["models"], *evaluation["baselines"]):
        for variable, loops in model["metrics"].items():
            values = loops["closed_loop"]["rmse"]["value"]
            yield (model["label"], variable), sum(values) / len(values)
