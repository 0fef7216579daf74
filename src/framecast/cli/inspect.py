"""framecast inspect: say what data hold, by what evidence, and propose how to learn from them."""

import argparse
import json
import shlex
from pathlib import Path

from framecast.base.config import load_config
from framecast.base.errors import UserError
from framecast.base.whole import write_text
from framecast.cli.parser import CommandParser, command_parser, number, overrides, print_table
from framecast.runs.experiment import Experiment

COMMON = (
    *("data.variables", "data.missing", "data.source", "data.validation_fraction"),
    *("data.test_fraction", "training.context", "training.horizon"),
)
"""The keys that the short help explains."""


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("inspect", usage="framecast inspect PATH [PATH ...] [options]")
    parser.add_argument(
        "path",
        nargs="+",
        metavar="PATH",
        help="a file, a folder or a pattern in quotes; several files are one series",
    )
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="write the configuration that is proposed, with the reason for each key (.yaml)",
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw the frames into a file (.png) rather than in the terminal",
    )
    add_minutes(parser)
    add_cache(parser)
    parser.add_config(Experiment, COMMON, everything)
    return parser


def add_cache(parser: CommandParser, shown: bool = True) -> None:
    """Add the short form of data.cache, which the help may leave out."""
    about = "write what is slow to read into the cache once: the same as --data.cache true"
    parser.add_argument(
        "--cache",
        dest="data.cache",
        action="store_const",
        const="true",
        default=argparse.SUPPRESS,
        help=about if shown else argparse.SUPPRESS,
    )


def as_key(paths: list[str]) -> str:
    """Return one path, or several as a list, as the text of data.path."""
    return paths[0] if len(paths) == 1 else json.dumps(paths)


def add_minutes(parser: CommandParser) -> None:
    """Add the option that says how long training may take."""
    parser.add_argument(
        "--minutes",
        type=number,
        metavar="M",
        help="how long training may take: network and epochs follow from what a step takes here",
    )


def run(arguments: list[str]) -> None:
    """Print what was found and what is proposed, and write what is asked for."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    given = overrides(Experiment, options)
    if "data.path" in given:
        raise UserError("data.path is what PATH names already: give it once")
    if options.write is not None and options.write.exists():
        raise UserError(f"--write {options.write} exists already: choose another name")
    path = as_key(options.path)
    from framecast.doctor import examine, propose
    from framecast.doctor.config_file import write_config
    from framecast.doctor.screen import commands, describe, draw

    data = load_config(Experiment, None, {**given, "data.path": path}).data
    findings = examine(data)
    try:
        proposal = propose(findings, given)
    except UserError as error:  # too few frames to learn from are described all the same
        print_table({**describe(findings), "note": str(error)})
        return
    if options.minutes is not None:
        from framecast.doctor.speed import fit_to_time

        proposal = fit_to_time(proposal, options.minutes)
    print_table(describe(findings, proposal))
    if options.picture is not None:
        from framecast.doctor.picture import save_picture

        save_picture(findings, options.picture)
    elif picture := draw(findings.frames):
        print(f"\n{picture}")
    proposal.experiment()  # what is refused is refused before it is proposed
    if options.write is not None:
        write_text(options.write, write_config(findings, proposal))
        print(f"\nNext:  framecast train {shlex.quote(str(options.write))} --out runs/first")
    else:
        train, write = commands(findings, given, options.minutes)
        print(f"\nNext:  {train}\n  or:  {write}")
