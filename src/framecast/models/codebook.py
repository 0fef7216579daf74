"""Quantisers as modules: a codebook that is learned, and levels that are fixed."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from framecast.ops.quantise import (
    finite_scalar,
    finite_scalar_vectors,
    nearest_codes,
    straight_through,
)

SMALLEST = 1e-6
"""Least length by which a vector is divided."""


class Quantised(NamedTuple):
    """What stands for vectors.

    Attributes:
        vectors: what they were replaced by, with the gradient of what they were, [...,D].
        codes: the places of these in the codebook, [...].
        loss: of the codebook and of what it has to follow, for each vector, [...].
    """

    vectors: Float[Tensor, "*any D"]
    codes: Int64[Tensor, "*any"]
    loss: Float[Tensor, "*any"]


class Codebook(nn.Module):
    """A learned codebook: each vector z is replaced by the nearest row w.

    The loss of a vector is the mean over its channels of β·(z − sg(w))² + (sg(z) − w)²; with unit
    vectors, both are divided by their lengths first. Where rows are running means, the second term
    is left out. Source: van den Oord et al. 2017, Eq. 3 and appendix A.1.

    Args:
        codes: K, rows.
        channels: D, of each.
        commitment: β.
        unit: whether vectors and rows are compared, and put out, at length 1.
        decay: of running means, by which rows follow the vectors that they stand for; 0 where
            their gradient moves them.
        revival: a row whose running share of use falls below this part of an even share is put
            where a vector is, drawn at random; 0 never.

    Attributes:
        use: running share of the vectors that each row stands for, [K].
        sums: running sums of these vectors, as shares of all, [K,D].
    """

    use: Tensor
    sums: Tensor

    def __init__(
        self,
        codes: int,
        channels: int,
        commitment: float = 0.25,
        unit: bool = False,
        decay: float = 0.0,
        revival: float = 0.0,
    ) -> None:
        super().__init__()
        self.commitment, self.unit, self.decay, self.revival = commitment, unit, decay, revival
        rows = torch.empty(codes, channels)
        if unit:
            nn.init.normal_(rows, std=0.02)
        else:
            nn.init.uniform_(rows, -1 / codes, 1 / codes)
        self.rows = nn.Parameter(rows, requires_grad=not decay)
        self.register_buffer("use", torch.full((codes,), 1 / codes))
        self.register_buffer("sums", rows.detach() / codes)

    @torch.no_grad()
    def settle(self) -> None:
        """Let the running sums be those of the rows: sums of a run without `decay` tell nothing."""
        self.sums.copy_(self.rows * self.use[:, None])

    def forward(self, vectors: Float[Tensor, "*any D"]) -> Quantised:
        """Replace vectors. In training, running means and rows that nothing uses are renewed."""
        if self.unit:
            vectors = unit_length(vectors)
        codes = nearest_codes(vectors, self.table().to(vectors.dtype))
        chosen = self.vectors_of(codes).to(vectors.dtype)
        loss = self.commitment * (vectors - chosen.detach()).square().mean(-1)
        if not self.decay:
            loss = loss + (vectors.detach() - chosen).square().mean(-1)
        if self.training:
            self._renew(vectors.detach().flatten(0, -2), codes.flatten())
        return Quantised(straight_through(vectors, chosen.detach()), codes, loss)

    def table(self) -> Float[Tensor, "K D"]:
        """Return the rows as they are compared and put out."""
        return unit_length(self.rows) if self.unit else self.rows

    def vectors_of(self, codes: Int64[Tensor, "*any"]) -> Float[Tensor, "*any D"]:
        """Return the rows that codes stand for."""
        return F.embedding(codes, self.table())

    @property
    def codes(self) -> int:
        """K, how many codes there are."""
        return len(self.rows)

    @torch.no_grad()
    def _renew(self, vectors: Float[Tensor, "N D"], codes: Int64[Tensor, " N"]) -> None:
        """Let running means follow, and revive rows."""
        if not self.decay and not self.revival:
            return
        vectors = vectors.to(self.rows.dtype)
        share = torch.bincount(codes, minlength=self.codes).to(vectors.dtype) / len(codes)
        keep = self.decay or USE_DECAY
        self.use.lerp_(share, 1 - keep)
        if self.decay:
            found = torch.zeros_like(self.sums).index_add_(0, codes, vectors) / len(codes)
            self.sums.lerp_(found, 1 - keep)
            self.rows.copy_(self.sums / self.use.clamp(min=SMALLEST)[:, None])
        dead = self.use < self.revival / self.codes
        if self.revival and dead.any():
            drawn = vectors[torch.randint(len(vectors), (self.codes,), device=vectors.device)]
            even = 1 / self.codes
            self.rows.copy_(drawn.where(dead[:, None], self.rows))
            self.sums.copy_((drawn * even).where(dead[:, None], self.sums))
            self.use.masked_fill_(dead, even)


USE_DECAY = 0.99
"""Of the running share of use, where rows are moved by their gradient."""


class Levels(nn.Module):
    """Finite scalar quantisation: each channel is rounded to one of its levels; nothing is learned.

    Args:
        levels: how many there are of each channel.
    """

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, vectors: Float[Tensor, "*any D"]) -> Quantised:
        """Round vectors; there is no loss."""
        rounded, codes = finite_scalar(vectors, self.levels)
        return Quantised(rounded, codes, vectors.new_zeros(codes.shape))

    def vectors_of(self, codes: Int64[Tensor, "*any"]) -> Float[Tensor, "*any D"]:
        """Return the vectors that codes stand for."""
        return finite_scalar_vectors(codes, self.levels)

    @property
    def codes(self) -> int:
        """K, how many codes there are."""
        return int(torch.tensor(self.levels).prod())


def unit_length(vectors: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D"]:
    """Return vectors of length 1."""
    lengths: Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / lengths.clamp(min=SMALLEST)


def perplexity(counts: Float[Tensor, " K"]) -> float:
    """Return exp(−Σ p·log(p + 1e−10)) of how often each code was used: from 1 to K, all alike."""
    shares = counts.double() / counts.sum().clamp(min=1)
    return float((-(shares * (shares + 1e-10).log()).sum()).exp())
