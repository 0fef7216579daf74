"""What a network is built from, so that a checkpoint can build it again alone."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from framecast.base.plain import build
from framecast.frames.roles import FrameSpec
from framecast.models.config import ForecasterConfig


@dataclass(frozen=True)
class Ports:
    """How many channels a network reads and predicts, by what they are for.

    Attributes:
        prognostic: read and predicted.
        diagnostic: predicted only.
        conditions: read only: forcings at both ends of a step, and static fields.
        flags: places of the prognostic channels whose mask is read too.
        actions: numbers in the action between two frames; 0 for none.
        irregular: whether the time between frames is read.
        vectors: places of the channels that are read, among all that are, which are components of
            vectors.
        classes: that the sequences are labelled with; 0 for none.
    """

    prognostic: int
    diagnostic: int = 0
    conditions: int = 0
    flags: tuple[int, ...] = ()
    actions: int = 0
    irregular: bool = False
    vectors: tuple[int, ...] = ()
    classes: int = 0

    def __post_init__(self) -> None:
        if (
            self.prognostic < 1
            or min(self.diagnostic, self.conditions, self.actions, self.classes) < 0
        ):
            raise ValueError(
                f"{self} must be at least 1 prognostic channel, and no negative number"
            )
        if not all(0 <= place < self.prognostic for place in self.flags):
            raise ValueError(f"flags {list(self.flags)} are no places of prognostic channels")
        if not all(0 <= place < self.read for place in self.vectors):
            raise ValueError(
                f"vectors {list(self.vectors)} are no places of channels that are read"
            )

    @classmethod
    def of(cls, spec: FrameSpec) -> "Ports":
        """Return the ports of a network for such frames."""
        return cls(
            prognostic=len(spec.of_role("prognostic")),
            diagnostic=len(spec.of_role("diagnostic")),
            conditions=len(spec.conditions),
            flags=spec.flags,
            actions=spec.actions,
            irregular=spec.irregular,
            vectors=spec.read_vectors,
            classes=len(spec.classes),
        )

    @property
    def fed_back(self) -> int:
        """Channels that the closed loop hands back: prognostic ones, and their masks."""
        return self.prognostic + len(self.flags)

    @property
    def read(self) -> int:
        """Channels that the encoder reads."""
        return self.fed_back + self.conditions

    @property
    def predicted(self) -> int:
        """Channels that the decoder puts out."""
        return self.prognostic + self.diagnostic


@dataclass(frozen=True)
class ModelSpec:
    """Everything that a network is built from.

    Attributes:
        config: codec, stack and layer.
        ports: channels.
        grid: (H, W); None for a network that was built for any.
    """

    config: ForecasterConfig
    ports: Ports
    grid: tuple[int, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> "ModelSpec":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: if a key is missing or unknown, or a value of another type or out of range.
        """
        return build(cls, described, "model")
