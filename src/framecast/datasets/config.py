"""What a user says of the frames to learn from, and the source that this names."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from framecast.base.config import check_options

# Each source registers itself.
from framecast.datasets import files, kth, moving_mnist, videos  # noqa: F401
from framecast.datasets.source import SOURCES, Source
from framecast.frames.statistics import Normalise

SHARED = ("path", "variables", "validation_fraction", "test_fraction")
"""Keys that any source may read, and has a default for; null leaves it to the source."""


@dataclass(frozen=True)
class DataConfig:
    """The frames to learn from.

    Attributes:
        source: where frames come from: files, your own; videos; kth; moving_mnist.
        path: file or folder to read; null stands for the source's own place. For files: a NetCDF
            (.nc), Zarr (.zarr), NumPy (.npy, .npz) or video file, or a folder that holds files
            named train, validation and test. For videos: a file, or a folder of files.
        variables: variables that become channels, in this order; null stands for all of them.
        validation_fraction: share of a single file that is kept for validation, in [0, 1); null
            stands for the source's own. It is the last sequences, or the last stretch of time
            before the test's if the file holds one sequence. With 0, the last weights count as
            the best.
        test_fraction: share of a single file that is kept for the test, in [0, 1); null stands
            for the source's own. It follows the share for validation.
        options: settings of the source's own, by name (docs/data.md); files has none.
        normalise: how frames are scaled for the network: standard (mean 0 and standard deviation
            1 over the training frames); unit or symmetric (the range that the channels declare,
            valid_range, to [0, 1] or to [-1, 1]).
        crops_per_sequence: number of random windows taken from each sequence in an epoch; null
            stands for as many as the sequence holds without overlap.
        windows_per_epoch: largest number of windows in an epoch, drawn anew from all sequences in
            each; null stands for all of them.
    """

    source: str = "files"
    path: str | None = None
    variables: list[str] | None = None
    validation_fraction: float | None = None
    test_fraction: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    normalise: Normalise = "standard"
    crops_per_sequence: int | None = None
    windows_per_epoch: int | None = None

    def __post_init__(self) -> None:
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} {value} must be in [0, 1)")
        if (self.validation_fraction or 0) + (self.test_fraction or 0) >= 1:
            raise ValueError("validation_fraction + test_fraction must leave frames for training")
        for name in ("crops_per_sequence", "windows_per_epoch"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} must be at least 1")
        self.open()

    def open(self) -> Source:
        """Return the source with its settings; nothing is read yet.

        Raises:
            ValueError: if there is no such source, or it has no such setting.
        """
        kind: Any = SOURCES.find(self.source)
        known = {f.name for f in dataclasses.fields(kind)}
        given = {n: getattr(self, n) for n in SHARED if getattr(self, n) is not None}
        for name in given:
            if name not in known:
                raise ValueError(f"data.{name} is not read by data.source {self.source}: remove it")
        try:
            options = check_options(kind, self.options, skip=set(SHARED))
        except ValueError as error:
            raise ValueError(f"data.source {self.source}: {error}") from error
        source: Source = kind(**given, **options)
        return source
