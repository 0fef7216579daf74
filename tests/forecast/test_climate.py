"""What a climatology takes as the same hour of the day."""

import numpy as np
import pytest

from framecast.forecast.baselines.climate import _hours


@pytest.mark.parametrize("step", [1, 3, 6, 12])
@pytest.mark.parametrize("offset", [0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4])
@pytest.mark.parametrize("jitter", [-0.02, 0.0, 0.02])
def test_each_hour_of_the_frames_is_one_of_its_own(step, offset, jitter):
    hours = 24 // step
    seconds = np.arange(3 * hours) * step * 3600 + offset * step * 3600
    seconds[::2] += jitter * step * 3600
    first = np.datetime64("2020-03-01T06", "ns")
    places = _hours(first + (1e9 * seconds).astype("timedelta64[ns]"), hours).reshape(3, hours)
    assert (places == places[0]).all()
    assert sorted(places[0]) == list(range(hours))
