"""Processes forked from one whose kernels used threads: they compute, and come to an end."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from framecast.ops import library

pytestmark = pytest.mark.skipif(
    library.unavailable_reason() is not None or sys.platform != "linux",
    reason="the compiled kernels are missing, or processes are not forked here",
)
SECONDS = 30
"""After which a process counts as hanging; each needs a few, most of them to import torch."""

PARENT = """
import multiprocessing, os, sys, warnings
import torch
from framecast import ops

warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # that is the point
torch.set_num_threads(2)
gates, h0 = torch.randn(2, 9, 32, 33, 31), torch.rand(2, 16, 33, 31)

def compute():  # only with what does not hang: torch's own operations may
    return ops.min_gru_scan(gates, h0).numpy().tobytes()

def threads():
    return len(os.listdir("/proc/self/task"))

expected = compute()
assert threads() > 1
"""

FORK = """
child = os.fork()
if child == 0:
    os._exit(0 if compute() == expected and threads() == 1 else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

MULTIPROCESSING = """
fork = multiprocessing.get_context("fork")
child = fork.Process(target=lambda: sys.exit(compute() != expected))
child.start()
child.join()
print(child.exitcode)
"""

LOADER = """
class Frames(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return int(compute() != expected)

loader = torch.utils.data.DataLoader(Frames(), num_workers=2, multiprocessing_context="fork")
print(int(sum(batch.sum() for batch in loader)))
"""

AGAIN = """
assert compute() == expected
"""


@pytest.mark.parametrize(
    "child", [FORK, MULTIPROCESSING, LOADER], ids=["fork", "multiprocessing", "loader"]
)
def test_a_forked_process_computes_the_same_and_ends(child: str) -> None:
    program = PARENT + child + AGAIN  # the parent keeps its threads
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a child that hangs can be ended too
    )
    try:
        output, errors = process.communicate(timeout=SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, output) == (0, "0\n"), errors
