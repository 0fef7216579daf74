"""What the viewer shows: rounded fields within a budget, of windows that were chosen."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up import CONTEXT, STEPS, frames_of

from framecast.evaluate.examples import PARTS, Choice, Example, choose, parts_of
from framecast.frames.channels import Channel
from framecast.report.page.coding import Coding
from framecast.report.page.frames import Show, scene
from framecast.report.page.grid import coarser


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.floats(-1e6, 1e6), st.floats(0.1, 1e6)
)
def test_fields_come_back_within_half_a_step(seed, size, low, width):
    fields = low + width * np.random.default_rng(seed).random((2, 3, 5))
    fields[0, 1, 2] = np.nan
    coding = Coding.between(low, low + width, size)
    back = coding.decode(coding.encode(fields), fields.shape)
    assert np.isnan(back[0, 1, 2])
    assert np.nanmax(abs(back - fields)) <= 0.5 * coding.step * (1 + 1e-6)
    assert coding.step == pytest.approx(width / (256**size - 2))


def test_values_beyond_the_range_are_cut_to_it():
    coding = Coding.between(0.0, 1.0, 1)
    back = coding.decode(coding.encode(np.array([[-5.0, 0.5, 7.0]])), (1, 3))
    np.testing.assert_allclose(back, [[0, 0.5, 1]], atol=coding.step)


def test_cells_are_put_together_by_the_mean_of_what_is_known():
    field = np.array([[1.0, 3, 5], [np.nan, 5, 7], [np.nan, np.nan, 9]])
    np.testing.assert_array_equal(coarser(field, 2), [[3, 6], [np.nan, 9]])


def test_windows_are_chosen_by_an_error_in_which_channels_count_alike():
    errors = torch.tensor([[3.0, 300], [1, 100], [2, 200], [9, 100], [5, 600]], dtype=torch.float64)
    chosen = {name: c.place for c in choose(errors, 4) for name in c.names}
    relative = (errors / errors.mean(0)).mean(1)
    assert chosen["first"] == 0
    assert chosen["best"] == relative.argmin() == 1
    assert chosen["worst"] == relative.argmax() == 4
    assert relative[chosen["median"]] == relative.median()
    ranks = {c.place: c.rank for c in choose(errors, 5)}
    assert sorted(ranks.values()) == [1, 2, 3, 4, 5]
    assert (ranks[1], ranks[4]) == (1, 5)


def test_one_window_is_chosen_once():
    assert choose(torch.ones(1, 1, dtype=torch.float64), 8) == [Choice(("first",), 1, 0)]


def test_of_members_four_fields_are_kept():
    members = torch.tensor([1.0, 2, 6]).reshape(3, 1, 1, 1, 1)
    assert parts_of(members).flatten().tolist() == pytest.approx([3, 7**0.5, 1, 6])
    assert len(PARTS) == 4
    assert parts_of(members[:1]) is not None
    assert len(parts_of(members[:1])) == 1


def show_of(windows, grid=(8, 12), members=1, steps=STEPS, channels=None):
    random = torch.Generator().manual_seed(0)
    channels = channels or (Channel("air", {"units": "K"}),)
    length, count = CONTEXT + steps, len(channels)
    examples = []
    for place in range(windows):
        window = frames_of(torch.randn(1, length, count, *grid, generator=random), channels)
        made = torch.randn(members, steps, count, *grid, generator=random)
        choice = Choice(("first",) if place == 0 else (), place + 1, place)
        examples.append(Example(choice, window, (parts_of(made),)))
    return Show(examples, CONTEXT, ["model"], 1, windows)


def decoded(found, window, part=0):
    channel = found["channels"][0]
    coding = channel["spread" if part == 1 else "values"]
    coding = Coding(*(coding[key] for key in Coding._fields))
    shape = (len(found["leads"]), found["grid"]["rows"], found["grid"]["columns"])
    return coding.decode(found["windows"][window]["forecasts"][0][0][part], shape)


def test_a_scene_holds_the_forecasts_to_the_rounding_that_it_states():
    show = show_of(2, members=3)
    found = json.loads(json.dumps(scene(show), allow_nan=False))
    for part in range(4):
        values = show.examples[1].forecasts[0][part, :, 0].numpy()
        step = found["channels"][0]["spread" if part == 1 else "values"]["step"]
        assert abs(decoded(found, 1, part) - values).max() <= 0.51 * step
    assert found["channels"][0]["values"]["levels"] == 65535
    assert "to 65,534 levels: air to" in found["notes"][0]


def test_within_a_budget_windows_are_left_out_then_levels_then_leads_then_cells():
    show = show_of(8, grid=(32, 32), steps=8)
    sizes, states = [], []
    for budget in (400_000, 200_000, 70_000, 25_000, 5_000, 500):
        found = scene(show, budget)
        texts = [t for w in found["windows"] for t in (*w["truth"], *w["forecasts"][0][0])]
        sizes.append(sum(map(len, texts)) <= budget)
        values = found["channels"][0]["values"]
        states.append(
            (len(found["windows"]), values["size"], len(found["leads"]), found["grid"]["rows"])
        )
    assert all(sizes)
    assert states[0] == (8, 2, 8, 32)
    assert states[1] == (4, 2, 8, 32)
    assert states[2][1:] == (1, 8, 32)
    assert states[3][0] == 1
    assert states[-1][2] < 8
    assert states[-1][3] < 32
    notes = " ".join(scene(show, 500)["notes"])
    for said in ("1 of 8 windows are shown", "lead time is shown", "cells are shown as one"):
        assert said in notes


def test_a_forecast_that_runs_away_does_not_blunt_the_truth():
    show = show_of(1)
    show.examples[0].forecasts[0][0, -1] = 1e9
    found = scene(show)
    assert found["channels"][0]["values"]["step"] < 1e-3
    assert any("leave the range of the truth" in note for note in found["notes"])


def test_beside_a_truth_of_one_value_no_forecast_is_cut():
    show = show_of(1)
    show.examples[0].window.values[:] = 0
    found = scene(show)
    values = show.examples[0].forecasts[0][0, :, 0].numpy()
    np.testing.assert_allclose(decoded(found, 0), values, atol=1e-3)
    assert not found["channels"][0]["values"]["cut"]


def test_what_is_missing_is_no_obstacle():
    show = show_of(1, members=2)
    show.examples[0].window.values[:] = torch.nan
    found = json.loads(json.dumps(scene(show), allow_nan=False))
    assert not found["known"]
    show.examples[0].forecasts[0][:] = torch.nan
    assert np.isnan(decoded(json.loads(json.dumps(scene(show), allow_nan=False)), 0)).all()
    show.examples[0].window.values[:] = 1
    assert np.isnan(decoded(json.loads(json.dumps(scene(show), allow_nan=False)), 0)).all()
    show.examples[0].forecasts[0][:] = torch.inf
    json.dumps(scene(show), allow_nan=False)


def test_latitudes_and_longitudes_are_known_as_such_and_unwrapped():
    show = show_of(1)
    grid = scene(show)["grid"]
    assert grid["geographic"]
    assert not grid["up"]
    assert grid["y"]["values"][0] == 60
    window = show.first
    window.coordinates["lon"].values[:] = np.linspace(350, 383.5, 12) % 360
    np.testing.assert_allclose(
        scene(show)["grid"]["x"]["values"], np.linspace(350, 383.5, 12), atol=1e-5
    )
    window.coordinates["lon"].values[3] = 100
    assert not scene(show)["grid"]["geographic"]
