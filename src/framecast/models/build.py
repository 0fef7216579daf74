"""From a configuration to the recurrent layers and norms that it names."""

from framecast.layers.blocks import Norm, make_norm
from framecast.layers.entry import check_keywords, layer_entry
from framecast.layers.stacks import STACKS, Stack, layer_channels
from framecast.models.config import ForecasterConfig


def make_stack(config: ForecasterConfig, in_channels: int, grid: tuple[int, int] | None) -> Stack:
    """Build the recurrent layers and norms that a configuration names.

    Args:
        config: the network.
        in_channels: channels that the first layer reads.
        grid: (H, W), needed only for norm `grid`.

    Raises:
        ValueError: if the layer's options contradict each other.
    """
    concatenated = config.skip_stride if config.stack == "skip" else None
    channels = layer_channels(in_channels, config.blocks, config.block_depths, concatenated)
    entry = layer_entry(config.layer)
    options = entry.check_options(config.options)
    layers = [entry.layer(a, b, config.kernel, config.padding, **options) for a, b in channels]
    pre = config.norm_position == "pre"
    norms = [_norm(config, before if pre else out, grid) for before, out in channels]
    kind = STACKS[config.stack]
    settings = check_keywords(kind, config.stack_options)
    return kind(
        layers, norms, config.dropout, config.norm_position, config.block_depths, **settings
    )


def _norm(config: ForecasterConfig, channels: int, grid: tuple[int, int] | None) -> Norm:
    """A norm, which noise conditions where there is any."""
    norm = make_norm(config.norm, channels, grid)
    if config.noise_channels and config.norm != "none":
        norm.condition(config.noise_channels, channels)
    return norm
