"""What a network costs, counted and not measured."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from framecast.frames.batch import Conditions
from framecast.models.forecaster import Forecaster
from framecast.models.recogniser import Recogniser
from framecast.models.world import World


def multiplications(model: Forecaster | World, height: int, width: int) -> int:
    """Count the multiplications of convolutions and matrices for one predicted frame.

    The network reads one frame, a batch of one. Elementwise products, such as those of gates, are
    not counted, as papers do not count them. Of a world model those are counted that draw a frame,
    with all passes of its prior, and decode it.

    Args:
        model: the network.
        height: H of the grid; world models know their own.
        width: W of the grid.
    """
    if isinstance(model, World):
        return _of_a_drawn_frame(model)
    like, ports = next(model.parameters()), model.ports
    frames = like.new_zeros(1, 1, ports.fed_back, height, width)
    noise = model.noise_channels
    conditions = Conditions(
        fields=like.new_zeros(1, 1, ports.conditions, height, width) if ports.conditions else None,
        actions=like.new_zeros(1, 1, ports.actions) if ports.actions else None,
        noise=like.new_zeros(1, 1, noise, height, width) if noise else None,
    )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(frames, None, conditions)
    return int(counter.get_total_flops()) // 2  # it counts a product and a sum


def _of_a_drawn_frame(model: World) -> int:
    like = next(model.parameters())
    codes = torch.zeros(1, 1, *model.tokeniser.code_grid, dtype=torch.int64, device=like.device)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        memory = model.observe(codes)
        with FlopCounterMode(display=False) as counter:
            drawn, _ = model.imagine(memory, source=source)
            model.tokeniser.show(drawn)
    return int(counter.get_total_flops()) // 2


def classifier_multiplications(model: Recogniser) -> int:
    """Count the multiplications of the classifier alone, for one naming of the classes.

    It comes on top of those for the frames that are given (see `multiplications`).
    """
    assert model.spec.grid is not None
    like, cells = next(model.parameters()), [-(-n // model.reduction) for n in model.spec.grid]
    channels = model.recurrences.out_channels
    features = like.new_zeros(1, model.classifier.frames, channels, *cells)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.classifier(features)
    return int(counter.get_total_flops()) // 2
