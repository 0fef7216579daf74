"""What runs here: versions, devices, kernels."""

import platform
from importlib.metadata import version

import torch

from framecast.ops.dispatch import describe

PACKAGES = ("framecast", "torch", "pytorch-lightning", "numpy", "xarray", "zarr", "h5netcdf", "av")


def diagnose() -> dict[str, str]:
    """Return what a person asking for help, or giving it, wants to know."""
    found = {package: version(package) for package in PACKAGES}
    found["python"] = platform.python_version()
    found["machine"] = f"{platform.machine()}, {platform.system()}"
    found["devices"] = ", ".join(_devices())
    return found | describe()


def _devices() -> list[str]:
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices
