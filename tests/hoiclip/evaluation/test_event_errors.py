"""Each error gets the cause that people would give it."""

from __future__ import annotations

import pytest

from hoiclip.evaluation.event_errors import FALSE_CAUSES, MISSED_CAUSES, find_errors
from hoiclip.evaluation.events import compare


@pytest.fixture
def errors(make_video):
    """Return a function of true interactions and events that returns the errors."""

    def find(true, *events):
        return find_errors(compare({"v": make_video(*true)}, {"v": events}))

    return find


HOLD = ("hold cup", 1, 2.0, 12.0)


def causes(found):
    return [error.cause for error in found.missed], [error.cause for error in found.false]


def test_an_interaction_told_in_pieces_is_split_and_its_pieces_are_repeats(errors, make_event):
    pieces = make_event("hold cup", 2, 6), make_event("hold cup", 7, 11, pair=2)
    assert causes(errors([HOLD], *pieces)) == (["split"], ["repeat", "repeat"])
    # The longer piece is enough to find it; the other one is still one too many.
    assert causes(errors([HOLD], make_event("hold cup", 2, 9), make_event("hold cup", 10, 12))) == ([], ["repeat"])


def test_too_little_of_it_or_too_long_is_a_matter_of_time(errors, make_event):
    assert causes(errors([HOLD], make_event("hold cup", 9, 19))) == (["time"], ["time"])
    assert causes(errors([HOLD], make_event("hold cup", 13, 19))) == (["silent"], ["outside"])
    assert causes(errors([HOLD], make_event("hold cup", 16, 19))) == (["silent"], ["idle"])


def test_the_wrong_person_the_wrong_verb_and_the_wrong_object_are_told_apart(errors, make_event):
    assert causes(errors([HOLD], make_event("hold cup", 2, 12, side="right"))) == (["person"], ["person"])
    assert causes(errors([HOLD], make_event("drink with cup", 2, 12))) == (["verb"], ["verb"])
    assert causes(errors([HOLD], make_event("hold bicycle", 2, 12))) == (["object"], ["object"])
    assert causes(errors([HOLD], make_event("hold cup", 2, 12, side="empty"))) == (["person"], ["person"])
    assert causes(errors([HOLD], make_event("kick bicycle", 2, 12))) == (["silent"], ["idle"])
    assert causes(errors([HOLD], make_event("kick bicycle", 2, 12, side="empty"))) == (["silent"], ["nobody"])


def test_what_else_is_true_of_the_person_is_no_confusion(errors, make_event):
    drink = ("drink with cup", 1, 4.0, 8.0)
    found = errors([HOLD, drink], make_event("hold cup", 2, 12))
    assert causes(found) == (["silent"], [])


def test_errors_keep_what_was_told_instead_and_are_counted_largest_first(errors, make_event):
    wrong = make_event("drink with cup", 2, 12)
    found = errors([HOLD], wrong, make_event("kick bicycle", 2, 3), make_event("kick bicycle", 4, 5))
    assert found.missed[0].events == (wrong,) and found.missed[0].video == "v"
    assert [true.name for true in found.false[0].true] == ["hold cup"]
    assert list(found.summary()["false"].items()) == [("idle", 2), ("verb", 1)]
    assert set(found.summary()["missed"]) <= set(MISSED_CAUSES) and set(found.summary()["false"]) <= set(FALSE_CAUSES)
