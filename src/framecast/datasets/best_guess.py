"""How often the best possible guess of a class is right, where it is known: best_guess.csv.

A data set that was made by known rules may say so beside its parts: a row for each share of a video
that was seen and each class, with the share of the videos of the class that the best possible guess
names right.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from framecast.base.errors import UserError
from framecast.base.texts import read_text

FILE = "best_guess.csv"
COLUMNS = ("seen", "class", "accuracy")


class BestGuess(NamedTuple):
    """The accuracy of the best possible guess, by the share of a video that was seen.

    Attributes:
        shares: in (0, 1], ascending.
        accuracies: of each class in [0, 1], by its name, at each share.
    """

    shares: tuple[float, ...]
    accuracies: tuple[Mapping[str, float], ...]

    def at(self, share: float) -> Mapping[str, float] | None:
        """Return the accuracies at the largest share that is not above this; None below all."""
        known = [place for place, own in enumerate(self.shares) if own <= share + 1e-9]
        return self.accuracies[known[-1]] if known else None

    def to_csv(self) -> str:
        """Return the content of the file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for share, accuracies in zip(self.shares, self.accuracies, strict=True):
            writer.writerows((share, name, value) for name, value in accuracies.items())
        return text.getvalue()


def read_best_guess(folder: Path, classes: Sequence[str]) -> BestGuess | None:
    """Read the file of a folder; None where there is none.

    Raises:
        UserError: if it is not such a table, or a class is missing at some share.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    found: dict[float, dict[str, float]] = {}
    for share, name, accuracy in _rows(file):
        found.setdefault(share, {})[name] = accuracy
    for share, accuracies in found.items():
        if missing := [name for name in classes if name not in accuracies]:
            raise UserError(f"{file}: has no accuracy of {missing[0]} at share {share:g}")
    shares = sorted(found)
    return BestGuess(tuple(shares), tuple(found[share] for share in shares))


def _rows(file: Path) -> Iterable[tuple[float, str, float]]:
    """The rows, both numbers within their ranges."""
    reader = csv.DictReader(io.StringIO(read_text(file, "CSV")))
    for number, row in enumerate(reader, start=2):
        try:
            share, name, accuracy = float(row["seen"]), row["class"], float(row["accuracy"])
            good = 0 < share <= 1 and 0 <= accuracy <= 1
        except (KeyError, TypeError, ValueError):
            good = False
        if not good:
            raise UserError(
                f"{file}, line {number}: a row has seen, above 0 and at most 1, class, and "
                "accuracy, from 0 to 1"
            )
        yield share, name, accuracy
