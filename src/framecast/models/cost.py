"""What a network costs, counted and not measured."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from framecast.models.forecaster import Forecaster


def multiplications(model: Forecaster, height: int, width: int) -> int:
    """Count the multiplications of convolutions and matrices for one predicted frame.

    The network reads one frame, a batch of one. Elementwise products, such as those of gates, are
    not counted, as papers do not count them.

    Args:
        model: the network.
        height: H of the grid.
        width: W of the grid.
    """
    frames = next(model.parameters()).new_zeros(1, 1, model.in_channels, height, width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(frames)
    return int(counter.get_total_flops()) // 2  # it counts a product and a sum
