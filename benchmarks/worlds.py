"""A frame drawn by a world model, early and late: what an agent waits for.

The narrow networks of the recipes vizdoom-world-*, with each kind of memory, on 64×64 frames of
16×16 codes: step of the memory, 24 passes of the prior, decoder, and decoding of the frame. A
recurrent memory pays the same for each, and keeps as much; that of a Transformer grows.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice, repeat
from typing import Any

import torch
from torch.utils import _pytree as pytree

from benchmarks.timing import interleave, print_table
from framecast.base.config import load_config
from framecast.models.tokeniser import TokeniserSpec
from framecast.models.world import Memory, World
from framecast.models.world_config import WorldSpec
from framecast.runs.config import Experiment
from framecast.runs.recipes import find_recipe

MEMORIES = ("conv-s5", "conv-lstm", "transformer")
AGES = (10, 1000)
CONTEXT = 36
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
                memory = Memory(state, inputs[:, place + 1])
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
    """Times of a frame early and late in one episode, taken in turns, and what is remembered."""
    model = model_of(name)
    with torch.inference_mode():
        first = model.observe(torch.randint(512, (1, CONTEXT, 16, 16)))
        calls: dict[str, Callable[[], object]] = {}
        sizes = {}
        for age, memory in enumerate(islice(ahead(model, first), max(AGES)), start=1):
            if age in AGES:
                calls[str(age)] = partial(show, model, memory)
                sizes[age] = sum(4 * leaf.numel() for leaf in leaves(memory))
        times = interleave(calls, seconds=1, fewest=20)
    early, late = (times[str(age)] for age in AGES)
    return {
        "memory": name,
        f"frame {AGES[0]}": early,
        f"frame {AGES[1]}": late,
        "late / early": f"{late.median / early.median:.2f}",
        **{f"MB remembered at {age}": f"{size / 1e6:.2f}" for age, size in sizes.items()},
    }


def ahead(model: World, memory: Memory) -> Any:
    """Yield what is remembered after each frame that is drawn, without end."""
    for action in repeat(torch.eye(ACTIONS)[[2]]):
        _, memory = model.imagine(memory, action)
        yield memory


def show(model: World, memory: Memory) -> torch.Tensor:
    """Draw and decode the next frame."""
    codes, _ = model.imagine(memory, torch.eye(ACTIONS)[[2]])
    return model.tokeniser.show(codes)


def leaves(memory: Memory) -> list[torch.Tensor]:
    """All tensors that are remembered."""
    return list(pytree.tree_leaves(memory))
