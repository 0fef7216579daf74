"""Scenes in which activities take place: pictures that follow from whole phases, which run round.

What is shown follows from the phases alone, not from how they came about. A phase goes round: after
its period the scene is what it was, without a jump, so that no phase is a first or a last one. An
activity moves a phase on, its opposite moves it back. Where the phase at the start is drawn
uniformly, it is uniform at any later time, whichever way it moves: a single frame then tells
nothing of the way. The scenes:

- one: a thing on a torus, whose phases are its row, its column and its angle;
- pictures: one that holds the next, half as large, and so on: the phase is the zoom;
- sheets: one that is drawn over another from the left, and so on: the phase is its edge;
- halves: a sheet that parts in the middle, behind it the next: the phase is the gap;
- pile: of cards, of which the first rises out of the picture: the phase is its height;
- curtain: two cards that come together behind it: the phase is the place of the first.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from framecast.datasets.simulate.things import Maker, Thing

Picture = Float[np.ndarray, "W W"]
"""Brightness in [0, 1]."""
Phases = tuple[int, ...]
FINE = 3
"""Points along a side of a pixel whose mean is shown, where a picture is zoomed."""
CURTAIN = 0.5
"""Brightness of the curtain."""


class Scene(NamedTuple):
    """A scene as it is drawn for one video.

    Attributes:
        periods: of its phases.
        start: its phases before anything happens, uniform over the periods but for the curtain.
        show: makes the picture of some phases, each from 0 to below its period.
    """

    periods: Phases
    start: Phases
    show: Callable[[Phases], Picture]


def draw_one(random: np.random.Generator, make: Maker, canvas: int) -> Scene:
    """Draw a thing somewhere on a torus, turned somehow."""
    thing = make(random)

    def show(phases: Phases) -> Picture:
        row, column, angle = phases
        picture = np.zeros((canvas, canvas))
        shown = turned(thing.on(0.0), 2 * np.pi * angle / canvas)
        picture[: shown.shape[0], : shown.shape[1]] = shown
        return np.roll(picture, (row, column), (0, 1))

    return _starting(random, (canvas,) * 3, show)


def draw_pictures(random: np.random.Generator, make: Maker, canvas: int) -> Scene:
    """Draw two pictures that hold each other: the zoom doubles while the phase goes by `canvas`."""
    sheets, half = np.stack(_two_sheets(random, make, canvas)), canvas / 2
    place = (np.arange(FINE * canvas) + 0.5) / FINE - half
    y, x = np.meshgrid(place, place, indexing="ij")

    def show(phases: Phases) -> Picture:
        zoom = 2.0 ** (phases[0] / canvas)
        distance = np.maximum(abs(y), abs(x)) / zoom
        level = np.floor(np.log2(half / distance)).astype(int)
        rows, columns = (np.floor(axis / zoom * 2.0**level + half).astype(int) for axis in (y, x))
        fine = sheets[level % 2, rows.clip(0, canvas - 1), columns.clip(0, canvas - 1)]
        means: Picture = fine.reshape(canvas, FINE, canvas, FINE).mean((1, 3))
        return means

    return _starting(random, (2 * canvas,), show)


def draw_sheets(random: np.random.Generator, make: Maker, canvas: int) -> Scene:
    """Draw two sheets that are drawn over each other in turns, from the left."""
    sheets = _two_sheets(random, make, canvas)

    def show(phases: Phases) -> Picture:
        turn, edge = divmod(phases[0], canvas)
        over, under = sheets[turn], sheets[1 - turn]
        return np.concatenate([over[:, canvas - edge :], under[:, edge:]], axis=1)

    return _starting(random, (2 * canvas,), show)


def draw_halves(random: np.random.Generator, make: Maker, canvas: int) -> Scene:
    """Draw two sheets, each of which parts in the middle and shows the other."""
    sheets, half = _two_sheets(random, make, canvas), canvas // 2

    def show(phases: Phases) -> Picture:
        turn, gap = divmod(phases[0], half)
        over, under = sheets[turn], sheets[1 - turn]
        parts = over[:, gap:half], under[:, half - gap : half + gap], over[:, half : canvas - gap]
        return np.concatenate(parts, axis=1)

    return _starting(random, (canvas,), show)


def draw_pile(random: np.random.Generator, make: Maker, canvas: int) -> Scene:
    """Draw a pile of two cards in turns, of which the first rises until it has left."""
    cards = [make(random).on(ground) for ground in _two_grounds(random)]
    side = len(cards[0])
    column = random.integers(canvas - side + 1)

    def show(phases: Phases) -> Picture:
        turn, height = divmod(phases[0], canvas)
        picture = np.zeros((2 * canvas, canvas))  # with what is above it
        for card, lifted in ((cards[1 - turn], 0), (cards[turn], height)):
            top = 2 * canvas - side - lifted
            picture[top : top + side, column : column + side] = card
        return picture[canvas:]

    return _starting(random, (2 * canvas,), show)


def draw_curtain(random: np.random.Generator, make: Maker, canvas: int) -> Scene:
    """Draw two small cards on both sides of a curtain, which hides them where they meet.

    The phase is the way of the first card from the middle, to the right; the other mirrors it.
    """
    cards = [_halved(make(random).on(ground)) for ground in _two_grounds(random)]
    side, half = canvas // 4, canvas // 2
    row = random.integers(canvas - side + 1)
    hidden = slice(half - curtain_half(canvas), half + curtain_half(canvas))

    def show(phases: Phases) -> Picture:
        place = (phases[0] + half) % canvas - half
        picture = np.zeros((canvas, canvas))
        for card, from_middle in zip(cards, (place, -place), strict=True):
            left = half + from_middle - side // 2
            picture[row : row + side, left : left + side] = card
        picture[:, hidden] = CURTAIN
        return picture

    first = int(random.choice([-1, 1])) * way_to_meet(canvas)
    return Scene((canvas,), (first % canvas,), show)


SCENES: Mapping[str, Callable[[np.random.Generator, Maker, int], Scene]] = MappingProxyType(
    {
        "one": draw_one,
        "pictures": draw_pictures,
        "sheets": draw_sheets,
        "halves": draw_halves,
        "pile": draw_pile,
        "curtain": draw_curtain,
    }
)
"""What draws a scene, by its name."""


def way_to_meet(canvas: int) -> int:
    """Pixels from where a card starts to where it meets the other."""
    return 3 * canvas // 8


def curtain_half(canvas: int) -> int:
    """Pixels from the middle of the curtain to its edge: a little more than half a card."""
    return 5 * canvas // 32


def behind_curtain(canvas: int) -> int:
    """Pixels from the middle within which a card is not seen."""
    return curtain_half(canvas) - canvas // 8


def turned(image: Float[np.ndarray, "S S"], angle: float) -> Float[np.ndarray, "S S"]:
    """Turn a picture about its middle, clockwise in radians, with 0 around it; linear between."""
    size = len(image)
    middle = (size - 1) / 2
    y, x = np.indices((size, size)) - middle
    rows = np.cos(angle) * y - np.sin(angle) * x + middle + 1
    columns = np.sin(angle) * y + np.cos(angle) * x + middle + 1
    padded = np.pad(image, 1)
    rows, columns = (axis.clip(0, size + 1 - 1e-9) for axis in (rows, columns))
    top, left = rows.astype(int), columns.astype(int)
    down, right = rows - top, columns - left
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)


def _starting(
    random: np.random.Generator, periods: Phases, show: Callable[[Phases], Picture]
) -> Scene:
    return Scene(periods, tuple(int(random.integers(period)) for period in periods), show)


def _two_grounds(random: np.random.Generator) -> list[float]:
    """A dark and a light ground, in random order; neither is as dark as what is behind."""
    grounds = [random.uniform(0.1, 0.25), random.uniform(0.4, 0.6)]
    return grounds[:: random.choice([-1, 1])]


def _two_sheets(random: np.random.Generator, make: Maker, canvas: int) -> list[Picture]:
    """Two sheets, each with four pictures of a thing on its ground."""
    return [_sheet(make(random), ground, canvas) for ground in _two_grounds(random)]


def _sheet(thing: Thing, ground: float, canvas: int) -> Picture:
    times = canvas // len(thing.cover)
    return np.tile(thing.on(ground), (times, times))


def _halved(picture: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "_S _S"]:
    """A picture at half its size, each pixel a mean of four."""
    side = len(picture) // 2
    means: Picture = picture.reshape(side, 2, side, 2).mean((1, 3))
    return means
