"""F1 by overlap and the edit score on sequences that people can count."""

from __future__ import annotations

import pytest

from hoiclip.evaluation.events import compare
from hoiclip.evaluation.segments import edit_score, f1_by_overlap, levenshtein


def compared(true, *events):
    return compare({"v": true}, {"v": events})


def test_a_stricter_overlap_matches_less(make_video, make_event):
    true = make_video(("ride bicycle", 1, 0.0, 10.0), ("hold cup", 2, 0.0, 10.0))
    events = make_event("ride bicycle", 0.0, 10.0), make_event("hold cup", 0.0, 3.0, side="right")  # IoU 1 and 0.3
    assert f1_by_overlap(compared(true, *events)) == {"0.1": 1.0, "0.25": 1.0, "0.5": 0.5, "0.75": 0.5}


def test_the_edit_score_counts_splits_and_wrong_names_and_forgives_times(make_video, make_event):
    true = make_video(("hold cup", 1, 0.0, 4.0), ("drink", 1, 4.0, 6.0), ("hold cup", 1, 6.0, 9.0))
    right = [make_event("hold cup", 0, 3), make_event("drink", 3, 7), make_event("hold cup", 7, 9)]
    assert edit_score(compared(true, *right)) == 1.0
    split = [make_event("hold cup", 0, 1), make_event("hold cup", 2, 3), *right[1:]]
    assert edit_score(compared(true, *split)) == pytest.approx(3 / 4)
    assert edit_score(compared(true, right[0], make_event("kick", 3, 7), right[2])) == pytest.approx(2 / 3)
    assert edit_score(compared(true)) == 0.0


def test_each_person_has_a_sequence_of_their_own_and_ghosts_are_one_who_did_nothing(make_video, make_event):
    true = make_video(("hold cup", 1, 0.0, 4.0), ("ride bicycle", 2, 1.0, 3.0))
    # In the other order, yet in each person's own.
    mixed = [make_event("ride bicycle", 0, 4, side="right"), make_event("hold cup", 1, 3)]
    assert edit_score(compared(true, *mixed)) == 1.0
    assert edit_score(compared(true, *mixed, make_event("kick", 0, 4, side="empty"))) == pytest.approx(2 / 3)
    assert edit_score(compared(make_video())) is None


@pytest.mark.parametrize(("a", "b", "distance"), [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2)])
def test_levenshtein_has_the_textbook_values(a, b, distance):
    assert levenshtein(a, b) == levenshtein(b, a) == distance
