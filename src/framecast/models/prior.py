"""A prior over a grid of codes that are drawn a few at a time, given what time has told.

Source: Chang et al., MaskGIT: Masked Generative Image Transformer, 2022; with the draft-and-revise
sampling of Lee et al., Draft-and-Revise, 2022, as TECO (Yan et al., 2023) combines them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

LEAST_SHARE = 1e-6
"""Of the cells, below which none but one is hidden."""
Source = torch.Generator | Sequence[torch.Generator] | None
"""Of random numbers: one for a whole batch; or one for each grid of it, of which each is then drawn
as if it were alone; None for torch's own."""


@dataclass(frozen=True)
class Passes:
    """How a grid is drawn: first group by group, then again in other groups.

    Attributes:
        draft: groups of the first round, at least 1.
        revisions: rounds in which all cells are drawn again, at least 0.
        revise: groups of each of these, at least 1.
    """

    draft: int = 8
    revisions: int = 2
    revise: int = 8

    @property
    def rounds(self) -> list[int]:
        """Groups of each round."""
        return [self.draft, *[self.revise] * self.revisions]


class QuickGELU(nn.Module):
    """x·σ(1.702·x)."""

    def forward(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Return activated values."""
        return x * torch.sigmoid(1.702 * x)


class CellBlock(nn.Module):
    """x ← x + attention(norm(x)), x ← x + mlp(norm(x)), between all cells, in both directions.

    Args:
        width: channels of a cell.
        heads: of attention.
        hidden: channels within the perceptron.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.read, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), QuickGELU(), nn.Linear(hidden, width))

    def forward(self, x: Float[Tensor, "B N W"]) -> Float[Tensor, "B N W"]:
        """Return the cells of B grids of N."""
        parts = self.read(self.norms[0](x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = (part.transpose(1, 2) for part in parts.unbind(2))
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.out(seen)
        y: Tensor = x + self.mlp(self.norms[1](x))
        return y


class SpatialPrior(nn.Module):
    """Scores of the code of each cell, given those of some cells and a vector for every cell.

    Args:
        codes: K, that a cell may have.
        cells: (h, w).
        given: channels of the vectors.
        width: channels of a cell within.
        heads: of attention; they divide the width.
        layers: of attention.
        hidden: channels within their perceptrons.
        embedding: channels of a code.

    Raises:
        ValueError: if the heads do not divide the width, or it is odd.
    """

    def __init__(
        self,
        codes: int,
        cells: tuple[int, int],
        given: int,
        width: int,
        heads: int,
        layers: int,
        hidden: int,
        embedding: int = 256,
    ) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise ValueError(f"a width of {width} must be even, and a multiple of {heads} heads")
        self.codes = codes
        self.table = nn.Parameter(torch.empty(codes + 1, embedding))
        self.read = nn.Linear(embedding + given, width)
        self.rows = nn.Parameter(torch.empty(cells[0], 1, width // 2))
        self.columns = nn.Parameter(torch.empty(1, cells[1], width // 2))
        for parameter in (self.table, self.rows, self.columns):
            nn.init.normal_(parameter, std=0.02)
        self.blocks = nn.Sequential(*(CellBlock(width, heads, hidden) for _ in range(layers)))
        self.finish = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.score = nn.Sequential(nn.Linear(width, embedding), nn.GELU(), nn.LayerNorm(embedding))
        self.bias = nn.Parameter(torch.zeros(codes))

    @property
    def hidden_code(self) -> int:
        """The code of a cell that is hidden: the one after all others."""
        return self.codes

    def forward(
        self, codes: Int64[Tensor, "B h w"], given: Float[Tensor, "B G h w"]
    ) -> Float[Tensor, "B h w K"]:
        """Score the codes of all cells.

        Args:
            codes: of each cell, or `hidden_code`.
            given: what is known of each cell beside them.
        """
        x = self.read(torch.cat([F.embedding(codes, self.table), given.movedim(1, -1)], dim=-1))
        height, width = codes.shape[1:]
        places = torch.cat(
            [self.rows.expand(-1, width, -1), self.columns.expand(height, -1, -1)], dim=-1
        )
        x = self.finish(self.blocks((x + places).flatten(1, 2)))
        scores: Tensor = self.score(x) @ self.table[: self.codes].T + self.bias
        return scores.view(-1, height, width, self.codes)

    def entropies(
        self, codes: Int64[Tensor, "B h w"], given: Float[Tensor, "B G h w"]
    ) -> tuple[Float[Tensor, "B h w"], Bool[Tensor, "B h w"]]:
        """Return the cross-entropy of each cell where some are hidden at random, and which are."""
        hidden = draw_hidden(len(codes), codes[0].numel(), codes.device).view(codes.shape)
        scores = self(codes.masked_fill(hidden, self.hidden_code), given)
        entropies = F.cross_entropy(scores.movedim(-1, 1), codes, reduction="none")
        return entropies, hidden

    @torch.no_grad()
    def sample(
        self,
        given: Float[Tensor, "B G h w"],
        passes: Passes,
        source: Source = None,
    ) -> Int64[Tensor, "B h w"]:
        """Draw a grid of codes: all cells are hidden, then drawn in groups, and revised in others.

        In each round the cells are parted at random into groups, the same for all grids that share
        a source. Group by group, its cells are hidden and drawn at once, each from its own scores.

        Args:
            given: what is known of each cell.
            passes: rounds and groups.
            source: of what is random.
        """
        grid = given.shape[-2:]
        count = grid.numel()
        codes = torch.full((len(given), count), self.hidden_code, device=given.device)
        for groups in passes.rounds:
            orders = _orders(len(given), count, source).to(given.device)
            for group in orders.tensor_split(min(groups, count), dim=1):
                codes.scatter_(1, group, self.hidden_code)
                scores = self(codes.view(-1, *grid), given).flatten(1, 2)
                wanted = scores.gather(1, group[..., None].expand(-1, -1, self.codes))
                codes.scatter_(1, group, draw(wanted, source))
        return codes.view(-1, *grid)


def hidden_count(share: float, cells: int) -> int:
    """Return how many of so many cells are hidden where cos(π·share/2) of them are, at least 1."""
    rho = min(1.0, max(LEAST_SHARE, math.cos(math.pi * share / 2)))
    return max(1, math.floor(rho * cells))


def draw_hidden(grids: int, cells: int, device: torch.device) -> Bool[Tensor, "B N"]:
    """Draw which cells of each grid are hidden: as many as `hidden_count` of a uniform number."""
    counts = [hidden_count(share, cells) for share in torch.rand(grids).tolist()]
    ranks = torch.rand(grids, cells).argsort(1).argsort(1)
    hidden: Tensor = ranks < torch.tensor(counts)[:, None]
    return hidden.to(device)


def draw(scores: Float[Tensor, "B N K"], source: Source) -> Int64[Tensor, "B N"]:
    """Draw a code for each cell, from the softmax of its scores."""
    shares = scores.float().softmax(-1).cpu()
    if isinstance(source, Sequence):
        each = zip(shares, source, strict=True)
        drawn = torch.cat([torch.multinomial(own, 1, generator=one) for own, one in each])
    else:
        drawn = torch.multinomial(shares.flatten(0, 1), 1, generator=source)
    return drawn.view(scores.shape[:2]).to(scores.device)


def _orders(grids: int, cells: int, source: Source) -> Int64[Tensor, "B N"]:
    """In which order the cells of each grid are drawn."""
    if isinstance(source, Sequence):
        return torch.stack([torch.randperm(cells, generator=one) for one in source])
    return torch.randperm(cells, generator=source).expand(grids, -1)
