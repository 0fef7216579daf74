"""Trained networks to take: those behind the reported results, by name.

In a checkout they lie in `results`, beside the evidence; an installed framecast has the small ones.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from framecast.base.errors import UserError, nearest
from framecast.runs.checkpoint import BEST, stored_header

PACKED = Path(__file__).parents[1] / "weights"
CHECKOUT = Path(__file__).parents[3] / "results"
LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Taken:
    """A trained network that can be taken.

    Attributes:
        name: by which it is asked for.
        folder: its run: configuration, log, environment and weights.
        evidence: the numbers of the evaluation that it was part of.
    """

    name: str
    folder: Path
    evidence: Path

    @property
    def config(self) -> dict[str, Any]:
        """Every key of its training."""
        found: dict[str, Any] = yaml.safe_load((self.folder / "config.yaml").read_text())
        return found

    @property
    def seconds(self) -> float:
        """How long it was trained."""
        with (self.folder / "log.csv").open(newline="") as log:
            return sum(float(row["seconds"]) for row in csv.DictReader(log) if row["seconds"])

    @property
    def environment(self) -> dict[str, str]:
        """What it was trained with."""
        found: dict[str, str] = json.loads((self.folder / "environment.json").read_text())
        return found

    @property
    def numbers(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The evaluation, and what it says of this network's model; None if nothing."""
        said = json.loads(self.evidence.read_text())
        place = self.folder.relative_to(self.evidence.parent).as_posix()
        for model in said["models"]:
            for run in model["runs"]:
                if Path(run["path"]).as_posix().endswith(place) or place == ".":
                    return said, {**model, "parameters": run["parameters"]}
        return said, None


def take(name: str) -> Path:
    """Return the run folder of a trained network by its name.

    Raises:
        UserError: if there is none of that name.
    """
    known = shelf()
    if name not in known:
        raise UserError(
            f"there are no weights {name!r}{nearest(name, list(known))}: framecast weights lists "
            "all that are here"
        )
    return known[name].folder


def shelf(root: Path | None = None) -> dict[str, Taken]:
    """Return all networks that can be taken, by name.

    Each is called as the recipe it was trained by. Of several seeds, or times of training, it is
    the one with the lowest loss in validation.

    Args:
        root: where they lie; None for where they lie here.
    """
    place = root or (PACKED if PACKED.is_dir() else CHECKOUT)
    best: dict[str, tuple[float, Path]] = {}
    for file in sorted(place.glob(f"**/{BEST}")):
        entry, *further = file.parent.relative_to(place).parts
        name = further[0] if further else entry
        loss = stored_header(file).loss
        if name not in best or loss < best[name][0]:
            best[name] = loss, file.parent
    return {
        name: Taken(name, folder, place / folder.relative_to(place).parts[0] / "metrics.json")
        for name, (_, folder) in sorted(best.items())
    }


def card(taken: Taken) -> str:
    """Return what a person should know of a trained network, as Markdown."""
    said, model = taken.numbers
    config, made = taken.config, taken.environment
    lines = [
        f"# {taken.name}",
        "",
        f"A {config['model']['layer']} network, trained with framecast {made['framecast']}: "
        "`framecast train config.yaml` trains another.",
        "",
        f"- Data: {said['data']['source']}, grid {'×'.join(map(str, said['data']['grid']))}, "
        + ", ".join(f"{c['name']} [{c['units']}]" for c in said["data"]["channels"]),
        f"- Trained for {taken.seconds / 60:.0f} minutes on {made['device']} "
        f"({made.get('processor', made['machine'])}, {made['threads']} threads)",
        f"- Licence: {LICENCE}",
    ]
    if model is not None:
        lines.append(f"- Parameters: {model['parameters']:,}")
        lines += ["", *_scores(said, model)]
    return "\n".join(lines) + "\n"


def _scores(said: dict[str, Any], model: dict[str, Any]) -> list[str]:
    """A table of the RMSE at the first and the last lead time, beside the baselines."""
    first, last, units = said["lead_times"][0], said["lead_times"][-1], said["lead_time_units"]
    lines = [
        f"RMSE over {said['windows']} windows that it was not trained on:",
        "",
        f"| variable | forecast of | lead {first:g} {units} | lead {last:g} {units} |",
        "| --- | --- | --- | --- |",
    ]
    for one in (model, *said["baselines"]):
        for variable, loops in one["metrics"].items():
            values = loops["closed_loop"]["rmse"]["value"]
            label = one["label"]
            lines.append(f"| {variable} | {label} | {values[0]:.4g} | {values[-1]:.4g} |")
    return lines
