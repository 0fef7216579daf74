"""GRIB 1 and 2, read through cfgrib and eccodes."""

from pathlib import Path

import xarray as xr

from framecast.base.errors import UserError, nearest
from framecast.base.extras import need


def open_grib(path: Path, group: str | None) -> xr.Dataset:
    """Open a GRIB file; its messages are indexed, and their values not read.

    A file may hold variables on several kinds of level, with dimensions of their own. They are
    chosen by the name of the kind, such as isobaricInhPa, as by the name of a group.

    Raises:
        UserError: if cfgrib is missing, there are several kinds of level and none is chosen, or
            the one that is chosen is not there.
        Exception: whatever cfgrib raises.
    """
    need("eccodes", "grib", path)
    cfgrib = need("cfgrib", "grib", path)
    found: list[xr.Dataset] = cfgrib.open_datasets(str(path), backend_kwargs={"indexpath": ""})
    if not found:
        raise UserError(f"{path} holds no message of GRIB: it may be truncated")
    levels = {_levels(dataset): dataset for dataset in found}
    if group is not None and group not in levels:
        raise UserError(
            f"{path} has no level {group}{nearest(group, [*levels])}: it has {', '.join(levels)}"
        )
    if group is None and len(levels) > 1:
        raise UserError(
            f"{path} holds variables on several kinds of level: {', '.join(levels)}. Choose one "
            "with data.group"
        )
    chosen = [dataset for dataset in found if group in (None, _levels(dataset))]
    if len(chosen) == 1:
        return chosen[0]
    bare = [dataset.drop_vars(_levels(dataset), errors="ignore") for dataset in chosen]
    return xr.merge(bare, compat="override", join="exact", combine_attrs="override")


def _levels(dataset: xr.Dataset) -> str:
    kinds = {v.attrs.get("GRIB_typeOfLevel", "unknown") for v in dataset.data_vars.values()}
    return "+".join(sorted(map(str, kinds)))
