"""framecast export: a trained forecaster in files that run without framecast."""

from pathlib import Path

from framecast.cli.parser import CommandParser, command_parser, whole_number


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("export", usage="framecast export RUN --onnx | --torch OUT [options]")
    parser.add_argument("run", metavar="RUN", help="folder of a run, or its .safetensors file")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--onnx",
        action="store_true",
        help="ONNX files of standard operators, for ONNX Runtime and others",
    )
    kind.add_argument(
        "--torch", action="store_true", help=".pt2 files, which torch.export.load reads"
    )
    parser.add_argument(
        "--context",
        type=whole_number,
        metavar="T",
        help="given frames of the pass over a context (default: as in training)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an exported model at OUT")
    return parser


def run(arguments: list[str]) -> None:
    """Export, check and write; say what was written and how to go on."""
    options = parser().parse_args(arguments)
    from framecast.export import export
    from framecast.frames.times import counted

    made = export(
        options.run,
        options.out,
        "onnx" if options.onnx else "torch",
        options.context,
        options.overwrite,
    )
    print(
        f"Wrote {options.out}: context{made.suffix} reads {counted(made.context, 'frame')}, "
        f"step{made.suffix} "
        f"goes on frame by frame on {made.grids}, and manifest.json says what they take and return."
        f"\nOver the first frame and 20 steps it differs from PyTorch by at most "
        f"{made.difference:.1g} deviations of the training frames."
    )
