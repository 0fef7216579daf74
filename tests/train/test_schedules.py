"""The learning rate and teacher forcing over a run, from the step and the losses so far."""

from dataclasses import replace

import pytest

from framecast.runs.config import TrainingConfig
from framecast.train.schedules import (
    decay_epochs,
    learning_rate,
    plateaus,
    teacher_forcing,
)

FALLING = [5.0, 4.0, 3.0]


def test_a_plateau_is_a_loss_that_has_not_fallen_for_so_many_epochs():
    assert plateaus([], 2) == []
    assert plateaus(FALLING, 2) == []
    assert plateaus([*FALLING, 3.0], 2) == []
    assert plateaus([*FALLING, 3.0, 3.5], 2) == [5]
    assert plateaus([*FALLING, 3.1, 2.9, 2.9], 2) == []


def test_after_a_plateau_the_wait_begins_anew():
    assert plateaus([*FALLING, 9.0, 9.0, 9.0, 9.0, 9.0], 2) == [5, 7]
    assert plateaus([*FALLING, 9.0, 9.0, 1.0, 9.0, 9.0], 2) == [5, 8]


def rates(config, steps):
    return [learning_rate(step, steps, [], config) for step in range(steps)]


def test_the_cosine_falls_to_zero_after_a_warm_up():
    config = TrainingConfig(schedule="cosine", warmup_steps=4, learning_rate=1.0)
    course = rates(config, 1000)
    assert course[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], rel=1e-3)
    assert course[250] == pytest.approx((2 + 2**0.5) / 4)
    assert course[500] == pytest.approx(0.5)
    assert course[999] == pytest.approx(0, abs=1e-5)


def test_the_cosine_by_epochs_falls_at_the_end_of_each():
    config = TrainingConfig(schedule="epoch_cosine", epochs=4, learning_rate=1.0)
    course = [learning_rate(9, 10, [3.0] * epochs, config) for epochs in range(5)]
    assert course == pytest.approx([1, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 0], abs=1e-12)
    assert {learning_rate(step, 10, [3.0], config) for step in range(10)} == {course[1]}


def test_the_constant_schedule_is_constant_after_its_warm_up():
    config = TrainingConfig(schedule="constant", warmup_steps=2, learning_rate=0.3)
    assert rates(config, 4) == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_each_plateau_halves_the_learning_rate():
    config = TrainingConfig(schedule="plateau", plateau_epochs=2, learning_rate=0.1)
    course = [learning_rate(9, 10, [3.0] * epochs, config) for epochs in range(7)]
    assert course == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


PAPER = TrainingConfig(
    context=10,
    horizon=10,
    teacher_forcing=1.0,
    teacher_forcing_decay=4e-3,
    learning_rate=1e-3,
    schedule="staircase",
    plateau_epochs=20,
)


def test_the_first_plateau_starts_the_decay_and_later_losses_do_not_stop_it():
    waiting = [*FALLING, *[3.0] * 19]
    assert decay_epochs(waiting, PAPER) == 0
    assert decay_epochs([*waiting, 3.0], PAPER) == 1
    assert decay_epochs([*waiting, 3.0, 1.0, 0.5], PAPER) == 3


def test_without_a_wait_for_plateaus_all_epochs_but_the_first_decay():
    config = replace(PAPER, plateau_epochs=0, teacher_forcing_decay=0.25)
    course = [teacher_forcing([1.0] * epochs, config) for epochs in range(6)]
    assert course == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_teacher_forcing_falls_in_each_epoch_of_decay_until_none_is_left():
    flat = [1.0] * 21
    course = [teacher_forcing(flat[:20] + [1.0] * n, PAPER) for n in (0, 1, 2, 125, 250, 300)]
    assert course == pytest.approx([1.0, 0.996, 0.992, 0.5, 0.0, 0.0])
    assert course[-1] == 0


def test_the_learning_rate_decays_every_so_many_epochs():
    course = [learning_rate(0, 1, [1.0] * (20 + n), PAPER) for n in (0, 1, 4, 5, 9, 10, 250)]
    assert course == pytest.approx(
        [1e-3, 1e-3, 1e-3, 0.98e-3, 0.98e-3, 0.98**2 * 1e-3, 0.98**50 * 1e-3]
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"teacher_forcing": 1.5}, r"teacher_forcing 1.5 must be in \[0, 1\]"),
        (
            {"schedule": "staircase", "staircase_factor": 1.0},
            "staircase_factor 1.0 must be between 0 and 1",
        ),
        ({"teacher_forcing": 0.5, "horizon": 1}, "teacher_forcing 0.5 would change nothing"),
        ({"teacher_forcing_decay": 0.1}, "change nothing: set training.teacher_forcing"),
        ({"staircase_factor": 0.9}, "change nothing: set training.schedule to staircase"),
        ({"schedule": "plateau", "plateau_epochs": 0}, "plateau_epochs 0 must be at least 1"),
        ({"plateau_epochs": 20}, "plateau_epochs 20 would change nothing"),
        ({"truncate": True}, "change nothing: set training.chunk"),
        ({"chunk": 14}, "chunk 14 would change nothing: a window has 14 inputs"),
        ({"teacher_forcing": 0.5, "compile": True}, "compile anew at every step"),
    ],
    ids=str,
)
def test_keys_that_would_change_nothing_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**keys)
