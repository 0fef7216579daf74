"""What an agent is to do in a forecast: actions by name, from a file, at random, or unknown."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError, nearest
from framecast.readers.guard import guarded

HIDDEN, RANDOM = ("none", "unknown"), "random"
"""What may stand in place of actions: nobody knows them; or each is drawn, all alike likely."""
SUFFIXES = (".npz", ".npy")


def parse_actions(
    text: str, names: Sequence[str], kinds: int, steps: int, seed: int = 0
) -> Float[Tensor, "T A"]:
    """Return the action of each step as a unit vector; NaN where nobody knows it.

    Args:
        text: names separated by commas, each perhaps with `*` and how often, or with `*` alone for
            all steps that are left, such as `left,forward*10,right*`; or numbers in their place;
            or a `.npz` file with `actions`, or `.npy`, of numbers [T]; or random; or none, which
            may also be called unknown.
        names: of the actions, by their numbers; none where they have no names.
        kinds: A, how many actions there are.
        steps: T.
        seed: of random ones.

    Raises:
        UserError: if an action is none of those that there are, or they do not suit the steps.
    """
    if text in names and text in (*HIDDEN, RANDOM):
        raise UserError(
            f"--actions {text} may be the action of this name, which is written {text}*, or stand "
            "for all of them: write unknown where nobody knows what is done"
        )
    if text in HIDDEN:
        return torch.full((steps, kinds), torch.nan)
    if text == RANDOM:
        generator = torch.Generator().manual_seed(seed)
        numbers = torch.randint(kinds, (steps,), generator=generator).tolist()
    elif Path(text).suffix in SUFFIXES:
        numbers = _read(Path(text), kinds, steps)
    else:
        numbers = _spelled(text, names, kinds, steps)
    if len(numbers) < steps:
        raise UserError(
            f"--actions {text} are {len(numbers)} actions, but --steps {steps} need as many: write "
            f"NAME* for all that are left, or forecast --steps {len(numbers)}"
        )
    return torch.eye(kinds)[numbers[:steps]]


def read_measured(text: str, count: int, steps: int) -> Float[Tensor, "T A"]:
    """Return the action of each step, where actions are measured: a speed and an angle, say.

    Args:
        text: a `.npz` file with `actions`, or `.npy`, of finite numbers [T,A].
        count: A, numbers in an action.
        steps: T.

    Raises:
        UserError: if it is no such file, or there are fewer actions than steps.
    """
    file, shape = Path(text), f"[time, {count}]"
    if file.suffix not in SUFFIXES:
        raise UserError(
            f"--actions {text}: the model was trained on actions of measured numbers, which have "
            f"no names: give a .npz or .npy file of numbers {shape}, or unknown"
        )
    array = _content(file, f"actions {shape}")
    if array.shape[1:] != (count,) or array.dtype.kind not in "iuf":
        raise UserError(
            f"{file}: actions are {array.dtype} {list(array.shape)}; needed are numbers {shape}"
        )
    if len(array) < steps:
        raise UserError(f"{file} has {len(array)} actions, but --steps {steps} need as many")
    actions = torch.from_numpy(np.ascontiguousarray(array[:steps], np.float32))
    if not actions.isfinite().all():
        raise UserError(f"{file}: actions hold values that are not finite")
    return actions


def _spelled(text: str, names: Sequence[str], kinds: int, steps: int) -> list[int]:
    numbers: list[int] = []
    for word in text.split(","):
        found = re.fullmatch(r"\s*([^*]+?)\s*(\*\s*(\d*))?\s*", word)
        if found is None:
            raise UserError(f"--actions {text}: write names, such as left,forward*10,right*")
        left = steps - len(numbers)
        times = 1 if found[2] is None else int(found[3]) if found[3] else left
        if times > left:
            raise UserError(
                f"--actions {text} are more than the {steps} of --steps: leave some out"
            )
        numbers += [_number(found[1], names, kinds)] * times
    return numbers


def _number(name: str, names: Sequence[str], kinds: int) -> int:
    if name in names:
        return list(names).index(name)
    if name.isdecimal() and int(name) < kinds:
        return int(name)
    known = ", ".join(names) if names else f"0 to {kinds - 1}"
    raise UserError(
        f"--actions: {name} is none of the actions{nearest(name, names)}: there are {known}"
    )


def _read(file: Path, kinds: int, steps: int) -> list[int]:
    array = _content(file, "the numbers of actions")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError(
            f"{file}: actions are {array.dtype} {list(array.shape)}; needed are whole numbers, "
            "[time]"
        )
    outside = (array < 0) | (array >= kinds)
    if outside.any():
        place = int(outside.argmax())
        raise UserError(
            f"{file}: action {array[place]} at {place} is none of the {kinds} that there are"
        )
    numbers: list[int] = array[:steps].tolist()
    return numbers


def _content(file: Path, holding: str) -> np.ndarray:
    """The actions of a NumPy file."""
    with guarded(file, "cannot be read as a NumPy file", f"it must hold {holding}"):
        content = np.load(file, allow_pickle=False)
        array: np.ndarray = content["actions"] if file.suffix == ".npz" else content
    return array
