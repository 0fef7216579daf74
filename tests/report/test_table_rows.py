"""The lead times that a table shows."""

import numpy as np
import pytest

from framecast.report.words import chosen_leads


@pytest.mark.parametrize(
    ("times", "units", "shown"),
    [
        (np.arange(1, 169), "h", [1, 24, 48, 72, 96, 120, 144, 168]),
        (np.arange(1, 41) * 6, "h", [6, 24, 48, 72, 96, 120, 144, 168, 192, 216, 240]),
        (np.arange(1, 31), "h", [1, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]),
        (np.arange(1, 1001), "h", [1, *range(100, 1001, 100)]),
        (np.arange(1, 6) * 24, "h", [24, 48, 72, 96, 120]),
        (np.arange(1, 31), "frames", [1, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30]),
    ],
)
def test_whole_days_are_shown_where_a_table_holds_them(times, units, shown):
    assert times[chosen_leads(times, units, 12)].tolist() == shown
