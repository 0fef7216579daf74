"""What a world model is made of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from framecast.base.plain import build
from framecast.models.config import ForecasterConfig
from framecast.models.prior import Passes
from framecast.models.tokeniser_config import TokeniserSpec


@dataclass(frozen=True)
class WorldConfig:
    """A model of the codes of frames, given the actions of an agent.

    Its memory is the network of the section model: layer, options, depth, hidden, norm and stack.

    Attributes:
        tokeniser: run of the tokeniser whose codes are learned; null, no world model is trained,
            but what the other sections say.
        kind: latent, the memory runs over quantised latents on half the grid of codes, a prior
            draws the next latent, and a decoder the codes (TECO); plain, it runs over the codes
            themselves, each of which is drawn by itself.
        widths: channels of encoder and decoder on the grid of codes and on half of it; of kind
            plain the first alone is read by the encoder, and the second by the decoder.
        encoder_blocks: residual blocks of the encoder, at least 1.
        decoder_blocks: residual blocks of the decoder on each grid, at least 1.
        latent: channels of a latent, at least 1.
        latent_codes: rows of the codebook of latents, at least 2.
        latent_embedding: channels of these rows, at least 1.
        action_channels: channels of an action, at least 1.
        patch: side of the squares of cells that the memory reads as one token each, at least 1; it
            divides the sides of the memory's grid. At the side of that grid, and with
            model.kernel 1, a frame is one token, as S5 reads it.
        prior_width: channels of a cell in the prior; a multiple of prior_heads, and even.
        prior_heads: of its attention, at least 1.
        prior_layers: of it, at least 1.
        prior_hidden: channels within its perceptrons, at least 1.
        drop_loss: share of the frames that are left out of the loss at random, in [0, 1).
        drop_actions: probability that all actions of a window are hidden in training, in [0, 1].
        inputs: frames of a window that the memory reads, where its actions are not hidden: later
            ones are replaced by a constant, so that they follow from these and from actions alone;
            null for all.
        label_smoothing: share of the probability that a code leaves to all codes, in [0, 1).
        draft: groups in which the latents of a frame are drawn, at least 1.
        revisions: rounds in which they are drawn again, at least 0.
        revise: groups of each of these rounds, at least 1.
    """

    tokeniser: str | None = None
    kind: Literal["latent", "plain"] = "latent"
    widths: list[int] = field(default_factory=lambda: [256, 512])
    encoder_blocks: int = 2
    decoder_blocks: int = 4
    latent: int = 64
    latent_codes: int = 1024
    latent_embedding: int = 32
    action_channels: int = 16
    patch: int = 1
    prior_width: int = 512
    prior_heads: int = 8
    prior_layers: int = 8
    prior_hidden: int = 2048
    drop_loss: float = 0.9
    drop_actions: float = 0.5
    inputs: int | None = None
    label_smoothing: float = 0.01
    draft: int = 8
    revisions: int = 2
    revise: int = 8

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            whole = isinstance(value, int) and one.name not in SHARES
            if whole and one.name not in ("revisions", "latent_codes"):
                self._require(one.name, value >= 1, "must be at least 1")
        self._require("latent_codes", self.latent_codes >= 2, "must be at least 2")
        self._require("revisions", self.revisions >= 0, "must not be negative")
        right = len(self.widths) == 2 and min(self.widths) >= 1
        self._require("widths", right, "must be two numbers of at least 1")
        for name in SHARES[:2]:
            self._require(name, 0 <= getattr(self, name) < 1, "must be in [0, 1)")
        self._require("drop_actions", 0 <= self.drop_actions <= 1, "must be in [0, 1]")
        divides = self.prior_width % self.prior_heads == 0 and self.prior_width % 2 == 0
        self._require("prior_width", divides, f"must be even, and divide by {self.prior_heads}")
        self._check_sense()

    def _check_sense(self) -> None:
        """Refuse keys that would change nothing."""
        default = type(self).__dataclass_fields__
        for name in LATENT if self.kind == "plain" and self.tokeniser is not None else ():
            same = getattr(self, name) == default[name].default
            self._require(name, same, "is not read by kind plain")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"world.{name} {getattr(self, name)} {rule}")

    @property
    def passes(self) -> Passes:
        """How the latents of a frame are drawn."""
        return Passes(self.draft, self.revisions, self.revise)


SHARES = ("drop_loss", "label_smoothing", "drop_actions")
LATENT = (
    *("encoder_blocks", "latent", "latent_codes", "latent_embedding", "prior_width"),
    *("prior_heads", "prior_layers", "prior_hidden", "draft", "revisions", "revise"),
)
"""Keys that kind latent alone reads."""


@dataclass(frozen=True)
class WorldSpec:
    """Everything that a world model is built from.

    Attributes:
        config: encoder, quantiser, prior and decoder.
        memory: what runs over time.
        tokeniser: what its tokeniser is built from.
        fingerprint: of the tokeniser.
        actions: A, kinds of actions, or numbers in one; 0 for none.
    """

    config: WorldConfig
    memory: ForecasterConfig
    tokeniser: TokeniserSpec
    fingerprint: str
    actions: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> "WorldSpec":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: if a key is missing or unknown, or a value of another type or out of range.
        """
        return build(cls, described, "model")
