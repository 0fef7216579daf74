"""A frame drawn by a world model, early and late: what an agent waits for.

The narrow networks of the recipes vizdoom-world-*, with each kind of memory, on 64×64 frames of
16×16 codes: step of the memory, 24 passes of the prior, decoder, and decoding of the frame. A
recurrent memory pays the same for each, and keeps as much; that of a Transformer grows.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.utils import _pytree as pytree

from benchmarks.timing import interleave, print_table
from framecast.base.config import load_config
from framecast.models.tokeniser_config import TokeniserSpec
from framecast.models.world import Memory, World
from framecast.models.world_config import WorldSpec
from framecast.runs.experiment import Experiment
from framecast.runs.recipes import find_recipe

MEMORIES = ("conv-s5", "conv-lstm", "transformer", "s5")
AGES = (40, 100, 300, 1000)
"""Frames before the one that is timed, the given ones among them."""
CONTEXT, AT_ONCE = 36, 50
ACTIONS = 4


def run() -> dict[str, Any]:
    """Rows for each kind of memory, after the gate."""
    check()
    rows = [row(name) for name in MEMORIES]
    print_table("A frame drawn by a world model, batch 1", rows)
    return {"rows": rows}


def check() -> None:
    """What is remembered frame by frame is what a whole pass remembers."""
    for name in MEMORIES:
        model, codes = model_of(name), torch.randint(512, (1, 6, 16, 16))
        with torch.inference_mode():
            whole = model.observe(codes)
            inputs = model.see(codes).inputs
            memory = model.observe(codes[:, :1])
            for place in range(5):
                _, state = model.told(inputs[:, place : place + 1], None, memory.state)
                memory = Memory(state, inputs[:, place + 1], place + 2)
            for ours, theirs in zip(leaves(memory), leaves(whole), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def model_of(name: str) -> World:
    """Return an untrained world model of a recipe."""
    torch.manual_seed(0)
    recipe = load_config(Experiment, find_recipe(f"vizdoom-world-{name}"))
    tokeniser = load_config(Experiment, find_recipe("vizdoom-tokeniser")).tokeniser
    spec = TokeniserSpec(tokeniser, 3, (64, 64))
    return World(WorldSpec(recipe.world, recipe.model, spec, "", ACTIONS)).eval()


def row(name: str) -> dict[str, object]:
    """Times of a frame at some ages of an episode, taken in turns, and what is remembered."""
    model = model_of(name)
    with torch.inference_mode():
        first = model.observe(torch.randint(512, (1, CONTEXT, 16, 16)))
        calls: dict[str, Callable[[], object]] = {}
        sizes = {}
        for age, memory in older(model, first):
            calls[str(age)] = partial(show, model, memory)
            sizes[age] = sum(4 * leaf.numel() for leaf in leaves(memory))
        times = interleave(calls, seconds=2, fewest=10)
    ends = [times[str(age)].median for age in (AGES[0], AGES[-1])]
    return {
        "memory": name,
        **{f"frame {age}": times[str(age)] for age in AGES},
        "late / early": f"{ends[1] / ends[0]:.2f}",
        **{f"MB remembered at {age}": f"{sizes[age] / 1e6:.2f}" for age in (AGES[0], AGES[-1])},
    }


def older(model: World, memory: Memory) -> Iterator[tuple[int, Memory]]:
    """Yield each age, and what is remembered then.

    Later frames are random latents, read many at once, and not drawn one by one: what they hold
    changes neither the time of the next frame nor the size of what is remembered.
    """
    now = CONTEXT
    for age in AGES:
        while now < age:
            count = min(AT_ONCE, age - now)
            read = torch.randn(1, count, *memory.latest.shape[1:])
            inputs = torch.cat([memory.latest[:, None], read[:, :-1]], dim=1)
            _, state = model.told(inputs, None, memory.state)
            now += count
            memory = Memory(state, read[:, -1], now)
        yield age, memory


def show(model: World, memory: Memory) -> torch.Tensor:
    """Draw and decode the next frame."""
    codes, _ = model.imagine(memory, torch.eye(ACTIONS)[[2]])
    return model.tokeniser.show(codes)


def leaves(memory: Memory) -> list[torch.Tensor]:
    """All tensors that are remembered."""
    return [leaf for leaf in pytree.tree_leaves(memory) if isinstance(leaf, torch.Tensor)]
