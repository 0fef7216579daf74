"""What runs here: versions, devices, kernels."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from framecast.ops.dispatch import describe

PACKAGES = ("framecast", "torch", "pytorch-lightning", "numpy", "xarray", "zarr", "h5netcdf", "av")

PATIENCE = 10
"""Seconds that git may take: a large checkout is slow to look through."""


def diagnose() -> dict[str, str]:
    """Return what a person asking for help, or giving it, wants to know."""
    found = {package: version(package) for package in PACKAGES}
    found["python"] = platform.python_version()
    found["machine"] = f"{platform.machine()}, {platform.system()}"
    found["devices"] = ", ".join(_devices())
    return found | describe()


def describe_run(device: torch.device, processes: int = 1) -> dict[str, str]:
    """Return what a run was made with: versions, the device, the processor, how many processes.

    Where the work is done in a checkout of git, its commit is there too.
    """
    found = {package: version(package) for package in PACKAGES} | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "device": _name(device),
        "threads": str(torch.get_num_threads()),
        "processes": str(processes),
    }
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        found["git"] = commit + _changes()
    return found


def _changes() -> str:
    """What is to be said of changes to the files that git knows."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    if changes is None:
        return ", and it is not known whether there are changes"
    return ", and changes that are not committed" if changes else ""


def _git(*words: str) -> str | None:
    """What git says in the current folder; None without git, outside of a checkout, or too late."""
    try:
        said = subprocess.run(["git", *words], capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() if said.returncode == 0 else None


def _processor() -> str:
    """The processor's name and instructions, where the system tells."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.processor()])[0]}, {torch.backends.cpu.get_cpu_capability()}"


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _devices() -> list[str]:
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices
