"""The device that a model runs on."""

import os
from typing import Literal

import torch

from framecast.base.errors import UserError
from framecast.base.ranks import is_shared


def count_devices(count: int | Literal["auto"], name: str = "auto") -> int:
    """Return how many processes train a network, each on a device of its own.

    Args:
        count: as many; auto for the GPUs that are here, and for 1 where there are none.
        name: of the device, as in `choose_device`; one with a number is one device.
    """
    if count != "auto":
        return count
    if name not in ("auto", "cuda") or not torch.cuda.is_available():
        return 1
    return torch.cuda.device_count()


def choose_device(name: str = "auto") -> torch.device:
    """Return a device by its name; of several, the one that is this process's.

    From then on float32 means on NVIDIA's GPUs what it means elsewhere. PyTorch would let cuDNN
    round what it multiplies to 11 bits (TF32), by which forecasts differ from those of a CPU in the
    fourth digit; whoever wants such speed trains in bfloat16 (`training.precision`).

    Args:
        name: cpu, cuda, cuda:1, mps, ...; auto for a GPU where there is one, else the CPU.

    Raises:
        UserError: if there is no such device here.
    """
    torch.backends.cudnn.allow_tf32 = False
    if name in ("auto", "cuda") and is_shared() and torch.cuda.is_available():
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device {name} is no device: auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cpu":
        return device
    backend = torch.accelerator.current_accelerator(check_available=True)
    count = torch.accelerator.device_count() if backend else 0
    if backend is None or backend.type != device.type or (device.index or 0) >= count:
        there = f"{count} of kind {backend.type}" if backend else "none but the CPU"
        raise UserError(f"--device {name} is not here: there is {there} (framecast doctor)")
    return device
