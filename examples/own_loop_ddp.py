"""The loop of own_loop.py in several processes: Fabric gives devices, precision and processes.

    python examples/own_loop_ddp.py 2

Each process learns from windows of its own and adds its gradients to those of the others (data
parallel). With GPUs there, each process has one. Fabric comes with framecast.
"""

import sys

import torch
from lightning_fabric import Fabric

from framecast import Forecaster, ForecasterConfig


def waves(fabric: Fabric, step: int, frames: int = 20, size: int = 16) -> torch.Tensor:
    """Waves that travel one cell a frame, [4,T,1,H,W]: other ones in each process and step."""
    random = torch.Generator().manual_seed(step * fabric.world_size + fabric.global_rank)
    t, x = torch.arange(frames)[:, None, None], torch.arange(size)
    phase = 6.283 * torch.rand(4, 1, 1, 1, generator=random)
    return (6.283 * (x - t) / size + phase).sin().expand(4, frames, size, size)[:, :, None]


def learn(processes: int, steps: int = 100) -> float:
    """Train a small network in so many processes; return the last loss."""
    fabric = Fabric(
        accelerator="auto",
        devices=processes,
        strategy="ddp" if processes > 1 else "auto",
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
    )
    fabric.launch()
    fabric.seed_everything(0, verbose=False)
    config = ForecasterConfig(layer="min_conv_lstm", depth=2, hidden=16, padding="circular")
    network = Forecaster(config, channels=1)
    network, optimiser = fabric.setup(network, torch.optim.AdamW(network.parameters(), lr=3e-3))
    for step in range(1, steps + 1):
        frames = fabric.to_device(waves(fabric, step))
        predictions, _ = network(frames[:, :-1])
        loss = (predictions.float() - frames[:, 1:]).square().mean()
        optimiser.zero_grad()
        fabric.backward(loss)
        fabric.clip_gradients(network, optimiser, max_norm=1.0)
        optimiser.step()
        if step % 25 == 0:
            mean = fabric.all_reduce(loss.detach(), reduce_op="mean")
            fabric.print(f"step {step}: {mean:.1e} over {fabric.world_size} processes")
    return loss.item()


if __name__ == "__main__":
    learn(int(sys.argv[1]))
