"""framecast doctor: show the versions, devices, kernels and threads in use."""

from framecast.cli.parser import CommandParser, command_parser, print_table


def parser() -> CommandParser:
    """Return the parser of the command."""
    return command_parser("doctor")


def run(arguments: list[str]) -> None:
    """Print what runs here."""
    parser().parse_args(arguments)
    from framecast.runs.environment import diagnose

    print_table(diagnose())
