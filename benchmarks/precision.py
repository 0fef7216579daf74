"""A step of each Navier-Stokes recipe in the precision that `auto` chooses here, and in float32.

No recipe may be slower than in float32: where the choice is float32 both are the same, and where it
is mixed precision the step must gain by it.
"""

from typing import Any

import torch

from benchmarks.timing import interleave, print_table
from benchmarks.training_step import step_of
from framecast.train.precision import bfloat16_gain, resolve_precision

RECIPES = ("min_conv_gru", "min_conv_lstm", "min_conv_exp_lstm", "conv_lstm", "conv_gru")
CONTEXT, HORIZON = 20, 5
CPU = torch.device("cpu")


def run() -> dict[str, Any]:
    """A row for each recipe."""
    chosen, gain = resolve_precision("auto", CPU), bfloat16_gain(CPU)
    rows = [row(layer, chosen) for layer in RECIPES]
    print_table(f"auto is {chosen}: a convolution in bfloat16 is {gain:.2f} times as fast", rows)
    return {"chosen": str(chosen), "gain": gain, "precision": rows}


def row(layer: str, chosen: object) -> dict[str, object]:
    """Time a step in float32, in mixed precision, and say what auto comes to."""
    calls = {name: step_of(layer, name, CONTEXT, HORIZON) for name in ("float32", "bfloat16")}
    times = interleave(calls, seconds=2)
    auto = times["bfloat16" if chosen == "bf16-mixed" else "float32"]
    return {
        "recipe": f"navier-stokes-{layer.replace('_', '-')}",
        "float32": times["float32"],
        "mixed": times["bfloat16"],
        "float32 / auto": f"{times['float32'].median / auto.median:.2f}",
        "float32 / mixed": f"{times['float32'].median / times['bfloat16'].median:.2f}",
    }
