"""Sources of frames by name: each a strict dataclass of its settings that can read its parts."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from framecast.config import nearest
from framecast.data.frames import Frames
from framecast.errors import UserError


class Splits(NamedTuple):
    """Frames for training, validation and test; the last two may be None."""

    train: Frames
    validation: Frames | None
    test: Frames | None


@runtime_checkable
class Source(Protocol):
    """Where frames come from. Making one reads nothing; its fields are the settings users give.

    The fields path, variables, validation_fraction and test_fraction are keys of `DataConfig`
    itself and are taken from there, all others from its options.
    """

    def splits(self) -> Splits:
        """Read all parts.

        Raises:
            UserError: if they are not there, or cannot be read.
        """

    def test(self) -> Frames | None:
        """Read the test part alone; None if there is none.

        Raises:
            UserError: as `splits`.
        """


_SOURCES: dict[str, type[Source]] = {}
Kind = TypeVar("Kind", bound=type[Source])


def register_source(name: str) -> Callable[[Kind], Kind]:
    """Make a dataclass known as the source of that name."""

    def register(kind: Kind) -> Kind:
        _SOURCES[name] = kind
        return kind

    return register


def source_names() -> list[str]:
    """Return the names of all sources."""
    return sorted(_SOURCES)


def find_source(name: str) -> type[Source]:
    """Return the source of a name.

    Raises:
        UserError: if there is none; the nearest is suggested.
    """
    if name not in _SOURCES:
        raise UserError(
            f"data.source {name} is not known{nearest(name, source_names())}; there are "
            f"{', '.join(source_names())}"
        )
    return _SOURCES[name]
