"""PSNR, SSIM and LPIPS beside other programs, closed forms and plain loops."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics.functional.image.lpips as oracle
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from framecast.base.errors import UserError
from framecast.base.fetch import DOWNLOADS
from framecast.metrics import Scores
from framecast.metrics.images import psnr, squared_error, ssim, to_images
from framecast.metrics.lpips import SMALLEST, Lpips
from framecast.metrics.numbers import FrameNumbers
from judged import PUBLISHED_SHAPES, random_weights


def _pair(*shape, noise=0.2, seed=0):
    """Smooth images and noisy ones, in [0, 1]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    phases = random.uniform(0, 6, (*shape[:-2], 1, 1))
    truth = 0.5 + 0.4 * np.sin(x / 3 + phases) * np.cos(y / 4 - phases)
    return np.clip(truth + noise * random.normal(size=shape), 0, 1), truth


def _tensors(*arrays):
    return (torch.from_numpy(array) for array in arrays)


@pytest.mark.parametrize("span", [1.0, 255.0])
@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 13, 37), (3, 40, 24)])
def test_psnr_and_ssim_equal_scikit_image(shape, span):
    ours, truth = (span * image for image in _pair(2, 3, *shape))
    values = ssim(*_tensors(ours, truth), span)
    ratios = psnr(*_tensors(ours, truth), span)
    for place in np.ndindex(2, 3):
        expected = structural_similarity(
            ours[place], truth[place], channel_axis=0, data_range=span,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert values[place].item() == pytest.approx(expected, abs=1e-12)
        expected = peak_signal_noise_ratio(truth[place], ours[place], data_range=span)
        assert ratios[place].item() == pytest.approx(expected, rel=1e-12)


def test_ssim_in_float32_is_as_exact_as_its_input():
    ours, truth = (image.astype(np.float32) for image in _pair(4, 1, 32, 32, noise=0.01))
    exact = ssim(*_tensors(ours.astype(np.float64), truth.astype(np.float64)))
    assert torch.equal(ssim(*_tensors(ours, truth)), exact)


def test_equal_images_are_perfect():
    _, truth = _pair(5, 3, 32, 35)
    image = torch.from_numpy(truth)
    assert (squared_error(image, image) == 0).all()
    assert (psnr(image, image) == torch.inf).all()
    torch.testing.assert_close(ssim(image, image), torch.ones(5).double(), rtol=0, atol=1e-12)
    assert (_network()(image.float(), image.float()) == 0).all()


def test_order_does_not_matter():
    a, b = _tensors(*_pair(4, 3, 33, 40))
    for measure in (squared_error, psnr, ssim, _network()):
        torch.testing.assert_close(
            measure(a.float(), b.float()), measure(b.float(), a.float()), rtol=1e-6, atol=0
        )


def test_more_noise_is_always_worse():
    network = _network()
    worse = [_tensors(*_pair(3, 1, 48, 48, noise=noise)) for noise in (0.01, 0.03, 0.1, 0.3, 1.0)]
    pairs = [(a.float(), b.float()) for a, b in worse]
    for measure, sign in ((psnr, -1), (ssim, -1), (squared_error, 1), (network, 1)):
        values = torch.stack([measure(*pair) for pair in pairs])
        assert (sign * values.diff(dim=0) > 0).all()


@pytest.mark.parametrize(("offset", "decibels"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0)])
def test_psnr_of_a_constant_offset(offset, decibels):
    truth = torch.zeros(2, 1, 3, 3).double()
    torch.testing.assert_close(psnr(truth + offset, truth), torch.full((2,), decibels).double())


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.25, 0.75), (1.0, 0.5)])
def test_ssim_of_uniform_images_is_their_luminance_alone(a, b):
    images = (torch.full((1, 1, 12, 12), value).double() for value in (a, b))
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert ssim(*images).item() == pytest.approx(expected, rel=1e-9)


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="smaller than 11×11"):
        ssim(torch.zeros(1, 1, 10, 20), torch.zeros(1, 1, 10, 20))


def test_frames_become_images_by_the_range_of_each_channel():
    frames = torch.tensor([-1.0, 0.0, 2.0, 9.0]).view(1, 2, 1, 2)
    images = to_images(frames, torch.tensor([[-1.0, 1.0], [0.0, 8.0]]))
    assert images.flatten().tolist() == [0.0, 0.5, 0.25, 1.0]


# The published weights are 10 MB and not among the tests' data. Random ones go through the same
# file, names and shapes.


def _network():
    network = Lpips().eval()
    network.load_state_dict(random_weights())
    return network.requires_grad_(False)


def test_lpips_has_the_names_and_shapes_of_the_published_weights():
    assert {k: tuple(v.shape) for k, v in Lpips().state_dict().items()} == PUBLISHED_SHAPES


def _features(weights):
    """The convolutions of AlexNet as torchvision lays them out."""
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    named = {k.removeprefix("features."): v for k, v in weights.items() if "features" in k}
    layers.load_state_dict(named)
    return layers


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 33, 50), (1, 40, 31)])
def test_lpips_equals_torchmetrics_with_the_published_heads(tmp_path, monkeypatch, shape):
    """torchmetrics carries the published heads; the convolutions are random in both."""
    weights = random_weights()
    monkeypatch.setattr(oracle, "_get_tv_model_features", lambda *_: _features(weights))
    theirs = oracle._LPIPS(net="alex")
    for place, head in enumerate(theirs.lins):
        weights[f"lin{place}.weight"] = head.model[-1].weight.detach()
    save_file(weights, tmp_path / "lpips.safetensors")
    a, b = (image.float() for image in _tensors(*_pair(5, *shape)))
    expected = theirs(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1), normalize=True)
    ours = Lpips.load(tmp_path / "lpips.safetensors")(a, b)
    torch.testing.assert_close(ours.float(), expected.detach().flatten(), rtol=1e-4, atol=1e-7)


def test_the_batch_changes_no_distance():
    network, (a, b) = _network(), _tensors(*_pair(70, 1, 31, 31))
    together = network(a.float(), b.float())
    alone = network(a[65:67].float(), b[65:67].float())
    torch.testing.assert_close(together[65:67], alone, rtol=1e-5, atol=0)


def test_the_smallest_image_of_lpips():
    network = _network()
    small = torch.rand(1, 3, SMALLEST, SMALLEST)
    assert network(small, 1 - small) > 0
    with pytest.raises(RuntimeError):
        network(small[..., 1:], small[..., 1:])


def test_the_published_heads_are_read_without_running_code(tmp_path):
    """torchmetrics carries the published file of the heads."""
    backbone, heads = (file.name for file in DOWNLOADS["lpips"].files)
    published = Path(oracle.__file__).parent / "lpips_models/alex.pth"
    (tmp_path / heads).write_bytes(published.read_bytes())
    assert f"sha256:{hashlib.sha256(published.read_bytes()).hexdigest()}" == (
        DOWNLOADS["lpips"].files[1].checksum
    )
    convolutions = {k: v for k, v in random_weights().items() if "features" in k}
    torch.save(convolutions | {"classifier.1.bias": torch.zeros(3)}, tmp_path / backbone)
    network = Lpips.load(tmp_path)
    assert all((head > 0).any() and (head >= 0).all() for head in _heads(network))
    torch.save({"features.0.bias": Path("code")}, tmp_path / backbone)
    with pytest.raises(UserError, match="no weights that can be read"):
        Lpips.load(tmp_path)


def _heads(network):
    return [network.get_parameter(f"lin{place}.weight") for place in range(5)]


def test_weights_that_do_not_fit_are_named(tmp_path):
    file = tmp_path / "weights.safetensors"
    for change, message in {
        "missing": {"lin3.weight": None},
        r"features.0.bias is \[3\]": {"features.0.bias": torch.zeros(3)},
    }.items():
        kept = {k: v for k, v in (random_weights() | message).items() if v is not None}
        save_file(kept, file)
        with pytest.raises(UserError, match=change):
            Lpips.load(file)
    file.write_text("no weights")
    with pytest.raises(UserError, match="safetensors"):
        Lpips.load(file)
    with pytest.raises(UserError, match="nowhere"):
        Lpips.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_numbers_of_openstl_equal_numpy_and_scikit_image(channels):
    """Sums over a frame that is not clipped; SSIM as scikit-image has it for a range of two."""
    ours, truth = _pair(2, 3, channels, 24, 20)
    ours = 1.5 * ours - 0.25  # outside of [0, 1]
    names = ("mse_openstl", "mae_openstl", "ssim_openstl")
    family = FrameNumbers(names, torch.tensor([[0.0, 255.0]] * channels))
    predictions, frames = (torch.from_numpy(255 * array) for array in (ours, truth))
    scores = Scores.of(predictions.float(), frames.float(), (family,)).pool()
    expected = {
        "mse_openstl": np.mean((ours - truth) ** 2, axis=(0, 1)).sum(),
        "mae_openstl": np.mean(np.abs(ours - truth), axis=(0, 1)).sum(),
        "ssim_openstl": np.mean([
            structural_similarity(
                np.clip(ours[place], 0, 1), truth[place], channel_axis=0, data_range=2.0
            )
            for place in np.ndindex(2, 3)
        ]),
    }  # fmt: skip
    for name, value in expected.items():
        assert scores.metric(name).item() == pytest.approx(value, rel=1e-5), name
