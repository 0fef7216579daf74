"""Options of commands that forecast with members."""

import argparse
from typing import TYPE_CHECKING, Any

from framecast.base.errors import UserError
from framecast.cli.parser import number, whole_number

if TYPE_CHECKING:
    from framecast.forecast.members import Variation


def add_variation(group: Any, most: str) -> None:
    """Add --members, --seed and --perturb to a parser, or to a group of its arguments.

    Args:
        group: of arguments.
        most: what the help says of the members where none are asked for.
    """
    group.add_argument(
        "--members",
        type=whole_number,
        metavar="M",
        help=f"members of a forecast (default: {most})",
    )
    group.add_argument(
        "--seed",
        type=whole_number,
        metavar="S",
        help="seed of noise and perturbations (default: 0)",
    )
    group.add_argument(
        "--perturb",
        nargs="+",
        type=number,
        metavar=("SCALE", "CELLS"),
        help="noise on given frames, in deviations, and its smoothness (default: 0, white)",
    )


def variation(options: argparse.Namespace) -> "Variation":
    """Return by what members are to differ."""
    from framecast.forecast.members import Variation

    scale, *cells = options.perturb or [0.0]
    if len(cells) > 1:
        raise UserError("--perturb takes SCALE, or SCALE and CELLS")
    if options.perturb is not None and scale <= 0:
        raise UserError(f"--perturb {scale:g} must be above 0")
    try:
        return Variation(options.seed or 0, scale, *cells)
    except ValueError as error:
        raise UserError(f"--seed or --perturb: {error}") from error
