"""Devices: every tensor of a batch moves, shown without a GPU to try it on.

Under FakeTensorMode tensors have shapes, types and devices, but no values: an operation between
two devices fails as it would on a GPU. The backward pass cannot be run so.
"""

import dataclasses

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from framecast import load_checkpoint
from framecast.base.errors import UserError
from framecast.forecast import predictor as predicting
from framecast.frames.batch import Batch, Conditions, Limits
from framecast.layers import layer_names
from framecast.models import Forecaster, ForecasterConfig, unroll
from framecast.models.spec import Ports
from framecast.models.unroll import Unrolling
from framecast.runs.device import choose_device
from small import travelling_wave, untrained_run

CUDA = torch.device("cuda:0")
PORTS = Ports(prognostic=2, diagnostic=1, conditions=3, flags=(0,), actions=2)


# These two methods ask for a guard of the device, which a build without CUDA lacks; ops do not.


def contiguous(self, memory_format=torch.contiguous_format):
    return torch.ops.aten.contiguous.default(self, memory_format=memory_format)


def getitem(self, key):
    """Numbers, slices, None and ... in brackets, by ops."""
    keys = key if isinstance(key, tuple) else (key,)
    if ... in keys:
        place = keys.index(...)
        missing = self.ndim - sum(k is not None for k in keys) + 1
        keys = (*keys[:place], *[slice(None)] * missing, *keys[place + 1 :])
    result, dim = self, 0
    for k in keys:
        if isinstance(k, int):
            result = result.select(dim, k)
            continue
        if k is None:
            result = result.unsqueeze(dim)
        elif k != slice(None):
            result = torch.ops.aten.slice.Tensor(result, dim, k.start, k.stop, k.step or 1)
        dim += 1
    return result


@pytest.fixture
def fake(monkeypatch, unchecked_types):
    """A mode without values, in which the closed loop begins with the fourth input."""
    torch.utils.deterministic.fill_uninitialized_memory = False
    monkeypatch.setattr(torch.Tensor, "contiguous", contiguous)
    monkeypatch.setattr(torch.Tensor, "__getitem__", getitem)
    monkeypatch.setattr(unroll, "own_steps", lambda given: list(range(3, given.shape[1])))
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def on_cuda(model, mode):
    """Put the weights of a network, which have values, onto a device without any."""
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    moved = mode.from_tensor(tensor.detach()).to(CUDA)
                    tensors[name] = torch.nn.Parameter(moved, requires_grad=False)
    return model


@pytest.fixture(params=layer_names())
def network(request):
    """A network with values; made before the mode is entered."""
    torch.manual_seed(0)
    return Forecaster(ForecasterConfig(layer=request.param, depth=2, hidden=4), PORTS)


@pytest.fixture
def checkpoint(tmp_path):
    np.save(tmp_path / "waves.npy", travelling_wave(2, 16))
    (tmp_path / "run").mkdir()
    return load_checkpoint(untrained_run(tmp_path / "run", tmp_path / "waves.npy"))


def batch_of(length=6):
    shape = (2, length, 3, 8, 8)
    return Batch(
        frames=torch.randn(shape),
        mask=torch.ones(shape, dtype=torch.bool),
        forcings=torch.randn(2, length, 1, 8, 8),
        static=torch.randn(1, 8, 8),
        actions=torch.randn(2, length, 2),
        limits=Limits(
            torch.zeros(3, 1, 1), torch.ones(3, 1, 1), torch.ones(3, 8, 8, dtype=torch.bool)
        ),
        area=torch.ones(8, 8),
    )


def test_a_pass_a_loss_and_a_step_stay_on_the_device(network, fake):
    model = on_cuda(network, fake)
    batch = batch_of().to(CUDA)
    read = model.read(batch.frames, batch.mask)[:, :-1]
    predictions, state = model(read, None, batch.conditions())
    assert predictions.device.type == "cuda"
    for unrolling in (Unrolling(context=3, noise=0.1), Unrolling(context=3)):
        (part,) = model.losses(batch, unrolling)
        assert part.mean(torch.ones(3, device=CUDA), model.weigh(batch)).device.type == "cuda"
    frame, _ = model.step(
        model.feed_back(predictions[:, -1], batch.limits), state, batch.conditions().at(0)
    )
    assert frame.device.type == "cuda"


def test_a_predictor_takes_batches_from_the_cpu_and_gives_frames_back(
    checkpoint, monkeypatch, fake
):
    monkeypatch.setattr(predicting, "choose_device", torch.device)
    monkeypatch.setattr(Forecaster, "to", lambda self, device: on_cuda(self, fake))
    predictor = predicting.Predictor(checkpoint, "cuda:0")
    batch = Batch(torch.randn(2, 4, 1, 8, 8), limits=Limits(possible=torch.ones(1, 8, 8) > 0))
    predictions, progress = predictor.given(batch, Conditions())
    assert progress.carry.frame.device.type == "cuda"
    frames = [frame for frame, _ in predictor.ahead(iter([Conditions()] * 2), progress)]
    assert {tensor.device.type for tensor in (predictions, *frames)} == {"cpu"}
    error = torch.stack(frames, 1) - torch.zeros(2, 2, 1, 8, 8)  # the truth is on the CPU
    assert error.device.type == "cpu"


def test_every_field_of_a_batch_is_moved():
    batch = batch_of().to("meta")
    for field in dataclasses.fields(Batch):
        value = getattr(batch, field.name)
        for tensor in value if isinstance(value, Limits) else [value]:
            assert not isinstance(tensor, torch.Tensor) or tensor.is_meta, field.name


def test_float32_is_not_rounded_to_tf32():
    torch.backends.cudnn.allow_tf32 = True
    choose_device("cpu")
    assert not torch.backends.cudnn.allow_tf32


def test_a_device_that_is_not_here_is_named():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="--device gpu is no device: auto, cpu"):
        choose_device("gpu")
    if not torch.cuda.is_available():
        assert choose_device() == torch.device("cpu")
        with pytest.raises(UserError, match="--device cuda is not here"):
            choose_device("cuda")
