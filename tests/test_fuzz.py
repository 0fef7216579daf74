"""A sample of `make fuzz`: damaged inputs of every kind, through the commands that read them."""

import pytest

from fuzz import MAKERS, attempt


@pytest.mark.filterwarnings("ignore")  # the command line shows none
@pytest.mark.parametrize("seed", range(2 * len(MAKERS)))
def test_a_damaged_input_is_read_or_refused(seed):
    assert attempt(seed) is None
