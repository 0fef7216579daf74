"""Labels: what each sequence as a whole shows, as the number of a class that has a name."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from framecast.base.errors import UserError, nearest


class Labels(NamedTuple):
    """The class of each sequence.

    Attributes:
        numbers: of the class of each of N sequences: its place in `names`, [N].
        names: of all classes, also of those that no sequence is of.
    """

    numbers: Int64[Tensor, " N"]
    names: tuple[str, ...]

    def select(self, sequences: slice) -> "Labels":
        """Return the labels of some of the sequences."""
        return Labels(self.numbers[sequences], self.names)

    def check(self, sequences: int, source: str) -> None:
        """Raise a UserError unless they are labels of so many sequences of a source."""
        if self.numbers.shape != (sequences,):
            raise UserError(
                f"{source}: {len(self.numbers)} labels do not fit {sequences} sequences"
            )
        if len(set(self.names)) < len(self.names):
            raise UserError(f"{source}: two classes have one name: {', '.join(self.names)}")
        outside = (self.numbers < 0) | (self.numbers >= len(self.names))
        if outside.any():
            raise UserError(
                f"{source}: label {int(self.numbers[outside][0])} is none of the "
                f"{len(self.names)} classes, which count from 0"
            )

    def among(self, names: Sequence[str], source: str) -> Int64[Tensor, " N"]:
        """Return the places of the classes of the sequences among other names.

        Raises:
            UserError: if a sequence is of a class that is not among them.
        """
        place = {name: number for number, name in enumerate(names)}
        for number in sorted(set(self.numbers.tolist())):
            if (name := self.names[number]) not in place:
                raise UserError(
                    f"{source} has the class {name}, which the model was not trained on"
                    f"{nearest(name, names)}: it knows {', '.join(names)}"
                )
        places = torch.tensor([place.get(name, -1) for name in self.names], dtype=torch.int64)
        return places[self.numbers]
