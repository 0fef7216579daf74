"""Objects sent through a pipe: pickled, with the memory of arrays and tensors beside, uncopied."""

import io
import pickle
import struct
import sys
from typing import Any, Protocol

import numpy as np


class Pipe(Protocol):
    """An end of a pipe, without a buffer: it may take or give less than is asked for."""

    def write(self, data: memoryview, /) -> int | None:
        """Write a beginning of some bytes; return how many."""

    def readinto(self, data: memoryview, /) -> int | None:
        """Fill a beginning of some memory; return how many bytes, 0 at the end of the pipe."""


def pack(thing: object) -> list[memoryview]:
    """Return an object as pieces of memory, the first of which says how long the others are."""
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(thing)
    parts = [stream.getbuffer(), *(buffer.raw() for buffer in buffers)]
    sizes = struct.pack(f"<{len(parts) + 1}Q", len(parts), *(part.nbytes for part in parts))
    return [memoryview(sizes), *parts]


def send(pipe: Pipe, parts: list[memoryview]) -> None:
    """Write what `pack` returned.

    Raises:
        OSError: if nobody reads it.
    """
    for part in parts:
        rest = part
        while rest.nbytes:
            rest = rest[pipe.write(rest) or 0 :]


def receive(pipe: Pipe) -> Any:
    """Read the next object that was sent.

    Raises:
        EOFError: if the other end is closed.
        Exception: whatever making the object raises.
    """
    (count,) = struct.unpack("<Q", _read(pipe, 8))
    sizes = struct.unpack(f"<{count}Q", _read(pipe, 8 * count))
    content, *buffers = [_read(pipe, size) for size in sizes]
    return pickle.loads(content, buffers=buffers)  # of a process of our own


def _read(pipe: Pipe, size: int) -> memoryview:
    memory = np.empty(size, np.uint8).data
    rest = memory
    while rest.nbytes:
        count = pipe.readinto(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return memory


class _Pickler(pickle.Pickler):
    """Pickles tensors as the arrays that share their memory, which are then not copied."""

    def reducer_override(self, thing: Any) -> Any:
        """Pickle a tensor on the CPU as an array, and anything else as usual."""
        torch = sys.modules.get("torch")  # which who holds a tensor has imported
        if torch is None:
            return NotImplemented
        if type(thing) is torch.Tensor and not thing.requires_grad and thing.device.type == "cpu":
            if thing.dtype is torch.bfloat16:
                return NotImplemented
            return torch.from_numpy, (thing.contiguous().numpy(),)
        return NotImplemented
