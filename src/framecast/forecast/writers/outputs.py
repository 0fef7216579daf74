"""What a file of numbers holds of a forecast: its frames, each member's, or statistics of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from framecast.base.errors import UserError
from framecast.forecast.writers.attributes import carried
from framecast.frames.channels import NAMED, Channel

_NOT_CARRIED = ("valid_range", "valid_min", "valid_max", "actual_range")
"""Attributes that speak of the values of the input, not of their meaning."""


class Extra(NamedTuple):
    """A dimension that a variable has before those of the forecast.

    Attributes:
        name: of the dimension.
        values: of its coordinate.
        attributes: of its coordinate.
    """

    name: str
    values: np.ndarray
    attributes: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Output:
    """A variable of a file.

    Attributes:
        name: of the variable.
        channel: place of the channel that it is of.
        attributes: of the variable.
        extra: its first dimensions.
        of: takes it from the members of the channel.
    """

    name: str
    channel: int
    attributes: dict[str, Any]
    extra: tuple[Extra, ...]
    of: Callable[[Float[Tensor, "M N S H W"]], Float[Tensor, "*E N S H W"]]

    def values(self, frame: Float[Tensor, "M N S C H W"]) -> Float[np.ndarray, "*E N S H W"]:
        """Return what is written of a lead."""
        values: np.ndarray = self.of(frame[:, :, :, self.channel]).float().numpy()
        return values


@dataclass(frozen=True)
class Summary:
    """Statistics over the members that are written in their place, or beside them.

    Attributes:
        members: whether the members are written too.
        mean: whether their mean is.
        spread: whether their standard deviation (over M − 1) is.
        quantiles: probabilities in [0, 1] whose quantiles are, by linear interpolation.
        above: thresholds by variable, "" for all: the share of the members that reach each.
    """

    members: bool = False
    mean: bool = False
    spread: bool = False
    quantiles: tuple[float, ...] = ()
    above: tuple[tuple[str, tuple[float, ...]], ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> "Summary":
        """Read what a command line says: mean, spread, members, quantiles=0.1,0.9, above=5.

        Raises:
            UserError: if a word is unknown, or a number is none or out of range.
        """
        flags = {text: True for text in texts if text in ("members", "mean", "spread")}
        quantiles: tuple[float, ...] = ()
        above: dict[str, tuple[float, ...]] = {}
        for text in texts:
            kind, equals, numbers = text.partition("=")
            kind, _, variable = kind.partition(":")
            if text in flags:
                continue
            if not equals or kind not in ("quantiles", "above") or (variable and kind != "above"):
                raise UserError(
                    f"--summary {text}: choose from mean, spread, members, quantiles=0.1,0.5,0.9, "
                    "above=5, or above:VARIABLE=5 where there are several variables"
                )
            if kind == "above":
                above[variable] = (*above.get(variable, ()), *_numbers(text, numbers))
            else:
                quantiles += _numbers(text, numbers)
        if not all(0 <= q <= 1 for q in quantiles):
            raise UserError(f"--summary quantiles {quantiles}: each must be in [0, 1]")
        return cls(**flags, quantiles=quantiles, above=tuple(above.items()))

    @property
    def texts(self) -> list[str]:
        """The words that ask for it."""
        words = [name for name in ("members", "mean", "spread") if getattr(self, name)]
        words += [f"quantiles={_joined(self.quantiles)}"] if self.quantiles else []
        named = [(f"above:{name}" if name else "above", values) for name, values in self.above]
        return words + [f"{name}={_joined(values)}" for name, values in named]

    def check(self, names: Sequence[str], members: int | None) -> None:
        """Raise a UserError unless it can be taken of so many members of these variables."""
        if members is None:
            raise UserError("--summary is of the members of an ensemble: add --members M")
        if self.spread and members < 2:
            raise UserError("--summary spread needs --members 2 or more")
        for variable, _ in self.above:
            if (variable and variable not in names) or (not variable and len(names) > 1):
                raise UserError(
                    f"--summary above{variable and ':'}{variable}: name one of the variables "
                    f"{', '.join(names)}, as in above:{names[0]}=5"
                )


def outputs_of(
    channels: Sequence[Channel],
    members: int | None,
    summary: Summary | None,
    free: Callable[[str], str],
) -> list[Output]:
    """Return the variables of a forecast.

    Args:
        channels: that are forecast.
        members: M; None for a forecast without members.
        summary: what is written of them; None for all of them.
        free: gives a dimension a name that the input does not use.

    Raises:
        UserError: if two variables would have one name.
    """
    outputs: list[Output] = []
    for place, channel in enumerate(channels):
        outputs += _of_channel(place, channel, len(channels) > 1, members, summary, free)
    names = [output.name for output in outputs]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise UserError(f"the forecast would hold two variables {double}: rename one of the input")
    return outputs


def _of_channel(
    place: int,
    channel: Channel,
    several: bool,
    members: int | None,
    summary: Summary | None,
    free: Callable[[str], str],
) -> Iterator[Output]:
    name, attributes = _name(channel), _attributes(channel)
    if members is None:
        yield Output(name, place, attributes, (), lambda values: values[0])
        return
    number = Extra(free("member"), np.arange(members), _MEMBER)
    if summary is None or summary.members:
        yield Output(name, place, attributes, (number,), lambda values: values)
    if summary is None:
        return
    if summary.mean:
        method = {"cell_methods": f"{number.name}: mean"}
        yield Output(f"{name}_mean", place, attributes | method, (), lambda v: v.mean(0))
    if summary.spread:
        method = {"cell_methods": f"{number.name}: standard_deviation"}
        yield Output(f"{name}_spread", place, attributes | method, (), lambda v: v.std(0))
    if summary.quantiles:
        at = torch.tensor(summary.quantiles, dtype=torch.float32)
        extra = Extra(free("quantile"), at.double().numpy().round(6), _QUANTILE)
        told = {"long_name": f"quantiles of the members of {channel.name}"}
        yield Output(
            f"{name}_quantile", place, attributes | told, (extra,), lambda v: v.quantile(at, 0)
        )
    for variable, thresholds in summary.above:
        if variable in ("", channel.name):
            yield _exceedance(place, channel, thresholds, free("threshold"), several)


def _exceedance(
    place: int, channel: Channel, thresholds: Sequence[float], dim: str, several: bool
) -> Output:
    """The share of the members that reach each threshold; unknown where they are."""
    name, at = _name(channel), torch.tensor(thresholds)
    units = {"units": channel.units} if channel.units else {}
    extra = Extra(
        f"{dim}_{name}" if several else dim,
        np.array(thresholds),
        {"long_name": f"threshold of {channel.name}", **units},
    )
    told = {"long_name": f"share of the members with {channel.name} of at least the threshold"}

    def share(values: Tensor) -> Tensor:
        reached = values[None] >= at.view(-1, *[1] * values.ndim)
        return reached.float().mean(1).where(~values.isnan().any(0), torch.nan)

    return Output(f"{name}_exceedance", place, {**told, "units": "1"}, (extra,), share)


_MEMBER = {"standard_name": "realization", "long_name": "member of the ensemble", "units": "1"}
_QUANTILE = {"long_name": "probability of the quantile", "units": "1"}


def _numbers(text: str, numbers: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in numbers.split(","))
    except ValueError as error:
        raise UserError(f"--summary {text}: give numbers, with commas between them") from error


def _joined(numbers: Sequence[float]) -> str:
    return ",".join(map(str, numbers))


def _name(channel: Channel) -> str:
    """What a variable is called: a slash would make a group of what is before it."""
    return channel.name.replace("/", "_")


def _attributes(channel: Channel) -> dict[str, Any]:
    attributes = carried(channel.attributes, *_NOT_CARRIED)
    return attributes if _name(channel) == channel.name else {**attributes, NAMED: channel.name}
