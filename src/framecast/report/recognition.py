"""What runs name, as plain values, rows of CSV, tables and a picture."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure

from framecast.evaluate import Evaluation, Forecasts
from framecast.evaluate.recognition import Recognition
from framecast.metrics.classes import TOP, Named
from framecast.report.tables import Table
from framecast.report.words import COLOURS, title

CLASS_COLUMNS = ("model", "seen", "of", "name", "metric", "value", "spread", "sequences")
"""Columns of classes.csv; `of` is all, class or group, and `name` the one."""
CONFUSION_COLUMNS = ("model", "run", "seen", "true", "named", "count")
"""Columns of confusion.csv."""
MOST_CLASSES = 20
"""Classes whose confusion is a table of the page."""

BEST = "best possible guess"
"""The label of what the best possible guess would reach."""

SCORES: dict[str, Callable[[Named], float]] = {
    "top_1": Named.accuracy,
    "top_5": lambda named: named.accuracy(TOP),
    "calibration_error": Named.calibration_error,
}


def describe_recognition(recognition: Recognition) -> dict[str, Any]:
    """Return what a run names as plain values; None for what is not finite."""
    groups = {share: recognition.by_group(share) for share in recognition.shares}
    return {
        "classes": list(recognition.names),
        "groups": None if recognition.groups is None else list(recognition.groups),
        "trained_shares": list(recognition.trained),
        "shares": {
            str(share): _describe(own) | _describe_best(recognition, share)
            for share, own in recognition.named.items()
        },
        "group_shares": {
            str(share): _describe(own) for share, own in groups.items() if own is not None
        },
    }


def class_rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    """Yield rows of CLASS_COLUMNS: means over the runs that differ by their seed.

    Where it is known, the best possible guess follows as if it were a model.
    """
    for model in named_models(evaluation):
        for share in model.recognition[0].shares:
            every = [one.named[share] for one in model.recognition]
            for metric, score in SCORES.items():
                yield _row(model, share, ("all", "", metric), [score(one) for one in every], every)
            yield from _class_rows(model, share, "class", every)
            grouped = [one.by_group(share) for one in model.recognition]
            if groups := [one for one in grouped if one is not None]:
                yield from _class_rows(model, share, "group", groups)
    for model in named_models(evaluation)[:1]:
        yield from _best_rows(model.recognition[0])


def confusion_rows(evaluation: Evaluation) -> Iterator[tuple[Any, ...]]:
    """Yield rows of CONFUSION_COLUMNS, of the pairs of classes that occur."""
    for model in named_models(evaluation):
        for run, one in zip(model.runs, model.recognition, strict=True):
            for share, named in one.named.items():
                counts = named.confusion()
                for true, other in counts.nonzero().tolist():
                    names = named.names[true], named.names[other]
                    yield (model.label, str(run.path), share, *names, int(counts[true, other]))


def named_models(evaluation: Evaluation) -> list[Forecasts]:
    """Return the models that tell classes apart."""
    return [model for model in evaluation.models if model.recognition]


def recognition_tables(evaluation: Evaluation, confusion: bool = False) -> list[Table]:
    """Return what models name as tables; none where no model names anything.

    Args:
        evaluation: of models.
        confusion: whether there is a table of each model's confusion too, where classes are few.
    """
    models = named_models(evaluation)
    if not models:
        return []
    tables = [_by_share(models), _at_trained(models), _by_class(models, "class")]
    if models[0].recognition[0].groups is not None:
        tables.append(_by_class(models, "group"))
    if confusion and len(models[0].recognition[0].names) <= MOST_CLASSES:
        tables += [_confusion(model) for model in models]
    return tables


def draw_accuracy(evaluation: Evaluation) -> Figure:
    """Draw the accuracy by the share that was seen, and of the usual guess."""
    models = named_models(evaluation)
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for model, colour in zip(models, cycle(COLOURS), strict=False):
        shares = model.recognition[0].shares
        found = [_mean(model, share, Named.accuracy) for share in shares]
        means = [100 * mean for mean, _ in found]
        axes.plot([100 * share for share in shares], means, "o-", c=colour, label=title(model))
        if found[0][1] is not None:
            low, high = ([100 * (m + sign * (s or 0.0)) for m, s in found] for sign in (-1, 1))
            axes.fill_between([100 * share for share in shares], low, high, color=colour, alpha=0.2)
    first = models[0].recognition[0]
    guess = 100 * first.named[first.shares[0]].most_frequent
    axes.axhline(guess, c="0.45", ls="--", label="most frequent class")
    best = {share: first.best_accuracy(share) for share in first.shares}
    if known := {100 * share: 100 * value for share, value in best.items() if value is not None}:
        axes.plot(list(known), list(known.values()), c="0.2", ls=":", label=BEST)
    axes.set(xlabel="share seen (%)", ylabel="classes named right (%)", ylim=(0, 100))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _describe(named: Named) -> dict[str, Any]:
    reliability = named.reliability()
    per_class = zip(named.names, named.per_class().tolist(), strict=True)
    return {
        "sequences": len(named),
        **{metric: score(named) for metric, score in SCORES.items()},
        "most_frequent": named.most_frequent,
        "per_class": {name: _finite(value) for name, value in per_class},
        "confusion": named.confusion().tolist(),
        "reliability": {
            name: [_finite(value) for value in values.tolist()]
            for name, values in reliability._asdict().items()
        },
    }


def _describe_best(recognition: Recognition, share: float) -> dict[str, Any]:
    """The best possible guess at a share; nothing where it is not known."""
    accuracies = recognition.best_per_class(share)
    if accuracies is None:
        return {}
    return {
        "best_possible": recognition.best_accuracy(share),
        "best_possible_per_class": {name: accuracies[name] for name in recognition.names},
    }


def _finite(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None


def _class_rows(
    model: Forecasts, share: float, of: str, every: Sequence[Named]
) -> Iterator[tuple[Any, ...]]:
    """The accuracy of each class, or group."""
    accuracies = [one.per_class().tolist() for one in every]
    counts = every[0].confusion().sum(1).tolist()
    for place, name in enumerate(every[0].names):
        values = [own[place] for own in accuracies]
        row = _row(model, share, (of, name, "top_1"), values, every)
        yield (*row[:-1], counts[place])


def _best_rows(recognition: Recognition) -> Iterator[tuple[Any, ...]]:
    """What the best possible guess would be right in, of all videos and of each class."""
    for share in recognition.shares:
        described, named = _describe_best(recognition, share), recognition.named[share]
        if described:
            whole = ("all", "", "top_1", described["best_possible"], "", len(named))
            yield (BEST, share, *whole)
            counts = named.confusion().sum(1).tolist()
            accuracies = described["best_possible_per_class"].items()
            for (name, value), count in zip(accuracies, counts, strict=True):
                yield (BEST, share, "class", name, "top_1", value, "", count)


def _row(
    model: Forecasts,
    share: float,
    what: tuple[str, str, str],
    values: Sequence[float],
    every: Sequence[Named],
) -> tuple[Any, ...]:
    mean, spread = _over_runs(values)
    return (model.label, share, *what, mean, "" if spread is None else spread, len(every[0]))


def _over_runs(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean over runs, and their sample standard deviation where there are several."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _mean(
    model: Forecasts, share: float, score: Callable[[Named], float]
) -> tuple[float, float | None]:
    return _over_runs([score(one.named[share]) for one in model.recognition])


def _percent(found: tuple[float, float | None]) -> str:
    mean, spread = found
    if math.isnan(mean):
        return "–"
    return f"{100 * mean:.1f}" if spread is None else f"{100 * mean:.1f} ± {100 * spread:.1f}"


def _by_share(models: Sequence[Forecasts]) -> Table:
    shares = models[0].recognition[0].shares
    rows = [
        [title(m), *(_percent(_mean(m, share, Named.accuracy)) for share in shares)] for m in models
    ]
    first = models[0].recognition[0]
    if first.best_accuracy(shares[-1]) is not None:
        best = [first.best_accuracy(share) for share in shares]
        rows.append([BEST, *("–" if b is None else f"{100 * b:.1f}" for b in best)])
    return Table(
        "Classes named right (%), by the share seen",
        ["", *(f"{share:.0%}" for share in shares)],
        rows,
    )


def _at_trained(models: Sequence[Forecasts]) -> Table:
    rows = [
        [
            f"{title(model)}, {share:.0%} seen",
            *(_percent(_mean(model, share, score)) for score in SCORES.values()),
            _percent((model.recognition[0].named[share].most_frequent, None)),
            str(len(model.recognition[0].named[share])),
        ]
        for model in models
        for share in model.recognition[0].trained
    ]
    heads = [
        "",
        "top 1 (%)",
        "top 5 (%)",
        "calibration error (%)",
        "most frequent (%)",
        "sequences",
    ]
    return Table("Naming of classes at the shares of the training", heads, rows)


def _by_class(models: Sequence[Forecasts], of: str) -> Table:
    """A row for each class, or group; a column for each model at each share of the training."""
    cases = [(model, share) for model in models for share in model.recognition[0].trained]
    found = []
    for model, share in cases:
        each = [
            one.by_group(share) if of == "group" else one.named[share] for one in model.recognition
        ]
        found.append([one.per_class().tolist() for one in each if one is not None])
    first = models[0].recognition[0]
    example = first.by_group(first.shares[0]) if of == "group" else first.named[first.shares[0]]
    assert example is not None
    rows = [
        [name, *(_percent(_over_runs([own[place] for own in runs])) for runs in found)]
        for place, name in enumerate(example.names)
    ]
    heads = ["", *(f"{title(model)}, {share:.0%}" for model, share in cases)]
    for share in first.trained if of == "class" else ():
        if (best := first.best_per_class(share)) is not None:
            heads.append(f"{BEST}, {share:.0%}")
            rows = [[*row, f"{100 * best[row[0]]:.1f}"] for row in rows]
    return Table(f"Named right (%), by {of} and share seen", heads, rows)


def _confusion(model: Forecasts) -> Table:
    """How often each true class was named what, by the first run, at the largest trained share."""
    share = model.recognition[0].trained[-1]
    named = model.recognition[0].named[share]
    rows = [
        [name, *map(str, counts)]
        for name, counts in zip(named.names, named.confusion().tolist(), strict=True)
    ]
    heads = ["true class", *(f"named {name}" for name in named.names)]
    return Table(f"What {model.label} named, {share:.0%} seen (sequences)", heads, rows)
