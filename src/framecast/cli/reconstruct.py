"""framecast reconstruct: show and measure what a tokeniser keeps of frames."""

import json
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.whole import whole, write_text
from framecast.cli.parser import CommandParser, add_device, command_parser, whole_number


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("reconstruct", usage="framecast reconstruct RUN [options]")
    parser.add_argument("run", metavar="RUN", help="folder of a run that is a tokeniser")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="other frames of the same kind (default: the test part of its data)",
    )
    parser.add_argument(
        "--frames",
        type=whole_number,
        default=1000,
        metavar="N",
        help="frames to reconstruct, spread evenly over all (default: %(default)s)",
    )
    parser.add_argument(
        "--lpips-weights",
        type=Path,
        metavar="FILE",
        help="weights of LPIPS as .safetensors (default: those of framecast fetch lpips)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write a picture of some frames with their reconstructions below (.png), and the "
        "numbers beside it (.json)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files at --out that exist"
    )
    add_device(parser)
    return parser


def run(arguments: list[str]) -> None:
    """Reconstruct, print the numbers, and write what is asked for."""
    options = parser().parse_args(arguments)
    numbers = options.out and options.out.with_suffix(".json")
    if options.out is not None:
        if options.out.suffix != ".png":
            raise UserError(f"--out {options.out}: the picture is written as .png")
        for file in (options.out, numbers):
            if file.exists() and not options.overwrite:
                raise UserError(f"{file} exists: choose another --out, or give --overwrite")
    from framecast.evaluate.reconstruction import reconstruct
    from framecast.runs.checkpoint import stored_header

    channels = len(stored_header(options.run).frames.channels)
    if options.out is not None and channels not in (1, 3):
        raise UserError(
            f"--out {options.out}: a picture has one channel or three, and not {channels}: leave "
            "it out to see the numbers"
        )
    found, picture = reconstruct(
        options.run, options.data, options.frames, options.lpips_weights, options.device
    )
    for name, value in found.to_dict().items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        print(f"{name.replace('_', ' ')}: {'not measured' if value is None else shown}")
    if options.out is not None:
        from PIL import Image

        with whole(options.out) as partial:
            Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(
                partial
            )
        write_text(numbers, json.dumps(found.to_dict(), indent=2) + "\n")
