"""The pace of frames: even but for rounding and jitter, with gaps, or uneven."""

import numpy as np
import pytest

from framecast.readers.pace import pace_of


def rounded(rate, count, digits):
    return [round(n / rate, digits) for n in range(count)]


@pytest.mark.parametrize(
    ("times", "rate", "tick"),
    [
        (rounded(30, 50, 3), 30, 0.001),  # Matroska
        (rounded(60, 50, 3), 60, 0.001),
        (rounded(30, 50, 2), 30, 0.01),  # GIF: steps of 3, 3 and 4 hundredths
        (rounded(60, 50, 2), 60, 0.01),
        (rounded(30000 / 1001, 50, 6), 30000 / 1001, 1e-5),
        ([5 + t for t in rounded(25, 50, 4)], 25, 1e-4),
    ],
)
def test_rounded_times_are_even(times, rate, tick):
    pace = pace_of(times, [float(rate)], tick)
    assert pace.even
    assert pace.rate == rate
    assert pace.times.tolist() == pytest.approx([n / rate for n in range(50)])


def test_jitter_of_a_camera_is_even():
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, 300) / 30
    pace = pace_of((np.arange(300) / 30 + jitter).tolist(), [30.0])
    assert pace.even
    assert np.diff(pace.times) == pytest.approx(1 / 30)


def test_a_gap_is_a_whole_number_of_steps_whatever_the_rate_that_is_declared():
    places = [n for n in range(60) if n not in (20, 21, *range(40, 53))]
    times = [round(n / 30, 2) for n in places]
    pace = pace_of(times, [25.0, 30.0], 0.01)
    assert pace.even
    assert pace.rate == 30
    assert pace.times.tolist() == pytest.approx([n / 30 for n in places])


def test_one_step_that_is_no_whole_number_shifts_what_follows():
    times = [n / 10 + (0.05 if n > 20 else 0) for n in range(40)]
    pace = pace_of(times, [10.0])
    assert pace.even
    assert pace.times.tolist() == pytest.approx(times)


@pytest.mark.parametrize(
    "times",
    [
        [0.0, 0.1, 0.3],
        [n / 10 for n in range(20)] + [2 + n / 25 for n in range(20)],  # the rate changes
        np.cumsum(np.linspace(0.1, 0.06, 200)).tolist(),  # slowly
        sorted([n / 10 for n in range(40)] + [2.0]),  # twice the same
        [n / 10 for n in range(20)] + [1.85] + [n / 10 for n in range(20, 40)],  # backwards
    ],
)
def test_uneven_times_are_kept(times):
    pace = pace_of(times, [10.0])
    assert not pace.even
    assert pace.times.tolist() == pytest.approx([time - times[0] for time in times])


def test_frames_without_times_stand_between_their_neighbours():
    times = [None, None, 0.3, None, 0.5, 0.6, 0.7, None, 1.2, 1.3, 1.4, 1.5, None]
    places = [0, 1, 2, 3, 4, 5, 6, 8.5, 11, 12, 13, 14, 15]
    assert not pace_of(times, [10.0]).even
    pace = pace_of([*times, *(1.7 + n / 10 for n in range(30))], [10.0])
    assert pace.even
    assert (pace.times[:13] * 10).tolist() == pytest.approx(places)


def test_frames_that_all_lack_times_are_counted():
    assert pace_of([None, None, None], [5.0]).times.tolist() == pytest.approx([0, 0.2, 0.4])
    assert pace_of([3.0], [5.0]).times.tolist() == [0]
