"""Memory that training keeps."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

CODE = """
import resource
from contextlib import suppress
import torch
from framecast.train.allocator import kept_memory

NUMBERS = 2**24  # 64 MB, which glibc returns to the system

def page_faults():
    # Of making and filling a large block again, three times over.
    counts = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(NUMBERS).add_(1)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return counts[1:]

usual = max(page_faults())
with kept_memory():
    kept = min(page_faults())
with suppress(ZeroDivisionError), kept_memory():
    raise ZeroDivisionError
print(usual, kept, max(page_faults()))
"""


@pytest.fixture(scope="module")
def faults():
    """Page faults as usual, while memory is kept, and after a failure.

    They are those of a process of its own: what ran before in this one decides where blocks lie.
    """
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_a_block_that_was_freed_is_not_paid_for_again(faults):
    usual, kept, _ = faults
    assert kept < usual / 4


def test_it_ends_even_where_training_fails(faults):
    usual, _, after = faults
    assert after > usual / 4
