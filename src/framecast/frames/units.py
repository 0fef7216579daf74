"""Values in other units than those of the source: data.units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.base.extras import need
from framecast.frames.channels import Channel
from framecast.frames.chunks import Chunks
from framecast.frames.frames import Frames, StaticFields
from framecast.frames.lazy import Reader, Values, stored_in

_RANGES = {"valid_range", "valid_min", "valid_max", "actual_range"}
"""Attributes that are in the units of the values."""


class Conversion(NamedTuple):
    """From one unit to another: value × scale + offset."""

    scale: float = 1.0
    offset: float = 0.0


NONE = Conversion()


def convert_units(frames: Frames, units: Mapping[str, str]) -> Frames:
    """Return frames of which some channels are in other units; values are read as before.

    Args:
        frames: whose channels, or static fields, say what their units are.
        units: by the name of a channel, the unit to convert it to, in the words of UDUNITS (CF).

    Raises:
        UserError: if there is no such channel, it has no units or others than can be converted, or
            the library cf-units is missing.
    """
    if not units:
        return frames
    static = frames.static
    further = () if static is None else static.channels
    names = [c.name for c in (*frames.channels, *further)]
    for name in units:
        if name not in names:
            raise UserError(
                f"{frames.source}: data.units names {name}, but what is read is {', '.join(names)}"
            )

    def each(channels: Sequence[Channel]) -> list[Conversion]:
        return [
            _conversion(c, units[c.name], frames.source) if c.name in units else NONE
            for c in channels
        ]

    own, others = each(frames.channels), each(further)
    if static is not None:
        converted = _converted(static.values, others)
        static = StaticFields(converted, _relabelled(further, units, others))
    return replace(
        frames,
        values=_convert(frames.values, own),
        channels=_relabelled(frames.channels, units, own),
        static=static,
    )


@dataclass(frozen=True, eq=False)
class ConvertedReader:
    """Gives what another reader reads in other units: a `Reader`."""

    original: Reader
    conversions: tuple[Conversion, ...]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(N, T, C, H, W)."""
        return self.original.shape

    @property
    def source(self) -> str:
        """Where the values come from."""
        return self.original.source

    def read(self, sequence: int, start: int, stop: int) -> Float[Tensor, "T C H W"]:
        """Return frames start to stop - 1 of a sequence."""
        return _converted(self.original.read(sequence, start, stop), self.conversions)

    @property
    def chunks(self) -> Chunks | None:
        """How the frames are stored."""
        return stored_in(self.original)

    def fingerprint(self) -> str:
        """Return a digest of the original, and of how it is converted."""
        return f"{self.original.fingerprint()} {self.conversions}"


def _convert(values: Values, conversions: Sequence[Conversion]) -> Values:
    if all(conversion == NONE for conversion in conversions):
        return values
    if isinstance(values, Tensor):
        return _converted(values, conversions)
    return replace(values, reader=ConvertedReader(values.reader, tuple(conversions)))


def _converted(
    values: Float[Tensor, "*any C H W"], conversions: Sequence[Conversion]
) -> Float[Tensor, "*any C H W"]:
    """Convert in float64, so that rounding is that of the result alone."""
    table = torch.tensor(conversions, dtype=torch.float64)[:, :, None, None]
    return (values.double() * table[:, 0] + table[:, 1]).float()


def _conversion(channel: Channel, wanted: str, source: str) -> Conversion:
    """How a channel is converted.

    A conversion that is no straight line, as from decibels, is refused.
    """
    library: Any = need("cf_units", "units", f"data.units of {channel.name}")
    if not channel.units:
        raise UserError(
            f"{source}: {channel.name} does not say what its units are, so that they cannot be "
            f"converted to {wanted} (data.units)"
        )
    try:
        there, asked = library.Unit(channel.units), library.Unit(wanted)
        zero, one, two = there.convert(np.array([0.0, 1.0, 2.0]), asked).tolist()
    except ValueError as error:
        raise UserError(
            f"{source}: {channel.name} is in {channel.units}, which cannot be converted to "
            f"{wanted} (data.units): {error}"
        ) from error
    if not np.isclose(two - one, one - zero):
        raise UserError(
            f"{source}: from {channel.units} to {wanted} is no straight line, which data.units of "
            f"{channel.name} needs: convert the file first"
        )
    return Conversion(one - zero, zero)


def _relabelled(
    channels: Sequence[Channel], units: Mapping[str, str], conversions: Sequence[Conversion]
) -> tuple[Channel, ...]:
    return tuple(
        replace(channel, attributes=_attributes(channel, units[channel.name], conversion))
        if channel.name in units
        else channel
        for channel, conversion in zip(channels, conversions, strict=True)
    )


def _attributes(channel: Channel, wanted: str, conversion: Conversion) -> dict[str, Any]:
    """Attributes in the new units, with the range that is declared."""
    kept = {key: value for key, value in channel.attributes.items() if key not in _RANGES}
    if channel.valid_range is not None:
        scale, offset = conversion
        kept["valid_range"] = sorted(end * scale + offset for end in channel.valid_range)
    return {**kept, "units": wanted}
