"""framecast import: make a run from a published ConvLSTM or Conv-TT-LSTM network."""

import shlex
from pathlib import Path

from framecast.base.config import load_config
from framecast.cli.parser import CommandParser, command_parser, overrides
from framecast.runs.published import PublishedNetwork, import_published

COMMON = ("output", "context", "horizon", "data.source", "data.path", "data.normalise")


def parser(everything: bool = False) -> CommandParser:
    """Return the parser of the command, whose help explains the common keys or all of them."""
    parser = command_parser("import", usage="framecast import FILE --out RUN [--KEY VALUE ...]")
    parser.add_argument(
        "weights",
        type=Path,
        metavar="FILE",
        help="state dict of the network: .safetensors, or a .pt file of tensors alone",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="RUN",
        help="folder to write the run into; it must be new",
    )
    parser.add_config(PublishedNetwork, COMMON, everything)
    return parser


def run(arguments: list[str]) -> None:
    """Make the run, and say what to do next."""
    options = parser("--help-all" in arguments).parse_args(arguments)
    network = load_config(PublishedNetwork, None, overrides(PublishedNetwork, options))
    import_published(options.weights, network, options.out)
    run = shlex.quote(str(options.out))
    print(f"Imported {options.out}. Next: framecast forecast {run} INPUT --steps K --out FILE")
