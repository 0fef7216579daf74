"""Recipes: configurations shipped with the package, one for every reported result."""

from pathlib import Path

from framecast.base.config import nearest
from framecast.base.errors import UserError

_FOLDER = Path(__file__).parent


def recipes() -> dict[str, str]:
    """Return the names of all recipes, each with the comment on its first line."""
    return {
        file.stem: file.read_text().split("\n", 1)[0].removeprefix("# ")
        for file in sorted(_FOLDER.glob("*.yaml"))
    }


def find_recipe(name: str) -> Path:
    """Return the file of a recipe or, where `name` is a file, that file.

    Raises:
        UserError: if there is neither; the nearest recipe is suggested.
    """
    if Path(name).is_file():
        return Path(name)
    if name in recipes():
        return _FOLDER / f"{name}.yaml"
    raise UserError(
        f"{name} is neither a file nor a recipe{nearest(name, list(recipes()))}. "
        "framecast recipes lists the recipes"
    )
