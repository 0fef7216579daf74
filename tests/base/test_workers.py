"""Worker processes answer what they are asked, and end with the program that started them."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from framecast.base.errors import UserError
from framecast.base.workers import Workers
from processes import ended, is_alive


class Orders:
    """What the workers of these tests do; they import it by name."""

    pid = staticmethod(os.getpid)
    group = staticmethod(os.getpgrp)

    @staticmethod
    def refuse():
        raise UserError("a.nc is damaged: copy it anew")

    @staticmethod
    def divide():
        return 1 / 0

    @staticmethod
    def slow_pid():
        time.sleep(0.2)
        return os.getpid()

    @staticmethod
    def sleep():
        time.sleep(60)

    @staticmethod
    def print():
        os.write(1, b"from a library")


def answer(question):
    """Follow an order; give anything else back."""
    return getattr(Orders, question)() if isinstance(question, str) else question


@pytest.fixture(scope="module")
def workers():
    with Workers(2, answer, "data.workers") as workers:
        yield workers


def test_answers_are_what_was_asked_in_any_type_and_layout(workers):
    things = [
        torch.arange(6.0).reshape(2, 3).T,
        torch.tensor([True, False]),
        torch.zeros(0, 3),
        torch.ones(2, dtype=torch.bfloat16),
        np.arange(10**6),
        {"a": [None, "text", np.datetime64("2020-01-01", "ns")]},
    ]
    for thing, future in [(t, workers.ask(t)) for t in things]:
        got = future.result()
        if isinstance(thing, torch.Tensor):
            assert got.dtype == thing.dtype
            assert torch.equal(got, thing)
        else:
            np.testing.assert_equal(got, thing)


def test_several_processes_answer(workers):
    pids = {future.result() for future in [workers.ask("slow_pid") for _ in range(2)]}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_ctrl_c_at_a_terminal_does_not_reach_them(workers):
    assert workers.ask("group").result() != os.getpgrp()


def test_what_a_library_prints_comes_not_between_answers(workers):
    assert workers.ask("print").result() is None
    assert workers.ask(7).result() == 7


def test_an_error_of_a_user_has_its_words_and_no_traceback(workers):
    with pytest.raises(UserError, match=r"^a\.nc is damaged: copy it anew$") as caught:
        workers.ask("refuse").result()
    assert caught.value.__cause__ is None
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(ZeroDivisionError, match="division") as caught:
        workers.ask("divide").result()
    assert "test_workers.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_is_killed_is_an_error_and_no_hang(number):
    with Workers(1, answer, "data.workers") as workers:
        pid = workers.ask("pid").result()
        slow, waiting = workers.ask("sleep"), workers.ask(1)
        time.sleep(0.2)
        os.kill(pid, number)
        for future in (slow, waiting, workers.ask(2)):
            with pytest.raises(UserError, match=rf"data.workers 1\) was ended by {number.name}"):
                future.result(timeout=10)


def test_signals_that_ask_programs_to_stop_leave_them_alone(workers):
    pid = workers.ask("pid").result()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    time.sleep(0.1)
    assert is_alive(pid)


def test_they_end_when_they_are_closed_though_they_are_at_work():
    with Workers(2, answer, "data.workers") as workers:
        pids = {workers.ask("pid").result() for _ in range(9)}
        workers.ask("sleep")
    assert all(ended(pid, 1) for pid in pids)


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)", "sys.exit()", "1 / 0"])
def test_they_end_with_the_program_however_it_ends(end):
    """The program has no guard around its main part, and is not imported by its workers."""
    code = (
        "import os, sys\nfrom framecast.base.workers import Workers\nfrom operator import index\n"
        "workers = Workers(1, index, 'data.workers')\nworkers.ask(1).result()\n"
        f"print(workers._processes[0].pid, flush=True)\n{end}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended(int(done.stdout))


def test_what_a_worker_cannot_import_is_said():
    code = (
        "from framecast.base.workers import Workers\ndef own(question): return question\n"
        "with Workers(1, own, 'data.workers') as workers: workers.ask(1).result()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "AttributeError" in done.stderr
    assert "own" in done.stderr
