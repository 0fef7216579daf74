"""The network that foresees frames and names classes: its scores, its loss, its sizes."""

import json

import pytest
import torch
import torch.nn.functional as F

from conftest import close
from framecast.frames.batch import Batch
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig, Recogniser, make_network
from framecast.models.classifier import Classifier, ClassifierOptions
from framecast.models.model import build_model
from framecast.models.spec import Ports
from framecast.models.unroll import Unrolling

B, CONTEXT, HORIZON, CLASSES, GRID = 3, 4, 2, 5, (8, 12)
SMALL = {
    "depth": 2,
    "hidden": 6,
    "encoder": "strided",
    "encoder_options": {"widths": [5]},
    "classifier": "conv_3d",
    "classifier_options": {"frames": 3, "channels": 4, "hidden": 7},
}


def make(**options):
    torch.manual_seed(1)
    config = ForecasterConfig(**SMALL | options)
    return make_network(config, Ports(2, classes=CLASSES), GRID).double()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def batch(mask=None, area=None):
    frames = random(B, CONTEXT + HORIZON, 2, *GRID)
    return Batch(frames, mask=mask, area=area, labels=torch.tensor([4, 0, 2]))


def settings(**changed):
    return Unrolling(**{"context": CONTEXT, "loss": "l1_mse"} | changed)


def loss_of(model, unrolling, windows=None):
    (losses,) = model.losses(batch() if windows is None else windows, unrolling)
    return losses.mean(torch.ones(1))


@pytest.mark.parametrize("layer", layer_names())
@pytest.mark.parametrize("frames", [1, 3, 16])
def test_a_sequence_in_parts_gives_the_same_scores_and_frames(layer, frames):
    options = SMALL["classifier_options"] | {"frames": frames}
    model, seen = make(layer=layer, classifier_options=options), random(2, 6, 2, *GRID)
    predictions, scores, _ = model.watch(seen)
    parts, watched = [], None
    for start, stop in ((0, 1), (1, 4), (4, 5), (5, 6)):
        *part, watched = model.watch(seen[:, start:stop], watched)
        parts.append(part)
    for whole, pieces in zip((predictions, scores), zip(*parts, strict=True), strict=True):
        close(torch.cat(pieces, dim=1), whole, 1e-10)
    assert scores.shape == (2, 6, CLASSES)


def test_scores_after_some_frames_know_nothing_of_later_ones():
    model, seen = make(), random(2, 6, 2, *GRID)
    scores = model.watch(seen)[1]
    for length in range(1, 7):
        close(model.watch(seen[:, :length])[1][:, -1], scores[:, length - 1], 1e-10)
    assert not torch.allclose(scores[:, 2], scores[:, 3])


def test_before_there_are_enough_frames_the_first_is_repeated():
    classifier = make().classifier
    features = random(2, 2, 6, 4, 6)
    repeated = torch.cat([features[:, :1], features], dim=1)
    close(classifier(features), classifier(repeated), 1e-12)
    longer = torch.cat([random(2, 3, 6, 4, 6), repeated], dim=1)
    close(classifier(features), classifier(longer), 1e-12)


def test_it_forecasts_as_the_same_network_without_a_classifier():
    model = make()
    torch.manual_seed(1)
    config = ForecasterConfig(**SMALL | {"classifier": "none", "classifier_options": {}})
    plain = Forecaster(config, 2, GRID).double()
    plain.load_state_dict(model.state_dict(), strict=False)
    frames = random(2, 5, 2, *GRID)
    assert torch.equal(model(frames)[0], plain(frames)[0])
    assert torch.equal(model.watch(frames)[0], plain(frames)[0])


def expected_parts(model, unrolling):
    """Scores after the context, and the predictions of frames 2 to L, frame by frame."""
    frames = batch().frames
    predictions, scores, _ = model.watch(frames[:, :CONTEXT])
    shown, state = [*predictions.unbind(1)], model(frames[:, :CONTEXT])[1]
    for _ in range(HORIZON - 1):
        frame, state = model.step(shown[-1], state)
        shown.append(frame)
    return scores[:, -1], torch.stack(shown, dim=1)


@pytest.mark.parametrize("weight", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("loss", ["l1_mse", "mse", "l1"])
def test_the_loss_is_that_of_the_paper_over_means_or_sums(weight, summed, loss):
    model = make()
    scores, predictions = expected_parts(model, settings())
    error = predictions - batch().frames[:, 1:]
    each = {"l1": error.abs(), "mse": error**2, "l1_mse": error.abs() + error**2}[loss]
    frames = each.flatten(1).sum(1) if summed else each.flatten(1).mean(1)
    entropy = -scores.log_softmax(1)[range(B), [4, 0, 2]]
    unrolling = settings(loss=loss, prediction_weight=weight, prediction_sum=summed)
    close(loss_of(model, unrolling), (weight * frames + entropy).mean(), 1e-10)


def test_smoothing_and_class_weights_are_those_of_torch():
    model, weights = make(), torch.tensor([0.5, 1.0, 2.0, 0.0, 3.0], dtype=torch.float64)
    scores, _ = expected_parts(model, settings())
    smoothed = 0.9 * torch.eye(CLASSES, dtype=torch.float64)[[4, 0, 2]] + 0.1 / CLASSES
    entropy = -(smoothed * scores.log_softmax(1)).sum(1)
    unrolling = settings(prediction_weight=0.0, label_smoothing=0.1)
    close(loss_of(model, unrolling), entropy.mean(), 1e-10)
    model.class_weights = weights
    close(loss_of(model, unrolling), (weights[[4, 0, 2]] * entropy).mean(), 1e-10)


def test_what_is_missing_of_the_frames_counts_nowhere():
    model, mask = make(), torch.ones(B, CONTEXT + HORIZON, 2, *GRID, dtype=torch.bool)
    close(loss_of(model, settings(), batch(mask)), loss_of(model, settings()), 1e-12)
    mask[1, CONTEXT:] = False  # the video of the second window has ended
    changed = batch(mask)
    changed.frames[1, CONTEXT:] = 1e6
    close(loss_of(model, settings(), changed), loss_of(model, settings(), batch(mask)), 1e-12)
    mask[1] = False
    mask[1, 0] = True
    assert loss_of(model, settings(), batch(mask)).isfinite()


def test_cells_count_by_their_area():
    model, area = make(), random(*GRID).abs()
    area = area / area.mean()
    _, predictions = expected_parts(model, settings())
    error = (predictions - batch().frames[:, 1:]).abs() * area
    without = loss_of(model, settings(prediction_weight=0.0))
    with_area = loss_of(model, settings(loss="l1"), batch(area=area))
    close(with_area - without, error.mean(), 1e-10)


def test_validation_measures_classes_frames_and_accuracy():
    model = make().eval()
    scores, predictions = expected_parts(model, settings())
    labels = scores.argmax(1)
    labels[0] = (labels[0] + 1) % CLASSES
    frames = batch().frames
    losses = model.validate(Batch(frames, labels=labels), settings(label_smoothing=0.3))
    entropy = F.cross_entropy(scores, labels)
    error = predictions - frames[:, 1:]
    expected = torch.stack([entropy, (error.abs() + error**2).mean(), torch.tensor(2 / 3)])
    close(losses.means(), expected, 1e-6)
    close(model.compare(losses, torch.ones(1)), entropy, 1e-10)
    assert model.tell(losses, ["a", "b"])["val_accuracy"] == pytest.approx(2 / 3)


def test_every_weight_has_a_gradient_and_none_is_lost_without_the_frames():
    model = make()
    loss_of(model, settings()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    model.zero_grad()
    loss_of(model, settings(prediction_weight=0.0)).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None}
    assert idle == {name for name, _ in model.named_parameters() if name.startswith("decoder.")}


def test_the_published_classifier_has_the_published_sizes():
    classifier = Classifier(80, 41, (56, 56), ClassifierOptions())
    convolutions = 27 * 80 * 128 + 128 + 27 * 128 * 128 + 128
    perceptron = 7 * 7 * 128 * 512 + 512 + 512 * 41 + 41
    assert sum(p.numel() for p in classifier.parameters()) == convolutions + perceptron
    assert classifier(torch.zeros(1, 16, 80, 56, 56)).shape == (1, 41)


@pytest.mark.parametrize("grid", [(1, 1), (7, 9), (8, 5)])
@pytest.mark.parametrize("frames", [1, 2, 5, 17, 40])
def test_a_classifier_fits_any_grid_and_any_number_of_frames(grid, frames):
    classifier = Classifier(3, 4, grid, ClassifierOptions(frames, 2, 5))
    assert classifier(torch.randn(2, frames, 3, *grid)).shape == (2, 4)


def test_it_is_built_again_from_what_a_checkpoint_says():
    model = make(classifier_options={"frames": 2, "channels": 3, "hidden": 4})
    again = build_model(model.kind, json.loads(json.dumps(model.spec.to_dict()))).double()
    assert isinstance(again, Recogniser)
    again.load_state_dict(model.state_dict())
    seen = random(1, 3, 2, *GRID)
    assert torch.equal(again.watch(seen)[1], model.watch(seen)[1])


@pytest.mark.parametrize(
    "options",
    [{"frames": 2}, {"channels": 5}, {"hidden": 3}],
    ids=lambda options: next(iter(options)),
)
def test_each_option_of_the_classifier_changes_the_scores(options):
    seen = random(1, 4, 2, *GRID)
    changed = make(classifier_options=SMALL["classifier_options"] | options)
    assert not torch.allclose(changed.watch(seen)[1], make().watch(seen)[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "none"}, "but classifier is none"),
        ({"classifier_options": {"frame": 2}}, r"classifier_options: .*did you mean frames\?"),
        ({"classifier_options": {"hidden": 0}}, "hidden 0 must be at least 1"),
        ({"noise_channels": 2}, "noise_channels makes members"),
        ({"head": "normal"}, "head normal makes members"),
    ],
)
def test_impossible_classifiers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_network_that_knows_no_classes_or_no_grid_is_refused():
    config = ForecasterConfig(**SMALL)
    with pytest.raises(ValueError, match="the data are labelled with none: choose a data"):
        make_network(config, Ports(2), GRID)
    with pytest.raises(ValueError, match=r"give grid=\(height, width\)"):
        make_network(config, Ports(2, classes=3), None)
    with pytest.raises(ValueError, match="the batch has no labels"):
        list(make().losses(Batch(batch().frames), settings()))


def test_under_autocast_every_gradient_is_a_number():
    """Of 3-D convolutions in bfloat16, gradients of weights that meet padding alone are not set."""
    torch.manual_seed(0)
    classifier = Classifier(8, 2, (4, 4), ClassifierOptions(4, 4, 8))
    features = torch.randn(4, 4, 8, 4, 4).movedim(2, -1).contiguous().movedim(-1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        scores = classifier(features.bfloat16())
    scores.sum().backward()
    assert scores.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in classifier.parameters())
