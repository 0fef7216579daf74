"""framecast reproduce: make a reported result again, and compare."""

import shlex
import subprocess
import sys
from pathlib import Path

from framecast.base.claim import claim as hold
from framecast.base.errors import UserError
from framecast.cli.parser import CommandParser, command_parser, print_table


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("reproduce", usage="framecast reproduce [NAME --out FOLDER]")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="of a reported result; without it, all are listed"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where its data, runs and evaluation are made; what was stopped there goes on",
    )
    return parser


def run(arguments: list[str]) -> None:
    """List what can be made again; or make one, compare, and say whether it holds."""
    options = parser().parse_args(arguments)
    from framecast.runs.reproduce import claims, compare, read_claim

    if options.name is None:
        known = {name: read_claim(name).about for name in claims()}
        if not known:
            raise UserError("there are no results here: they lie in the folder results of a clone")
        print_table(known)
        return
    claim = read_claim(options.name)
    if options.out is None:
        raise UserError("--out FOLDER is needed: data, runs and the evaluation are put there")
    with hold(options.out) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        claim.check_needs(folder)
        for command in claim.commands:
            _do(command, folder)
        scores = compare(claim, folder)
    for score in scores:
        verdict = "as reported" if score.holds else "NOT as reported"
        print(
            f"{score.model}, {score.what}: {score.found:.4g}, reported {score.reported:.4g}: "
            f"{verdict} (within {100 * score.tolerance:g} %)"
        )
    if not all(score.holds for score in scores):
        raise UserError(f"{options.name} does not come out as reported")


def _do(command: str, folder: Path) -> None:
    """Run a command of framecast in a folder, or go on where it was stopped.

    A simulation leaves what is whole there alone by itself, and so does a training that is resumed;
    other commands write their --out whole or not at all.
    """
    from framecast.train.many import CONFIGS

    words = shlex.split(command)
    there = "--out" in words and (folder / words[words.index("--out") + 1]).exists()
    print(f"framecast {command}", flush=True)
    if there and words[0] == "train":
        out = words[words.index("--out") + 1]
        several = (folder / out / CONFIGS).is_dir()
        words = ["train", "--resume", "--out", out] if several else [*words, "--resume"]
    elif there and words[0] != "simulate":
        print("  its --out is there already", flush=True)
        return
    done = subprocess.run([sys.executable, "-m", "framecast", *words], cwd=folder)
    if done.returncode:
        raise UserError(f"framecast {command} failed: its message stands above")
