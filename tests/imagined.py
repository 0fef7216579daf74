"""Runs of world models that have learned nothing, and an episode for them."""

import numpy as np
import torch

from framecast.frames.frames import Channel
from framecast.frames.roles import FrameSpec
from framecast.frames.statistics import Statistics
from framecast.models.config import ForecasterConfig
from framecast.models.tokeniser_config import TokeniserConfig, TokeniserSpec
from framecast.models.world import World
from framecast.models.world_config import WorldConfig, WorldSpec
from framecast.runs.checkpoint import BEST, Saved
from framecast.runs.contents import CONFIG

NAMES = ("left", "right", "forward")
LENGTH = 20
TOKENISER = {
    "quantiser": "euclidean",
    "codes": 16,
    "embedding": 4,
    "channels": 8,
    "multiples": [1, 2],
    "blocks": 1,
    "adversarial": 0.0,
}
"""A tokeniser that makes 8×8 codes of 16×16 pixels."""
WORLD = {
    "widths": [8, 16],
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "latent": 6,
    "latent_codes": 12,
    "latent_embedding": 5,
    "action_channels": 3,
    "prior_width": 16,
    "prior_heads": 2,
    "prior_layers": 1,
    "prior_hidden": 32,
}
"""The smallest world model that has all parts."""


def save(folder, layer="conv_s5", actions=3, seed=0, data="data/episodes"):
    """A run of a world model that has learned nothing."""
    torch.manual_seed(seed)
    tokeniser = TokeniserConfig(**TOKENISER)
    config = WorldConfig(tokeniser="run", **WORLD, draft=2, revisions=1, revise=2)
    memory = ForecasterConfig(layer=layer, depth=1, hidden=8, norm="channel")
    spec = WorldSpec(config, memory, TokeniserSpec(tokeniser, 3, (16, 16)), "", actions)
    model = World(spec)
    with torch.no_grad():
        model.tokeniser.quantiser.rows.normal_()
        model.tokeniser.decoder.out.weight.mul_(20)
        for weight in model.prior.parameters():
            weight.mul_(4)
    fingerprint = model.tokeniser.fingerprint()
    model.spec = WorldSpec(config, memory, spec.tokeniser, fingerprint, actions)
    channels = tuple(Channel(n, {"valid_range": [0, 255]}) for n in ("red", "green", "blue"))
    frames = FrameSpec(
        channels, (16, 16), "0.1", actions=actions, action_names=NAMES if actions else ()
    )
    statistics = Statistics(
        torch.full((3,), 127.5), torch.full((3,), 127.5), torch.zeros(3, 16, 16)
    )
    folder.mkdir(parents=True, exist_ok=True)
    Saved(model, statistics, frames, 4, 4, 1, 1.0).save(folder / BEST)
    (folder / CONFIG).write_text(
        f"data: {{source: episodes, path: {data}, validation_fraction: 0.0, "
        "options: {action_shift: 0, rate: 10.0}}\n"
        f"training: {{seed: {seed}}}\nmodel: {{layer: {layer}}}"
    )
    return folder


def write_episode(file, actions=None, seed=0, length=LENGTH, **arrays):
    """An episode of noise in which an agent does this and that."""
    random = np.random.default_rng(seed)
    video = random.integers(0, 256, (length, 16, 16, 3), np.uint8)
    actions = random.integers(0, 3, length) if actions is None else actions
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, video=video, actions=actions, action_names=np.array(NAMES), **arrays)
    return file
