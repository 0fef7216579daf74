"""World models: the same step by step, a prior that draws what it says, and the published sizes."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from framecast.base.errors import UserError
from framecast.frames.batch import Batch
from framecast.models.config import ForecasterConfig
from framecast.models.model import build_model
from framecast.models.prior import Passes, SpatialPrior, draw_hidden, hidden_count
from framecast.models.size import weight_shapes
from framecast.models.tokeniser_config import TokeniserConfig, TokeniserSpec
from framecast.models.unroll import Unrolling
from framecast.models.world import World
from framecast.models.world_config import WorldConfig, WorldSpec
from framecast.models.world_losses import ABSENT, draw_frames, keep_back
from imagined import TOKENISER, WORLD

COURSE = Unrolling(context=1)
CODES = TokeniserSpec(TokeniserConfig(**TOKENISER | {"codes": 10}), channels=3, grid=(16, 16))
SMALL = WORLD | {"prior_layers": 2}
PLAIN = {"kind": "plain", "widths": [8, 16], "decoder_blocks": 1, "action_channels": 3}
LAYERS = ["conv_s5", "conv_lstm", "transformer", "min_conv_gru"]
ONE_TOKEN = {"latent": 4, "plain": 8}
"""Side of the grid that the memory runs over, by kind: as a patch, it makes a frame one token."""


def make(layer="conv_s5", actions=3, memory=None, **settings):
    network = {"depth": 2, "hidden": 8, "norm": "channel"} | (memory or {})
    config = {"tokeniser": "run"} | (PLAIN if settings.get("kind") == "plain" else SMALL) | settings
    parts = WorldConfig(**config), ForecasterConfig(layer=layer, **network), CODES
    model = World(WorldSpec(*parts, "", actions))
    model.spec = replace(model.spec, fingerprint=model.tokeniser.fingerprint())
    return model


def batch(count=2, length=7, actions=3, seed=0):
    random = torch.Generator().manual_seed(seed)
    codes = torch.randint(10, (count, length, 1, 8, 8), generator=random).float()
    done = torch.eye(actions)[torch.randint(actions, (count, length), generator=random)]
    return Batch(codes, actions=done)


def loss_of(model, data, seed=0):
    torch.manual_seed(seed)
    return sum(part.mean() for part in model.losses(data, COURSE))


class TestSteps:
    @pytest.mark.parametrize("kind", ["latent", "plain"])
    @pytest.mark.parametrize("layer", LAYERS)
    def test_one_pass_is_as_many_steps(self, layer, kind):
        self.check_steps(make(layer, kind=kind).eval())

    @pytest.mark.parametrize("kind", ["latent", "plain"])
    @pytest.mark.parametrize("layer", ["conv_s5", "transformer"])
    def test_one_pass_over_tokens_is_as_many_steps(self, layer, kind):
        memory = {"kernel": 1}
        self.check_steps(make(layer, memory=memory, kind=kind, patch=2).eval())
        self.check_steps(make(layer, memory=memory, kind=kind, patch=ONE_TOKEN[kind]).eval())

    def check_steps(self, model):
        data = batch()
        codes, actions = data.frames[:, :, 0].long(), data.actions
        with torch.no_grad():
            inputs = model.see(codes).inputs
            told, state = model.told(inputs, actions)
            stepped, own = [], None
            for t in range(inputs.shape[1]):
                one, own = model.told(inputs[:, t : t + 1], actions[:, t : t + 1], own, first=t)
                stepped.append(one)
        torch.testing.assert_close(torch.cat(stepped, dim=1), told, rtol=1e-4, atol=1e-5)
        memory = model.observe(codes, actions)
        again = model.observe(codes[:, :4], actions[:, :4])
        for t in range(3, 6):
            joined = model._joined(again.latest[:, None], actions[:, t : t + 1], None, t)[:, 0]
            _, state = model.memory.step(joined, again.state)
            again = again._replace(state=state, latest=inputs[:, t + 1])
        torch.testing.assert_close(again.latest, memory.latest)
        for ours, theirs in zip(leaves(again.state), leaves(memory.state), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("kind", ["latent", "plain"])
    def test_frames_that_are_kept_back_are_so_in_steps_too(self, kind):
        self.check_steps(make(kind=kind, inputs=2).eval())

    @pytest.mark.parametrize("told", [True, False])
    def test_drawn_frames_are_kept_back_as_in_training(self, told):
        model, data = make(inputs=3).eval(), batch()
        codes, actions = data.frames[:, :, 0].long(), data.actions
        memory = model.observe(codes[:, :3], actions[:, :2])
        other = memory._replace(latest=memory.latest + 1, frames=memory.frames + 1)
        own = memory._replace(frames=memory.frames + 1)
        action = actions[:, 2] if told else None
        drawn = [
            model.imagine(m, action, torch.Generator().manual_seed(0))[1] for m in (own, other)
        ]
        alike = all(map(torch.equal, leaves(drawn[0].state), leaves(drawn[1].state)))
        assert alike is told
        assert drawn[0].frames == 5

    @pytest.mark.parametrize("kind", ["latent", "plain"])
    def test_what_comes_later_changes_nothing_before(self, kind):
        model, data = make(kind=kind).eval(), batch()
        codes, actions = data.frames[:, :, 0].long(), data.actions.clone()
        first, _ = model.told(model.see(codes).inputs, actions)
        later = codes.clone()
        later[:, 4:] = (later[:, 4:] + 1) % 10
        actions[:, 4:] = actions[:, 4:].roll(1, -1)
        second, _ = model.told(model.see(later).inputs, actions)
        torch.testing.assert_close(second[:, :4], first[:, :4])
        assert not torch.allclose(second[:, 4], first[:, 4])

    @pytest.mark.parametrize("kind", ["latent", "plain"])
    def test_the_next_frame_follows_from_seed_and_action(self, kind):
        model, data = make(kind=kind).eval(), batch()
        codes, actions = data.frames[:, :, 0].long(), data.actions
        memory = model.observe(codes, actions)

        def imagined(seed, action, steps=3):
            own, random, drawn = memory, torch.Generator().manual_seed(seed), []
            for _ in range(steps):
                frame, own = model.imagine(own, action, random)
                drawn.append(frame)
            return torch.stack(drawn, dim=1)

        left, right = torch.eye(3)[[0, 0]], torch.eye(3)[[1, 1]]
        first = imagined(1, left)
        assert first.shape == (2, 3, 8, 8)
        assert first.min() >= 0
        assert first.max() < 10
        assert torch.equal(imagined(1, left), first)
        assert not torch.equal(imagined(2, left), first)
        ahead = [
            model.told(memory.latest[:, None], action[:, None], memory.state)[0]
            for action in (left, right)
        ]
        assert not torch.allclose(*ahead)

    def test_a_frame_of_one_token_is_remembered_in_one_cell(self):
        model = make(memory={"kernel": 1}, patch=4).eval()
        memory = model.observe(batch().frames[:, :, 0].long(), batch().actions)
        assert all(leaf.shape[-2:] == (1, 1) for leaf in leaves(memory.state))
        drawn, _ = model.imagine(memory, None, torch.Generator().manual_seed(0))
        assert drawn.shape == (2, 8, 8)

    def test_patches_that_do_not_fill_the_grid_are_refused(self):
        with pytest.raises(ValueError, match=r"world.patch 3 must divide 4×4 cells"):
            make(patch=3)

    @pytest.mark.parametrize("patch", [1, 2])
    def test_a_model_is_built_again_from_its_spec(self, patch):
        model = make(patch=patch).eval()
        again = build_model("world", model.spec.to_dict()).eval()
        again.load_state_dict(model.state_dict())
        codes = batch().frames[:, :, 0].long()
        assert torch.equal(again.observe(codes).latest, model.observe(codes).latest)


def leaves(state):
    return torch.utils._pytree.tree_leaves(state)


class TestLoss:
    @pytest.mark.parametrize(("kind", "patch"), [("latent", 1), ("latent", 2), ("plain", 1)])
    def test_every_weight_learns_but_those_of_the_tokeniser(self, kind, patch):
        model = make(kind=kind, patch=patch, drop_loss=0.0).train()
        loss_of(model, batch(4)).backward()
        for name, weight in model.named_parameters():
            if name.startswith("tokeniser."):
                assert weight.grad is None
            else:
                assert weight.grad.isfinite().all(), name
                assert weight.grad.abs().sum() > 0, name

    def test_the_parts_are_those_of_the_formulas(self):
        model, data = (
            make(drop_loss=0.0, label_smoothing=0.0, drop_actions=0.0).train(),
            batch(1, 3),
        )
        codes = data.frames[:, :, 0].long()
        seen = model.see(codes)
        torch.manual_seed(5)
        parts = model._parts(seen, codes, data.actions)
        torch.manual_seed(5)
        torch.rand(1)  # whether actions are kept
        chosen = torch.randint(2, (2,))
        told, _ = model.told(seen.inputs[:, :-1], data.actions[:, :-1])
        total = 0.0
        for t in chosen.tolist():
            scores = model.decoder(torch.cat([told[:, t], seen.latents[:, t + 1]], dim=1))
            shares = scores.log_softmax(1)[0]
            target = codes[0, t + 1]
            for row, column in itertools.product(range(8), repeat=2):
                total -= shares[target[row, column], row, column].item() / 2
        assert parts[0].item() == pytest.approx(total, rel=1e-4)
        drawn = seen.quantised.codes[:, 1:][:, chosen].flatten(0, 1)
        entropies, hidden = model.prior.entropies(drawn, told[:, chosen].flatten(0, 1))
        expected = 16 * entropies[hidden].sum() / hidden.sum()
        torch.testing.assert_close(parts[1], expected)
        narrowed = model.narrow(features_of(model, codes))
        p = narrowed / narrowed.norm(dim=-1, keepdim=True)
        u = model.codebook.vectors_of(seen.quantised.codes)
        torch.testing.assert_close(parts[2], 1.25 * (0.5 * (p - u).square()).mean())

    def test_a_share_of_the_frames_is_scored(self):
        assert draw_frames(299, 1 - 0.9).shape == (29,)
        assert draw_frames(3, 1 - 0.9).shape == (1,)
        assert draw_frames(7, 1.0).shape == (7,)
        drawn = torch.cat([draw_frames(5, 1 - 0.9) for _ in range(200)])
        assert drawn.unique().tolist() == [0, 1, 2, 3, 4]

    def test_actions_are_hidden_in_training_alone(self):
        data = batch(1)
        other = Batch(data.frames, actions=data.actions.roll(1, -1))
        hidden = make(drop_actions=1.0).train()
        assert loss_of(hidden, data) == loss_of(hidden, other)
        shown = make(drop_actions=0.0).train()
        assert loss_of(shown, data) != loss_of(shown, other)
        hidden.eval()
        assert loss_of(hidden, data) != loss_of(hidden, other)

    def test_later_frames_are_kept_back_where_actions_are_told(self):
        data = batch(2)
        inputs = make().see(data.frames[:, :, 0].long()).inputs
        told = torch.tensor([True, False])[:, None].expand(-1, inputs.shape[1])
        read = keep_back(inputs, told, 0, 4)
        assert (read[0, 4:] == ABSENT).all()
        assert torch.equal(read[0, :4], inputs[0, :4])
        assert torch.equal(read[1], inputs[1])
        assert torch.equal(keep_back(inputs[:, 3:], told[:, 3:], 3, 4), read[:, 3:])
        assert torch.equal(keep_back(inputs, told, 0, None), inputs)

    def test_without_actions_all_frames_are_scored(self):
        codes, losses = batch().frames, []
        for limit in (None, 2):
            torch.manual_seed(0)
            losses.append(loss_of(make(inputs=limit).eval(), Batch(codes)))
        assert losses[0] == losses[1]

    @pytest.mark.parametrize(
        "settings", [{"label_smoothing": 0.2}, {"drop_loss": 0.5}, {"inputs": 2}]
    )
    def test_options_of_the_loss_change_it(self, settings):
        torch.manual_seed(1)
        data, plain = batch(), make(drop_loss=0.0, drop_actions=0.0).train()
        torch.manual_seed(1)
        other = make(**{"drop_loss": 0.0, "drop_actions": 0.0} | settings).train()
        assert loss_of(plain, data).item() != loss_of(other, data).item()

    def test_it_learns_a_few_episodes(self):
        model, data = (
            make(drop_loss=0.0, drop_actions=0.0, label_smoothing=0.0).train(),
            batch(2, 4),
        )
        data = Batch(data.frames[:, :, :, :1, :1].expand(-1, -1, -1, 8, 8), actions=data.actions)
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 5e-3)
        losses = []
        for step in range(60):
            optimiser.zero_grad()
            loss = loss_of(model, data, seed=step)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert sum(losses[-5:]) < 0.3 * sum(losses[:5])


def features_of(model, codes):
    """What the encoder makes of codes, before they are quantised, channels last."""
    vectors = model.tokeniser.quantiser.vectors_of(codes).movedim(-1, 2)
    first = model.start.expand(len(codes), 1, -1, -1, -1)
    pairs = torch.cat([torch.cat([first, vectors[:, :-1]], dim=1), vectors], dim=2)
    return model.encoder(pairs.flatten(0, 1)).unflatten(0, codes.shape[:2]).movedim(2, -1)


class TestPrior:
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999, 1.0])
    def test_as_many_cells_are_hidden_as_the_formula_says(self, share):
        rho = min(1.0, max(1e-6, math.cos(math.pi * share / 2)))
        assert hidden_count(share, 64) == max(1, int(rho * 64))

    def test_hidden_cells_are_drawn_with_those_counts_anywhere(self):
        hidden = draw_hidden(3000, 9, torch.device("cpu"))
        counts = hidden.sum(1)
        shares = torch.linspace(0, 1, 100_001)[:-1] + 5e-6
        expected = torch.bincount(
            torch.tensor([hidden_count(s, 9) for s in shares.tolist()]), minlength=10
        )
        found = torch.bincount(counts, minlength=10) / 3000
        torch.testing.assert_close(found, expected / 100_000, atol=0.03, rtol=0)
        each = hidden.double().mean(0)
        assert (each - each.mean()).abs().max() < 0.04

    @pytest.mark.parametrize(
        "passes", [Passes(1, 0, 1), Passes(2, 0, 1), Passes(2, 1, 2), Passes(3, 2, 1)]
    )
    def test_drawn_grids_follow_the_distribution_of_the_procedure(self, passes):
        torch.manual_seed(3)
        prior = SpatialPrior(2, (1, 3), 2, 8, 2, 1, 16, embedding=4).eval().double()
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.mul_(4)
        given = torch.randn(1, 2, 1, 3, dtype=torch.float64)
        expected = enumerated(prior, given, passes)
        random = torch.Generator().manual_seed(0)
        many, counts = 500, torch.zeros(8)
        for _ in range(24):
            drawn = prior.sample(given.expand(many, -1, -1, -1), passes, random).flatten(1)
            counts += torch.bincount((drawn * torch.tensor([4, 2, 1])).sum(1), minlength=8)
        # The groups are drawn once for all grids of a call: 24 calls tell them less well.
        torch.testing.assert_close(
            counts / counts.sum(), torch.tensor(expected).float(), atol=0.06, rtol=0
        )

    def test_a_prior_knows_where_a_cell_is(self):
        prior = SpatialPrior(4, (2, 3), 2, 8, 2, 1, 16, embedding=4)
        codes, given = torch.full((1, 2, 3), 4), torch.zeros(1, 2, 2, 3)
        scores = prior(codes, given).flatten(1, 2)[0]
        assert len({tuple(row) for row in scores.tolist()}) == 6


def enumerated(prior, given, passes):
    """The probability of each grid of three cells of two codes, over all orders of the groups."""
    cells = 3
    states = {(prior.hidden_code,) * cells: 1.0}
    for groups in passes.rounds:
        after = dict.fromkeys(itertools.product(range(2), repeat=cells), 0.0)
        orders = list(itertools.permutations(range(cells)))
        for order in orders:
            now = dict(states)
            for group in torch.tensor(order).tensor_split(min(groups, cells)):
                now = redrawn(prior, given, now, group.tolist())
            for grid, share in now.items():
                after[grid] += share / len(orders)
        states = after
    return [states[grid] for grid in itertools.product(range(2), repeat=cells)]


def redrawn(prior, given, states, group):
    after = {}
    for grid, share in states.items():
        hidden = [prior.hidden_code if place in group else code for place, code in enumerate(grid)]
        with torch.no_grad():
            shares = prior(torch.tensor(hidden).view(1, 1, 3), given).softmax(-1)[0, 0]
        for drawn in itertools.product(range(2), repeat=len(group)):
            new, odds = list(grid), share
            for place, code in zip(group, drawn, strict=True):
                new[place], odds = code, odds * shares[place, code].item()
            after[tuple(new)] = after.get(tuple(new), 0.0) + odds
    return after


PUBLISHED = {
    "dmlab": (
        {"latent": 64, "encoder_blocks": 2, "decoder_blocks": 4},
        {"depth": 8, "options": {"state_size": 1024, "blocks": 32}},
        (64, [1, 2, 4]),
    ),
    "minecraft": (
        {"latent": 128, "encoder_blocks": 4, "decoder_blocks": 6, "prior_width": 768,
         "prior_heads": 12, "prior_layers": 6, "prior_hidden": 3072},
        {"depth": 12, "options": {"state_size": 512}},
        (128, [1, 2, 2, 4]),
    ),
    "habitat": (
        {"latent": 256, "latent_codes": 2048, "encoder_blocks": 4, "decoder_blocks": 8,
         "prior_width": 1024, "prior_heads": 16, "prior_layers": 16, "prior_hidden": 4096},
        {"depth": 8, "options": {"state_size": 512}},
        (128, [1, 2, 2, 4]),
    ),
}  # fmt: skip
"""Settings of the three published models, those of their memories, and the grids."""


def published(name):
    config, memory, (side, multiples) = PUBLISHED[name]
    options = {"stable": False, **memory["options"]}
    network = ForecasterConfig(
        layer="conv_s5", depth=memory["depth"], hidden=512, norm="channel", options=options
    )
    tokeniser = TokeniserConfig(quantiser="euclidean", multiples=multiples, adversarial=0.0)
    spec = TokeniserSpec(tokeniser, 3, (side, side))
    return WorldSpec(WorldConfig(tokeniser="run", **config), network, spec, "f", 6)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_sizes(name):
    spec = published(name)
    shapes = weight_shapes(lambda: World(spec), "the model")
    assert shapes["prior.table"] == (spec.config.latent_codes + 1, 256)
    assert shapes["codebook.rows"] == (spec.config.latent_codes, 32)
    state = spec.memory.options["state_size"]
    assert shapes["memory.layers.0.b.weight"] == (state, 512, 3, 3)
    assert shapes["read.weight"] == (512, spec.config.latent + 16, 1, 1)
    assert shapes["decoder.score.weight"] == (1024, 256, 1, 1)
    own = {k: math.prod(s) for k, s in shapes.items() if not k.startswith("tokeniser.")}
    own = {k: n for k, n in own.items() if k not in ("codebook.use", "codebook.sums")}
    assert sum(own.values()) == count(spec)
    assert round(sum(own.values()) / 1e6) == {"dmlab": 175, "minecraft": 215, "habitat": 349}[name]


def count(spec):
    """Parameters by arithmetic, in the words of the description of the network."""

    def conv(before, after, side=3):
        return before * after * side**2 + after

    def block(before, after):
        skip = before * after if before != after else 0
        return 2 * before + conv(before, after) + 2 * after + conv(after, after) + skip

    def blocks(before, after, number):
        return block(before, after) + (number - 1) * block(after, after)

    c, d, state = spec.config, spec.config.latent, spec.memory.options["state_size"]
    encoder = 16 * 16 * 256 + conv(512, 256) + block(256, 256)
    encoder += blocks(256, 512, c.encoder_blocks) + conv(512, d, 1)
    quantiser = c.latent_codes * 32 + 2 * 32 * d
    reading = 7 * 16 + conv(d + 16, 512, 1)
    layer = 2 * 512 * state * 9 + 3 * state // 2 + 2 * (2 * 512 + conv(512, 512)) + 2 * 512
    decoder = conv(512 + d, 256) + blocks(256, 512, c.decoder_blocks)
    decoder += blocks(512, 256, c.decoder_blocks) + 2 * 256 + conv(256, 1024, 1)
    w, n = c.prior_width, c.latent_codes
    attention = 4 * w + conv(w, 3 * w, 1) + conv(w, w, 1)
    perceptron = conv(w, c.prior_hidden, 1) + conv(c.prior_hidden, w, 1)
    prior = (n + 1) * 256 + conv(256 + 512, w, 1) + 2 * 8 * w // 2
    prior += c.prior_layers * (attention + perceptron)
    prior += conv(w, w, 1) + 2 * w + conv(w, 256, 1) + 2 * 256 + n
    return encoder + quantiser + reading + spec.memory.depth * layer + decoder + prior


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_step_at_full_size_has_finite_gradients(name):
    model = World(published(name)).train()
    codes = torch.randint(1024, (1, 3, 1, 16, 16)).float()
    data = Batch(codes, actions=torch.eye(6)[torch.randint(6, (1, 3))])
    loss_of(model, data).backward()
    for key, weight in model.named_parameters():
        if not key.startswith("tokeniser."):
            assert weight.grad.isfinite().all(), key


def test_weights_on_codes_of_another_tokeniser_are_refused():
    model, other = make(), make()
    with pytest.raises(UserError, match="the codes are those of another tokeniser"):
        model.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"patch": 0}, "world.patch 0 must be at least 1"),
        ({"latent_codes": 1}, "world.latent_codes 1 must be at least 2"),
        ({"widths": [8]}, r"world.widths \[8\] must be two numbers"),
        (
            {"prior_width": 10, "prior_heads": 4},
            "world.prior_width 10 must be even, and divide by 4",
        ),
        ({"drop_loss": 1.0}, r"world.drop_loss 1.0 must be in \[0, 1\)"),
        ({"revisions": -1}, "must not be negative"),
        ({"kind": "plain", "tokeniser": "x", "latent": 5}, "latent 5 is not read by kind plain"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        WorldConfig(**settings)
