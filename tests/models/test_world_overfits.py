"""A world model learns eight episodes by heart, and goes on in each as it went."""

import pytest
import torch
from test_world import COURSE, make

from framecast.frames.batch import Batch

EPISODES, LENGTH, GIVEN = 8, 8, 2


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["conv_s5", "conv_lstm"])
def test_eight_episodes_are_learned_by_heart(layer):
    torch.manual_seed(0)
    model = make(layer, drop_loss=0.0, drop_actions=0.0, label_smoothing=0.0)
    random = torch.Generator().manual_seed(1)
    codes = torch.randint(10, (EPISODES, LENGTH, 8, 8), generator=random)
    actions = torch.eye(3)[torch.randint(3, (EPISODES, LENGTH), generator=random)]
    data = Batch(codes[:, :, None].float(), actions=actions)
    steps = 1500
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        sum(part.mean() for part in model.losses(data, COURSE)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
    sources = [torch.Generator().manual_seed(n) for n in range(EPISODES)]
    right = []
    with torch.no_grad():
        memory = model.observe(codes[:, :GIVEN], actions)
        for t in range(GIVEN, LENGTH):
            drawn, memory = model.imagine(memory, actions[:, t - 1], sources)
            right.append((drawn == codes[:, t]).float().mean().item())
    # By chance a tenth of the codes would be right.
    assert min(right) > 0.9, right
