"""The code published with the papers, in checkouts of one's own, beside ours.

    python -m benchmarks peers --minconvrnns PATH --conv-tt-lstm PATH --convssm PATH

Each is optional. Weights are equal, and outputs are compared before anything is timed. The
published code is imported from where it lies; none of it is part of this project.
"""

import importlib
from pathlib import Path
from typing import Any

from benchmarks.timing import print_table
from framecast.train.allocator import kept_memory

CHECKOUTS = {
    "minconvrnns": ("min_conv_rnns", "https://github.com/AdaptiveAILab/minconvrnns"),
    "conv-tt-lstm": ("conv_tt_lstm", "https://github.com/NVlabs/conv-tt-lstm"),
    "convssm": ("conv_ssm", "https://github.com/NVlabs/ConvSSM"),
}
"""What the options are called: the module that knows the checkout, and where it is published."""


def run(paths: dict[str, Path]) -> dict[str, Any]:
    """Rows for each checkout that is given.

    Args:
        paths: of the checkouts, by the names of `CHECKOUTS`.
    """
    results = {}
    for name, path in paths.items():
        module, origin = CHECKOUTS[name]
        with kept_memory():
            results[name] = importlib.import_module(f"benchmarks.peers.{module}").rows(path)
        print_table(f"{origin}, beside ours", results[name])
    return results
