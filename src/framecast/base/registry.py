"""Things by name: what a configuration chooses from, and what the tests run over."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from framecast.base.errors import UserError, nearest

Item = TypeVar("Item")
Kind = TypeVar("Kind", bound=type[Any])


class Registry(Generic[Item]):
    """Items by name, those of other packages among them.

    A package adds an item by an entry point in the group of the registry: the entry point's name
    is that of the item, its object the class. It is imported when a name is first looked up.

    Args:
        what: what an item is called in messages, such as layer.
        group: of the entry points, such as framecast.layers.
        make: turns a class, and what was said when it was registered, into an item.
    """

    def __init__(self, what: str, group: str, make: Callable[..., Item]) -> None:
        self._what, self._group, self._make = what, group, make
        self._items: dict[str, Item] = {}
        self._complete = False

    def register(self, name: str, **about: Any) -> Callable[[Kind], Kind]:
        """Return a class decorator that makes a class known by `name`.

        Args:
            name: what a configuration calls it.
            about: what else the registry's items know, such as the paper of a layer.
        """

        def add(kind: Kind) -> Kind:
            self._items[name] = self._make(kind, **about)
            return kind

        return add

    def names(self) -> list[str]:
        """Return the names of all items, sorted."""
        self._load()
        return sorted(self._items)

    def find(self, name: str) -> Item:
        """Look an item up.

        Raises:
            UserError: if there is none of this name; the nearest one is suggested.
        """
        self._load()
        if name in self._items:
            return self._items[name]
        raise UserError(
            f"unknown {self._what} {name!r}{nearest(name, self.names())}: "
            f"there are {', '.join(self.names())}"
        )

    def _load(self) -> None:
        """Import what other packages add, once; a class that registers itself is left as it is."""
        if self._complete:
            return
        self._complete = True
        for point in entry_points(group=self._group):
            kind = point.load()
            if point.name not in self._items:
                self.register(point.name)(kind)
