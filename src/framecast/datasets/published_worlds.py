"""Episodes of DMLab, Minecraft and Habitat, in the layouts in which they are published.

The layouts are those in which TECO [1] and ConvS5 [2] publish and read them: PATH/train/FOLDER/NAME
and PATH/test/FOLDER/NAME, `.npz` files or videos (`readers/recordings.py`).

[1] W. Yan, D. Hafner, S. James, P. Abbeel, Temporally Consistent Transformers for Video Generation,
    ICML 2023.
[2] J. T. H. Smith et al., Convolutional State Space Models for Long-Range Spatiotemporal Modeling,
    NeurIPS 2023.
"""

from dataclasses import dataclass
from typing import ClassVar

from framecast.datasets.source import register_source
from framecast.datasets.worlds import Episodes


@register_source("dmlab")
@dataclass(frozen=True)
class DMLab(Episodes):
    """DMLab-40k of TECO: walks through mazes, 300 frames of 64×64; or what framecast simulates.

    PATH/train/FOLDER/NUMBER.npz and PATH/test/FOLDER/NUMBER.npz, with `video` and `actions`. Action
    t is chosen at frame t, and done after it. The authors' own code reads action t as what led to
    frame t, as action_shift 1 does.

    Attributes:
        path: the folder with the folders train and test.
        rate: frames a second.
    """

    path: str = "data/dmlab"
    rate: float = 7.5

    OWN_NAMES: ClassVar[tuple[str, ...]] = (
        *("left", "right", "forward", "left_forward", "right_forward"),
    )
    OWN_SHIFT: ClassVar[int | None] = 0
    SUFFIXES: ClassVar[tuple[str, ...]] = (".npz",)


@register_source("minecraft")
@dataclass(frozen=True)
class Minecraft(Episodes):
    """Minecraft-200k of TECO: walks through marshes, 301 frames of 128×128.

    PATH/train/FOLDER/NAME.mp4 and PATH/test/FOLDER/NAME.mp4, each with its actions in NAME.npz.
    Action t led to frame t, and action 0 is none.

    Attributes:
        path: the folder with the folders train and test.
    """

    path: str = "data/minecraft"

    OWN_NAMES: ClassVar[tuple[str, ...]] = ("none", "forward", "left", "right")
    OWN_SHIFT: ClassVar[int | None] = 1
    SUFFIXES: ClassVar[tuple[str, ...]] = (".mp4",)


@register_source("habitat")
@dataclass(frozen=True)
class Habitat(Episodes):
    """Habitat-200k of TECO: ways through scanned houses, 300 frames of 128×128.

    PATH/train/FOLDER/NAME.mp4 and PATH/test/FOLDER/NAME.mp4, each with its actions in NAME.npz.
    Action t led to frame t.

    Attributes:
        path: the folder with the folders train and test.
    """

    path: str = "data/habitat"

    OWN_NAMES: ClassVar[tuple[str, ...]] = ("stop", "forward", "left", "right")
    OWN_SHIFT: ClassVar[int | None] = 1
    SUFFIXES: ClassVar[tuple[str, ...]] = (".mp4",)
