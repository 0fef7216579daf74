"""A GPU computes what the CPU does: ops, layers, a step of training of every kind of model.

Without one these tests are skipped. What is drawn at random differs between devices: where a loss
draws, it is only seen to be finite.
"""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

from conftest import close
from framecast.forecast.predictor import Predictor
from framecast.frames.batch import Batch, Conditions
from framecast.layers import layer_entry, layer_names
from framecast.models import Forecaster, ForecasterConfig
from framecast.models.tokeniser import Tokeniser
from framecast.models.tokeniser_config import TokeniserConfig, TokeniserSpec
from framecast.models.unroll import Unrolling
from framecast.models.world import World
from framecast.models.world_config import WorldConfig, WorldSpec
from framecast.ops import dispatch
from framecast.runs.checkpoint import load_checkpoint
from framecast.runs.config import TrainingConfig
from framecast.train.run import train
from framecast.train.step import make_training
from imagined import TOKENISER, WORLD
from small import experiment

sys.path.insert(0, str(Path(__file__).parent / "ops"))
from op_calls import PUBLIC, Call, Sizes

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuFFT"),  # a thread's first call of it
]
GPU = torch.device("cuda:0")
PYRAMID = {"widths": [4, 6], "groups": 2}
SIZES = Sizes(batch=2, time=7, channels=5, height=6, width=9, form=1)
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


@pytest.fixture(autouse=True)
def exact(unchecked_types):
    """No TF32, whose products have 11 bits; cuDNN and cuBLAS may choose what is not repeatable."""
    torch.use_deterministic_algorithms(False)
    libraries = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [library.allow_tf32 for library in libraries]
    for library in libraries:
        library.allow_tf32 = False
    yield
    for library, allowed in zip(libraries, before, strict=True):
        library.allow_tf32 = allowed


def run_call(call: Call, values: list, device: torch.device) -> list:
    """Outputs, and the gradients of all arguments."""
    leaves = [x.to(device).requires_grad_() for x in values]
    outputs = pytree.tree_leaves(call.run(*leaves))
    real = [x for x in outputs if x.requires_grad]
    gradients = torch.autograd.grad(real, leaves, [torch.ones_like(x) for x in real])
    return [x.detach().cpu() for x in (*outputs, *gradients)]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("form", [0, 1, 2])
@pytest.mark.parametrize("name", PUBLIC)
def test_an_op_and_its_gradients(name, form, dtype):
    call = PUBLIC[name](SIZES._replace(form=form))
    generator = torch.Generator().manual_seed(0)
    values = [
        largest * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
        for shape, largest in call.arguments.values()
    ]
    with dispatch.kernels("reference"):
        exact = run_call(call, values, torch.device("cpu"))
    for kernels in ("triton", "torch"):
        with dispatch.kernels(kernels):
            got = run_call(call, [x.to(dtype) for x in values], GPU)
        for a, b in zip(got, exact, strict=True):
            close(a, b, TOLERANCE[dtype])


def stepped(layer, frames):
    state, outputs = layer.state_for(frames, None), []
    for frame in frames.unbind(1):
        output, state = layer.step(frame, state)
        outputs.append(output)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("name", layer_names())
def test_a_layer_and_its_gradients(name):
    torch.manual_seed(0)
    own = layer_entry(name).layer(3, 5).double()
    there = copy.deepcopy(own).to(GPU)
    frames = torch.randn(2, 7, 3, 6, 9, dtype=torch.float64)
    close(stepped(there, frames.to(GPU)).cpu(), there(frames.to(GPU))[0].cpu(), 1e-9)
    for layer, device in ((own, torch.device("cpu")), (there, GPU)):
        layer(frames.to(device))[0].square().sum().backward()
    for a, b in zip(there.parameters(), own.parameters(), strict=True):
        close(a.grad.cpu(), b.grad, 1e-8)


def forecaster(layer="min_conv_gru", **options):
    config = ForecasterConfig(layer=layer, depth=2, hidden=6, **options)
    return Forecaster(config, 2, grid=(8, 8)), Batch(torch.randn(2, 7, 2, 8, 8))


def tokeniser():
    config = TokeniserConfig(**TOKENISER | {"revival": 0.5, "decay": 0.9})
    frames = torch.rand(4, 1, 3, 16, 16) * 2 - 1
    return Tokeniser(TokeniserSpec(config, channels=3, grid=(16, 16))), Batch(frames)


def world(layer="conv_s5", **options):
    spec = TokeniserSpec(TokeniserConfig(**TOKENISER), channels=3, grid=(16, 16))
    config = WorldConfig(tokeniser="run", **WORLD | options)
    memory = ForecasterConfig(layer=layer, depth=1, hidden=8, norm="channel")
    actions = torch.eye(3)[torch.randint(3, (2, 6))]
    codes = torch.randint(16, (2, 6, 1, 8, 8)).float()
    return World(WorldSpec(config, memory, spec, "", 3)), Batch(codes, actions=actions)


MODELS = {
    **{name: (lambda name=name: forecaster(name)) for name in layer_names()},
    "crps": lambda: forecaster(noise_channels=1),
    "sphere": lambda: forecaster(padding="sphere"),
    "pyramid": lambda: forecaster(
        encoder="pyramid", encoder_options={"widths": [4, 6], "groups": 2}
    ),
    "tokeniser": tokeniser,
    **{f"world, {n}": (lambda n=n: world(n)) for n in ("conv_s5", "conv_lstm", "transformer")},
}


@pytest.mark.parametrize("name", MODELS)
def test_steps_of_training(name):
    torch.manual_seed(0)
    model, batch = MODELS[name]()
    context, horizon = (1, 0) if name == "tokeniser" else (4, 3)
    drawn = {"loss": "crps", "members": 2} if name == "crps" else {}
    config = TrainingConfig(context=context, horizon=horizon, precision=32, **drawn)
    losses = {}
    for device in (torch.device("cpu"), GPU):
        training = make_training(copy.deepcopy(model), config, device=device)
        course = Unrolling(context=context, **drawn)
        steps = [training.learn((batch,), 0, step, course) for step in range(3)]
        losses[device] = torch.stack([step.sums.float().cpu().sum() for step in steps])
        assert losses[device].isfinite().all()
    if name in layer_names() or name in ("sphere", "pyramid"):
        close(losses[GPU], losses[torch.device("cpu")], 1e-3)


def test_a_run_on_a_gpu_is_a_run_anywhere(tmp_path):
    run = train(experiment(tmp_path), tmp_path / "run", device="cuda")
    frames = torch.from_numpy(np.load(tmp_path / "waves.npy"))[:2, :6]
    made = []
    for device in ("cpu", "cuda"):
        predictor = Predictor(load_checkpoint(run), device)
        predictions, progress = predictor.given(Batch(frames), Conditions())
        ahead = predictor.ahead(iter([Conditions()] * 5), progress)
        made.append(torch.stack([predictions[:, -1], *(frame for frame, _ in ahead)]))
    close(made[1], made[0], 1e-4)
