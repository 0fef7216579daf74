"""A training loop of one's own around a network of framecast, with mixed precision and compile.

    python examples/own_loop.py

Where `framecast train` does not do what a study needs, its parts can be used one by one: the
network maps given frames to the frames that follow them, and a closed loop feeds its own forecast
back.
"""

import torch

from framecast import Forecaster, ForecasterConfig


def batches(count: int, frames: int = 20, size: int = 16):
    """Waves that travel one cell a frame, [8,T,1,H,W]."""
    random = torch.Generator().manual_seed(0)
    t, x = torch.arange(frames)[:, None, None], torch.arange(size)
    for _ in range(count):
        phase = 6.283 * torch.rand(8, 1, 1, 1, generator=random)
        yield (6.283 * (x - t) / size + phase).sin().expand(8, frames, size, size)[:, :, None]


def learn(steps: int = 200, device: str = "cpu", compiled: bool = False) -> Forecaster:
    """Train a small network; return it."""
    torch.manual_seed(0)
    config = ForecasterConfig(layer="min_conv_lstm", depth=2, hidden=16, padding="circular")
    network = Forecaster(config, channels=1).to(device)
    predict = torch.compile(network) if compiled else network
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step, frames in enumerate(batches(steps), start=1):
        frames = frames.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            predictions, _ = predict(frames[:, :-1])
            loss = (predictions.float() - frames[:, 1:]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step}: {loss.item():.4f}")
    return network


@torch.no_grad()
def forecast(network: Forecaster, given: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the frames that follow given ones [B,T,1,H,W], in a closed loop."""
    predictions, state = network(given)
    leads = [predictions[:, -1]]
    for _ in range(steps - 1):
        frame, state = network.step(leads[-1], state)
        leads.append(frame)
    return torch.stack(leads, dim=1)


if __name__ == "__main__":
    trained = learn()
    truth = next(iter(batches(1)))
    error = forecast(trained, truth[:, :10], 10) - truth[:, 10:]
    print("RMSE by lead time:", error.square().mean((0, 2, 3, 4)).sqrt().numpy().round(3))
