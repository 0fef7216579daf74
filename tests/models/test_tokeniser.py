"""The tokeniser: its published sizes, its codebook, and losses that move what they should."""

import itertools

import pytest
import torch
from torch import nn

from framecast.frames.batch import Batch
from framecast.models.adversary import PatchDiscriminator, adaptive_weight, hinge
from framecast.models.codebook import Codebook, Levels, perplexity, unit_length
from framecast.models.model import build_model
from framecast.models.size import weight_shapes
from framecast.models.tokeniser import Tokeniser
from framecast.models.tokeniser_config import TokeniserConfig, TokeniserSpec
from framecast.models.unroll import Unrolling

SMALL = {"codes": 8, "embedding": 4, "channels": 8, "multiples": [1, 2], "blocks": 1}
COURSE = Unrolling(context=1)


def make(grid=(32, 32), **settings):
    settings = {"quantiser": "euclidean", "adversarial": 0.0} | SMALL | settings
    return Tokeniser(TokeniserSpec(TokeniserConfig(**settings), 3, grid))


def frames(count=2, channels=3, grid=(32, 32)):
    return torch.rand(count, channels, *grid) * 2 - 1


def batch(count=2, length=1, **settings):
    values = frames(count * length, **settings)
    return Batch(values.unflatten(0, (count, length)))


def loss_of(model, data):
    return sum(part.mean() for part in model.losses(data, COURSE))


def count_parameters(config, grid):
    """Parameters by arithmetic, in the words of the description of the network."""
    conv = lambda i, o, k=3: i * o * k * k + o  # noqa: E731
    norm = lambda c: 2 * c  # noqa: E731
    block = lambda i, o: (  # noqa: E731
        norm(i) + conv(i, o) + norm(o) + conv(o, o) + (conv(i, o, 1) if i != o else 0)
    )
    attention = lambda c: norm(c) + 4 * conv(c, c, 1)  # noqa: E731
    widths = [config.channels * m for m in config.multiples]
    attended = [grid // 2**d in config.attention for d in range(len(widths))]
    middle = 2 * block(widths[-1], widths[-1]) + attention(widths[-1])

    def depths(order, marks, blocks):
        total = 0
        for place, (width, attends) in enumerate(zip(order, marks, strict=True)):
            before = order[place - 1] if place else order[0]
            total += block(before, width) + (blocks - 1) * block(width, width)
            total += blocks * attention(width) * attends
        return total

    e = config.embedding
    encoder = conv(3, widths[0]) + depths(widths, attended, config.blocks) + middle
    encoder += sum(conv(w, w) for w in widths[:-1]) + norm(widths[-1]) + conv(widths[-1], e)
    decoder = conv(e, widths[-1]) + middle + norm(widths[0]) + conv(widths[0], 3)
    decoder += depths(widths[::-1], attended[::-1], config.blocks + 1)
    decoder += sum(conv(w, w) for w in widths[1:])
    return encoder + decoder + 2 * conv(e, e, 1) + config.codes * e


@pytest.mark.parametrize(
    ("multiples", "grid"), [([1, 2, 4], 64), ([1, 2, 2, 4], 128)], ids=["DMLab", "Minecraft"]
)
def test_the_published_sizes(multiples, grid):
    config = TokeniserConfig(quantiser="euclidean", multiples=multiples, adversarial=0.0)
    spec = TokeniserSpec(config, 3, (grid, grid))
    shapes = weight_shapes(lambda: Tokeniser(spec), "the tokeniser")
    kept = {
        n: s for n, s in shapes.items() if n not in ("batches", "quantiser.use", "quantiser.sums")
    }
    total = sum(torch.Size(shape).numel() for shape in kept.values())
    assert total == count_parameters(config, grid)
    with torch.device("meta"):
        assert Tokeniser(spec).code_grid == (16, 16)


def test_the_discriminator_has_the_published_size():
    total = sum(p.numel() for p in PatchDiscriminator(3).parameters())
    convs = [(3, 64, 1), (64, 128, 0), (128, 256, 0), (256, 512, 0), (512, 1, 1)]
    assert total == sum(16 * a * b + b * bias for a, b, bias in convs) + 2 * (128 + 256 + 512)
    assert PatchDiscriminator(3)(frames(grid=(64, 64))).shape == (2, 1, 6, 6)


@pytest.mark.parametrize("quantiser", ["euclidean", "cosine", "levels"])
def test_codes_bring_the_same_frames_back_alone(quantiser):
    own = {"codes": 1024, "embedding": 256, "levels": [3, 4]} if quantiser == "levels" else {}
    model = make(quantiser=quantiser, **own).eval()
    given = frames(grid=(32, 40), count=3)
    model = make((32, 40), quantiser=quantiser, **own).eval()
    made, quantised = model(given)
    codes = model.encode(given)
    assert codes.shape == (3, 16, 20)
    assert torch.equal(codes, quantised.codes)
    assert codes.max() < model.codes
    torch.testing.assert_close(model.show(codes), made.clamp(-1, 1))
    again = build_model("tokeniser", model.spec.to_dict()).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.encode(given), codes)
    assert again.fingerprint() == model.fingerprint()


def test_another_codebook_is_another_fingerprint():
    model = make()
    first = model.fingerprint()
    with torch.no_grad():
        model.quantiser.rows[0, 0] += 1e-3
    assert model.fingerprint() != first
    assert make(codes=9).fingerprint() != make(codes=9).fingerprint()


class TestCodebook:
    def test_the_loss_of_a_vector_is_that_of_the_paper(self):
        book, vectors = Codebook(5, 3, commitment=0.5), torch.randn(7, 3, requires_grad=True)
        quantised = book(vectors)
        rows = book.rows[quantised.codes]
        expected = (vectors - rows).square().mean(1)
        torch.testing.assert_close(quantised.loss, 1.5 * expected)
        ours = torch.autograd.grad(quantised.loss.sum(), [vectors, book.rows])
        distance = ((vectors - rows).square().mean(1)).sum()
        theirs = torch.autograd.grad(distance, [vectors, book.rows])
        torch.testing.assert_close(ours[0], 0.5 * theirs[0])
        torch.testing.assert_close(ours[1], theirs[1])

    def test_by_cosine_all_that_comes_out_has_length_1(self):
        book = Codebook(6, 4, unit=True)
        vectors = torch.randn(9, 4)
        quantised = book(vectors)
        torch.testing.assert_close(quantised.vectors.norm(dim=1), torch.ones(9))
        cosines = unit_length(vectors) @ unit_length(book.rows).T
        assert torch.equal(quantised.codes, cosines.argmax(1))

    def test_running_means_come_to_the_means_of_what_they_stand_for(self):
        book = Codebook(2, 1, decay=0.5).train()
        with torch.no_grad():
            book.rows.copy_(torch.tensor([[0.0], [10.0]]))
        vectors = torch.tensor([[1.0], [3.0], [9.0], [13.0]])
        for _ in range(60):
            book(vectors)
        torch.testing.assert_close(book.rows, torch.tensor([[2.0], [11.0]]), check_dtype=False)
        torch.testing.assert_close(book.use, torch.tensor([0.5, 0.5]))
        assert not book.rows.requires_grad
        assert book(vectors).loss.tolist() == pytest.approx([0.25, 0.25, 1.0, 1.0])

    def test_rows_that_nothing_uses_are_put_where_vectors_are(self):
        vectors, far = torch.randn(64, 2), torch.tensor([[0.0, 0], [99, 0], [0, 99], [99, 99]])

        def used(**settings):
            book = Codebook(4, 2, **settings).train()
            with torch.no_grad():
                book.rows.copy_(far)
                book.sums.copy_(far / 4)
            for _ in range(90):
                book(vectors)
            return book(vectors).codes.unique().numel()

        assert used(decay=0.9, revival=0.5) == 4
        assert used(revival=0.5) == 4
        assert used(decay=0.9) == used() == 1

    def test_nothing_is_renewed_outside_training(self):
        book = Codebook(4, 2, decay=0.5, revival=0.5).eval()
        before = {name: value.clone() for name, value in book.state_dict().items()}
        book(torch.randn(20, 2))
        assert all(torch.equal(v, before[n]) for n, v in book.state_dict().items())

    def test_perplexity_is_the_number_of_codes_used_alike(self):
        assert perplexity(torch.tensor([3.0, 3.0, 3.0, 0.0])) == pytest.approx(3)
        assert perplexity(torch.tensor([5.0, 0.0])) == pytest.approx(1)
        assert Levels((3, 4)).codes == 12


class TestAdversary:
    def test_the_hinge_is_that_of_the_formula(self):
        real, made = (torch.tensor(v).reshape(-1, 1, 1, 1) for v in ([2.0, 0.5], [-3.0, 0.5]))
        assert hinge(real, made).item() == pytest.approx(0.5 * ((0 + 0.5) / 2 + (0 + 1.5) / 2))

    def test_the_weight_is_the_ratio_of_gradients(self):
        last = nn.Parameter(torch.tensor([3.0, 4.0]))
        weight = adaptive_weight((10 * last).sum(), (last.square() / 2).sum(), last)
        assert weight.item() == pytest.approx(10 * 2**0.5 / 5, rel=1e-4)
        assert not weight.requires_grad

    def test_each_network_learns_from_its_own_loss_alone(self):
        model = make(adversarial=0.8, adversarial_start=0).train()
        data = batch()
        loss_of(model, data).backward()
        judged = {n: p.grad.clone() for n, p in model.named_parameters()}
        assert all(
            g.isfinite().all() and g.abs().sum() > 0 for n, g in judged.items() if "rows" not in n
        )
        model.zero_grad()
        given = data.frames.flatten(0, 1)
        made = model(given).frames.detach()
        hinge(model.discriminator(given), model.discriminator(made)).backward()
        for name, weight in model.discriminator.named_parameters():
            torch.testing.assert_close(weight.grad, judged[f"discriminator.{name}"])

    def test_it_joins_in_at_its_batch(self):
        model = make(adversarial=0.8, adversarial_start=2).train()
        seen = []
        for _ in range(3):
            model.zero_grad()
            loss_of(model, batch()).backward()
            seen.append(any(p.grad is not None for p in model.discriminator.parameters()))
        assert seen == [False, False, True]
        assert model.batches.item() == 3


class TestLosses:
    def test_parts_add_up_to_the_whole(self):
        model, data = make().eval(), batch(4, 2)
        whole = next(iter(model.losses(data, COURSE)))
        halves = [Batch(data.frames[:2]), Batch(data.frames[2:])]
        parts = [next(iter(model.losses(half, COURSE))) for half in halves]
        torch.testing.assert_close(whole.sums, parts[0].sums + parts[1].sums)
        assert whole.weights.tolist() == [8]

    def test_the_perceptual_distance_counts_by_its_weight(self):
        data = batch()
        plain, felt = make(), make(perceptual=0.5)
        felt.load_state_dict(plain.state_dict())
        felt.perceptual = lambda made, truth: (made - truth).square().mean((1, 2, 3)).double() + 1
        given = data.frames.flatten(0, 1)
        extra = (felt(given).frames - given).square().mean() / 4 + 1
        expected = loss_of(plain, data).item() + 0.5 * extra.item()
        assert loss_of(felt, data).item() == pytest.approx(expected, rel=1e-5)

    def test_validation_tells_psnr_and_use(self):
        model, data = make().eval(), batch(3, 2)
        given = data.frames.flatten(0, 1)
        with torch.no_grad():
            made, quantised = model(given)
            validated = model.validate(data, COURSE)
        told = model.tell(validated, ["red"])
        error = (made.clamp(-1, 1) - given).square().mean((1, 2, 3))
        psnr = (-10 * (error / 4).log10()).mean().item()
        assert told["val_psnr"] == pytest.approx(psnr, rel=1e-5)
        used = quantised.codes.unique().numel() / 8
        assert told["val_codes_used"] == pytest.approx(used)
        expected = (made.clamp(-1, 1) - given).abs().mean()
        torch.testing.assert_close(model.compare(validated, torch.ones(1)), expected)

    def test_it_learns_a_few_frames(self):
        model = make((16, 16), codes=32, embedding=8, channels=16, revival=0.1).train()
        data = batch(4, grid=(16, 16))
        smooth = nn.functional.avg_pool2d(data.frames.flatten(0, 1), 5, 1, 2)
        data = Batch(2 * smooth.unflatten(0, (4, 1)))
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        losses = []
        for _ in range(60):
            optimiser.zero_grad()
            loss = loss_of(model, data)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"codes": 1}, "tokeniser.codes 1 must be at least 2"),
        ({"levels": [8]}, r"tokeniser.levels \[8\] is not read by quantiser euclidean"),
        ({"quantiser": "levels", "codes": 9}, "tokeniser.codes 9 is not read by quantiser levels"),
        ({"quantiser": "levels", "levels": [1]}, r"must be numbers of at least 2"),
        ({"decay": 1.0}, r"tokeniser.decay 1.0 must be in \[0, 1\)"),
        ({"adversarial": 0.0, "adversarial_start": 3}, "is not read with adversarial 0"),
        ({"perceptual": -1.0}, "must not be negative"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        TokeniserConfig(**{"quantiser": "euclidean"} | settings)


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="33×32 cannot be halved 1 times"):
        make((33, 32))
    with pytest.raises(ValueError, match="below 32×32"):
        make((16, 16), adversarial=0.5)


def test_every_option_changes_the_network_or_its_loss():
    given = batch(2)

    def number(**settings):
        torch.manual_seed(1)
        model = make(**settings).train()
        loss = loss_of(model, given)
        if any(p.requires_grad and p.grad is None for p in model.parameters()):
            loss.backward()
        rows = getattr(model.quantiser, "rows", torch.zeros(1))
        return round(loss.item() + rows.sum().item(), 6)

    variants = [
        *({}, {"quantiser": "cosine"}, {"codes": 9}, {"embedding": 5}, {"channels": 16}),
        *({"multiples": [1, 3]}, {"blocks": 2}, {"attention": [32]}, {"commitment": 0.5}),
        *({"decay": 0.5}, {"revival": 0.995}, {"adversarial": 0.8, "adversarial_start": 0}),
        {"adversarial": 0.4, "adversarial_start": 0},
        {"quantiser": "levels", "codes": 1024, "embedding": 256, "levels": [3, 3]},
    ]
    numbers = [number(**settings) for settings in variants]
    for (a, x), (b, y) in itertools.combinations(zip(variants, numbers, strict=True), 2):
        assert x != y, f"{a} and {b} make no difference"
