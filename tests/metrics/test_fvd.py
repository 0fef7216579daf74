"""The Fréchet distance beside closed forms, and features from TorchScript files."""

import hashlib

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from framecast.base.errors import UserError
from framecast.metrics.clips import SHORTEST, ClipFeatures
from framecast.metrics.frechet import Gaussians, frechet_distance, frechet_distances
from judged import scripted


def _covariance(size, seed=0, rank=None):
    factor = torch.from_numpy(np.random.default_rng(seed).normal(size=(size, rank or 2 * size)))
    return factor @ factor.T / size


def test_one_dimension():
    """(μa − μb)² + (σa − σb)²."""
    one = torch.ones(1).double()
    distance = frechet_distance(2 * one, 9 * one[None], 5 * one, 16 * one[None])
    assert distance.item() == pytest.approx(9 + 1, rel=1e-14)


def test_equal_gaussians_are_at_no_distance_even_where_singular():
    for rank in (None, 3):
        mean, covariance = torch.ones(40).double(), 1e3 * _covariance(40, rank=rank)
        distance = frechet_distance(mean, covariance, mean, covariance)
        assert distance.item() < 1e-9


def test_equal_covariances_leave_the_distance_of_the_means():
    a, b = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 12)))
    covariance = _covariance(12)
    expected = (a - b).square().sum()
    torch.testing.assert_close(frechet_distance(a, covariance, b, covariance), expected)


def test_covariances_that_commute_leave_the_distance_of_their_roots():
    axes = torch.linalg.qr(_covariance(9))[0]
    a, b = torch.rand(2, 9).double()
    ours, theirs = (axes @ torch.diag(spread.square()) @ axes.T for spread in (a, b))
    mean = torch.zeros(9).double()
    expected = (a - b).square().sum()
    torch.testing.assert_close(frechet_distance(mean, ours, mean, theirs), expected)


def test_two_planes_in_space_against_their_closed_form():
    """tr((ΣaΣb)^½)² = tr(ΣaΣb) + 2 det(ΣaΣb)^½ for 2×2 matrices."""
    ours, theirs = _covariance(2, 1), _covariance(2, 2)
    product = ours @ theirs
    overlap = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    mean = torch.zeros(2).double()
    expected = ours.trace() + theirs.trace() - 2 * overlap
    torch.testing.assert_close(frechet_distance(mean, ours, mean, theirs), expected)


def test_against_the_square_root_of_scipy():
    ours, theirs = _covariance(30, 1), _covariance(30, 2)
    a, b = torch.from_numpy(np.random.default_rng(3).normal(size=(2, 30)))
    root = scipy.linalg.sqrtm((ours @ theirs).numpy()).real
    expected = (a - b).square().sum() + (ours + theirs).trace() - 2 * np.trace(root)
    torch.testing.assert_close(frechet_distance(a, ours, b, theirs), expected)


def test_points_are_singular_gaussians():
    point, zero = torch.ones(3).double(), torch.zeros(3, 3).double()
    assert frechet_distance(point, zero, 3 * point, zero).item() == pytest.approx(12)
    assert frechet_distance(point, zero, point, _covariance(3)).item() == pytest.approx(
        _covariance(3).trace().item()
    )


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(9)), cuts=st.sets(st.integers(1, 8)))
def test_gaussians_merge_in_any_order_and_parts(order, cuts):
    samples = 1e4 + np.random.default_rng(0).normal(size=(9, 3))
    merged = None
    for part in np.split(np.array(order), sorted(cuts)):
        one = Gaussians.of(torch.from_numpy(samples[part]))
        merged = one if merged is None else merged + one
    assert merged.count.tolist() == [9]
    np.testing.assert_allclose(merged.mean[0], samples.mean(0), rtol=1e-14)
    np.testing.assert_allclose(merged.covariance[0], np.cov(samples.T), rtol=1e-9)


def test_sets_stay_apart_until_they_are_pooled():
    samples = torch.randn(2, 6, 4)
    both = Gaussians.cat([Gaussians.of(part) for part in samples])
    torch.testing.assert_close(both.mean, samples.double().mean(1))
    pooled, whole = both.pool(), Gaussians.of(samples.flatten(0, 1))
    torch.testing.assert_close(pooled.mean, whole.mean)
    torch.testing.assert_close(pooled.scatter, whole.scatter)
    distances = frechet_distances(both, Gaussians.cat([Gaussians.of(samples[0])] * 2))
    assert distances[0] < 1e-9 < distances[1]


def test_no_samples_change_nothing_and_have_no_distance():
    some, none = Gaussians.of(torch.rand(5, 3)), Gaussians.of(torch.rand(0, 3))
    for both in (some + none, none + some):
        for ours, theirs in zip(vars(both).values(), vars(some).values(), strict=True):
            torch.testing.assert_close(ours, theirs)
    assert frechet_distances(none + none, some).isnan().all()


def test_one_sample_has_no_distance():
    one = Gaussians.of(torch.ones(1, 3))
    assert frechet_distances(one, one).isnan().all()


# Features. The scripted network has the published one's way to be called.


class Wrong(nn.Module):
    """Gives features of single frames."""

    def forward(self, clips: Tensor, rescale: bool, resize: bool, return_features: bool) -> Tensor:
        return clips.mean((3, 4)).flatten(0, 1)


def test_features_of_a_file_that_is_trusted(tmp_path):
    features = ClipFeatures.load(*scripted(tmp_path / "features.pt"))
    grey = torch.rand(7, 12, 1, 5, 4)
    first, last = (2 * half.mean((1, 2, 3, 4)) - 1 for half in grey.split(6, dim=1))
    expected = torch.stack([*[first] * 3, *[last] * 3], dim=1)
    torch.testing.assert_close(features(grey), expected)
    colour = torch.rand(2, 10, 3, 4, 4)
    torch.testing.assert_close(features(colour)[:, :3], 2 * colour[:, :5].mean((1, 3, 4)) - 1)


def test_a_file_that_is_not_trusted_is_not_loaded(tmp_path, monkeypatch):
    path, digest = scripted(tmp_path / "features.pt")
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(UserError, match=f"runs code.*--fvd-sha256 {digest}"):
        ClipFeatures.load(path)
    with pytest.raises(UserError, match="another file, or damaged"):
        ClipFeatures.load(path, "0" * 64)
    with pytest.raises(UserError, match="cannot be read"):
        ClipFeatures.load(tmp_path / "nowhere.pt")


def test_files_that_are_no_features_are_named(tmp_path):
    text = tmp_path / "text.pt"
    text.write_text("no network")
    with pytest.raises(UserError, match="no TorchScript"):
        ClipFeatures.load(text, hashlib.sha256(b"no network").hexdigest())
    wrong = ClipFeatures.load(*scripted(tmp_path / "wrong.pt", Wrong()))
    with pytest.raises(UserError, match="one row of features"):
        wrong(torch.rand(2, SHORTEST, 1, 4, 4))
    right = ClipFeatures.load(*scripted(tmp_path / "right.pt"))
    with pytest.raises(UserError, match="cannot be called as I3D is"):
        right(torch.rand(2, SHORTEST - 1, 1, 4, 4))
