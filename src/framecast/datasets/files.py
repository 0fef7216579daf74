"""Files of one's own: a file by its suffix, a data set by its folder."""

from dataclasses import dataclass
from pathlib import Path

from framecast.base.claim import heal
from framecast.base.errors import UserError
from framecast.datasets.source import Source, register_source
from framecast.frames.frames import Frames
from framecast.frames.splits import Splits, split
from framecast.readers.folder import is_folder, read_parts, read_test
from framecast.readers.open import open_frames
from framecast.readers.selection import EVERYTHING, Selection


@register_source("files")
@dataclass(frozen=True)
class Files(Source):
    """A NetCDF (.nc), Zarr (.zarr), NumPy (.npy, .npz) or video file, or a folder of such files.

    Attributes:
        path: the file, or a folder that holds files named train, validation and test.
        selection: what is read of each file.
        validation_fraction: of one file, the share kept for validation, in [0, 1).
        test_fraction: of one file, the share kept for the test, in [0, 1).
    """

    path: str | None = None
    selection: Selection = EVERYTHING
    validation_fraction: float = 0.15
    test_fraction: float = 0.15

    def splits(self) -> Splits:
        """Read the frames and part them into training, validation and test.

        Raises:
            UserError: if the path is missing, or a folder without a file named train.
        """
        path = self._existing_path()
        if is_folder(path):
            return read_parts(path, self.selection)
        frames = open_frames(path, self.selection)
        return split(frames, self.validation_fraction, self.test_fraction)

    def test(self) -> Frames | None:
        """Read the test part; of a folder, no other file.

        Raises:
            UserError: if the path is missing, or a folder without a file named test.
        """
        path = self._existing_path()
        return read_test(path, self.selection) if is_folder(path) else self.splits().test

    def _existing_path(self) -> Path:
        if self.path is None:
            raise UserError(
                "data.path is not set: give your own file with --data.path, or make a data set "
                "first (framecast simulate --help)"
            )
        path = Path(self.path)
        heal(path)
        if not path.exists():
            raise UserError(
                f"data.path {path} does not exist. Give your own file with --data.path, or make "
                "a data set there first (framecast simulate --help)"
            )
        return path
