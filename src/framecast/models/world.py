"""World models: what comes next of the codes of frames, given what was seen and is done.

Sources: Yan, Hafner, James, Abbeel, Temporally Consistent Transformers for Video Generation, 2023
(TECO); Smith et al., Convolutional State Space Models for Long-Range Spatiotemporal Modeling, 2023
(ConvS5).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from framecast.base.errors import UserError
from framecast.frames.batch import Batch
from framecast.layers.recurrence import State, per_frame
from framecast.models.build import make_stack
from framecast.models.code_layers import CodeDecoder, CodeEncoder
from framecast.models.codebook import Codebook, Quantised, perplexity
from framecast.models.config import ForecasterConfig
from framecast.models.losses import Losses
from framecast.models.model import Model, register_model
from framecast.models.prior import Source, SpatialPrior, draw
from framecast.models.tokeniser import Tokeniser
from framecast.models.unroll import Unrolling
from framecast.models.world_config import WorldSpec
from framecast.models.world_losses import draw_frames, entropy_of, keep_back, prior_loss

PARTS = ("codes", "latents", "quantiser")
"""Parts of the loss, for the log."""

Codes = Int64[Tensor, "B T H W"]
Actions = Float[Tensor, "B _T A"] | None


class Memory(NamedTuple):
    """What a world model remembers: a value that is passed in and returned.

    Attributes:
        state: of what runs over time.
        latest: what it reads of the last frame, [B,D,h,w].
        frames: how many there were: later ones may be kept from it (`world.inputs`).
    """

    state: State
    latest: Float[Tensor, "B D h w"]
    frames: int


class Seen(NamedTuple):
    """Frames as the memory reads them.

    Attributes:
        inputs: what is read of each frame, [B,T,D,h,w].
        latents: their quantised latents, with the same layout; those of kind plain are `inputs`.
        quantised: codes and loss of these; None of kind plain.
    """

    inputs: Float[Tensor, "B T D h w"]
    latents: Float[Tensor, "B T D h w"]
    quantised: Quantised | None


@register_model("world")
class World(Model):
    """A model of the codes of frames: an encoder, a memory, a prior over latents, and a decoder.

    From codes c_t the encoder makes a latent z_t of (c_{t−1}, c_t), which is quantised. The memory
    reads the latents before frame t, as tokens of one or more cells, and the action between it and
    the one before, and gives d_t. The prior scores the code of z_t given d_t, the decoder the codes
    c_t given both. Of kind plain there is no z: the memory reads the codes, and the decoder scores
    them given d_t.

    Args:
        spec: what it is built from.

    Raises:
        ValueError: if options contradict each other, or the grid of codes cannot be halved,
            or the memory's grid not divided by world.patch.
    """

    def __init__(self, spec: WorldSpec) -> None:
        super().__init__()
        self.spec, config = spec, spec.config
        alone = replace(spec.tokeniser.config, adversarial=0.0, adversarial_start=10_000)
        self.tokeniser = Tokeniser(replace(spec.tokeniser, config=alone)).requires_grad_(False)
        grid, size = self.tokeniser.code_grid, alone.size
        self.latent = config.kind == "latent"
        if self.latent and any(side % 2 for side in grid):
            raise ValueError(f"a grid of {grid[0]}×{grid[1]} codes cannot be halved: kind plain")
        self.grid = (grid[0] // 2, grid[1] // 2) if self.latent else grid
        self._make_latents(size)
        self.actions = nn.Linear(max(spec.actions, 1), config.action_channels, bias=False)
        self.no_action = nn.Parameter(torch.zeros(config.action_channels))
        told = self._make_memory(spec.memory, config.patch)
        widths = config.widths if self.latent else config.widths[1:]
        known = told + config.latent if self.latent else told
        self.decoder = CodeDecoder(known, widths, config.decoder_blocks, self.tokeniser.codes)
        self.prior = self._make_prior(told)

    def _make_latents(self, size: int) -> None:
        """Build what makes latents of codes, whose vectors have so many channels."""
        config = self.spec.config
        if not self.latent:
            self.read_channels: int = config.widths[0]
            self.encoder = CodeEncoder(size, config.widths[:1], 0, None)
            return
        self.read_channels = config.latent
        parts = config.widths, config.encoder_blocks, config.latent
        self.encoder = CodeEncoder(2 * size, *parts)
        self.start = nn.Parameter(0.02 * torch.randn(size, *self.tokeniser.code_grid))
        self.narrow = nn.Linear(config.latent, config.latent_embedding, bias=False)
        self.codebook = Codebook(config.latent_codes, config.latent_embedding, unit=True)
        self.widen = nn.Linear(config.latent_embedding, config.latent, bias=False)

    def _make_memory(self, network: ForecasterConfig, patch: int) -> int:
        """Build what runs over tokens, the way in and out; return how many channels it tells."""
        if any(side % patch for side in self.grid):
            raise ValueError(f"world.patch {patch} must divide {self.grid[0]}×{self.grid[1]} cells")
        self.tokens = (self.grid[0] // patch, self.grid[1] // patch)
        hidden, read = network.blocks[0], self.read_channels + self.spec.config.action_channels
        self.read = nn.Conv2d(read, hidden, patch, patch)
        self.memory = make_stack(network, hidden, self.tokens)
        told = self.memory.out_channels
        self.spread: nn.Module = nn.Identity()
        if patch == 1:
            return told
        self.spread = nn.ConvTranspose2d(told, self.read_channels, patch, patch)
        return self.read_channels

    def _make_prior(self, told: int) -> SpatialPrior | None:
        config = self.spec.config
        if not self.latent:
            return None
        parts = config.prior_width, config.prior_heads, config.prior_layers, config.prior_hidden
        return SpatialPrior(config.latent_codes, self.grid, told, *parts)

    @classmethod
    def from_spec(cls, described: Mapping[str, Any]) -> "World":
        """Build a world model from the plain values of its spec."""
        return cls(WorldSpec.from_dict(described))

    def take(self, tokeniser: Tokeniser) -> None:
        """Take over the weights of the tokeniser that the codes come from."""
        ours = self.tokeniser.state_dict()
        theirs = {name: w for name, w in tokeniser.state_dict().items() if name in ours}
        self.tokeniser.load_state_dict(theirs)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, those of the tokeniser among them.

        Raises:
            UserError: if they are of another tokeniser than the one whose codes were learned.
        """
        loaded = super().load_state_dict(state_dict, strict, assign)
        if (found := self.tokeniser.fingerprint()) != self.spec.fingerprint:
            raise UserError(
                f"the codes are those of another tokeniser: its fingerprint is {found}, but the "
                f"world model is for {self.spec.fingerprint}"
            )
        return loaded

    def train(self, mode: bool = True) -> "World":
        """Switch to training; the tokeniser stays as it is."""
        super().train(mode)
        self.tokeniser.eval()
        return self

    def see(self, codes: Codes, before: Float[Tensor, "B E H W"] | None = None) -> Seen:
        """Encode frames of one stretch.

        Args:
            codes: of T frames.
            before: vectors of the codes of the frame before them; None where they are the first.
        """
        vectors = self.tokeniser.quantiser.vectors_of(codes).movedim(-1, 2).to(self.read.weight)
        if not self.latent:
            seen = per_frame(self.encoder, vectors)
            return Seen(seen, seen, None)
        first = self.start.expand(len(codes), -1, -1, -1) if before is None else before
        earlier = torch.cat([first[:, None], vectors[:, :-1]], dim=1)
        features = per_frame(self.encoder, torch.cat([earlier, vectors], dim=2))
        quantised = self.codebook(self.narrow(features.movedim(2, -1)))
        latents = self.widen(quantised.vectors).movedim(-1, 2)
        inputs = latents
        if before is None:
            inputs = torch.cat([features[:, :1], latents[:, 1:]], dim=1)
        return Seen(inputs, latents, quantised)

    def told(
        self,
        inputs: Float[Tensor, "B T D h w"],
        actions: Actions,
        state: State | None = None,
        kept: Bool[Tensor, " B"] | None = None,
        first: int = 0,
    ) -> tuple[Float[Tensor, "B T G h w"], State]:
        """Run the memory over frames, and return what it tells of the frame after each.

        Args:
            inputs: what it reads of T frames.
            actions: done after each of them; None where nobody knows.
            state: after earlier frames; None at the beginning.
            kept: whether the actions of a window are told at all.
            first: frames that came before.
        """
        tokens, state = self.memory(self._joined(inputs, actions, kept, first), state)
        return per_frame(self.spread, tokens), state

    def observe(self, codes: Codes, actions: Actions = None) -> Memory:
        """Remember frames, from the first on.

        Args:
            codes: of T frames, at least one.
            actions: done between them: T − 1, or more, which are not read.
        """
        inputs = self.see(codes).inputs
        if codes.shape[1] == 1:
            state = self.memory.initial_state(
                len(codes), *self.tokens, device=inputs.device, dtype=inputs.dtype
            )
            return Memory(state, inputs[:, 0], 1)
        between = None if actions is None else actions[:, : codes.shape[1] - 1]
        _, state = self.told(inputs[:, :-1], between)
        return Memory(state, inputs[:, -1], codes.shape[1])

    def imagine(
        self,
        memory: Memory,
        action: Float[Tensor, "B A"] | None = None,
        source: Source = None,
    ) -> tuple[Int64[Tensor, "B H W"], Memory]:
        """Draw the next frame, and remember it.

        Args:
            memory: of all frames so far.
            action: done after the last of them; None where nobody knows.
            source: of what is random.

        Returns:
            The codes of the frame, and what is remembered.
        """
        actions = None if action is None else action[:, None]
        last = memory.latest[:, None]
        joined = self._joined(last, actions, None, memory.frames - 1)[:, 0]
        token, state = self.memory.step(joined, memory.state)
        told = self.spread(token)
        if self.prior is None:
            scores = self.decoder(told).flatten(2).mT
            codes = draw(scores, source).view(-1, *self.grid)
            read = self.see(codes[:, None]).inputs[:, 0]
            return codes, Memory(state, read, memory.frames + 1)
        drawn = self.prior.sample(told, self.spec.config.passes, source)
        latent = self.widen(self.codebook.vectors_of(drawn)).movedim(-1, 1)
        codes = self.decoder(torch.cat([told, latent], dim=1)).argmax(1)
        return codes, Memory(state, latent, memory.frames + 1)

    def _joined(
        self, inputs: Tensor, actions: Actions, kept: Bool[Tensor, " B"] | None, first: int
    ) -> Float[Tensor, "B T C th tw"]:
        """What the memory reads: tokens of frames, unless kept back, with the action after each."""
        none = self.no_action.expand(*inputs.shape[:2], -1)
        if actions is None or not self.spec.actions:
            done = none
        else:
            known = actions.isfinite().all(-1, keepdim=True)
            if kept is not None:
                known = known & kept[:, None, None]
            done = torch.where(known, self.actions(actions.nan_to_num(0.0)), none)
            inputs = keep_back(inputs, known.squeeze(-1), first, self.spec.config.inputs)
        everywhere = done[..., None, None].expand(-1, -1, -1, *inputs.shape[-2:])
        return per_frame(self.read, torch.cat([inputs, everywhere.to(inputs.dtype)], dim=2))

    @property
    def terms(self) -> int:
        """One: codes, latents and their quantiser together."""
        return 1

    def weigh(self, batch: Batch) -> Float64[Tensor, " V"]:
        """Return the number of windows."""
        return torch.full((1,), len(batch), dtype=torch.float64, device=batch.frames.device)

    def losses(self, batch: Batch, unrolling: Unrolling) -> Iterator[Losses]:
        """Yield the loss of windows of codes, in one part.

        All frames are read; the codes and latents of a few, drawn at random, are scored.
        """
        codes = codes_of(batch)
        total = self._parts(self.see(codes), codes, batch.actions).sum()
        yield Losses(total[None] * len(codes), self.weigh(batch))

    def _parts(self, seen: Seen, codes: Codes, actions: Actions) -> Float[Tensor, " P"]:
        """Measure the parts of the loss, by `PARTS`; of kind plain the first alone."""
        config = self.spec.config
        hides = config.drop_actions if self.training else 0.0
        smoothing = config.label_smoothing if self.training else 0.0
        kept = (torch.rand(len(codes)) >= hides).to(codes.device)
        done = None if actions is None else actions[:, :-1]
        told, _ = self.told(seen.inputs[:, :-1], done, None, kept)
        chosen = draw_frames(codes.shape[1] - 1, 1 - config.drop_loss).to(codes.device)
        told, targets = told[:, chosen], codes[:, 1:][:, chosen]
        latents = seen.latents[:, 1:][:, chosen]
        known = torch.cat([told, latents], dim=2) if self.latent else told
        parts = [entropy_of(per_frame(self.decoder, known), targets, smoothing)]
        if seen.quantised is not None:
            assert self.prior is not None
            drawn = seen.quantised.codes[:, 1:][:, chosen]
            read = None if actions is None else config.inputs
            parts.append(prior_loss(self.prior, drawn, told, kept, chosen + 1, read))
            parts.append(seen.quantised.loss.mean() / 2)
        return torch.stack(parts)

    def validate(self, batch: Batch, unrolling: Unrolling) -> Losses:
        """Return the parts of the loss, with all actions told; and how often latents are used."""
        codes = codes_of(batch)
        seen = self.see(codes)
        sums = self._parts(seen, codes, batch.actions) * len(codes)
        if seen.quantised is not None:
            counts = torch.bincount(seen.quantised.codes.flatten(), minlength=self.codebook.codes)
            sums = torch.cat([sums, counts.to(sums.dtype)])
        return Losses(sums, self.weigh(batch).expand(len(sums)))

    def compare(self, validated: Losses, shares: Tensor) -> Tensor:
        """Return the sum of the parts."""
        return validated.means()[: self._count].sum()

    def tell(self, validated: Losses, names: list[str]) -> dict[str, float]:
        """Return the parts and, of latents, the perplexity of their codes, for the log."""
        means = validated.means()
        parts = zip(PARTS[: self._count], means.tolist(), strict=False)
        told = {f"val_{name}": mean for name, mean in parts}
        if self.latent:
            told["val_perplexity"] = perplexity(means[self._count :])
        return told

    @property
    def _count(self) -> int:
        """Parts of the loss."""
        return len(PARTS) if self.latent else 1


def codes_of(batch: Batch) -> Codes:
    """Return the codes that a batch of them holds as its one channel."""
    return batch.frames[:, :, 0].round().long()
