"""Exported programs forecast what the trained model does, with all that it reads within."""

import numpy as np
import pytest
import torch

from framecast.export.graph import entries_of
from framecast.export.manifest import PREFIX, outputs_of
from framecast.export.program import make_program, suits_any_grid
from framecast.layers import layer_names
from globe import (
    CONTEXT,
    LENGTH,
    STEPS,
    all_roles,
    beside,
    checkpoint_of,
    expected,
    frames_of,
)


def driven(checkpoint, frames):
    """The same frames from the two programs, in a closed loop as another program would run it."""
    context = make_program(checkpoint, False, CONTEXT)
    step = make_program(checkpoint, suits_any_grid(checkpoint))
    read = [frames.names.index(c.name) for c in checkpoint.frames.of_role("prognostic")]
    given = {"frames": frames.values[:, :CONTEXT, read]}
    given |= beside(checkpoint, frames, 0, CONTEXT)
    predictions = []
    for lead in range(STEPS):
        program = step if lead else context
        returned = program(*(given[entry.name] for entry in entries_of(program)))
        found = dict(zip(outputs_of(program), returned, strict=True))
        predictions.append(found["prediction"])
        state = {n.removeprefix(PREFIX): v for n, v in found.items() if n.startswith(PREFIX)}
        now = CONTEXT + lead
        given = state | {"frame": found["prediction"][:, : len(read)]}
        given |= beside(checkpoint, frames, now, now + 1) if now + 1 < LENGTH else {}
        if "actions" in given:
            given["actions"] = given["actions"][:, 0]
    return torch.stack(predictions, dim=1)


@pytest.mark.parametrize("layer", layer_names())
def test_two_programs_forecast_what_the_model_does(layer):
    frames = frames_of(["u", "v"])
    checkpoint = checkpoint_of(frames, layer=layer)
    torch.testing.assert_close(driven(checkpoint, frames), expected(checkpoint, frames))


@pytest.mark.parametrize("model", [
    {"padding": "sphere", "encoder": "pointwise"},
    {"padding": "circular", "norm": "grid"},
    {"patch": 2, "predicts": "change"},
    {"encoder": "strided", "encoder_options": {"widths": [3, 4]}},
    {"head": "normal"},
    {"layer": "conv_ssm", "options": {"mixing": "dense"}},
])  # fmt: skip
def test_whatever_the_network_is_built_of(model):
    frames = frames_of(["u", "v"])
    checkpoint = checkpoint_of(frames, **model)
    torch.testing.assert_close(driven(checkpoint, frames), expected(checkpoint, frames))


def test_gaps_are_filled_and_flagged_within():
    frames = frames_of(["u", "v"], gaps=True)
    checkpoint = checkpoint_of(frames, {"flagged": ("u", "v")})
    wanted = expected(checkpoint, frames)
    assert wanted[:, :, 0, 2, 3].isnan().all()
    assert not suits_any_grid(checkpoint)
    torch.testing.assert_close(driven(checkpoint, frames), wanted, equal_nan=True)


def test_roles_bounds_actions_and_derived_fields_are_within():
    frames, checkpoint = all_roles()
    wanted = expected(checkpoint, frames)
    assert wanted[:, :, 2].nan_to_num(9.9).min() == np.float32(9.9)
    torch.testing.assert_close(driven(checkpoint, frames), wanted, equal_nan=True)
