"""Accuracy, confusion and calibration of named classes: by hand, and beside another library."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassConfusionMatrix,
)

from framecast.metrics.classes import Named

NAMES = ("drop", "hold", "lift", "poke", "pour", "tear", "turn")


def named(seed=0, sequences=200, classes=7):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(sequences, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (sequences,), generator=generator)
    return Named(scores.softmax(1), labels, NAMES[:classes])


def by_hand():
    probabilities = torch.tensor([
        [0.7, 0.2, 0.1],  # right
        [0.1, 0.6, 0.3],  # wrong: 2
        [0.4, 0.4, 0.2],  # as probable: the first is taken, right
        [0.2, 0.3, 0.5],  # wrong: 1
    ], dtype=torch.float64)  # fmt: skip
    return Named(probabilities, torch.tensor([0, 2, 0, 1]), NAMES[:3])


def test_scores_by_hand():
    few = by_hand()
    assert few.accuracy() == 0.5
    assert few.accuracy(2) == 1.0
    assert few.predicted.tolist() == [0, 1, 0, 2]
    assert few.confusion().tolist() == [[2, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert few.per_class().tolist() == [1, 0, 0]
    assert few.most_frequent == 0.5
    # Ten bins: 0.7, 0.6, 0.4 and 0.5 each in one of its own.
    assert few.calibration_error(10) == pytest.approx((0.3 + 0.6 + 0.6 + 0.5) / 4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_are_those_of_torchmetrics(seed, classes):
    own = named(seed, classes=classes)
    given = own.probabilities, own.labels
    for top in range(1, min(classes, 5) + 1):
        theirs = MulticlassAccuracy(classes, top_k=top, average="micro")(*given)
        assert own.accuracy(top) == pytest.approx(theirs.item())
    per_class = MulticlassAccuracy(classes, average="none")(*given)
    torch.testing.assert_close(own.per_class().float(), per_class)
    assert torch.equal(own.confusion(), MulticlassConfusionMatrix(classes)(*given))
    error = MulticlassCalibrationError(classes, n_bins=15)(*given)
    assert own.calibration_error() == pytest.approx(error.item(), abs=1e-6)


def test_certainty_that_is_right_is_perfect_in_all():
    labels = torch.tensor([0, 1, 2, 1])
    perfect = Named(torch.eye(3)[labels], labels, NAMES[:3])
    assert perfect.accuracy() == 1
    assert perfect.calibration_error() == 0
    assert perfect.per_class().tolist() == [1, 1, 1]
    assert torch.equal(perfect.confusion(), torch.tensor([1, 2, 1]).diag())


@given(seed=st.integers(0, 99), top=st.integers(1, 6))
def test_more_guesses_are_never_worse_and_all_of_them_are_right(seed, top):
    own = named(seed, 30)
    assert own.accuracy(top) <= own.accuracy(top + 1)
    assert own.accuracy(7) == 1
    assert 0 <= own.calibration_error() <= 1
    assert own.confusion().sum() == 30


def test_a_class_without_sequences_has_no_accuracy():
    one = Named(torch.eye(3)[[0, 0]], torch.tensor([0, 2]), NAMES[:3])
    assert one.per_class().tolist()[::2] == [1, 0]
    assert one.per_class()[1].isnan()


def test_a_part_is_that_part():
    own = named(sequences=6)
    kept = [True, False, True, True, False, False]
    assert own.part(kept).labels.tolist() == own.labels[torch.tensor(kept)].tolist()
    assert len(own.part(kept)) == 3


def test_groups_sum_the_probabilities_of_their_classes():
    own = by_hand()
    grouped = own.grouped(["a", "b", "b"])
    assert grouped.names == ("a", "b")
    expected = torch.stack([own.probabilities[:, 0], own.probabilities[:, 1:].sum(1)], 1)
    torch.testing.assert_close(grouped.probabilities, expected)
    assert grouped.labels.tolist() == [0, 1, 0, 1]
    assert grouped.accuracy() == 0.75  # the third: 0.4 for a, 0.6 for b


def test_bins_of_confidence_hold_all_sequences():
    reliability = named().reliability()
    assert reliability.counts.sum() == 200
    full = reliability.counts > 0
    inside = reliability.confidence[full]
    edges = torch.arange(15, dtype=torch.float64)[full] / 15
    assert ((inside > edges) & (inside <= edges + 1 / 15 + 1e-12)).all()
    assert reliability.accuracy[~full].isnan().all()
