"""A causal Transformer over time: the baseline whose state grows."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framecast.base.shapes import Frame, FrameSequence
from framecast.layers.blocks import ChannelNorm, GridConv, Padding
from framecast.layers.entry import register
from framecast.layers.recurrence import Recurrence, per_frame


class Past(NamedTuple):
    """What attention looks back at, oldest first: t frames of keys and of values, [B,t,C,H,W].

    Without a cache both are computed again, and `keys` are the frames that were read,
    [B,t,C_in,H,W]; `values` are empty.
    """

    keys: Tensor
    values: Tensor


@register("transformer", paper="Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762")
class Transformer(Recurrence):
    """Causal Transformer: each pixel attends to its own past, however long.

    a = W_o ∗ attention(q, k, v), with [q, k, v] = W ∗ (norm(u) + positions) and k×k kernels W;
    output: a + mlp(norm(u + a)), the residual branch of a block with norms before attention and
    multilayer perceptron (GELU, four times as wide). On a grid of one cell with kernel 1 (a frame
    as one token) this is the usual Transformer; in a residual stack without norms, the usual
    stack. Positions are sinusoids of the frame's place since the first, added in every layer.

    The state is the whole past: it grows by one frame with each frame, and so does the cost of
    the next one.

    Args:
        in_channels: channels of the frames u.
        out_channels: channels C of the output.
        kernel: odd side length of the convolutions for queries, keys and values.
        padding: boundary padding.
        heads: of attention; divides C.
        cache: whether the state keeps keys and values. Otherwise it keeps the frames, and a
            step runs over all of them again: the same numbers at a higher cost.
        bias: whether the convolutions and matrices add a learned constant to each channel. The
            norms keep theirs.

    Raises:
        ValueError: if the heads do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        padding: Padding = "zeros",
        *,
        heads: int = 1,
        cache: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if heads < 1 or out_channels % heads:
            raise ValueError(f"heads {heads} must divide the {out_channels} channels")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.heads, self.cache = heads, cache
        self.norm = ChannelNorm(in_channels)
        self.qkv = GridConv(in_channels, 3 * out_channels, kernel, padding, bias)
        self.out = nn.Conv2d(out_channels, out_channels, 1, bias=bias)
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        self.mlp = nn.Sequential(
            ChannelNorm(out_channels),
            nn.Conv2d(out_channels, 4 * out_channels, 1, bias=bias),
            nn.GELU(),
            nn.Conv2d(4 * out_channels, out_channels, 1, bias=bias),
        )

    def initial_state(self, batch: int, height: int, width: int, **like: Any) -> Past:
        """Return a past of no frames (see `Recurrence`)."""
        kept = self.out_channels if self.cache else self.in_channels
        return Past(
            torch.zeros(batch, 0, kept, height, width, **like),
            torch.zeros(batch, 0, self.out_channels, height, width, **like),
        )

    def forward(
        self, frames: FrameSequence, state: Past | None = None
    ) -> tuple[FrameSequence, Past]:
        """Run over a whole sequence at once (see `Recurrence`)."""
        past = self.state_for(frames, state)
        if self.cache:
            return self._run(frames, past)
        seen = torch.cat([past.keys.to(frames.dtype), frames], dim=1)
        nothing = Past(past.values, past.values)
        outputs, _ = self._run(seen, nothing)
        return outputs[:, -frames.shape[1] :], Past(seen, past.values)

    def step(self, frame: Frame, state: Past) -> tuple[Frame, Past]:
        """Run over one frame: a sequence of length one."""
        outputs, state = self(frame.unsqueeze(1), state)
        return outputs.squeeze(1), state

    def _run(self, frames: FrameSequence, past: Past) -> tuple[FrameSequence, Past]:
        places = positions(past.keys.shape[1], frames.shape[1], self.in_channels).to(frames)
        normed = per_frame(self.norm, frames) + places[..., None, None]
        q, k, v = per_frame(self.qkv, normed).chunk(3, dim=2)
        keys = torch.cat([past.keys.to(k.dtype), k], dim=1)
        values = torch.cat([past.values.to(v.dtype), v], dim=1)
        attended = per_frame(self.out, self._attend(q, keys, values))
        return per_frame(self._finish, frames, attended), Past(keys, values)

    def _attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from T frames to those up to each of them, at each pixel by itself."""
        batch, new, _, height, width = q.shape
        seen = keys.shape[1]
        mask = None
        if 1 < new < seen:
            mask = torch.ones(new, seen, dtype=torch.bool, device=q.device).tril(seen - new)
        q, keys, values = self._pixels(q), self._pixels(keys), self._pixels(values)
        heads = F.scaled_dot_product_attention(
            q, keys, values, attn_mask=mask, is_causal=new > 1 and new == seen
        )
        # [B·H·W, heads, T, C/heads] → [B,T,C,H,W], channels last in memory.
        heads = heads.transpose(1, 2).reshape(batch, height, width, new, self.out_channels)
        return heads.permute(0, 3, 1, 2, 4).contiguous().movedim(-1, 2)

    def _pixels(self, x: Tensor) -> Tensor:
        """[B,T,C,H,W] → [B·H·W, heads, T, C/heads]."""
        batch, time, _, height, width = x.shape
        x = x.permute(0, 3, 4, 1, 2).reshape(batch * height * width, time, self.heads, -1)
        return x.transpose(1, 2)

    def _finish(self, frame: Tensor, attended: Tensor) -> Tensor:
        """A + mlp(norm(u + a))."""
        result: Tensor = attended + self.mlp(self.skip(frame) + attended)
        return result


def positions(start: int, length: int, channels: int) -> Tensor:
    """Sinusoids of places start .. start + length − 1, [length,channels].

    Pairs of sine and cosine with wavelengths from 2π to 10,000 · 2π.

    Source: Vaswani et al. 2017, section 3.5.
    """
    place = torch.arange(start, start + length, dtype=torch.float64)[:, None]
    rate = torch.exp(-math.log(1e4) * torch.arange(0, channels, 2) / channels)
    angle = place * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :channels]
