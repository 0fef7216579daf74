"""framecast play: walk through what a world model imagines, on a page of this computer."""

from framecast.cli.parser import (
    CommandParser,
    add_device,
    command_parser,
    one_or_many,
    whole_number,
)


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("play", usage="framecast play RUN [EPISODE ...] [options]")
    parser.add_argument("run", metavar="RUN", help="folder of a run that is a world model")
    parser.add_argument(
        "episodes",
        nargs="*",
        metavar="EPISODE",
        help="episodes to begin at, or a folder of them (default: the test part of its data)",
    )
    parser.add_argument(
        "--context",
        type=whole_number,
        metavar="N",
        help="frames of an episode that are shown before the first step (default: as in training)",
    )
    parser.add_argument(
        "--port",
        type=whole_number,
        default=0,
        metavar="N",
        help="port of this computer that the page is served on (default: any that is free)",
    )
    add_device(parser)
    return parser


def run(arguments: list[str]) -> None:
    """Serve the page until Ctrl-C."""
    options = parser().parse_args(arguments)
    from framecast.forecast.play import open_play

    episodes = one_or_many(options.episodes) if options.episodes else None
    with open_play(
        options.run,
        episodes,
        context=options.context,
        port=options.port,
        device=options.device,
    ) as server:
        print(f"Open {server.address} (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended")
