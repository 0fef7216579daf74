"""Modules of a checkout, imported from where they lie."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor


def load(checkout: Path, module: str, *folders: str, needs: str = "") -> ModuleType:
    """Import a module of a checkout.

    Args:
        checkout: its folder.
        module: its dotted name below the first of the folders.
        folders: of the checkout that its own imports look into.
        needs: packages of others that it imports, as pip calls them.
    """
    places = [checkout / folder for folder in folders]
    file = places[0] / Path(*module.split(".")).with_suffix(".py")
    if not file.exists():
        sys.exit(f"{checkout} is no such checkout: {file} is missing")
    sys.path[:0] = [str(place) for place in places]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        sys.exit(f"{file} cannot be imported ({error}): it needs {needs or 'more packages'}")
    finally:
        del sys.path[: len(places)]


def ratio(slow: float, fast: float) -> str:
    """By how much one time is longer than another."""
    return f"{slow / fast:.2f}"


def step(loss: Callable[[], Tensor], optimiser: torch.optim.Optimizer) -> Callable[[], None]:
    """Return a training step: forward, backward and update."""

    def run() -> None:
        optimiser.zero_grad()
        loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return run
