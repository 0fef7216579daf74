"""Weights of cells, and regions of the grid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.frames.places import area_weights
from framecast.metrics import ERRORS, Scores, Truth, Weights
from framecast.metrics.anomaly import Anomalies
from framecast.metrics.error import Errors
from framecast.metrics.regions import find_regions

LATITUDES, LONGITUDES = np.linspace(60, -60, 5), np.arange(0.0, 360, 45)


@pytest.fixture
def globe():
    axes = {
        "lat": Coordinate(("lat",), LATITUDES, {"units": "degrees_north"}),
        "lon": Coordinate(("lon",), LONGITUDES, {"units": "degrees_east"}),
    }
    values = torch.zeros(1, 2, 1, 5, 8)
    return Frames(values, (Channel("t"),), ("time", "lat", "lon"), axes, source="globe.nc")


def columns(globe, text):
    """The longitudes that lie in a region."""
    (inside,) = find_regions([text], globe).values()
    return LONGITUDES[inside[0].numpy()].tolist()


def test_regions_by_latitude_and_longitude(globe):
    north = find_regions(["north=lat>20"], globe)["north"]
    assert torch.equal(north, torch.tensor([1, 1, 0, 0, 0]).bool()[:, None].expand(5, 8))
    assert columns(globe, "a=lon>=-90,lon<=45") == [0, 45, 270, 315]
    assert columns(globe, "a=lon>-90,lon<45") == [0, 315]
    assert columns(globe, "a=lon>170,lon<-130") == [180, 225]
    assert columns(globe, "a=lon>270,lon<90") == [0, 45, 315]
    assert columns(globe, "a=lon>=0,lon<360") == LONGITUDES.tolist()
    box = find_regions(["box=lat>=-30, lat<30 ,lon>40,lon<140"], globe)["box"]
    assert box.nonzero().tolist() == [[r, c] for r in (2, 3) for c in (1, 2, 3)]


def test_regions_by_row_and_column():
    plain = Frames(torch.zeros(1, 2, 1, 5, 8), (Channel("t"),), source="plain.npy")
    inside = find_regions(["corner=row<2,column>=6", "rest=row>=2"], plain)
    assert inside["corner"].nonzero().tolist() == [[0, 6], [0, 7], [1, 6], [1, 7]]
    assert list(inside) == ["corner", "rest"]
    with pytest.raises(UserError, match=r"plain.npy has no latitude"):
        find_regions(["north=lat>20"], plain)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lat>20"], "has no name: write --region NAME=CONDITION"),
        (["north"], "has no name"),
        (["north="], "nothing is no condition"),
        (["north=lat>20,"], "nothing is no condition"),
        (["north=lat=20"], "lat=20 is no condition"),
        (["north=latitude>20"], "latitude>20 is no condition"),
        (["north=lat>20N"], "lat>20N is no condition"),
        (["all=lat>20"], "the name all is that of the whole grid"),
        (["a=lat>20", "a=lat<20"], "the name a is given twice"),
        (["a=lat>70"], "no cell of globe.nc lies there. It has 5 rows and 8 columns, "
                       "latitudes -60 to 60, longitudes 0 to 315"),
        (["a=lon>20"], "one bound alone says nothing: give one lower and one upper"),
        (["a=lon>20,lon>30"], "one bound alone says nothing"),
    ],
)  # fmt: skip
def test_what_is_no_region_is_refused(globe, texts, message):
    with pytest.raises(UserError, match=message):
        find_regions(texts, globe)


def pair(seed=0, shape=(4, 3, 2, 5, 8)):
    random = torch.Generator().manual_seed(seed)
    truth = torch.randn(shape, generator=random)
    return truth + 0.5 * torch.randn(shape, generator=random), truth


def test_errors_are_weighted_by_area(globe):
    forecast, truth = pair()
    weights = Weights.of((5, 8), area_weights(globe), find_regions(["north=lat>20"], globe))
    scores = Scores.of(forecast, truth, (Errors(weights),))
    assert weights.kind == "area"
    w = np.cos(np.deg2rad(LATITUDES))[:, None] * np.ones((5, 8))
    error = (forecast - truth).double().numpy()
    for region, where in enumerate((LATITUDES > -90, LATITUDES > 20)):
        own = w * where[:, None]
        mse = (error**2 * own).sum((0, 3, 4)) / (4 * own.sum())
        np.testing.assert_allclose(scores.metric("rmse")[:, region], mse**0.5, rtol=1e-6)
        bias = (error * own).sum((0, 3, 4)) / (4 * own.sum())
        np.testing.assert_allclose(scores.metric("bias")[:, region], bias, rtol=1e-5, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), offset=st.floats(-5, 5, width=16))
def test_a_constant_error_does_not_care_for_weights(seed, offset):
    """Nor for regions, nor for what is missing; and a region of everything is the whole."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.randn(2, 2, 1, 5, 8, generator=random).double()
    truth[torch.rand(truth.shape, generator=random) < 0.2] = torch.nan
    area = torch.rand(5, 8, generator=random) + 0.01
    every, some = torch.ones(5, 8, dtype=torch.bool), torch.rand(5, 8, generator=random) < 0.5
    some[0, 0] = True
    weights = Weights.of((5, 8), area, {"every": every, "some": some})
    scores = Scores.of(truth + offset, truth, (Errors(weights),))
    expected = {"bias": offset, "mae": abs(offset), "rmse": abs(offset), "mse": offset**2}
    for name in ERRORS:
        values = scores.metric(name)
        known = values[~values.isnan()]
        torch.testing.assert_close(known, torch.full_like(known, expected[name]))
        torch.testing.assert_close(values[:, 0], values[:, 1], equal_nan=True)


def test_anomalies_equal_correlation_and_deviation_of_numpy():
    forecast, truth = pair()
    usual = torch.randn(5, 8, generator=torch.Generator().manual_seed(5)).expand_as(truth)
    family = Anomalies(Weights.of((5, 8)))
    scores = Scores.of(forecast, Truth(truth, usual), (family,))
    f, o = ((v - usual).double().numpy() for v in (forecast, truth))
    for step, channel in np.ndindex(3, 2):
        a, b = f[:, step, channel].ravel(), o[:, step, channel].ravel()
        acc = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert scores.metric("acc")[step, 0, channel].item() == pytest.approx(acc)
        ratio = scores.metric("activity")[step, 0, channel].item()
        assert ratio == pytest.approx(a.std() / b.std())
    same = Scores.of(truth, Truth(truth, usual), (family,))
    assert all((same.metric(name) - 1).abs().max() < 1e-12 for name in family.metrics)
    flat = Scores.of(usual.clone(), Truth(truth, usual), (family,))
    assert flat.metric("acc").isnan().all()
    assert (flat.metric("activity") == 0).all()
    assert Scores.of(forecast, truth, (family, Errors(Weights.of((5, 8))))).names == ERRORS


def test_anomalies_where_truth_or_climatology_is_missing_count_nowhere():
    forecast, truth = pair()
    usual = torch.zeros_like(truth)
    usual[..., 0, :] = torch.nan
    truth[1, :, :, 1] = torch.nan
    family = Anomalies(Weights.of((5, 8)))
    one = Scores.of(forecast, Truth(truth, usual), (family,))
    forecast = forecast.where(~(truth + usual).isnan(), 1e9)
    other = Scores.of(forecast, Truth(truth, usual), (family,))
    assert all(torch.equal(one.metric(name), other.metric(name)) for name in family.metrics)
    assert one.metric("acc").isfinite().all()
