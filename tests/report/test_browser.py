"""The page in a browser: it loads alone, and its controls change what is seen."""

import json
from dataclasses import replace

import pytest
import torch
from made_up import CONTEXT, GRID, STEPS, frames_of, made_up, off_by
from test_page import HOSTILE

from browser import CHROMIUM, chromium
from framecast.evaluate.examples import Choice, Example, parts_of
from framecast.frames.channels import COLOUR, Channel
from framecast.report.page import draw_page, render
from framecast.report.page.frames import Show

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="there is no chromium to look at pages with (apt-get install chromium)",
)

AREA = "[data-role=maps] figure:nth-child({}) canvas"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """An evaluation of an ensemble and two further forecasts, with three windows and variables."""
    channels = (Channel("air", {"units": "K"}), Channel(HOSTILE, {"units": "mm"}))
    evaluation = made_up(
        {"ensemble": off_by(0.3, 0.5, 1.0, 1.5, members=3), "other": off_by(1.0, 1.0, 1.0, 1.0),
         "persistence": off_by(2.0, 2.0, 2.0, 2.0)},
        channels=channels, members=3, windows=12,
    )  # fmt: skip
    examples = tuple(
        Example(
            Choice((name,), place + 1, place),
            replace(evaluation.first, values=evaluation.first.values + place),
            tuple(parts_of(f.example + place) for f in evaluation.forecasts),
        )
        for place, name in enumerate(("first", "best", "worst"))
    )
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(draw_page(replace(evaluation, examples=examples), "a test"))
    return file, evaluation


def pixels(tab, panel):
    """A digest of what a panel shows."""
    return tab.evaluate(f"document.querySelector('{AREA.format(panel)}').toDataURL()")


def change(tab, role, value):
    """Choose a value as a person does, and wait until it is drawn."""
    ready = "document.querySelector('[data-role=viewer]').dataset.ready"
    before = tab.evaluate(ready)
    tab.evaluate(
        f"(() => {{ const control = document.querySelector('[data-role={role}]');"
        f"control.value = '{value}'; control.dispatchEvent(new Event('input')); }})()"
    )
    tab.until(f"{ready} !== '{before}'")


def opened(tab, page, **look):
    tab.open(page[0], **look)
    tab.until("document.querySelector('[data-role=viewer]').dataset.ready")


def place_on_map(tab, panel, across, down):
    """A place of the window that lies in a map, by shares of its sides."""
    return tab.evaluate(
        f"(() => {{ const canvas = document.querySelector('{AREA.format(panel)}');"
        "canvas.scrollIntoView({block: 'center'});"
        "const box = canvas.parentElement.panel.box, at = canvas.getBoundingClientRect();"
        f"return [at.left + box.left + {across} * box.width,"
        f"at.top + box.top + {down} * box.height]; }})()"
    )


@pytest.mark.parametrize("width", [1100, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_alone_without_a_complaint_and_fits_the_window(tab, page, width, dark):
    opened(tab, page, width=width, dark=dark)
    assert tab.errors == []
    assert tab.requests == [page[0].resolve().as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('[data-chart] svg.chart').length") > 10
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is not dark


def test_each_control_changes_the_maps(tab, page):
    opened(tab, page)
    titles = tab.evaluate(
        "[...document.querySelectorAll('.maps figcaption')].map(f => f.textContent)"
    )
    assert [title.split(":")[0] for title in titles] == [
        "truth", "forecast", "difference", "spread of the members",
    ]  # fmt: skip
    for role, value, panel in (
        ("window", 1, 1),
        ("variable", 1, 1),
        ("model", 1, 2),
        ("lead", 3, 2),
    ):
        before = pixels(tab, panel)
        change(tab, role, value)
        assert pixels(tab, panel) != before, role
    assert tab.evaluate("document.querySelectorAll('.maps figure').length") == 3
    assert "24 h ahead: 2020-01-02 06:00" in tab.evaluate(
        "document.querySelector('[data-role=leadname]').textContent"
    )
    assert tab.errors == []


def test_hovering_tells_the_values_that_were_forecast(tab, page):
    opened(tab, page)
    change(tab, "lead", 2)
    row, column = 2, 7
    tab.hover(*place_on_map(tab, 2, (column + 0.5) / 12, (row + 0.5) / 8))
    tab.until("document.querySelector('[data-role=readout]').textContent.includes('truth')")
    said = tab.evaluate("document.querySelector('[data-role=readout]').textContent")
    evaluation = page[1]
    truth = evaluation.first.values[0, CONTEXT + 2, 0, row, column].item()
    forecast = evaluation.models[0].example[:, 2, 0, row, column].mean().item()
    numbers = [float(w.replace("−", "-")) for w in said.split(":")[1].replace(",", " ").split()
               if w.replace("−", "").replace(".", "").isdigit()]  # fmt: skip
    spread = evaluation.models[0].example[:, 2, 0, row, column].std().item()
    assert numbers == pytest.approx([truth, forecast, forecast - truth, spread], abs=2e-3)
    assert said.startswith("48.5714°N 85.4545°W")


def test_a_click_shows_the_series_of_the_point_with_the_range_of_the_members(tab, page):
    opened(tab, page)
    assert tab.evaluate("document.querySelector('[data-role=series]').hidden")
    tab.click(*place_on_map(tab, 1, 0.3, 0.6))
    tab.until("!document.querySelector('[data-role=series]').hidden")
    tab.until("document.querySelector('[data-role=series] svg.chart')")
    lines = "document.querySelectorAll('[data-role=series] svg.chart path.{}').length"
    assert tab.evaluate(lines.format("line")) == 4
    assert tab.evaluate(lines.format("band")) == 1
    dots = tab.evaluate("document.querySelectorAll('[data-role=series] .dot.truth').length")
    assert dots == CONTEXT + STEPS
    assert "Series of" in tab.evaluate("document.querySelector('[data-role=status]').textContent")


def test_it_can_be_used_with_keys_alone(tab, page):
    opened(tab, page)
    lead = "document.querySelector('[data-role=lead]').value"
    tab.evaluate(f"document.querySelector('{AREA.format(1)}').focus()")
    readout = "document.querySelector('[data-role=readout]').textContent"
    tab.press("ArrowRight")
    first = tab.evaluate(readout)
    tab.press("ArrowUp")
    assert tab.evaluate(readout) != first
    tab.press("Enter")
    tab.until("!document.querySelector('[data-role=series]').hidden")
    before = tab.evaluate(lead)
    tab.press(" ")
    pressed = "document.querySelector('[data-role=play]').getAttribute('aria-pressed')"
    assert tab.evaluate(pressed) == "true"
    tab.until(f"{lead} !== '{before}'")
    tab.press(" ")
    assert tab.evaluate(pressed) == "false"
    assert tab.evaluate(
        "[...document.querySelectorAll('select, input, button')].every("
        "control => control.labels.length || control.ariaLabel || control.textContent)"
    )


def test_hostile_names_run_nothing(tab, page):
    opened(tab, page)
    change(tab, "variable", 1)
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    assert tab.errors == []
    assert HOSTILE in tab.evaluate("document.body.textContent")


def test_colours_of_the_map_are_those_of_the_values(tab, page):
    opened(tab, page)
    row, column = 5, 3
    found = tab.evaluate(
        f"(() => {{ const canvas = document.querySelector('{AREA.format(3)}');"
        "const { box, context } = canvas.parentElement.panel;"
        f"return [...context.getImageData(box.left + {(column + 0.9) / 12} * box.width,"
        f"box.top + {(row + 0.9) / 8} * box.height, 1, 1).data].slice(0, 3); }})()"
    )
    evaluation = page[1]
    mean = evaluation.models[0].example[:, 0, 0, row, column].mean()
    error = (mean - evaluation.first.values[0, CONTEXT, 0, row, column]).item()
    red, _, blue = torch.tensor(found).tolist()
    assert abs(error) > 0.05
    assert (red > blue) == (error > 0)


def test_colours_of_a_video_are_one_picture(tab, tmp_path):
    channels = tuple(Channel(name, {"valid_range": (0.0, 255.0)}) for name in COLOUR)
    colours = torch.tensor([200.0, 100.0, 0.0])[:, None, None]
    window = frames_of((colours * torch.ones(1, CONTEXT + STEPS, 3, *GRID)), channels)
    choice = Choice(("first",), 1, 0)
    show = Show((Example(choice, window, (window.values[:, CONTEXT:] / 2,)),), CONTEXT, ["m"], 1, 1)
    file = tmp_path / "video.html"
    file.write_text(render(title="video", subtitle="", creator="framecast", show=show))
    opened(tab, (file,))
    found = [
        tab.evaluate(
            f"(() => {{ const {{ box, context }} = document.querySelector('{AREA.format(panel)}')"
            ".parentElement.panel; return [...context.getImageData(box.left + 5, box.top + 5, 1, 1)"
            ".data].slice(0, 3); })()"
        )
        for panel in (1, 2)
    ]
    assert found[0] == pytest.approx([200, 100, 0], abs=2)
    assert found[1] == pytest.approx([100, 50, 0], abs=2)
    assert tab.errors == []


def test_in_print_all_curves_are_there_and_ink_is_dark(tab, page):
    opened(tab, page, dark=True)
    groups = "[...document.querySelectorAll('details.group')].every(group => group.open)"
    assert not tab.evaluate(groups)
    light = pixels(tab, 1)
    tab.call("Emulation.setEmulatedMedia", media="print")
    tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.evaluate(groups)
    tab.until(f"document.querySelector('{AREA.format(1)}').toDataURL() !== {json.dumps(light)}")
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
