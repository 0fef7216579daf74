"""What a network costs, counted and not measured."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from framecast.models.forecaster import Forecaster


def multiplications(model: Forecaster, height: int, width: int) -> int:
    """Count the multiplications of convolutions and matrices for one predicted frame.

    The network steps once, as in a closed loop, on a batch of one. Elementwise products, such as
    those of gates, are not counted, as papers do not count them.

    Args:
        model: the network.
        height: H of the grid.
        width: W of the grid.
    """
    like = next(model.parameters())
    frame = like.new_zeros(1, model.in_channels, height, width)
    state = model.recurrences.initial_state(1, height, width, device=like.device, dtype=like.dtype)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.step(frame, state)
    return counter.get_total_flops() // 2  # it counts a product and a sum
