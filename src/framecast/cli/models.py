"""framecast models: list the recurrent layers, their papers and options."""

from framecast.cli.parser import CommandParser, command_parser


def parser() -> CommandParser:
    """Return the parser of the command."""
    return command_parser("models")


def run(arguments: list[str]) -> None:
    """Print every layer with what is known of it."""
    parser().parse_args(arguments)
    from framecast.layers import layer_entry, layer_names

    for name in layer_names():
        entry = layer_entry(name)
        print(f"{name}\n    {entry.summary}\n    Paper: {entry.paper}")
        print(f"    Parameters: {entry.parameters(48):,} a layer of 48 channels, kernel 3")
        for option in entry.options():
            print(f"    --model.options.{option}")
        print()
