"""What was reported, done again: commands, and how near another machine must come to the scores."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
        commands: of framecast, one after the other in one folder.
        expected: by the folder of an evaluation that they write, the one that was reported, a file
            beside the claim.
        metric: which is compared, as a mean over the forecast: one of a variable, such as rmse; one
            of frames, such as psnr; or top_1, at each share of a video that is named.
        tolerance: by what share it may differ from the reported one.
        needs: files that no command makes, and where they are from.
    """

    about: str
    commands: tuple[str, ...]
    expected: Mapping[str, str]
    metric: str = "rmse"
    tolerance: float = 0.1
    needs: Mapping[str, str] = field(default_factory=dict)

    def check_needs(self, folder: Path) -> None:
        """Raise a UserError unless what no command makes lies in a folder."""
        for name, origin in self.needs.items():
            if not (folder / name).exists():
                raise UserError(f"{folder / name} is needed: put it there ({origin})")


class Score(NamedTuple):
    """The mean of one model's scores, as reported and as found."""

    model: str
    what: str
    reported: float
    found: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the two are as near as they must be."""
        return abs(self.found - self.reported) <= self.tolerance * abs(self.reported)


def claims(root: Path | None = None) -> dict[str, Path]:
    """Return the files of all claims by name; none where there are no results.

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


def compare(claim: Claim, folder: Path, root: Path | None = None) -> list[Score]:
    """Compare the evaluations of a claim with those that were reported.

    Args:
        claim: which says what is expected.
        folder: in which its commands were run.
        root: the folder of all results; None for that of this checkout.

    Raises:
        UserError: if the score of a model is missing in what was found.
    """
    scores = []
    for name, reported in claim.expected.items():
        ours = _means(folder / name / "metrics.json", claim.metric)
        theirs = _means((root or CHECKOUT) / FOLDER / reported, claim.metric)
        if missing := [key for key in theirs if key not in ours]:
            each = ", ".join(f"{what} ({model})" for model, what in missing)
            raise UserError(f"{folder / name} has no {each}")
        scores += [Score(*key, mean, ours[key], claim.tolerance) for key, mean in theirs.items()]
    return scores


def _means(file: Path, metric: str) -> dict[tuple[str, str], float]:
    """Means over the lead times that are known, by model and what they are of."""
    evaluation = json.loads(file.read_text(encoding="utf-8"))
    known = {}
    for model in (*evaluation["models"], *evaluation["baselines"]):
        for what, values in _values(model, metric):
            finite = [value for value in values if value is not None]
            if finite:
                known[model["label"], what] = sum(finite) / len(finite)
    return known


def _values(model: Mapping[str, Any], metric: str) -> Iterator[tuple[str, list[float | None]]]:
    """What a metric of a model is of, and its values by lead time."""
    for variable, loops in model["metrics"].items():
        if metric in loops["closed_loop"]:
            yield f"mean {metric} of {variable}", loops["closed_loop"][metric]["value"]
    if metric in (frames := model["frame_metrics"]["closed_loop"]):
        yield f"mean {metric}", frames[metric]["value"]
    seen = [run["shares"] for run in model.get("recognition", ())]
    for share in seen[0] if seen and metric == "top_1" else ():
        yield f"{metric} at {share}", [each[share][metric] for each in seen]
