"""framecast recipes: list the recipes, or print one."""

from framecast.base.recipes import find_recipe, print_recipe, recipes
from framecast.cli.parser import CommandParser, command_parser, print_table


def parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser("recipes", usage="framecast recipes [RECIPE]")
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="name of a recipe to print, with all that it inherits, so that it can be saved and "
        "edited; without it, all recipes are listed",
    )
    return parser


def run(arguments: list[str]) -> None:
    """Print a recipe, or the names of all."""
    name = parser().parse_args(arguments).recipe
    if name is None:
        print_table(recipes())
    else:
        print(print_recipe(find_recipe(name)), end="")
