"""What forecasts the frames of windows, whatever it is: a network, a baseline, a file."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from framecast.frames.batch import Place


class Stretch(NamedTuple):
    """T + 1 frames of B windows, of which the last T are to be predicted.

    Attributes:
        places: of the first frame of each.
        values: predicted channels in physical units, NaN where nothing is known, [B,T+1,C,H,W].
        given: how many of the first T frames may be read; from then on predictions are.
        forecast: whether the frames to be predicted come after all given ones; before, a frame is
            predicted from given ones, and then given itself.
    """

    places: Sequence[Place]
    values: Float[Tensor, "B L C H W"]
    given: int
    forecast: bool

    @property
    def steps(self) -> int:
        """T."""
        return self.values.shape[1] - 1


@runtime_checkable
class Competitor(Protocol):
    """Predicts the frames of stretches; what it remembers is a state, passed in and returned."""

    def predict(self, stretch: Stretch, state: Any) -> tuple[Float[Tensor, "M B T C H W"], Any]:
        """Predict frames 2 to T + 1 of a stretch that follows the one before. No state: None.

        A deterministic forecast has one member.
        """
