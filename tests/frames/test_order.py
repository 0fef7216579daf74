"""The order of windows where frames are stored in chunks: random, exact, and cheap to read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framecast.frames import order as orders
from framecast.frames.chunks import Chunks, behind_one_another, side_by_side
from framecast.frames.frames import Piece
from framecast.frames.order import DEAR, MIXED, mixed_at_once
from framecast.frames.windows import CropSampler
from framecast.readers.blocks import LEAST

FRAME = 4 * 64 * 64


def chunks_of(frames, chunk, groups=None):
    return Chunks(np.arange(0, frames, chunk), frames, groups)


def sampler(chunks, length=20, sequences=1, frame=FRAME, seed=0, **further):
    pieces = [Piece(n, 0, chunks.length) for n in range(sequences)]
    return CropSampler(pieces, length, None, seed, chunks=chunks, frame=frame, **further)


def frames_read(order, chunks, length, size=16, kept=LEAST):
    """Frames of all chunks that are read in an epoch, when the last few chunks are kept."""
    held, read, ends = [], 0, [*chunks.starts[1:], chunks.length]
    for windows in order.reads(size):
        for sequence, start in zip(order.sequences[windows], order.starts[windows], strict=True):
            group = sequence if chunks.groups is None else chunks.groups[sequence]
            first, last = np.searchsorted(chunks.starts, [start, start + length - 1], "right") - 1
            for chunk in range(first, last + 1):
                key = (group, chunk)
                if key not in held:
                    read += (ends[chunk] - chunks.starts[chunk]) * chunks.sequences
                held = [*[k for k in held if k != key], key][-kept:]
    return read


@given(
    chunk=st.integers(1, 90),
    length=st.integers(1, 40),
    sequences=st.integers(1, 5),
    together=st.integers(1, 3),
    buffer=st.sampled_from([1, 10**6, 10**9]),
    seed=st.integers(0, 9),
)
def test_every_window_is_there_once_and_read_once(chunk, length, sequences, together, buffer, seed):
    groups = np.arange(sequences) // together
    chunks = chunks_of(200, chunk, groups if together > 1 else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "BUFFER", buffer)
        drawn = sampler(chunks, length, sequences, seed=seed)
        order, usual = (
            drawn.order(),
            CropSampler([Piece(n, 0, 200) for n in range(sequences)], length, None, seed),
        )
        assert sorted(order.places()) == sorted(usual)
        assert list(drawn) == list(order.places())
        assert sorted(np.concatenate(order.reads(16)).tolist()) == list(range(len(drawn)))
        drawn.begin_epoch(0, 3)
        assert list(drawn) == list(order.places())[3:]
        drawn.begin_epoch(1)
        assert len(drawn) < 20 or list(drawn) != list(order.places())


@pytest.mark.parametrize(("chunk", "length"), [(100, 20), (100, 6), (30, 20), (24, 24), (365, 14)])
def test_no_more_than_half_is_read_beside_what_is_wanted(chunk, length):
    """In random order it would be (length + chunk - 1) / length times as much: 6 for 100 and 20."""
    chunks = chunks_of(40_000, chunk)
    drawn = sampler(chunks, length)
    wanted = len(drawn) * length
    assert frames_read(drawn.order(), chunks, length) < 1.65 * wanted
    usual = sampler(chunks_of(40_000, 1), length)
    assert frames_read(usual.order(), chunks, length) > 1.9 * wanted


def test_sequences_that_share_chunks_are_read_together():
    chunks = chunks_of(20, 20, np.arange(500) // 10)
    drawn = sampler(chunks, 20, sequences=500)
    assert frames_read(drawn.order(), chunks, 20) == 500 * 20


def test_neighbours_in_the_order_come_from_anywhere():
    """Two windows after one another are of one run as seldom as runs that are mixed are many."""
    chunks = chunks_of(100_000, 100)
    order = sampler(chunks, 20, frame=8 * FRAME).order()
    mixed, _ = mixed_at_once(chunks, 20, 8 * FRAME)
    assert mixed >= MIXED
    same = np.mean(order.runs[1:] == order.runs[:-1])
    assert same < 2 / mixed
    random = np.random.default_rng(1).permutation(order.starts)
    distance, usual = (np.abs(np.diff(s)).mean() for s in (order.starts, random))
    assert distance > 0.9 * usual
    # Over an epoch, a place in the order says nothing about the place in the file.
    assert abs(np.corrcoef(np.arange(len(order.starts)), order.starts)[0, 1]) < 0.05


def test_a_batch_is_as_varied_as_the_buffer_allows():
    """The mean over the windows of a batch scatters hardly more than that of independent ones."""
    chunks = chunks_of(100_000, 100)
    starts = sampler(chunks, 20).order().starts
    batches = starts[: len(starts) // 16 * 16].reshape(-1, 16)
    assert batches.mean(1).std() < 1.3 * starts.std() / 4


def test_large_chunks_are_mixed_though_few_fit():
    chunks = chunks_of(10_000, 100)
    frame = orders.BUFFER // 100
    order = sampler(chunks, 20, frame=frame).order()
    mixed, size = mixed_at_once(chunks, 20, frame)
    assert mixed == orders.FEWEST
    assert size == pytest.approx(orders.FEWEST * orders.BUFFER, rel=0.01)
    assert set(order.runs[:12].tolist()) == set(range(orders.FEWEST))


def test_small_chunks_leave_the_order_wholly_random():
    usual = CropSampler([Piece(0, 0, 1000)], 20, None, seed=3)
    for chunk in (1, 2, 10):
        assert chunks_of(1000, chunk).cost(20) <= DEAR
        assert list(sampler(chunks_of(1000, chunk), seed=3)) == list(usual)
    assert list(sampler(chunks_of(1000, 12), seed=3)) != list(usual)


def test_parts_and_joins_of_chunks():
    chunks = chunks_of(10, 4, np.array([0, 0, 1]))
    part = chunks.part(range(1, 3), range(3, 9))
    assert part.starts.tolist() == [0, 1, 5]
    assert part.groups.tolist() == [0, 1]
    joined = behind_one_another([chunks, None, chunks_of(5, 5)], [10, 2, 5])
    assert joined.starts.tolist() == [0, 4, 8, 10, 11, 12]
    assert behind_one_another([None, None], [1, 1]) is None
    beside = side_by_side([chunks, None, chunks_of(12, 6)], [10, 3, 12], [3, 2, 1])
    assert beside.groups.tolist() == [0, 0, 1, 2, 3, 4]
    assert beside.starts.tolist() == [0, 6]
    assert chunks.at(np.array([1, 5, 6, 9])).starts.tolist() == [0, 1, 3]
