"""What is to be forecast, and the command line that asks for it."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from framecast.base.errors import UserError
from framecast.base.whole import PathLike
from framecast.forecast.members import Variation
from framecast.forecast.writers import Summary
from framecast.readers.paths import Paths, find_paths
from framecast.readers.selection import EVERYTHING, Selection


@dataclass(frozen=True)
class EnsembleOrder:
    """Which members are to be forecast.

    Attributes:
        members: M; None for one of each run, and no dimension of members where there is one run.
        variation: by what members differ, beside their run.
        runs: further runs, whose forecasts are members too.
        summary: what is written of the members; None for all of them.
    """

    members: int | None = None
    variation: Variation = field(default_factory=Variation)
    runs: tuple[PathLike, ...] = ()
    summary: Summary | None = None

    @property
    def count(self) -> int | None:
        """M; None for a forecast without members."""
        if self.members is None and self.runs:
            return 1 + len(self.runs)
        return self.members

    @property
    def asked(self) -> bool:
        """Whether anything is asked of members."""
        return self != EnsembleOrder()

    @property
    def options(self) -> list[str]:
        """The options of the command line that ask for it."""
        how = self.variation
        options = [] if self.members is None else ["--members", str(self.members)]
        options += ["--seed", str(how.seed)] if how.seed else []
        options += ["--perturb", str(how.perturb), str(how.cells)] if how.perturb else []
        options += ["--with", *map(str, self.runs)] if self.runs else []
        return options + (["--summary", *self.summary.texts] if self.summary else [])

    def check(self, names: Sequence[str], out: Path) -> None:
        """Raise a UserError unless what is asked for can be written of these variables."""
        if self.variation.perturb and self.count is None:
            raise UserError("--perturb makes members of an ensemble: add --members M")
        if self.summary is None:
            return
        if out.suffix not in (".nc", ".zarr"):
            raise UserError(f"--summary is written to .nc or .zarr, not to {out}")
        self.summary.check(names, self.count)


@dataclass(frozen=True)
class Order:
    """What is to be forecast.

    Attributes:
        source: past frames.
        steps: K, lead times.
        starts: the last known frame of each forecast, by place or time.
        context: past frames to read before each; None for the usual number.
        forcings: what holds forcings and actions beyond the end of the source.
        ensemble: its members.
        cache: whether what is read is written into the cache once, and read from there.
        actions: what is done in each step, for world models; None for what the source says.
        selection: how a baseline reads the source; None as it is.
    """

    source: Paths
    steps: int
    starts: Sequence[str]
    context: int | None
    forcings: Paths | None
    ensemble: EnsembleOrder = field(default_factory=EnsembleOrder)
    cache: bool = False
    actions: str | None = None
    selection: Selection | None = None

    @property
    def sources(self) -> list[PathLike]:
        """All files and folders of frames that are read."""
        further = [] if self.forcings is None else find_paths(self.forcings)
        return [*find_paths(self.source), *further]

    def command(self, run: PathLike, out: PathLike) -> str:
        """Return the command line that asks for it."""
        options = ["--steps", str(self.steps), "--start", *self.starts, "--out", str(out)]
        options += [] if self.context is None else ["--context", str(self.context)]
        if self.forcings is not None:
            options += ["--forcings", *map(str, _several(self.forcings))]
        options += [] if self.actions is None else ["--actions", self.actions]
        options += [*self.ensemble.options, *(["--cache"] if self.cache else [])]
        options += [] if self.selection is None else _reading(self.selection)
        source = [str(path) for path in _several(self.source)]
        return shlex.join(["framecast", "forecast", str(run), *source, *options])


def _reading(selection: Selection) -> list[str]:
    """The keys of data that ask for a selection; JSON is YAML too."""
    options = []
    for field_ in fields(selection):
        value = getattr(selection, field_.name)
        if value != getattr(EVERYTHING, field_.name):
            options += [f"--data.{field_.name}", json.dumps(value, default=str)]
    return options


def _several(paths: Paths) -> Sequence[PathLike]:
    """Paths as they were given, one or more."""
    return [paths] if isinstance(paths, str | Path) else paths
