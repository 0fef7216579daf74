"""Noise is a value that is passed in: what reads it differs by nothing else."""

from dataclasses import replace

import pytest
import torch

from conftest import close
from framecast.frames.batch import Batch, Conditions
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.codecs.codec import coarsen_noise
from framecast.models.cost import multiplications
from framecast.models.spec import Ports
from framecast.models.unroll import Unrolling, draw_given, unroll
from framecast.runs.config import TrainingConfig
from framecast.train.step import make_training
from small import small_window

PYRAMID = {"encoder": "pyramid", "encoder_options": {"widths": [4, 6], "groups": 2}}
NETWORKS = [
    *({"layer": name} for name in layer_names()),
    {"norm": "channel"},
    {"norm": "grid"},
    {"norm": "none"},
    {"norm_position": "pre"},
    {"patch": 2},
    PYRAMID,
    {"stack": "plain", "encoder": "none"},
    {"stack": "skip", "depth": 4},
    {"stack_options": {"last_residual": False}},
    {"predicts": "change"},
]
every_network = pytest.mark.parametrize("network", NETWORKS, ids=str)


def make(network, noise=2):
    torch.manual_seed(0)
    config = ForecasterConfig(**{"depth": 2, "hidden": 4, "noise_channels": noise} | network)
    model = Forecaster(config, 2, grid=(5, 6)).double()
    for name, weight in model.named_parameters():
        if "modulation" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def noise_for(inputs, channels=2):
    batch, steps, _, *grid = inputs.shape
    return Conditions(noise=torch.randn(batch, steps, channels, *grid, dtype=inputs.dtype))


@every_network
def test_steps_equal_a_pass_under_the_same_noise(network):
    model, frames = make(network), small_window(6)
    conditions = noise_for(frames)
    expected, state = model(frames[:, :2], None, conditions.between(0, 2))
    whole, _ = model(frames, None, conditions)
    close(expected, whole[:, :2], 1e-12)
    for t in range(2, 6):
        prediction, state = model.step(frames[:, t], state, conditions.at(t))
        close(prediction, whole[:, t], 1e-11)


@every_network
def test_other_noise_gives_another_member_and_the_same_noise_the_same(network):
    model, frames = make(network), small_window(4)
    one, other = noise_for(frames), noise_for(frames)
    assert torch.equal(model(frames, None, one)[0], model(frames, None, one)[0])
    assert not torch.allclose(model(frames, None, one)[0], model(frames, None, other)[0])


@every_network
def test_noise_of_a_step_changes_no_earlier_prediction(network):
    model, frames = make(network), small_window(5)
    conditions = noise_for(frames)
    before = model(frames, None, conditions)[0]
    conditions.noise[:, 3] += 1
    after = model(frames, None, conditions)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_norms_start_without_noise_and_are_conditioned_by_it():
    torch.manual_seed(0)
    config = ForecasterConfig(depth=1, hidden=3, noise_channels=2)
    norm = Forecaster(config, 2).double().recurrences.norms[0]
    x, noise = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 2, 4, 5).double()
    close(norm(x, noise=noise), norm.normalise(x), 1e-15)
    with torch.no_grad():
        norm.modulation.weight.normal_()
    scale, shift = torch.einsum("oi,bihw->bohw", norm.modulation.weight[..., 0, 0], noise).split(
        3, 1
    )
    close(norm(x, noise=noise), (1 + scale) * norm.normalise(x) + shift, 1e-12)


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_noise_keeps_its_variance_on_a_coarser_grid(cells):
    coarse = coarsen_noise(torch.randn(20000, 1, 5, 7), cells)
    assert coarse.shape[-2:] == (-(-5 // cells), -(-7 // cells))
    close(coarse.var(0), torch.ones_like(coarse[0]), 0.06)


@pytest.mark.parametrize(
    ("noise", "given", "message"),
    [(2, None, "reads 2 channels of noise, but 0"), (0, 2, "reads 0 channels of noise, but 2")],
)
def test_noise_that_is_missing_or_not_read_is_refused(noise, given, message):
    model, frames = make({}, noise), small_window(3)
    conditions = Conditions() if given is None else noise_for(frames, given)
    with pytest.raises(ValueError, match=message):
        model(frames, None, conditions)


def test_the_closed_loop_reads_the_noise_of_each_step():
    model, frames = make({}), small_window(7)
    conditions, given = noise_for(frames), draw_given(3, 7, 3, 0.0)
    predictions, _ = unroll(model, frames, given, conditions)
    first, state = model(frames[:, :1], None, conditions.between(0, 1))
    frame = first[:, 0]
    for t in range(1, 7):
        frame, state = model.step(frames[:, t] if t < 3 else frame, state, conditions.at(t))
        close(predictions[:, t], frame, 1e-11)


def losses_and_gradients(layer="min_conv_gru", members=3, **keys):
    model = make({"layer": layer})
    plan = {"context": 4, "horizon": 4, "loss": "crps", "members": members}
    training = make_training(model, TrainingConfig(**plan | keys))
    batch = Batch(small_window(8))
    torch.manual_seed(5)
    forcing = training.config.teacher_forcing
    loss = training.accumulate(batch, model.weigh(batch), training.config.unrolling(forcing)).mean()
    return [loss, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("layer", layer_names())
@pytest.mark.parametrize("keys", [{"chunk": 3}, {"recompute_layers": True}], ids=str)
def test_chunks_and_recomputed_layers_leave_the_gradients_alone(layer, keys):
    keys |= {"spectral_weight": 0.5, "teacher_forcing": 0.5}
    whole = losses_and_gradients(layer, spectral_weight=0.5, teacher_forcing=0.5)
    for a, b in zip(losses_and_gradients(layer, **keys), whole, strict=True):
        close(a, b, 1e-10)


def test_truncation_changes_gradients_and_not_the_loss():
    whole, truncated = losses_and_gradients(), losses_and_gradients(chunk=4, truncate=True)
    close(truncated[0], whole[0], 1e-12)
    assert not torch.allclose(truncated[1], whole[1])


@pytest.mark.parametrize("teacher_forcing", [0.0, 0.5])
def test_members_are_forecasts_of_the_same_window(teacher_forcing):
    """With noise that no weight reads, the CRPS of members that are all alike is their error."""
    torch.manual_seed(0)
    config = ForecasterConfig(depth=2, hidden=4, noise_channels=2)
    ports = Ports(prognostic=2, conditions=3, flags=(1,), actions=3)
    model = Forecaster(config, ports).double()
    with torch.no_grad():
        model.encoder[0].weight[:, -2:] = 0
    frames = small_window(8)
    batch = Batch(
        frames,
        mask=torch.rand(frames.shape) < 0.7,
        forcings=torch.randn(3, 8, 1, 5, 6, dtype=torch.float64),
        static=torch.randn(1, 5, 6, dtype=torch.float64),
        actions=torch.randn(3, 8, 3, dtype=torch.float64),
    )
    unrolling = Unrolling(context=4, loss="l1", teacher_forcing=teacher_forcing)
    torch.manual_seed(7)
    (error,) = model.losses(batch, unrolling)
    torch.manual_seed(7)
    (crps,) = model.losses(batch, replace(unrolling, loss="crps", members=3))
    close(crps.sums, error.sums, 1e-12)
    assert torch.equal(crps.weights, error.weights)


def test_the_cost_of_a_frame_counts_what_reads_noise():
    assert multiplications(make({}), 5, 6) > multiplications(make({}, noise=0), 5, 6)
