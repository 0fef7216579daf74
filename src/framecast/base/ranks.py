"""Processes that share one piece of work: which of them this is, and what they tell one another.

`torchrun` starts them, or framecast itself, and says in the environment who each is (RANK,
WORLD_SIZE, LOCAL_RANK). Sums are made by PyTorch's process groups: gloo between processors, NCCL
between GPUs.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, distributed

from framecast.base.errors import ToldError, UserError

Found = TypeVar("Found")

PATIENCE = timedelta(minutes=30)
"""How long one waits for another, which may be reading much data; one that ends is noticed at
once."""


@dataclass(frozen=True)
class Ranks:
    """The processes that share a piece of work. One alone shares with nobody.

    Attributes:
        rank: which of them this is, from 0.
        count: how many there are.
        group: what PyTorch knows them by; None for all.
    """

    rank: int = 0
    count: int = 1
    group: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, and speaks."""
        return self.rank == 0

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over all processes, alike to the bit in all.

        Raises:
            UserError: if another process has ended.
        """
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _endings_named():
            distributed.all_reduce(flat, group=self.group)
        start = 0
        for tensor in tensors:
            tensor.detach().copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def any(self, holds: bool) -> bool:
        """Return whether something holds in any process."""
        holding = torch.tensor([float(holds)])
        self.add([holding])
        return bool(holding.item())

    def gather(self, value: Found) -> list[Found]:
        """Return the values of all processes, in their order; small ones, which are pickled."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with _endings_named():
            distributed.all_gather_object(values, value, group=self.group)
        return values

    def exchange(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, of one shape and type, in their order.

        Raises:
            UserError: if another process has ended.
        """
        if self.count == 1:
            return [tensor]
        tensor = tensor.contiguous()
        tensors = [torch.empty_like(tensor) for _ in range(self.count)]
        with _endings_named():
            distributed.all_gather(tensors, tensor, group=self.group)
        return tensors

    def deliver(self, tensor: Tensor, owner: int) -> None:
        """Bring a tensor of one process to the first, which receives it in its own `tensor`.

        Args:
            tensor: contiguous; in others than these two it is not looked at.
            owner: the process that has it.

        Raises:
            UserError: if the other process has ended.
        """
        if owner == 0 or self.rank not in (0, owner):
            return
        with _endings_named():
            if self.first:
                distributed.recv(tensor, group_src=owner, group=self.group)
            else:
                distributed.send(tensor, group_dst=0, group=self.group)

    def first_does(self, work: Callable[[], Found]) -> Found:
        """Let the first process do something alone, and return in all what it found.

        Raises:
            UserError: if the first does; in the others as a ToldError.
        """
        value, error = _attempt(work) if self.first else (None, None)
        value, error = self.gather((value, error))[0]
        self._raise([error])
        return cast(Found, value)

    def all_do(self, work: Callable[[], Found]) -> Found:
        """Do something in all processes, and go on if none fails.

        The first comes before the others, since it may write what these then read, as a cache.

        Raises:
            UserError: of the first process that fails; in the others as a ToldError.
        """
        value, error = _attempt(work) if self.first else (None, None)
        self._raise(self.gather(error)[:1])
        if not self.first:
            value, error = _attempt(work)
        self._raise(self.gather(error))
        return cast(Found, value)

    def _raise(self, errors: Sequence[UserError | None]) -> None:
        """Raise the first error there is: in the process that it is of, and as told in others."""
        failed = [rank for rank, error in enumerate(errors) if error is not None]
        if failed:
            error = cast(UserError, errors[failed[0]])
            raise error if self.rank == failed[0] else ToldError(str(error))


ALONE = Ranks()


class Mesh(NamedTuple):
    """Processes that share batches of windows, and the time of each.

    Attributes:
        every: all of them.
        data: those that hold the same segment of time as this one, of other windows.
        time: those that hold other segments of the same windows.
    """

    every: Ranks = ALONE
    data: Ranks = ALONE
    time: Ranks = ALONE


def make_mesh(every: Ranks, time: int, device: torch.device) -> Mesh:
    """Let so many processes share the time of each window.

    Args:
        every: all processes, a multiple of `time`.
        time: processes that share the time of a window; neighbours do.
        device: that this one computes on.
    """
    if every.count == 1:
        return Mesh()
    from torch.distributed.device_mesh import init_device_mesh  # takes a moment to import

    sizes = every.count // time, time
    mesh = init_device_mesh(device.type, sizes, mesh_dim_names=("data", "time"))
    data, of_time = (
        Ranks(mesh.get_local_rank(name), size, mesh.get_group(name))
        for name, size in zip(("data", "time"), sizes, strict=True)
    )
    return Mesh(every, data, of_time)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the other processes, if the environment says that there are some.

    Args:
        device: that this one computes on.
    """
    if not is_shared() or distributed.is_initialized():
        yield ranks_here()
        return
    _share_cores()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield ranks_here()
    finally:
        distributed.destroy_process_group()


def is_shared() -> bool:
    """Return whether the environment says that several processes share the work."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def ranks_here() -> Ranks:
    """Return the processes that this one has joined; it alone if it has joined none."""
    if not distributed.is_initialized():
        return ALONE
    return Ranks(distributed.get_rank(), distributed.get_world_size())


def _share_cores() -> None:
    """Give each process of a machine its share of the cores, where nobody said otherwise."""
    if "OMP_NUM_THREADS" not in os.environ:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, torch.get_num_threads() // here))


def _attempt(work: Callable[[], Found]) -> tuple[Found | None, UserError | None]:
    try:
        return work(), None
    except UserError as error:
        return None, error


@contextmanager
def _endings_named() -> Iterator[None]:
    """Say what it means where a process does not answer."""
    try:
        yield
    except RuntimeError as error:
        raise LostError(
            "another of the processes that share this work has ended or does not answer: what it "
            "said stands above"
        ) from error


class LostError(UserError):
    """Another process has ended."""
