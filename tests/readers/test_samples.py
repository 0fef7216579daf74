"""Which frames of a video are taken, when a share of it was seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framecast.readers.samples import NOWHERE, sample_places

settings = {
    "length": st.integers(1, 200),
    "share": st.floats(0.01, 1.0),
    "given_frames": st.integers(1, 40),
    "targets": st.integers(0, 12),
    "sampling": st.sampled_from(["even", "last"]),
}


def places(*arguments):
    return sample_places(*arguments).tolist()


@given(**settings)
def test_given_frames_were_seen_and_targets_were_not(
    length, share, given_frames, targets, sampling
):
    chosen = places(length, share, given_frames, targets, sampling)
    seen = max(1, int(share * length + 1e-9))
    assert len(chosen) == given_frames + targets
    assert all(0 <= place < seen for place in chosen[:given_frames])
    assert chosen[given_frames - 1] == seen - 1  # the newest is always among them
    after = [place for place in chosen[given_frames:] if place != NOWHERE]
    assert all(seen <= place < length for place in after)
    assert chosen[given_frames:] == after + [NOWHERE] * (targets - len(after))


@given(**settings)
def test_time_never_runs_back(length, share, given_frames, targets, sampling):
    chosen = places(length, share, given_frames, targets, sampling)
    known = [place for place in chosen if place != NOWHERE]
    assert known == sorted(known)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # Half of 16 frames, every second one, and the targets at that step.
        ((16, 0.5, 4, 2, "even"), [1, 3, 5, 7, 9, 11]),
        ((16, 0.5, 4, 2, "last"), [4, 5, 6, 7, 8, 9]),
        # Fewer frames than are given: some are taken again, or the first is.
        ((8, 0.25, 4, 2, "even"), [0, 0, 1, 1, 2, 2]),
        ((8, 0.25, 4, 2, "last"), [0, 0, 0, 1, 2, 3]),
        # Nothing comes after the end.
        ((8, 0.75, 3, 3, "even"), [1, 3, 5, 7, NOWHERE, NOWHERE]),
        ((8, 1.0, 3, 2, "last"), [5, 6, 7, NOWHERE, NOWHERE]),
        # A share that is no whole number of frames is rounded down, but one frame is seen.
        ((9, 0.5, 2, 0, "last"), [2, 3]),
        ((3, 0.1, 2, 1, "last"), [0, 0, 1]),
    ],
)
def test_places_by_hand(arguments, expected):
    assert places(*arguments) == expected
