"""The tokeniser: frames to a coarse grid of codes, each one of a few, and back.

A convolutional autoencoder with a quantiser between its halves (VQGAN: Esser, Rombach, Ommer,
Taming Transformers for High-Resolution Image Synthesis, 2021). A world model learns from the codes.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn
from torch.func import functional_call

from framecast.base.plain import build
from framecast.frames.batch import Batch
from framecast.models.adversary import SMALLEST, PatchDiscriminator, adaptive_weight, hinge
from framecast.models.autoencoder import Decoder, Encoder
from framecast.models.codebook import Codebook, Levels, Quantised, perplexity
from framecast.models.losses import Losses
from framecast.models.model import Model, register_model
from framecast.models.tokeniser_config import TokeniserConfig, TokeniserSpec
from framecast.models.unroll import Unrolling

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""The distance of each of N images from another, both with values in [0, 1]."""


class Reconstruction(NamedTuple):
    """Frames as they come back from their codes.

    Attributes:
        frames: as the decoder puts them out, [B,C,H,W].
        quantised: the grid between, [B,h,w,D].
    """

    frames: Float[Tensor, "B C H W"]
    quantised: Quantised


@register_model("tokeniser")
class Tokeniser(Model):
    """An autoencoder with a quantiser between its halves.

    Frames have values in [−1, 1]. Its loss is the mean absolute error of reconstructions, plus the
    perceptual distance, plus the quantiser's, plus λ times what the discriminator makes of them
    once it has joined in; and the discriminator's own, which moves the discriminator alone. Both
    networks make a step at once.

    Args:
        spec: what it is built from.

    Attributes:
        batches: of training so far.
        perceptual: measures the perceptual distance; given by training alone.

    Raises:
        ValueError: if the grid cannot be halved as often as the encoder does, or is too small for
            the discriminator; or the spec names no quantiser.
    """

    batches: Tensor

    def __init__(self, spec: TokeniserSpec) -> None:
        super().__init__()
        self.spec, config = spec, spec.config
        _check_grid(spec)
        widths = [config.channels * multiple for multiple in config.multiples]
        rows = [spec.grid[0] // 2**depth in config.attention for depth in range(len(widths))]
        inner = config.embedding if config.quantiser != "levels" else widths[-1]
        parts = widths, config.blocks, rows
        self.encoder = Encoder(spec.channels, inner, *parts)
        self.narrow = nn.Conv2d(inner, config.size, 1)
        self.quantiser = _make_quantiser(config)
        self.widen = nn.Conv2d(config.size, inner, 1)
        self.decoder = Decoder(inner, spec.channels, *parts)
        self.discriminator = PatchDiscriminator(spec.channels) if config.adversarial else None
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.perceptual: Perceptual | None = None

    @classmethod
    def from_spec(cls, described: Mapping[str, Any]) -> "Tokeniser":
        """Build a tokeniser from the plain values of its spec."""
        return cls(build(TokeniserSpec, described, "model"))

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return self.quantiser.codes

    @property
    def code_grid(self) -> tuple[int, int]:
        """(h, w) of the grid of codes."""
        height, width = (side // self.spec.config.reduction for side in self.spec.grid)
        return height, width

    def forward(self, frames: Float[Tensor, "B C H W"]) -> Reconstruction:
        """Encode frames, quantise, and decode."""
        quantised = self.quantise(frames)
        return Reconstruction(self.decode(quantised.vectors), quantised)

    def quantise(self, frames: Float[Tensor, "B C H W"]) -> Quantised:
        """Return the quantised grid of frames, channels last."""
        result: Quantised = self.quantiser(self.narrow(self.encoder(frames)).movedim(1, -1))
        return result

    def encode(self, frames: Float[Tensor, "B C H W"]) -> Int64[Tensor, "B h w"]:
        """Return the codes of frames."""
        return self.quantise(frames).codes

    def decode(self, vectors: Float[Tensor, "B h w D"]) -> Float[Tensor, "B C H W"]:
        """Return the frames of quantised vectors, whose values nothing bounds."""
        frames: Tensor = self.decoder(self.widen(vectors.movedim(-1, 1)))
        return frames

    def show(self, codes: Int64[Tensor, "B h w"]) -> Float[Tensor, "B C H W"]:
        """Return the frames of codes, with values in [−1, 1]."""
        vectors = self.quantiser.vectors_of(codes).to(self.widen.weight.dtype)
        return self.decode(vectors).clamp(-1, 1)

    def fingerprint(self) -> str:
        """Return a text that is the same where all frames have the same codes: of the weights."""
        kind = self.spec.config.quantiser, self.spec.config.levels, self.spec.grid
        digest = hashlib.blake2b(repr(kind).encode(), digest_size=12)
        for name, weight in self.state_dict().items():
            if name.startswith(("encoder.", "narrow.", "quantiser.rows")):
                digest.update(weight.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def terms(self) -> int:
        """One: all losses together."""
        return 1

    def weigh(self, batch: Batch) -> Float64[Tensor, " V"]:
        """Return the number of frames."""
        count = len(batch) * batch.length
        return torch.full((1,), count, dtype=torch.float64, device=batch.frames.device)

    def losses(self, batch: Batch, unrolling: Unrolling) -> Iterator[Losses]:
        """Yield the loss of the frames of a batch, in one part."""
        frames = batch.frames.flatten(0, 1)
        made, quantised = self(frames)
        reconstruction = self._distance(made, frames).mean()
        loss = reconstruction + quantised.loss.mean()
        adversary = self.discriminator
        if adversary is not None and self.batches >= self.spec.config.adversarial_start:
            judged = _judge_frozen(adversary, made)
            balance = adaptive_weight(reconstruction, -judged.mean(), self.decoder.out.weight)
            loss = loss - self.spec.config.adversarial * balance * judged.mean()
            loss = loss + hinge(adversary(frames), adversary(made.detach()))
        self.batches += 1
        yield Losses(loss[None] * len(frames), self.weigh(batch))

    def validate(self, batch: Batch, unrolling: Unrolling) -> Losses:
        """Return sums over frames: absolute error, perceptual distance, PSNR; and use of codes."""
        frames = batch.frames.flatten(0, 1)
        made, quantised = self(frames)
        made = made.clamp(-1, 1)
        told = [(made - frames).abs().mean((1, 2, 3)), self._perceive(made, frames)]
        told.append(-10 * ((made - frames).square().mean((1, 2, 3)) / 4).clamp(min=1e-12).log10())
        counts = torch.bincount(quantised.codes.flatten(), minlength=self.codes)
        sums = torch.cat([torch.stack(told).sum(1), counts.to(made.dtype)])
        return Losses(sums, self.weigh(batch).expand(len(sums)))

    def compare(self, validated: Losses, shares: Tensor) -> Tensor:
        """Return the mean distance of reconstructions from frames."""
        error, distance = validated.means()[:2]
        compared: Tensor = error + self.spec.config.perceptual * distance
        return compared

    def tell(self, validated: Losses, names: list[str]) -> dict[str, float]:
        """Return PSNR in dB, perplexity, and the share of the codes that were used, for the log."""
        means = validated.means()
        told = {"val_psnr": float(means[2]), "val_perplexity": perplexity(means[3:])}
        if self.perceptual is not None:
            told["val_lpips"] = float(means[1])
        return told | {"val_codes_used": float((means[3:] > 0).double().mean())}

    def _distance(self, made: Tensor, frames: Tensor) -> Float[Tensor, " B"]:
        """Absolute error and perceptual distance of each frame."""
        error: Tensor = (made - frames).abs().mean((1, 2, 3))
        distance: Tensor = error + self.spec.config.perceptual * self._perceive(made, frames)
        return distance

    def _perceive(self, made: Tensor, frames: Tensor) -> Float[Tensor, " B"]:
        """Perceptual distance of each frame; 0 where nothing measures it."""
        if self.perceptual is None:
            return frames.new_zeros(len(frames))
        distance: Tensor = self.perceptual((made + 1) / 2, (frames + 1) / 2)
        return distance.to(frames.dtype)


def _make_quantiser(config: TokeniserConfig) -> Codebook | Levels:
    if config.quantiser == "levels":
        return Levels(tuple(config.levels))
    if config.quantiser == "none":
        raise ValueError("tokeniser.quantiser none makes no tokeniser: choose another")
    unit = config.quantiser == "cosine"
    settings = config.commitment, unit, config.decay, config.revival
    return Codebook(config.codes, config.embedding, *settings)


def _check_grid(spec: TokeniserSpec) -> None:
    halved, smallest = spec.config.reduction, SMALLEST if spec.config.adversarial else 1
    if any(side % halved or side < smallest for side in spec.grid):
        raise ValueError(
            f"a grid of {spec.grid[0]}×{spec.grid[1]} cannot be halved {int(math.log2(halved))} "
            f"times, or is below {smallest}×{smallest}, which the discriminator reads: choose "
            "other tokeniser.multiples, or tokeniser.adversarial 0"
        )


def _judge_frozen(adversary: nn.Module, made: Tensor) -> Tensor:
    """Let a discriminator judge, so that the gradient reaches what it judges, and not itself."""
    frozen = {name: weight.detach() for name, weight in adversary.named_parameters()}
    judged: Tensor = functional_call(adversary, frozen, (made,))
    return judged
