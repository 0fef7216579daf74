"""The page of a world model in a browser: one walks with the arrow keys, and sees."""

import pytest
from test_play import served

from browser import CHROMIUM, chromium
from imagined import save, write_episode

pytestmark = pytest.mark.skipif(
    CHROMIUM is None,
    reason="there is no chromium to look at pages with (apt-get install chromium)",
)

VIEW = "document.getElementById('view')"
TOLD = "document.getElementById('told').textContent"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("play")
    for number in range(2):
        write_episode(folder / "data" / f"{number}.npz", seed=number)
    with served(save(folder / "run"), folder / "data") as server:
        yield server


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def opened(tab, server, **look):
    tab.open(server.address, **look)
    tab.until(f"{VIEW}.dataset.steps === '0'")


def seen(tab):
    return tab.evaluate(f"{VIEW}.toDataURL()")


def stepped(tab, steps):
    tab.until(f"{VIEW}.dataset.steps === '{steps}'")


def begin_again(tab, role=None, value=None):
    if role is not None:
        tab.evaluate(f"document.getElementById('{role}').value = '{value}'")
    before = tab.evaluate(f"{VIEW}.dataset.steps")
    if before == "0":
        tab.evaluate(f"{VIEW}.dataset.steps = 'none'")
    tab.evaluate("document.querySelector('#start button').click()")
    stepped(tab, 0)


@pytest.mark.parametrize("width", [1100, 390])
def test_it_opens_without_a_complaint_and_asks_its_own_server_alone(tab, server, width):
    opened(tab, server, width=width)
    assert tab.errors == []
    assert all(url.startswith((server.address, "data:")) for url in tab.requests)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    labels = "[...document.querySelectorAll('#actions button')].map((b) => b.textContent)"
    assert tab.evaluate(labels) == ["left←", "right→", "forward↑"]


def test_arrow_keys_lead_on_and_each_shows_something_else(tab, server):
    opened(tab, server)
    views = [seen(tab)]
    for steps, key in enumerate(("ArrowUp", "ArrowLeft", "ArrowRight"), start=1):
        tab.press(key)
        stepped(tab, steps)
        views.append(seen(tab))
    assert len(set(views)) == 4
    assert "step 3" in tab.evaluate(TOLD)
    tab.press("ArrowDown")  # there is no such action
    tab.press("ArrowUp")
    stepped(tab, 4)


def test_a_key_that_is_held_goes_on_and_tells_how_fast(tab, server):
    opened(tab, server)
    tab.evaluate("dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowUp'}))")
    tab.until(f"Number({VIEW}.dataset.steps) >= 5 && {TOLD}.includes('frames a second')")
    tab.evaluate("dispatchEvent(new KeyboardEvent('keyup', {key: 'ArrowUp'}))")
    tab.until("!busy")
    steps = tab.evaluate(f"{VIEW}.dataset.steps")
    tab.evaluate("new Promise((done) => setTimeout(done, 300))")
    assert tab.evaluate(f"{VIEW}.dataset.steps") == steps


def test_the_same_seed_leads_to_the_same_view_and_another_elsewhere(tab, server):
    opened(tab, server)

    def after_a_step():
        tab.press("ArrowUp")
        stepped(tab, 1)
        return seen(tab)

    first = after_a_step()
    begin_again(tab)
    assert after_a_step() == first
    begin_again(tab, "seed", 5)
    assert after_a_step() != first
    begin_again(tab, "seed", 0)
    given = seen(tab)
    begin_again(tab, "episode", 1)
    assert seen(tab) != given
    assert tab.errors == []


def test_buttons_do_what_keys_do(tab, server):
    opened(tab, server)
    place = tab.evaluate(
        "(() => { const b = document.querySelector('#actions button').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
    )
    tab.click(*place)
    tab.until(f"Number({VIEW}.dataset.steps) >= 1")


def test_a_walk_that_was_forgotten_says_so(tab, server):
    opened(tab, server)
    for _ in range(8):
        server.walks.begin(0, 0)
    tab.press("ArrowUp")
    tab.until(f"{TOLD}.includes('begin again')")
    begin_again(tab)
    tab.press("ArrowUp")
    stepped(tab, 1)
