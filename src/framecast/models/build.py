"""From a configuration to the recurrent layers and norms that it names."""

from framecast.layers.blocks import make_norm
from framecast.layers.entry import layer_entry
from framecast.layers.stacks import ResidualStack, SkipStack, Stack, skip_channels
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
    blocks = config.blocks
    channels = skip_channels(in_channels, blocks, config.depth // len(blocks))
    entry = layer_entry(config.layer)
    options = entry.check_options(config.options)
    layers = [entry.layer(a, b, config.kernel, config.padding, **options) for a, b in channels]
    norms = [make_norm(config.norm, out, grid) for _, out in channels]
    if config.stack == "residual":
        return ResidualStack(layers, norms, config.dropout, config.norm_position)
    return SkipStack(layers, norms, len(blocks), config.dropout)
