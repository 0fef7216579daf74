"""A page that shows a forecast in a file, or the evaluation of a run."""

from importlib.metadata import version
from pathlib import Path

from framecast.base.claim import claim
from framecast.base.errors import UserError
from framecast.base.whole import PathLike, write_text
from framecast.evaluate import evaluate
from framecast.evaluate.shown_files import ShownFile, examples_of_file
from framecast.readers.paths import Paths
from framecast.readers.selection import EVERYTHING, Selection
from framecast.report.page import draw_page, render
from framecast.report.page.frames import Show
from framecast.runs.contents import CONFIG

CREATOR = f"framecast view {version('framecast')}"
_MARK = '<meta name="generator" content="framecast '
"""What stands in a page of ours."""
_HEAD = 4096
"""Bytes of a page in which it stands."""


def view(
    shown: PathLike,
    *,
    out: PathLike | None = None,
    truth: Paths | None = None,
    selection: Selection = EVERYTHING,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write a page that shows a forecast, and return its path.

    Args:
        shown: a file of forecasts, ours or anybody's, with members or without; or the folder of a
            run, which is evaluated on the test part of its data.
        out: the page; if None, beside the forecast with the suffix .html, in a run view.html.
        truth: frames at the times of the forecast, beside which it is shown; not for a run.
        selection: how the truth is read.
        device: that the network of a run runs on.
        overwrite: whether a file may be replaced that is no page of framecast.
        progress: whether to show a progress bar on stderr.

    Raises:
        UserError: if there is nothing there, it cannot be read, truth is given for a run, or `out`
            is something else than a page of framecast.
    """
    source = Path(shown)
    run = (source / CONFIG).exists()
    if run and truth is not None:
        raise UserError(
            f"{shown} is a run, which brings its own truth: framecast evaluate {shown} --data PATH "
            "takes another"
        )
    page = Path(out) if out is not None else source / "view.html" if run else _beside(source)
    with claim(page) as place:
        _check(place, page, overwrite)
        if run:
            text = draw_page(evaluate([source], device=device, progress=progress), CREATOR)
        else:
            text = draw_forecast(examples_of_file(shown, truth, selection), str(shown))
        write_text(place, text)
    return page


def draw_forecast(shown: ShownFile, source: str) -> str:
    """Return the page of a forecast as HTML.

    Args:
        shown: its starts.
        source: where it comes from.
    """
    show = Show(shown.examples, 1, [shown.label], 1, shown.starts)
    names = ", ".join(channel.name for channel in show.first.channels)
    many = f"{shown.starts} starts" if shown.starts > 1 else "one start"
    return render(
        title=f"Forecast of {names}",
        subtitle=f"{source}: {show.steps} lead times from {many}",
        creator=CREATOR,
        show=show,
    )


def _beside(source: Path) -> Path:
    name = source.resolve().name
    return source.resolve().parent / f"{name.rsplit('.', 1)[0] or name}.html"


def _check(place: Path, page: Path, overwrite: bool) -> None:
    """Refuse to replace what is no page of ours."""
    if overwrite or not place.exists():
        return
    if place.is_dir():
        raise UserError(f"{page} is a folder, and the page is a file: choose another --out")
    with open(place, encoding="utf-8", errors="replace") as file:
        if _MARK not in file.read(_HEAD):
            raise UserError(
                f"{page} is no page of framecast: add --overwrite to replace it, or choose "
                "another --out"
            )
