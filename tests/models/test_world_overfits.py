"""A world model learns eight episodes by heart, and goes on in each as it went."""

import pytest
import torch
from test_world import COURSE, make

from framecast.frames.batch import Batch

EPISODES, LENGTH, GIVEN, STEPS = 8, 8, 2, 800
WIDE = {"latent": 16, "latent_codes": 32, "prior_width": 64, "prior_hidden": 128}
"""So wide that several seeds learned it all, with room: other processors round differently."""


def bars():
    """A bar moves to the left or right, as it is told, before a wall that each episode has."""
    random = torch.Generator().manual_seed(1)
    right = torch.randint(2, (EPISODES, LENGTH), generator=random)
    moves = torch.cat([torch.zeros(EPISODES, 1, dtype=torch.long), 2 * right[:, :-1] - 1], dim=1)
    places = (torch.arange(EPISODES)[:, None] + moves.cumsum(1)) % 8
    walls = torch.arange(EPISODES)[:, None, None, None]
    codes = torch.where(torch.arange(8) == places[..., None, None], 9, walls)
    return codes.expand(-1, -1, 8, -1).contiguous(), torch.eye(3)[right]


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv_s5", "conv_lstm"])
def test_eight_episodes_are_learned_by_heart(layer):
    torch.manual_seed(0)
    everything = {"drop_loss": 0.0, "drop_actions": 0.0, "label_smoothing": 0.0}
    model = make(layer, memory={"hidden": 16}, **everything, **WIDE)
    codes, actions = bars()
    data = Batch(codes[:, :, None].float(), actions=actions)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, STEPS)
    for _ in range(STEPS):
        optimiser.zero_grad()
        sum(part.mean() for part in model.losses(data, COURSE)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
    sources = [torch.Generator().manual_seed(n) for n in range(EPISODES)]
    with torch.no_grad():
        memory = model.observe(codes[:, :GIVEN], actions)
        for t in range(GIVEN, LENGTH):
            drawn, memory = model.imagine(memory, actions[:, t - 1], sources)
            # The walls alone are seven cells of eight.
            assert (drawn == codes[:, t]).float().mean() > 0.95, t
