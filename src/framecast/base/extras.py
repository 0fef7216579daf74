"""Libraries that not everybody needs: named with the command that installs them."""

from importlib import import_module
from typing import Any

from framecast.base.errors import UserError

EXTRAS = {
    "export": "files for ONNX Runtime",
    "flow": "baselines of motion",
    "geotiff": "GeoTIFF",
    "grib": "GRIB",
    "hub": "networks on the Hugging Face Hub",
    "remote": "remote addresses",
    "serve": "servers",
    "units": "units",
    "worlds": "simulated worlds",
}
"""Extras of framecast, as in pyproject.toml, and what each is for."""


def need(module: str, extra: str, source: object) -> Any:
    """Import a library of an extra.

    Args:
        module: its name.
        extra: one of `EXTRAS`.
        source: what is read with it, for the message.

    Raises:
        UserError: if it is not installed, or does not work.
    """
    try:
        return import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        raise UserError(
            f"{source}: {EXTRAS[extra]} need the library {module} ({error}): "
            f"pip install 'framecast[{extra}]'"
        ) from error
