"""Memory that training keeps."""

import resource
import sys
from contextlib import suppress

import pytest
import torch

from framecast.train.allocator import kept_memory

NUMBERS = 2**24  # 64 MB, which glibc returns to the system

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="another C library")


def page_faults():
    """Page faults of making and filling a large block the second time."""
    torch.zeros(NUMBERS).add_(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(NUMBERS).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_block_that_was_freed_is_not_paid_for_again():
    usual = page_faults()
    with kept_memory():
        assert page_faults() < usual / 4


def test_it_ends_even_where_training_fails():
    usual = page_faults()
    with suppress(ZeroDivisionError), kept_memory():
        raise ZeroDivisionError
    assert page_faults() > usual / 4
