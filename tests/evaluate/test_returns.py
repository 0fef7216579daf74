"""Where an agent comes back to what it was shown."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framecast.base.errors import UserError
from framecast.evaluate.returns import POSE, Returns, age_of, find_returns, together
from framecast.frames.batch import Place
from framecast.frames.frames import Channel, Coordinate, Frames
from framecast.metrics.ages import NEITHER, NEW


def ages(places, context, distance=0.1, headings=None):
    """The ages of the frames of a forecast along a line."""
    x = np.array(places, np.float32)
    turned = np.zeros_like(x) if headings is None else np.array(headings, np.float32)
    poses = np.stack([x, 0 * x, turned], -1)[None]
    leads = len(x) - context
    return Returns(poses, context, leads, distance)([Place(0, 0)], slice(None))[0].tolist()


def test_a_place_that_was_given_and_left_is_as_old_as_the_frame_that_showed_it_last():
    assert ages([0, 1, 2, 3, 2, 1, 0], context=4) == [2, 4, 6]
    assert ages([0, 1, 0, 1, 2, 1, 0], context=4) == [NEW, 2, 4]


def test_a_place_that_no_frame_showed_is_new_and_stays_so_until_it_is_left():
    assert ages([0, 1, 2, 3, 3, 4], context=2) == [NEW, NEW, NEW, NEW]


def test_a_place_of_the_forecast_alone_is_neither_new_nor_remembered():
    assert ages([0, 1, 2, 3, 2, 1], context=2) == [NEW, NEW, NEITHER, 4]


def test_who_has_not_left_the_last_given_place_comes_back_to_nothing():
    assert ages([0, 1, 1, 1, 0], context=2) == [NEITHER, NEITHER, 4]


def test_a_return_within_the_forecast_leaves_what_was_given_as_old_as_it_is():
    assert ages([0, 1, 0, 1, 0], context=1) == [NEW, 2, NEITHER, 4]


def test_looking_another_way_is_another_pose_and_a_whole_turn_is_none():
    half, whole = math.pi, 2 * math.pi
    assert ages([0, 1, 0, 0], 2, headings=[0, 0, half, half]) == [NEW, NEW]
    assert ages([0, 1, 0, 0], 2, headings=[0, 0, whole, -whole]) == [2, 3]


@given(st.lists(st.integers(0, 4), min_size=3, max_size=14), st.data())
def test_an_age_points_to_a_given_frame_of_the_place_that_was_left_since(places, data):
    context = data.draw(st.integers(1, len(places) - 1))
    for lead, age in enumerate(ages(places, context)):
        frame = context + lead
        before = places[:frame]
        if age == NEW:
            stay = len(before)
            while stay and places[stay - 1] == places[frame]:
                stay -= 1
            assert stay >= context
            assert places[frame] not in before[:stay]
        elif age != NEITHER:
            shown = frame - age
            assert shown < context
            assert places[shown] == places[frame]
            assert any(place != places[frame] for place in before[shown:])
            assert not any(
                before[later] == places[frame]
                and any(place != places[frame] for place in before[later:])
                for later in range(shown + 1, context)
            )


def test_a_window_with_an_unknown_pose_tells_nothing():
    assert ages([0, np.nan, 0, 5, 0], context=3) == [NEITHER, NEITHER]


def test_windows_are_told_apart_by_where_they_begin():
    poses = np.zeros((1, 8, 3), np.float32)
    poses[0, :, 0] = [0, 1, 2, 3, 2, 1, 0, 7]
    returns = Returns(poses, 3, 2, 0.1)
    found = returns([Place(0, 0), Place(0, 2), Place(0, 3)], slice(None))
    assert found.tolist() == [[NEW, 2], [NEW, NEW], [NEW, NEW]]
    assert returns([Place(0, 0)], slice(1, 2)).tolist() == [[2]]


def test_distances_and_angles_are_those_of_the_plane_and_the_circle():
    poses = np.array([[0, 0, 0], [3, 4, 0], [0, 0, math.radians(350)]], np.float32)
    assert together(poses, 5.0, 10.0)[0].tolist() == [True, True, True]
    assert together(poses, 4.9, 10.0)[0].tolist() == [True, False, True]
    assert together(poses, 5.0, 9.0)[0].tolist() == [True, True, False]


def test_the_first_of_all_frames_was_never_left():
    assert age_of(np.array([True, True]), 1) == NEITHER


def frames_at(x, names=POSE):
    values = torch.zeros(1, len(x), 1, 2, 2)
    along = ("sequence", "time")
    known = {"agent_x": np.array([x], np.float32)}
    zeros = np.zeros((1, len(x)), np.float32)
    coordinates = {name: Coordinate(along, known.get(name, zeros)) for name in names}
    dims = ("sequence", "time", "y", "x")
    return Frames(values, (Channel("air"),), dims, coordinates, source="here")


def test_two_poses_count_as_one_within_half_a_step_unless_somebody_says():
    frames = frames_at([0, 3, 3, 6, 8])
    assert find_returns(frames, 2, 2).distance == 1.5
    given_ = find_returns(frames, 2, 2, (0.5, 4.0))
    assert (given_.distance, given_.degrees) == (0.5, 4.0)


def test_frames_without_poses_tell_nothing_and_a_tolerance_is_then_refused():
    frames = frames_at([0, 1, 2], names=POSE[:2])
    assert find_returns(frames, 1, 1) is None
    with pytest.raises(UserError, match="here does not say where the agent stands"):
        find_returns(frames, 1, 1, (1.0, 1.0))
    with pytest.raises(UserError, match="--same-pose -1 1 must not be negative"):
        find_returns(frames_at([0, 1]), 1, 1, (-1.0, 1.0))
