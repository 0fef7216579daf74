"""framecast weights: list the trained networks that can be taken, take one, or share a run."""

import argparse
import shlex
from pathlib import Path

from framecast.base.errors import UserError
from framecast.cli.parser import CommandParser, command_parser, print_table


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "weights", usage="framecast weights [NAME or RUN] [--out FOLDER] [--push OWNER/NAME]"
    )
    parser.add_argument(
        "run",
        nargs="?",
        metavar="NAME or RUN",
        help="a trained network by its name, a run folder, or hub:OWNER/NAME, about which all is "
        "said; without it, the names are listed",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="write its weights, configuration and card into a new folder, which is a run too",
    )
    parser.add_argument(
        "--push",
        metavar="OWNER/NAME",
        help="put the same into a repository on the Hugging Face Hub, which is made if need be",
    )
    parser.add_argument(
        "--private", action="store_true", help="if --push makes it: for its owner alone"
    )
    parser.add_argument(
        "--licence", metavar="NAME", help="of the weights, for the card, such as apache-2.0"
    )
    parser.add_argument(
        "--evaluation",
        metavar="FOLDER",
        help="of framecast evaluate, for the card (default: RUN/evaluation, if it is there)",
    )
    return parser


def run(arguments: list[str]) -> None:
    """List, describe, write or publish."""
    options = parser().parse_args(arguments)
    if options.run is None:
        _list(options)
        return
    if options.private and options.push is None:
        raise UserError("--private is for --push OWNER/NAME")
    from framecast.runs.card import use
    from framecast.runs.checkpoint import stored_kind
    from framecast.runs.hub import push_to_hub, save_pretrained

    folder = _folder(options.run)
    how = {"licence": options.licence, "evaluation": options.evaluation}
    if options.out is not None:
        out = save_pretrained(folder, options.out, **how)
        print(f"Wrote {out}. Next: {use(stored_kind(out), shlex.quote(str(out)))}")
    if options.push is not None:
        print(f"Wrote {push_to_hub(folder, options.push, private=options.private, **how)}")
    if options.out is options.push is None:
        print(_card(folder, **how), end="")


def _card(folder: Path, licence: str | None, evaluation: str | None) -> str:
    """The card that lies in a run, or what one would say."""
    from framecast.runs.card import card
    from framecast.runs.hub import kept_card
    from framecast.runs.weights import describe

    kept = kept_card(folder, licence, evaluation)
    if kept is None:
        return card(describe(folder, licence, evaluation))
    # It may be a stranger's, whose text is not to steer the terminal.
    return "".join(sign for sign in kept if sign.isprintable() or sign in "\n\t")


def _list(options: argparse.Namespace) -> None:
    """Print the names of all that can be taken; refuse what would need one of them."""
    for name in ("out", "push", "licence", "evaluation", "private"):
        if getattr(options, name):
            raise UserError(f"--{name} needs the NAME of a trained network, or a RUN")
    from framecast.runs.weights import shelf

    told = {name: f"{taken.layer} on {taken.data}" for name, taken in shelf().items()}
    print_table(told)
    print("\nEach can be named wherever a run is: framecast forecast weights:NAME INPUT ...")


def _folder(word: str) -> Path:
    """The run that a word stands for: a path, or the name of a trained network."""
    from framecast.runs.weights import shelf, take

    path, named = Path(word), word in shelf()
    if named and path.exists():
        raise UserError(
            f"{word} is a path here and the name of a trained network: write ./{word} or "
            f"weights:{word}"
        )
    return path if path.exists() else take(word)
