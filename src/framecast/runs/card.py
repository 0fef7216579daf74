"""Cards: what a person should know of a trained network before using it.

A card is Markdown. On the Hugging Face Hub it begins with YAML, by which a network is found: the
fields are those of the model cards there (https://huggingface.co/docs/hub/model-cards).
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import yaml

from framecast.base.errors import UserError
from framecast.base.texts import read_text
from framecast.frames.times import counted
from framecast.runs.checkpoint import load_saved, stored_header
from framecast.runs.contents import CONFIG, read_config
from framecast.runs.header import Header

NUMBERS = "metrics.json"
LOG, ENVIRONMENT = "log.csv", "environment.json"
OF_FRAMES = ("psnr", "ssim", "lpips")
"""Metrics of whole frames that a card tells, beside the RMSE of each variable."""


class Scored(NamedTuple):
    """A number of the evaluation, of a network or of what it is compared with.

    Attributes:
        variable: of which it is; frame, of whole frames.
        model: whose it is.
        metric: its name in the catalogue, such as rmse.
        when: the lead time, or how much was seen, in words.
        value: in the units of the metric.
    """

    variable: str
    model: str
    metric: str
    when: str
    value: float


@dataclass(frozen=True)
class Described:
    """A trained network of which a card can be written.

    Attributes:
        name: what it is called.
        path: its run folder, or a checkpoint alone.
        evidence: the numbers of an evaluation that it was part of; None if it has none.
        licence: an identifier such as Apache-2.0; None if it is not said.
    """

    name: str
    path: Path
    evidence: Path | None = None
    licence: str | None = None

    @cached_property
    def header(self) -> Header:
        """What its checkpoint says of it."""
        return stored_header(self.path)

    @property
    def layer(self) -> str | None:
        """The recurrent layer that it is made of; None if of none."""
        model = self.header.model
        layer = (model.get("memory") or model.get("config") or {}).get("layer")
        return None if layer is None else str(layer)

    @property
    def config(self) -> dict[str, Any]:
        """Every key of its training; none if that is not known."""
        return read_config(self.path) if (self.path / CONFIG).is_file() else {}

    @property
    def seconds(self) -> float | None:
        """How long it was trained, if that is known."""
        file = self.path / LOG
        if not file.is_file():
            return None
        rows = csv.DictReader(read_text(file).splitlines())
        try:
            return sum(float(row["seconds"]) for row in rows if row["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} is damaged: it does not say the seconds of epochs") from error

    @property
    def environment(self) -> dict[str, Any]:
        """What it was trained with; nothing if that is not known."""
        file = self.path / ENVIRONMENT
        if not file.is_file():
            return {}
        try:
            found = json.loads(read_text(file))
            return {**found, "threads": int(found["threads"]), "device": found["device"]}
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} is damaged: it does not say device and threads") from error

    @property
    def data(self) -> str | None:
        """The name of the data that it was trained on."""
        data = self.config.get("data", {})
        found = data.get("path") or data.get("source")
        several = found if isinstance(found, list) else [found]
        return ", ".join(PurePath(each).name for each in several if each is not None) or None

    @cached_property
    def evaluation(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The evaluation, and what it says of this network, whose weights are read for that.

        Raises:
            UserError: if the evaluation is one of other runs, or of other weights.
        """
        if self.evidence is None:
            return None
        said = json.loads(self.evidence.read_text(encoding="utf-8"))
        runs = [(model, run) for model in said["models"] for run in model["runs"]]
        alike = self._alike([run for _, run in runs])
        if not any(alike):
            named = ", ".join(run["path"] for _, run in runs)
            raise UserError(
                f"{self.evidence} says nothing of the weights in {self.path}: it is about {named}. "
                f"Run framecast evaluate on {self.path}"
            )
        model, run = runs[alike.index(max(alike))]
        return said, {**model, "parameters": run["parameters"]}

    def _alike(self, runs: list[dict[str, Any]]) -> list[int]:
        """How surely each of the runs of the evaluation is this one; 0 where it is another.

        It is told by a fingerprint of the weights. Older evaluations have none: there the
        parameters must be as many, and the path is compared from its end.
        """
        assert self.evidence is not None
        saved, place = load_saved(self.path), self.path.resolve()
        weights, parameters = saved.fingerprint(), saved.parameters
        own = len(runs) == 1 and place in self.evidence.resolve().parents

        def alike(run: dict[str, Any]) -> int:
            if "fingerprint" in run:
                return int(run["fingerprint"] == weights)
            same = _common_end(place.parts, PurePath(run["path"]).parts)
            return max(same, int(own)) if run["parameters"] == parameters else 0

        return [alike(run) for run in runs]


def card(described: Described) -> str:
    """Return what a person should know of a trained network, as Markdown."""
    header = described.header
    kind = "world model" if header.kind == "world" else header.kind
    article = "An" if kind[0] in "aeiou" else "A"
    made = described.environment
    built = f" of {described.layer}" if described.layer else ""
    by = f", trained with framecast {made['framecast']}" if made else ""
    lines = [f"# {described.name}", "", f"{article} {kind}{built}{by}.", ""]
    lines += [f"- {what}: {said}" for what, said in _facts(described)]
    lines += ["", "Where framecast is installed, with this folder:", "", f"    {use(header.kind)}"]
    if described.evaluation is not None:
        lines += ["", *_tables(described)]
    return "\n".join(lines) + "\n"


def hub_card(described: Described) -> str:
    """Return the card with the YAML before it by which the Hugging Face Hub lists networks."""
    kind, layer = described.header.kind, described.layer
    about: dict[str, Any] = {"library_name": "framecast"}
    if described.licence is not None:
        about["license"] = described.licence.lower()
    about["tags"] = ["framecast", kind, *([layer] if layer else [])]
    scores = [one for one in _scores(described) if one.model == _label(described)]
    if scores:
        about["model-index"] = [_index(described, scores)]
    top = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
    return f"---\n{top}---\n\n{card(described)}"


def use(kind: str, folder: str = "FOLDER") -> str:
    """Return the command by which a network of a kind is put to use, as one types it.

    Args:
        kind: such as forecaster.
        folder: the run, quoted where a shell needs it. What else is to be filled in has capitals.
    """
    words = {
        "recogniser": f"recognise {folder} VIDEO",
        "world": f"forecast {folder} EPISODE --start N --steps K --out walk.mp4",
        "tokeniser": f"reconstruct {folder} --data INPUT --out shown.png",
    }.get(kind, f"forecast {folder} INPUT --steps K --out forecast.nc")
    return f"framecast {words}"


def _index(described: Described, scores: list[Scored]) -> dict[str, Any]:
    """The results of a network, as the hub reads them."""
    assert described.evaluation is not None
    data = PurePath(described.evaluation[0]["data"]["source"]).name
    task = "video-classification" if described.header.frames.classes else "other"
    return {
        "name": described.name,
        "results": [
            {
                "task": {"type": task, "name": "recognition" if task != "other" else "forecasting"},
                "dataset": {"type": data, "name": data},
                "metrics": [
                    {
                        "type": one.metric,
                        "name": f"{one.metric} of {one.variable}, {one.when}",
                        "value": one.value,
                    }
                    for one in scores
                ],
            }
        ],
    }


def _facts(described: Described) -> Iterator[tuple[str, str]]:
    """What is known of a network, in words."""
    header, made = described.header, described.environment
    if described.data is not None:
        yield "Data", described.data
    height, width = header.frames.grid
    channels = [
        f"{c.name} [{c.units}]" if c.units else c.name
        for c in (*header.frames.channels, *header.frames.static)
    ]
    size = f"{height}×{width} cells, one every {header.frames.step}"
    yield "Frames", f"{size}: {', '.join(channels)}"
    if header.horizon:
        given = counted(header.context, "frame")
        yield "Trained to", f"read {given}, and forecast {header.horizon}"
    if described.seconds is not None and made:
        took = counted(round(described.seconds / 60), "minute")
        machine = made.get("processor") or made.get("machine", "unknown")
        threads = counted(made["threads"], "thread")
        yield "Training", f"{took} on {made['device']} ({machine}, {threads})"
    if described.evaluation is not None:
        yield "Parameters", f"{described.evaluation[1]['parameters']:,}"
    yield "Licence", described.licence or "not said"


def _tables(described: Described) -> Iterator[str]:
    """The scores of a network, beside those of the baselines."""
    assert described.evaluation is not None
    said, model = described.evaluation
    scores = _scores(described)
    if not scores:
        return
    windows, data = counted(said["windows"], "window"), _named(said["data"]["source"])
    yield f"Measured on {windows} of {data}, beside baselines{_of_runs(model)}:"
    yield from ("", "| variable | by | metric | when | value |", "| --- | --- | --- | --- | --- |")
    for variable, by, metric, when, value in sorted(scores, key=lambda one: one.variable):
        yield f"| {variable} | {by} | {metric} | {when} | {value:.4g} |"


def _scores(described: Described) -> list[Scored]:
    """The scores at the first and last lead time, and how many are named right of all seen."""
    if described.evaluation is None:
        return []
    said, model = described.evaluation
    units = said["lead_time_units"]
    ends = sorted({0, len(said["lead_times"]) - 1})
    leads = [f"lead {said['lead_times'][end]:.4g} {units}".rstrip() for end in ends]
    found = []
    for one in (model, *said["baselines"]):
        loops = [(name, loop, ("rmse",)) for name, loop in one["metrics"].items()]
        for name, loop, metrics in (*loops, ("frame", one.get("frame_metrics", {}), OF_FRAMES)):
            scores = loop.get("closed_loop", {})
            found += [
                Scored(name, one["label"], metric, when, scores[metric]["value"][end])
                for metric in metrics
                for when, end in zip(leads, ends, strict=True)
                if metric in scores
            ]
    named = [runs["shares"] for runs in model.get("recognition", [])]
    if named:
        right = sum(shares[max(shares, key=float)]["top_1"] for shares in named) / len(named)
        found.append(Scored("class", model["label"], "accuracy", "all frames seen", right))
    return found


def _named(source: str) -> str:
    """The name of a file or data set, without where it lies or what it was made from."""
    return PurePath(source.split(" (")[0]).name


def _label(described: Described) -> str | None:
    """What the evaluation calls it."""
    return None if described.evaluation is None else str(described.evaluation[1]["label"])


def _of_runs(model: dict[str, Any]) -> str:
    runs = len(model["runs"])
    return f", as a mean of {runs} runs of which this is one" if runs > 1 else ""


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many parts two paths have in common, from their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
