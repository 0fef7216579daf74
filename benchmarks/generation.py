"""A generated frame at the sizes of published networks, early and late: ConvS5 and Transformers.

ConvS5 has the eight layers of 256 channels at 16×16 of ConvS5 (2023), whose state does not grow. A
Transformer has eight layers of 1,024, as there: over one token for each frame, which runs over all
of them again for each new frame, or keeps their keys and values (a cache); or over all 256 places
of each frame, with a cache. The last keeps gigabytes, so that one of its layers is timed, and
counted eight times. Weights are random: only the time counts. On a GPU each frame is generated in
two ways, its kernels started one by one or as a CUDA graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import graphed, interleave, print_table
from framecast.layers import ConvS5, ResidualStack
from framecast.layers.blocks import FrameNorm

LAYERS, CHANNELS, SIDE = 8, 256, 16
WIDTH, HEADS = 1024, 16
AGES = (10, 1000)
"""How many frames were there before."""


@dataclass(frozen=True)
class Sizes:
    """Of all networks; smaller ones see that the entry works."""

    layers: int = LAYERS
    channels: int = CHANNELS
    side: int = SIDE
    width: int = WIDTH
    heads: int = HEADS


def run(sizes: Sizes | None = None) -> dict[str, Any]:
    """A row for each network, after the gate."""
    sizes = sizes or Sizes()
    check()
    with torch.inference_mode():
        times = {age: interleave(in_both_ways(steps_at(age, sizes)), seconds=2) for age in AGES}
    late = times[AGES[-1]]
    rows = [
        {
            "network": name,
            **{f"frame {age}": times[age][name] for age in AGES},
            "times ConvS5": f"{late[name].median / late['ConvS5'].median:.1f}",
        }
        for name in late
    ]
    print_table("A generated frame, batch 1, float32", rows)
    return {"generation": rows}


def check() -> None:
    """A step with a cache is the last token of a whole pass."""
    torch.manual_seed(0)
    block, tokens = Block(32, 4).eval(), torch.randn(1, 9, 32)
    with torch.inference_mode():
        whole = block(tokens)
        cache = block.remembered(tokens[:, :-1])
        torch.testing.assert_close(block.step(tokens[:, -1:], *cache), whole[:, -1:])


def steps_at(age: int, sizes: Sizes) -> dict[str, Callable[[], object]]:
    """What each network does for a frame after so many."""
    torch.manual_seed(0)
    side, width = sizes.side, sizes.width
    layers = [ConvS5(sizes.channels, sizes.channels) for _ in range(sizes.layers)]
    stack = ResidualStack(layers, [FrameNorm(sizes.channels) for _ in layers]).eval()
    frame = torch.randn(1, sizes.channels, side, side)
    blocks = [Block(width, sizes.heads).eval() for _ in range(sizes.layers)]
    tokens, places = torch.randn(1, age + 1, width), side * side
    caches = [block.remembered(tokens[:, :-1]) for block in blocks]
    kept = 1, sizes.heads, (age + 1) * places, width // sizes.heads
    of_places = torch.randn(kept), torch.randn(kept)
    new = torch.randn(1, places, width)
    return {
        "ConvS5": partial(stack.step, frame, stack.initial_state(1, side, side)),
        "Transformer, a token a frame": partial(in_turn, blocks, tokens),
        "the same with a cache": partial(with_caches, blocks, tokens[:, -1:], caches),
        f"a token a place, with a cache (one layer of {sizes.layers}, {sizes.layers} times)": (
            lambda: [blocks[0].step(new, *of_places) for _ in range(sizes.layers)]
        ),
    }


def in_both_ways(steps: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """Steps as they are; on a GPU, as graphs too."""
    if torch.get_default_device().type == "cpu":
        return steps
    return steps | {f"{name}, as a graph": graphed(step) for name, step in steps.items()}


def in_turn(blocks: list["Block"], tokens: Tensor) -> Tensor:
    """Run over all tokens."""
    for block in blocks:
        tokens = block(tokens)
    return tokens


def with_caches(
    blocks: list["Block"], token: Tensor, caches: list[tuple[Tensor, Tensor]]
) -> Tensor:
    """Run over new tokens alone, beside what is kept of the others."""
    for block, cache in zip(blocks, caches, strict=True):
        token = block.step(token, *cache)
    return token


class Block(nn.Module):
    """A layer of a Transformer with the norm first, causal from frame to frame.

    Args:
        width: numbers of a token.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.read, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Run over tokens [B,T,W], each of which sees those before it."""
        query, key, value = self._project(tokens)
        return self._finish(
            tokens, F.scaled_dot_product_attention(query, key, value, is_causal=True)
        )

    def remembered(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values of tokens, with room for one more."""
        with torch.inference_mode():
            _, key, value = self._project(tokens)
        return F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1))

    def step(self, tokens: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Run over the tokens of a new frame, which see each other and all that is kept.

        Args:
            tokens: N of them.
            key: kept keys, with room for N more at their end, which is written.
            value: kept values, likewise.
        """
        query, key[:, :, -tokens.shape[1] :], value[:, :, -tokens.shape[1] :] = self._project(
            tokens
        )
        return self._finish(tokens, F.scaled_dot_product_attention(query, key, value))

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, _ = tokens.shape
        parts = self.read(self.norms[0](tokens)).view(batch, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value

    def _finish(self, tokens: Tensor, attended: Tensor) -> Tensor:
        joined = attended.transpose(1, 2).flatten(2)
        tokens = tokens + self.out(joined)
        made: Tensor = tokens + self.narrow(F.gelu(self.wide(self.norms[1](tokens))))
        return made
