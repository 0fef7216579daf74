"""Which lead times a table in the terminal shows, where they are many."""

import numpy as np
import pytest

from framecast.report.table import _whole_days


@pytest.mark.parametrize(
    ("times", "units", "days"),
    [
        (np.arange(1, 169), "h", [1, 24, 48, 72, 96, 120, 144, 168]),
        (np.arange(1, 41) * 6, "h", [6, 24, 48, 72, 96, 120, 144, 168, 192, 216, 240]),
        (np.arange(1, 31), "h", None),
        (np.arange(1, 1001), "h", None),
        (np.arange(1, 6) * 24, "h", None),
        (np.arange(1, 169), "frames", None),
    ],
)
def test_whole_days_are_shown_where_a_table_holds_them(times, units, days):
    rows = _whole_days(times, units)
    assert (None if rows is None else times[rows].tolist()) == days
