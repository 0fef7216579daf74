"""The data sets by name: each a strict dataclass of its settings that can read its parts."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from framecast.base.errors import UserError
from framecast.base.registry import Registry
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits
from framecast.readers.folder import read_test
from framecast.readers.paths import Paths
from framecast.readers.selection import Selection


class AbsentError(UserError):
    """There are no data where a configuration says so.

    Attributes:
        what: is wrong, without the remedy, which is another one where nothing is to be trained.
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}. {remedy}")
        self.what = what


class Source(ABC):
    """Where frames come from. Making one reads nothing; its fields are the settings users give.

    The fields path, variables, validation_fraction and test_fraction are keys of `DataConfig`
    itself and are taken from there, all others from its options.
    """

    @abstractmethod
    def splits(self) -> Splits:
        """Read all parts.

        Raises:
            UserError: if they are not there, or cannot be read.
        """

    @abstractmethod
    def test(self) -> Frames | None:
        """Read the test part alone; None if there is none.

        Raises:
            UserError: as `splits`.
        """

    @property
    def window(self) -> tuple[int, int] | None:
        """Context and horizon that each of its sequences is made for; None for any."""
        return None

    def read(self, place: Paths, selection: Selection) -> Frames:
        """Read other frames of the same kind, to forecast from or to test on.

        Args:
            place: a file; a folder, a pattern or a list of files; or a folder with a file, or a
                folder of files, that is named test.
            selection: what is read of it.

        Raises:
            UserError: if there are none, or they cannot be read.
        """
        return read_test(place, selection)


Kind = TypeVar("Kind", bound=type[Source])


def _itself(kind: type[Source]) -> type[Source]:
    return kind


SOURCES = Registry("data.source", "framecast.datasets", _itself)


def register_source(name: str) -> Callable[[Kind], Kind]:
    """Class decorator: make a dataclass known as the data set of that name."""
    return SOURCES.register(name)
