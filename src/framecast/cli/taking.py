"""framecast weights: list the trained networks that can be taken, or take one."""

import shutil
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.whole import whole
from framecast.cli.parser import CommandParser, command_parser, print_table


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("weights", usage="framecast weights [NAME] [--out FOLDER]")
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="of a trained network, about which all is said; without it, all are listed",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="copy it as a run folder, to go on from"
    )
    return parser


def run(arguments: list[str]) -> None:
    """List, describe or copy."""
    options = parser().parse_args(arguments)
    from framecast.runs.weights import card, shelf, take

    if options.name is None:
        if options.out is not None:
            raise UserError("--out needs the NAME of a trained network")
        known = shelf()
        print_table({name: _summary(taken.config) for name, taken in known.items()})
        print("\nEach can be named wherever a run is: framecast forecast weights:NAME INPUT ...")
        return
    folder = take(options.name)
    told = card(shelf()[options.name])
    if options.out is None:
        print(told, end="")
        return
    if options.out.exists():
        raise UserError(f"{options.out} exists: choose another --out")
    with whole(options.out) as partial:
        shutil.copytree(folder, partial)
        (partial / "README.md").write_text(told, encoding="utf-8")
    print(f"Wrote {options.out}. Next: framecast forecast {options.out} INPUT --out forecast.nc")


def _summary(config: dict[str, dict[str, object]]) -> str:
    """What a network is, in a line."""
    data = config["data"]
    return f"{config['model']['layer']} on {data.get('path') or data.get('source')}"
