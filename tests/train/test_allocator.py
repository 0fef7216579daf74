"""Memory that training keeps."""

import platform
import resource
from contextlib import suppress

import pytest
import torch

from framecast.train.allocator import kept_memory

NUMBERS = 2**24  # 64 MB, which glibc returns to the system

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def page_faults():
    """Page faults of making and filling a large block again, three times over."""
    counts = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(NUMBERS).add_(1)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return counts[1:]


def test_a_block_that_was_freed_is_not_paid_for_again():
    usual = max(page_faults())
    with kept_memory():
        assert min(page_faults()) < usual / 4


def test_it_ends_even_where_training_fails():
    usual = max(page_faults())
    with suppress(ZeroDivisionError), kept_memory():
        raise ZeroDivisionError
    assert max(page_faults()) > usual / 4
