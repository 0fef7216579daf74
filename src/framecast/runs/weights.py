"""Trained networks to take: those behind the reported results, by name.

In a checkout they lie in `results`, beside the evidence; an installed framecast has the small ones.
"""

from pathlib import Path

from framecast.base.errors import UserError, nearest
from framecast.base.whole import PathLike
from framecast.runs.card import NUMBERS, Described
from framecast.runs.checkpoint import BEST, stored_header

PACKED = Path(__file__).parents[1] / "weights"
CHECKOUT = Path(__file__).parents[3] / "results"
LICENCE = "Apache-2.0"

EVALUATION = "evaluation"
"""The folder of a run in which its evaluation is looked for."""


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
    return known[name].path


def shelf(root: Path | None = None) -> dict[str, Described]:
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
        name: Described(name, folder, place / folder.relative_to(place).parts[0] / NUMBERS, LICENCE)
        for name, (_, folder) in sorted(best.items())
    }


def describe(
    run: PathLike, licence: str | None = None, evaluation: PathLike | None = None
) -> Described:
    """Return what a card of a run is written from.

    Args:
        run: a folder, one of those that can be taken, or a checkpoint alone.
        licence: an identifier; None for that of the networks here, and else for not said.
        evaluation: the folder of one that the run was part of; None for `evaluation` in the run,
            if it is there.

    Raises:
        UserError: if the evaluation is no evaluation.
    """
    path = Path(run)
    here = [taken for taken in shelf().values() if taken.path == path]
    if here and licence is None and evaluation is None:
        return here[0]
    evidence = Path(evaluation or path / EVALUATION) / NUMBERS
    if evaluation is not None and not evidence.is_file():
        raise UserError(f"{evaluation} is no folder of framecast evaluate: it has no {NUMBERS}")
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return Described(name, path, evidence if evidence.is_file() else None, licence)
