"""Labels: what a sequence, or each of its frames, shows: the number of a class with a name."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from framecast.base.errors import UserError, nearest


class Labels(NamedTuple):
    """The class of each sequence, or of each frame of each.

    Attributes:
        numbers: of the class of each of N sequences: its place in `names`, [N]; or of each of
            their frames, [N,T].
        names: of all classes, also of those that nothing is of.
    """

    numbers: Int64[Tensor, "N *T"]
    names: tuple[str, ...]

    @property
    def _there(self) -> list[int]:
        """The numbers of the classes that something is of."""
        return sorted(set(self.numbers.flatten().tolist()))

    def select(self, sequences: slice, times: slice) -> "Labels":
        """Return the labels of some of the sequences, and of a stretch of their frames."""
        numbers = self.numbers[sequences]
        return Labels(numbers if numbers.ndim == 1 else numbers[:, times], self.names)

    def at(self, sequence: int, frame: int) -> Int64[Tensor, " 1"]:
        """Return the number of the class of a frame: that of its sequence where all have one."""
        own = self.numbers[sequence]
        return (own if own.ndim == 0 else own[frame])[None]

    def check(self, sequences: int, length: int, source: str) -> None:
        """Raise a UserError unless they are labels of so many sequences of a source."""
        if self.numbers.shape not in ((sequences,), (sequences, length)):
            raise UserError(
                f"{source}: labels {list(self.numbers.shape)} do not fit {sequences} sequences of "
                f"{length} frames"
            )
        if len(set(self.names)) < len(self.names):
            raise UserError(f"{source}: two classes have one name: {', '.join(self.names)}")
        outside = (self.numbers < 0) | (self.numbers >= len(self.names))
        if outside.any():
            raise UserError(
                f"{source}: label {int(self.numbers[outside][0])} is none of the "
                f"{len(self.names)} classes, which count from 0"
            )

    def check_every(self, names: Sequence[str], source: str) -> None:
        """Raise a UserError if there is nothing of one of some classes to learn from."""
        there = {self.names[number] for number in self._there}
        if missing := [name for name in names if name not in there]:
            raise UserError(
                f"{source}: {len(missing)} of {len(names)} classes have nothing to learn from: "
                f"{', '.join(missing)}. Give them some, or leave the classes out"
            )

    def among(self, names: Sequence[str], source: str) -> "Labels":
        """Return the same labels with the places of their classes among other names.

        Raises:
            UserError: if something is of a class that is not among them.
        """
        place = {name: number for number, name in enumerate(names)}
        for number in self._there:
            if (name := self.names[number]) not in place:
                raise UserError(
                    f"{source} has the class {name}, which the model was not trained on"
                    f"{nearest(name, names)}: it knows {', '.join(names)}"
                )
        places = torch.tensor([place.get(name, -1) for name in self.names], dtype=torch.int64)
        return Labels(places[self.numbers], tuple(names))
