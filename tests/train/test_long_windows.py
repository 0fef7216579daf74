"""Long windows in little memory: the same gradients from chunks of time and recomputed layers."""

from weakref import finalize

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import close
from framecast.frames.batch import Batch
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.unroll import detach, draw_given, unroll
from framecast.runs.config import TrainingConfig
from framecast.train.step import make_training
from small import small_model, small_window

every_layer = pytest.mark.parametrize("layer", layer_names())


def accumulated(training, window):
    """Add the gradients of one batch, with the teacher forcing of its configuration."""
    batch = Batch(window)
    whole = training.model.weigh(batch)
    return training.accumulate(batch, whole, training.config.unrolling()).mean()


def learn(model, config, window):
    return accumulated(make_training(model, config), window)


def gradients(layer, window=None, dtype=torch.float64, **config):
    """Loss and gradients of one batch, in the closed loop's and the teacher's turns."""
    model = small_model(layer=layer).to(dtype)
    window = small_window(12).to(dtype) if window is None else window
    config = {"context": 4, "horizon": window.shape[1] - 4, "teacher_forcing": 0.6} | config
    torch.manual_seed(5)
    loss = learn(model, TrainingConfig(**config), window)
    return [loss, *(p.grad for p in model.parameters())]


@every_layer
@settings(max_examples=4)
@drawn(chunk=st.integers(1, 10), layers=st.booleans(), teacher_forcing=st.sampled_from([0.0, 0.6]))
def test_chunks_and_recomputed_layers_leave_the_gradients_alone(
    layer, chunk, layers, teacher_forcing
):
    whole = gradients(layer, teacher_forcing=teacher_forcing)
    other = {"chunk": chunk, "recompute_layers": layers, "teacher_forcing": teacher_forcing}
    for a, b in zip(gradients(layer, **other), whole, strict=True):
        close(a, b, 1e-11)


@every_layer
def test_truncation_cuts_the_gradient_between_chunks_and_not_the_state(layer):
    """The truncated gradient is that of two chunks, the second from a state that is given."""
    window = small_window(12)
    truncated = gradients(layer, window, chunk=6, truncate=True)
    exact = gradients(layer, window, chunk=6)
    close(truncated[0], exact[0], 1e-12)
    assert not torch.allclose(truncated[1], exact[1])

    model = small_model(layer=layer)
    torch.manual_seed(5)
    given = draw_given(3, 11, 4, 0.6)
    first, carry = unroll(model, window[:, :6], given[:, :6])
    carry = pytree.tree_map(lambda t: t.detach().clone(), carry)
    second, _ = unroll(model, window[:, 6:11], given[:, 6:], carry=carry)
    predictions = torch.cat([first, second], 1)
    torch.nn.functional.mse_loss(predictions, window[:, 1:]).backward()
    for a, b in zip(truncated[1:], model.parameters(), strict=True):
        close(a, b.grad, 1e-12)


@every_layer
@pytest.mark.parametrize(
    "keys", [{}, {"chunk": 4, "recompute_layers": True}, {"chunk": 4, "truncate": True}], ids=str
)
def test_every_way_trains_in_bfloat16(layer, keys):
    full = gradients(layer, dtype=torch.float32, **keys)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = gradients(layer, dtype=torch.float32, **keys)
    assert mixed[0].dtype == torch.float32
    close(mixed[0], full[0], 0.02)
    close(torch.cat([g.flatten() for g in mixed]), torch.cat([g.flatten() for g in full]), 0.1)


def test_dropout_is_the_same_when_it_is_computed_again():
    """The loss of the forward pass falls along the gradient that the backward pass finds."""
    model, window = small_model(), small_window(12)
    model.encoder.append(torch.nn.Dropout(0.5))
    config = TrainingConfig(context=4, horizon=8, chunk=3, recompute_layers=True)
    training, weight = make_training(model, config), model.decoder.weight

    def loss():
        torch.manual_seed(5)
        return accumulated(training, window).item()

    before = loss()
    gradient = weight.grad.clone()
    with torch.no_grad():
        weight -= 1e-6 * gradient
    assert (before - loss()) / 1e-6 == pytest.approx(gradient.square().sum().item(), rel=1e-4)


def test_states_are_detached_whatever_they_are_made_of():
    x = torch.ones(2, requires_grad=True)
    state = ((x * 1, (x * 2,)), x * 3)
    assert not any(t.requires_grad for t in pytree.tree_leaves(detach(state)))
    assert detach(state)[0][1][0].tolist() == [2, 2]


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, and the most there ever were."""

    def __init__(self):
        super().__init__()
        self.alive = self.peak = 0
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage):
        key = storage._cdata
        if key in self.seen:
            return
        self.seen.add(key)
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        finalize(storage, self._free, key, size)

    def _free(self, key, size):
        self.seen.discard(key)
        self.alive -= size


def peak(length, layer="conv_lstm", **keys):
    torch.manual_seed(0)
    model = Forecaster(ForecasterConfig(layer=layer, depth=3, hidden=8), 1)
    config = TrainingConfig(context=length, horizon=1, **keys)
    training = make_training(model, config)
    window = torch.randn(1, length + 1, 1, 16, 16)
    with PeakMemory() as memory:
        accumulated(training, window)
    return memory.peak


def test_memory_falls():
    whole = peak(48)
    assert peak(48, chunk=6) < whole / 4
    assert peak(48, chunk=6, truncate=True) < whole / 4
    assert peak(48, recompute_layers=True) < 0.6 * whole


@pytest.mark.parametrize("layer", ["conv_lstm", "min_conv_gru", "conv_s5"])
def test_a_chunk_leaves_its_last_state_only(layer):
    # A window of chunks twice as long adds states, inputs and predictions: little.
    assert peak(64, layer, chunk=8) < 1.25 * peak(32, layer, chunk=8)
