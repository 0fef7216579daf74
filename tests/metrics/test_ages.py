"""Numbers of frames, told apart by how long ago their place was shown."""

import torch

from framecast.metrics import Scores, Truth
from framecast.metrics.ages import NEITHER, NEW, find_edges, labels_of, shares_of
from framecast.metrics.numbers import FrameNumbers


def test_bins_are_twice_as_wide_each_and_hold_the_longest_age():
    assert find_edges(8) == (8,)
    assert find_edges(9) == (8, 16)
    assert find_edges(300) == (8, 16, 32, 64, 128, 256, 512)
    assert labels_of((8, 16)) == ["new", "1–8", "9–16"]


def test_each_age_lies_in_the_bin_that_its_label_says():
    ages = torch.tensor([[NEW, NEITHER, 1, 8, 9, 16, 17, 32]])
    found = shares_of(ages, (8, 16, 32))[0]
    assert found.sum(-1).tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert found.argmax(-1)[[0, 2, 3, 4, 5, 6, 7]].tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_mean_is_over_the_frames_of_an_age_alone():
    truth = torch.zeros(2, 3, 1, 4, 4)
    off = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    ages = torch.tensor([[NEW, 3, 12], [NEW, NEITHER, 7]])
    family = FrameNumbers(("psnr",), torch.tensor([[0.0, 1.0]]), None, ("psnr",), (8, 16))
    predictions = truth + off[..., None, None, None]
    scores = Scores.of(predictions, Truth(truth, ages=ages), (family,)).pool()
    values = -20 * off.double().log10()
    expected = [values[:, 0].mean(), (values[0, 1] + values[1, 2]) / 2, values[0, 2]]
    torch.testing.assert_close(scores.metric("psnr_by_age")[0, 0, 0], torch.stack(expected))
    torch.testing.assert_close(scores.metric("psnr")[0, 0, 0], values.mean())


def test_a_frame_equal_to_the_truth_is_left_out_as_from_the_plain_mean():
    truth = torch.zeros(1, 2, 1, 4, 4)
    family = FrameNumbers(("psnr",), torch.tensor([[0.0, 1.0]]), None, ("psnr",), (8,))
    predictions = truth.clone()
    predictions[0, 1] = 0.1
    ages = torch.tensor([[2, 2]])
    found = Scores.of(predictions, Truth(truth, ages=ages), (family,)).pool().metric("psnr_by_age")
    torch.testing.assert_close(found[0, 0, 0, 1].item(), 20.0)
    assert found[0, 0, 0, 0].isnan()
