"""Labels: with the sequences they belong to, and to the classes of a model by name."""

import pickle

import pytest
import torch

from framecast.base.errors import UserError
from framecast.frames.batch import Batch, Place
from framecast.frames.channels import Channel
from framecast.frames.frames import Frames
from framecast.frames.labels import Labels
from framecast.frames.roles import FrameSpec
from framecast.frames.scaling import Scaling
from framecast.frames.statistics import Statistics
from framecast.frames.windows import Windows

NAMES = ("lift", "drop", "turn")


def labelled(numbers=(2, 0, 0, 1), names=NAMES):
    torch.manual_seed(0)
    labels = Labels(torch.tensor(numbers), names)
    dims = ("sequence", "time", "y", "x")
    return Frames(torch.randn(4, 5, 1, 3, 4), (Channel("grey"),), dims, labels=labels)


def windows(frames, trained_on=None):
    trained_on = frames if trained_on is None else trained_on
    scaling = Scaling(FrameSpec.of(trained_on), Statistics.of(trained_on))
    return Windows(frames, scaling, 3)


def test_chosen_sequences_keep_their_labels():
    part = labelled().select(slice(1, 4), slice(0, 2))
    assert part.labels.numbers.tolist() == [0, 0, 1]
    assert part.labels.names == NAMES


def test_the_fingerprint_knows_the_labels():
    frames = labelled()
    assert frames.fingerprint() == labelled().fingerprint()
    assert frames.fingerprint() != labelled((2, 0, 1, 1)).fingerprint()
    assert frames.fingerprint() != labelled(names=("lift", "drop", "roll")).fingerprint()


@pytest.mark.parametrize(
    ("numbers", "names", "message"),
    [
        ((0, 1), NAMES, r"labels \[2\] do not fit 4 sequences of 5 frames"),
        ((0, 1, 2, 3), NAMES, "label 3 is none of the 3 classes"),
        ((0, -1, 2, 0), NAMES, "label -1 is none of the 3 classes"),
        ((0, 1, 0, 1), ("lift", "lift"), "two classes have one name"),
    ],
)
def test_labels_that_do_not_fit_are_refused(numbers, names, message):
    with pytest.raises(UserError, match=message):
        labelled(numbers, names)


def test_a_batch_has_the_label_of_each_of_its_windows():
    cut = windows(labelled())
    batch = cut.stack(cut.read([Place(0, 1), Place(3, 0), Place(1, 2)]))
    assert batch.labels.tolist() == [2, 1, 0]
    assert batch.repeated(2).labels.tolist() == [2, 1, 0, 2, 1, 0]
    assert batch.part(slice(0, 2)).labels.tolist() == [2, 1, 0]
    assert batch.to("cpu").labels.tolist() == [2, 1, 0]
    assert pickle.loads(pickle.dumps(batch)).labels.tolist() == [2, 1, 0]


def test_without_labels_a_batch_has_none():
    frames = labelled()
    bare = Frames(frames.values, frames.channels, frames.dims)
    assert windows(bare)[Place(0, 0)].labels is None
    assert windows(bare, trained_on=frames)[Place(0, 0)].labels is None  # to forecast from
    assert windows(frames, trained_on=bare)[Place(0, 0)].labels is None
    assert Batch.stack([windows(bare)[Place(0, 0)]] * 2).labels is None


def test_classes_are_those_of_the_model_by_their_names():
    other = labelled((0, 1, 0, 1), ("turn", "lift"))
    cut = windows(other, trained_on=labelled())
    assert [cut[Place(n, 0)].labels.item() for n in range(4)] == [2, 0, 2, 0]


def test_a_class_that_a_model_does_not_know_is_refused():
    other = labelled((0, 1, 0, 1), ("turn", "lifts"))
    with pytest.raises(UserError, match=r"the class lifts, .*\(did you mean lift\?\)"):
        windows(other, trained_on=labelled())
    unused = labelled((0, 0, 0, 0), ("turn", "roll"))
    assert windows(unused, trained_on=labelled())[Place(0, 0)].labels.item() == 2
