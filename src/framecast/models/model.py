"""What is trained: all that the loop, the run folder and checkpoints know of a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from jaxtyping import Float64
from torch import Tensor, nn

from framecast.base.registry import Registry
from framecast.frames.batch import Batch
from framecast.models.losses import Losses
from framecast.models.unroll import Unrolling


class Model(nn.Module, ABC):
    """A module that says what its loss is: `Forecaster`, `Recogniser` and `Tokeniser`.

    Attributes:
        kind: the name that it is registered by.
        spec: everything needed to build it again, as plain values by `to_dict`.
    """

    kind: ClassVar[str]
    spec: Any

    @classmethod
    @abstractmethod
    def from_spec(cls, described: Mapping[str, Any]) -> "Model":
        """Build a model from the plain values of its `spec`."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """V, how many terms its loss has, each a mean of its own."""

    @abstractmethod
    def weigh(self, batch: Batch) -> Float64[Tensor, " V"]:
        """Return how much the losses of a batch will count, for each of V terms."""

    @abstractmethod
    def losses(self, batch: Batch, unrolling: Unrolling) -> Iterator[Losses]:
        """Yield the losses of parts of a batch, between which no gradient flows."""

    @abstractmethod
    def validate(self, batch: Batch, unrolling: Unrolling) -> Losses:
        """Return what is measured of forecasts from a batch of the validation part."""

    def compare(self, validated: Losses, shares: Tensor) -> Tensor:
        """Return the loss by which epochs are compared.

        Args:
            validated: of the validation part.
            shares: weight of each term of the loss.
        """
        return validated.mean(shares)

    @abstractmethod
    def tell(self, validated: Losses, names: list[str]) -> dict[str, float]:
        """Return what the log says of a validation beside that loss, by its columns.

        Args:
            validated: of the validation part.
            names: of the predicted variables.
        """


Kind = TypeVar("Kind", bound=type[Model])


def _itself(kind: type[Model]) -> type[Model]:
    return kind


MODELS = Registry("kind of model", "framecast.models", _itself)


def register_model(name: str) -> Callable[[Kind], Kind]:
    """Class decorator: make a model known by the name that its checkpoints bear."""

    def add(kind: Kind) -> Kind:
        kind.kind = name
        return MODELS.register(name)(kind)

    return add


def build_model(kind: str, described: Mapping[str, Any]) -> Model:
    """Build a model again from what a checkpoint says of it.

    Args:
        kind: the name it was registered by.
        described: its spec, as plain values.

    Raises:
        UserError: if there is no such kind.
    """
    return MODELS.find(kind).from_spec(described)
