"""framecast serve: forecasts over HTTP on this computer."""

from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.cli.parser import CommandParser, add_device, command_parser, number, whole_number


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("serve", usage="framecast serve RUN [options]")
    parser.add_argument("run", metavar="RUN", help="folder of a run, or its .safetensors file")
    parser.add_argument(
        "--port",
        type=whole_number,
        default=8000,
        metavar="PORT",
        help="port on 127.0.0.1, the only address that is listened to (default: %(default)s)",
    )
    parser.add_argument(
        "--like",
        type=Path,
        metavar="FILE",
        help="frames of the kind of those of the training: coordinates, static fields and the step "
        "of time, for streams whose frames come with times",
    )
    limits = parser.add_argument_group("limits of a request")
    for name, of, default, about in (
        ("--most-bytes", whole_number, 64_000_000, "bytes of its body"),
        ("--most-steps", whole_number, 1000, "lead times that it asks for"),
        ("--most-frames", whole_number, 2000, "given frames, of all its sequences"),
        ("--most-sequences", whole_number, 64, "sequences in a request or a stream"),
        ("--most-streams", whole_number, 100, "streams that are held at a time"),
        ("--most-waiting", whole_number, 16, "requests that wait while one is computed"),
        ("--most-seconds", number, 60.0, "seconds from its arrival to its answer"),
    ):
        about = f"{about} (default: %(default)s)"
        limits.add_argument(name, type=of, default=default, metavar="N", help=about)
    add_device(parser)
    return parser


def run(arguments: list[str]) -> None:
    """Serve until it is stopped."""
    options = parser().parse_args(arguments)
    if not 0 <= options.port < 65536:
        raise UserError(f"--port {options.port} is none: choose one from 1 to 65535, or 0 for any")
    uvicorn = need("uvicorn", "serve", "framecast serve")
    need("fastapi", "serve", "framecast serve")
    need("prometheus_client", "serve", "framecast serve")
    from framecast.forecast.predictor import Predictor
    from framecast.forecast.stream import frames_like
    from framecast.runs.checkpoint import load_checkpoint
    from framecast.serve.app import Bounds, make_app

    predictor = Predictor(load_checkpoint(options.run), options.device)
    bounds = Bounds(
        options.most_bytes,
        options.most_steps,
        options.most_streams,
        options.most_sequences,
        options.most_frames,
        options.most_waiting,
        options.most_seconds,
    )
    like = None if options.like is None else frames_like(options.run, predictor, options.like)
    app = make_app(predictor, bounds, like)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="info", access_log=False)
