"""What a tokeniser is made of."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

QuantiserKind = Literal["none", "euclidean", "cosine", "levels"]


@dataclass(frozen=True)
class TokeniserConfig:
    """What turns frames into codes.

    Attributes:
        quantiser: none, no tokeniser is trained, but the network of the section model; euclidean,
            each vector becomes the nearest row of a codebook; cosine, that of the greatest cosine,
            at length 1; levels, each channel is rounded to one of its levels (finite scalar
            quantisation).
        codes: rows of the codebook, at least 2.
        embedding: channels of a row.
        levels: of quantiser levels, how many there are of each channel, each at least 2.
        channels: of the finest depth of encoder and decoder.
        multiples: what the channels are multiplied by at each depth; each but the first halves the
            grid.
        blocks: residual blocks at each depth of the encoder; the decoder has one more.
        attention: rows of the grids on which attention follows each block.
        commitment: how much the distance of a vector from its row counts in the loss, at least 0.
        decay: of running means that rows follow, in [0, 1); 0 lets their gradient move them.
        revival: a row that is used less than this share of an even use is put where a vector is, in
            [0, 1); 0 never.
        perceptual: how much the distance in the features of a network counts (LPIPS on AlexNet),
            at least 0; it needs the published weights (framecast fetch lpips).
        adversarial: how much the judgement of a second network counts, which learns to tell
            reconstructions from frames; at least 0. The weight is multiplied by a ratio of
            gradients (Taming Transformers, Eq. 7).
        adversarial_start: batches of training before that network joins in.
    """

    quantiser: QuantiserKind = "none"
    codes: int = 1024
    embedding: int = 256
    levels: list[int] = field(default_factory=lambda: [8, 5, 5, 5])
    channels: int = 128
    multiples: list[int] = field(default_factory=lambda: [1, 2, 4])
    blocks: int = 2
    attention: list[int] = field(default_factory=lambda: [16])
    commitment: float = 0.25
    decay: float = 0.0
    revival: float = 0.0
    perceptual: float = 0.0
    adversarial: float = 0.8
    adversarial_start: int = 10_000

    def __post_init__(self) -> None:
        for name, least in (("codes", 2), ("embedding", 1), ("channels", 1), ("blocks", 1)):
            self._require(name, getattr(self, name) >= least, f"must be at least {least}")
        self._require("levels", min(self.levels, default=0) >= 2, "must be numbers of at least 2")
        self._require("multiples", min(self.multiples, default=0) >= 1, "must be at least 1 each")
        for name in ("commitment", "perceptual", "adversarial", "adversarial_start"):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        for name in ("decay", "revival"):
            self._require(name, 0 <= getattr(self, name) < 1, "must be in [0, 1)")
        self._check_sense()

    def _check_sense(self) -> None:
        """Refuse keys that would change nothing."""
        if self.quantiser == "none":
            return
        default, levels = TokeniserConfig(), self.quantiser == "levels"
        unread = ("codes", "embedding", "commitment", "decay", "revival") if levels else ("levels",)
        for name in unread:
            same = getattr(self, name) == getattr(default, name)
            self._require(name, same, f"is not read by quantiser {self.quantiser}")
        if not self.adversarial:
            same = self.adversarial_start == default.adversarial_start
            self._require("adversarial_start", same, "is not read with adversarial 0")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"tokeniser.{name} {getattr(self, name)} {rule}")

    @property
    def reduction(self) -> int:
        """How many rows, and columns, of a frame become one of the grid of codes."""
        return int(2 ** (len(self.multiples) - 1))

    @property
    def size(self) -> int:
        """Channels of a vector that stands for a code."""
        return len(self.levels) if self.quantiser == "levels" else self.embedding


@dataclass(frozen=True)
class TokeniserSpec:
    """Everything that a tokeniser is built from.

    Attributes:
        config: encoder, quantiser and losses.
        channels: of the frames.
        grid: (H, W) of the frames.
    """

    config: TokeniserConfig
    channels: int
    grid: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)
