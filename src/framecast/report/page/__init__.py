"""One page that holds an evaluation: sentences, maps, curves, tables; it asks for nothing else."""

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from framecast.evaluate import Evaluation
from framecast.evaluate.examples import Choice, Example, parts_of
from framecast.frames.leads import lead_times, with_units
from framecast.frames.times import counted
from framecast.report import ages
from framecast.report.page import charts
from framecast.report.page.frames import Show, scene
from framecast.report.page.numbers import averages
from framecast.report.page.provenance import provenance
from framecast.report.page.summary import summarise
from framecast.report.recognition import recognition_tables
from framecast.report.tables import Table
from framecast.report.words import title

SCRIPTS = ("charts.js", "fields.js", "viewer.js")
MOST_BYTES = 10_000_000
"""A page is smaller than this."""


class Group(NamedTuple):
    """Charts that stand together: their title, and their places among all charts."""

    title: str
    charts: list[int]


class Section(NamedTuple):
    """A part of the page."""

    title: str
    about: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    groups: tuple[Group, ...] = ()


def draw_page(evaluation: Evaluation, creator: str) -> str:
    """Return the page of an evaluation as HTML.

    Args:
        evaluation: what is shown.
        creator: what the page says of who wrote it.
    """
    drawn: list[charts.Chart] = []
    sections = [
        Section("Classes", tables=tuple(recognition_tables(evaluation, confusion=True))),
        Section("By lead time", (_bands(evaluation),), groups=_by_lead(evaluation, drawn)),
        Section("Spectra", groups=_by_channel(evaluation, drawn, charts.spectra)),
        Section(
            "By age",
            tuple(ages.about(evaluation)),
            tuple(ages.tables(evaluation)),
            _by_age(evaluation, drawn),
        ),
        Section("Ensembles", groups=_by_channel(evaluation, drawn, charts.ensembles)),
        Section("Averages over lead times", tables=tuple(averages(evaluation))),
    ]
    names = ", ".join(c.name for c in evaluation.first.channels)
    return render(
        title=f"Forecasts of {names}",
        subtitle=f"{', '.join(title(f) for f in evaluation.models)}: "
        f"{counted(evaluation.windows, 'window')}, {counted(evaluation.steps, 'lead time')}",
        creator=creator,
        summary=summarise(evaluation),
        show=show_of(evaluation),
        sections=[s for s in sections if s.tables or s.groups],
        drawn=drawn,
        provenance=provenance(evaluation, creator),
    )


def render(
    *,
    title: str,
    subtitle: str,
    creator: str,
    show: Show | None,
    summary: Any = None,
    sections: list[Section] | None = None,
    drawn: list[charts.Chart] | None = None,
    provenance: Any = None,
) -> str:
    """Return a page as HTML; what comes from files is escaped wherever it stands.

    Args:
        title: of the page.
        subtitle: a line below it.
        creator: who wrote it.
        show: what the viewer shows; None for no viewer.
        summary: what is said first.
        sections: charts and tables.
        drawn: the charts, by the places that sections name.
        provenance: what was run on what.
    """
    viewed = None if show is None else _scene(show)
    data = {"charts": _json([chart.spec for chart in drawn or []])}
    if viewed is not None:
        data |= {"scene": _json(viewed)}
    style, script = _read("style.css"), "\n".join(map(_read, SCRIPTS))
    policy = (
        f"default-src 'none'; script-src '{_checksum(script)}'; style-src '{_checksum(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page: str = environment.from_string(_read("page.html.jinja")).render(
        title=title,
        subtitle=subtitle,
        creator=creator,
        policy=policy,
        style=style,
        script=script,
        summary=summary,
        scene=viewed,
        sections=sections or [],
        charts=drawn or [],
        provenance=provenance,
        data=data,
    )
    return page


def show_of(evaluation: Evaluation) -> Show:
    """Return what the viewer shows of an evaluation: its examples, or the first window alone."""
    labels = [title(f) for f in evaluation.forecasts]
    examples = evaluation.examples or (
        Example(
            Choice(("first",), 0, 0),
            evaluation.first,
            tuple(parts_of(f.example) for f in evaluation.forecasts),
        ),
    )
    return Show(examples, evaluation.context, labels, len(evaluation.models), evaluation.windows)


def _scene(show: Show) -> dict[str, Any]:
    """What the viewer reads, with the axis of the series."""
    found = scene(show)
    times, units = lead_times(show.first, show.steps)
    step = times[0]
    return found | {
        "times": [
            float(times[offset - 1] if offset > 0 else offset * step) for offset in found["offsets"]
        ],
        "xlabel": with_units("lead time", units),
    }


def _bands(evaluation: Evaluation) -> str:
    if any(len(f.scores) > 1 for f in evaluation.models):
        spread = f"the standard deviation over {evaluation.spread_over}"
        return f"Shaded: {spread}, or the 95 % interval of a single run."
    if evaluation.forecasts[0].interval(evaluation.metrics[0]) is None:
        return "There are too few windows for intervals."
    return "Shaded: the 95 % interval, by a bootstrap over blocks of windows."


def _by_lead(evaluation: Evaluation, drawn: list[charts.Chart]) -> tuple[Group, ...]:
    names = charts.named(evaluation)
    groups = [
        _group(name or "whole frames", charts.by_lead(evaluation, name), drawn) for name in names
    ]
    return tuple(group for group in groups if group.charts)


def _by_age(evaluation: Evaluation, drawn: list[charts.Chart]) -> tuple[Group, ...]:
    made = list(charts.by_age(evaluation))
    return (_group("whole frames", made, drawn),) if made else ()


def _by_channel(evaluation: Evaluation, drawn: list[charts.Chart], draw: Any) -> tuple[Group, ...]:
    groups = [
        _group(channel.name, list(draw(evaluation, place)), drawn)
        for place, channel in enumerate(evaluation.first.channels)
    ]
    return tuple(group for group in groups if group.charts)


def _group(name: str, made: list[charts.Chart], drawn: list[charts.Chart]) -> Group:
    places = list(range(len(drawn), len(drawn) + len(made)))
    drawn += made
    return Group(name, places)


@cache
def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    """What the policy of the page knows a script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
