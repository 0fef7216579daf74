"""Decoded chunks that are kept for a while, since the next window may lie in them too."""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable

from torch import Tensor

from framecast.frames.lazy import HELD

KEPT = 1 << 27
"""Bytes of chunks that a process keeps, of all files together."""
LEAST = 3
"""Chunks that are kept however large they are: those that a window may lie in."""
LARGEST = HELD
"""Bytes of a chunk that is kept; of larger ones, parts are read."""

_kept: OrderedDict[tuple[int, Hashable], Tensor] = OrderedDict()
"""By the owner and the place of a chunk in it; the one that was used last is the last. There is one
for all, since memory is the process's."""


class Blocks:
    """The chunks of one reader that are kept: the ones that were used last, of all readers'."""

    def __init__(self) -> None:
        weakref.finalize(self, _forget, id(self)).atexit = False

    def get(self, place: Hashable, read: Callable[[], Tensor]) -> Tensor:
        """Return a chunk, which is read if it is not kept."""
        key = id(self), place
        if key not in _kept:
            _kept[key] = read()
        _kept.move_to_end(key)
        block = _kept[key]
        while len(_kept) > LEAST and sum(map(_size, _kept.values())) > KEPT:
            _kept.popitem(last=False)
        return block

    def __reduce__(self) -> tuple[type["Blocks"], tuple[()]]:
        return Blocks, ()


def forget_blocks() -> None:
    """Let go of all chunks that this process keeps, where others read from now on."""
    _kept.clear()


def _forget(owner: int) -> None:
    for key in [key for key in _kept if key[0] == owner]:
        del _kept[key]


def _size(block: Tensor) -> int:
    return block.numel() * block.element_size()
