"""The device that a model runs on."""

import torch

from framecast.base.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Return a device by its name.

    Args:
        name: cpu, cuda, cuda:1, mps, ...; auto for a GPU where there is one, else the CPU.

    Raises:
        UserError: if there is no such device here.
    """
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
