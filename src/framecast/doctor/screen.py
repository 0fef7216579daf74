"""Findings on one screen: what was recognised, by what evidence, and what to do next."""

import math
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from framecast.base.limits import readable_size
from framecast.doctor.channels import ChannelFindings
from framecast.doctor.findings import Findings
from framecast.doctor.proposal import Proposal
from framecast.frames.frames import Frames
from framecast.frames.leads import lead_times
from framecast.frames.places import rows_ascend
from framecast.frames.times import readable
from framecast.readers.paths import is_pattern

SHADES = " ░▒▓█"
COLUMNS = 56
"""Of the picture in the terminal."""


def describe(findings: Findings, proposal: Proposal | None = None) -> dict[str, str]:
    """Return what was found, and what is proposed, by titles, in the order of their reading."""
    rows = {"kind": findings.kind}
    for name, frames in findings.parts.items():
        rows |= {f"{name} {title}".strip(): text for title, text in _describe(frames).items()}
    rows["grid kind"] = f"{findings.grid.name}: {findings.grid.evidence}"
    for channel in findings.channels:
        units = f" [{channel.units}]" if channel.units else ""
        rows[f"{channel.name}{units}"] = _describe_channel(channel, findings.frames)
    if proposal is None:
        return rows
    rows |= dict(_plan(proposal))
    for number, note in enumerate(proposal.notes, start=1):
        rows[f"note {number}"] = note
    return rows


def commands(
    findings: Findings, given: Mapping[str, str], minutes: float | None = None
) -> list[str]:
    """Return the commands that come next, quoted for the shell."""
    place = findings.data.path
    paths = [str(path) for path in ([place] if isinstance(place, str) else place or [])]
    own = {key: text for key, text in given.items() if key != "data.path"}
    options = [word for key, text in own.items() for word in (f"--{key}", text)]
    options += [] if minutes is None else ["--minutes", f"{minutes:g}"]
    out = ["--out", f"runs/{_name(paths[0]) if paths else 'first'}"]
    train = ["framecast", "train", *paths, *options, *out]
    write = ["framecast", "inspect", *paths, *options, "--write", "config.yaml"]
    return [shlex.join(train), shlex.join(write)]


def _name(path: str) -> str:
    """A name for a run on data: that of the file, or of the folder of many files."""
    place = Path(path)
    name = place.parent.name if is_pattern(path) else place.stem or place.resolve().name
    return name or "first"


def draw(frames: Frames) -> str:
    """Draw the first channel of the middle frame in shades, north up where rows ascend."""
    values = frames.values[0, frames.lengths[0] // 2 : frames.lengths[0] // 2 + 1][0, 0].double()
    known = values[~values.isnan()]
    if not len(known) or known.min() == known.max():
        return ""
    height, width = frames.grid
    columns = min(COLUMNS, width)
    rows = max(1, min(height, round(columns * height / width / 2)))
    down = torch.linspace(0, height - 1, rows).round().long()
    across = torch.linspace(0, width - 1, columns).round().long()
    picked = values[down][:, across]
    if rows_ascend(frames):
        picked = picked.flip(0)
    share = (picked - known.min()) / (known.max() - known.min())
    levels = (share.nan_to_num(0.0) * (len(SHADES) - 1)).round().long()
    return "\n".join("".join(SHADES[level] for level in row) for row in levels.tolist())


def _describe(frames: Frames) -> dict[str, str]:
    lengths = np.array(frames.lengths)
    low, high = lengths.min(), lengths.max()
    span = str(low) if low == high else f"{low} to {high}"
    several = f" in each of {len(lengths)} sequences" if len(lengths) > 1 else ""
    size = 4 * math.prod(frames.values.shape[2:])
    memory = f"{readable_size(size)} each, {readable_size(size * int(lengths.sum()))} together"
    return {
        "frames": f"{span}{several}: {memory}",
        "times": _times(frames),
        "grid": f"{frames.grid[0]} rows ({frames.dims[-2]}) × {frames.grid[1]} columns "
        f"({frames.dims[-1]})",
        **_dimensions(frames),
        **_gaps(frames),
    }


def _dimensions(frames: Frames) -> dict[str, str]:
    """Say what the dimensions of a labelled file were read as, and why; nothing of others."""
    said = "; ".join(f"{dim} is {why}" for dim, why in frames.evidence.items())
    return {"dimensions": said} if said else {}


def _times(frames: Frames) -> str:
    if frames.step is None:
        return "one frame only"
    axis = frames.coordinates.get(frames.time_dim)
    if axis is None:
        return "none: frames are counted"
    first, last = readable(frames.times[0]), readable(frames.times[-1])
    units = str(axis.attributes.get("units", "")) if frames.step.seconds is None else ""
    rate = f", {1 / frames.step.difference:g} frames a second" if units == "s" else ""
    return f"{first} to {last} every {frames.step} {units}".rstrip() + f" ({frames.time_dim}){rate}"


def _gaps(frames: Frames) -> dict[str, str]:
    """Say where the time axis is cut; nothing where it is whole."""
    cuts = [piece.start for piece in frames.pieces if piece.sequence == 0 and piece.start > 0]
    if not cuts:
        return {}
    where = ", ".join(readable(frames.times[cut]) for cut in cuts[:5])
    more = f" and {len(cuts) - 5} more" if len(cuts) > 5 else ""
    return {"gaps": f"frames are missing before {where}{more}: no window crosses these"}


def _describe_channel(channel: ChannelFindings, frames: Frames) -> str:
    said = [f"{_plain(channel.low)} to {_plain(channel.high)}"]
    said.append(f"{100 * channel.missing:.2g} % missing" if channel.missing else "all known")
    if channel.uniform or channel.constant:
        said.append("never changes" + ("" if channel.uniform else " in time"))
    elif not math.isnan(channel.correlation):
        said.append(f"correlation with the next frame {channel.correlation:.2f}")
        leads = list(channel.persistence)
        times, units = lead_times(frames, max(leads))
        errors = (f"{_plain(channel.persistence[k], 3)} at {times[k - 1]:g}" for k in leads)
        said.append(f"persistence errs by {', '.join(errors)} {units}".rstrip())
    return "; ".join(said)


def _plain(value: float, digits: int = 4) -> str:
    """Write a number without an exponent where it is of a usual size, and whole ones whole."""
    if value == round(value, 0) and abs(value) < 1e9:
        return f"{value:.0f}"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    return np.format_float_positional(
        value, precision=digits, unique=False, fractional=False, trim="-"
    )


def _plan(proposal: Proposal) -> Iterator[tuple[str, str]]:
    """The keys that are proposed, with their reasons."""
    for key, choice in proposal.choices.items():
        if key != "data.path":
            yield key, f"{choice.value}  ({choice.why})"
