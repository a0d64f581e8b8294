"""What a frame decides: which interactions open, go on, go over to another pair, and end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.track.episodes import NEVER, Episodes
from stream.track.handover import find_continued, is_duplicate, take_ids_of_tracks, take_over
from stream.track.lifecycle import LifeCycle, OutOfSight
from stream.track.motion import BoxTracks
from stream.track.pairs import PairTable
from stream.track.transitions import Reporter, Transition


class Decision(NamedTuple):
    """What a frame decided."""

    transitions: list[Transition]  # by pair, then by interaction
    episodes: Episodes  # that go on
    continued: list[int]  # rows of pairs that others continue, to be dropped


def decide(
    pairs: PairTable,
    episodes: Episodes,
    tracks: BoxTracks,
    life_cycle: LifeCycle,
    reporter: Reporter,
    *,
    t_s: float,
) -> Decision:
    """Open, update and end `episodes` by what is known at `t_s`; the tables are changed in place.

    An episode that opens and is what another pair was doing until it was lost makes its pair that pair's continuation.
    """
    if not episodes.num_episodes:
        return Decision([], episodes, [])
    transitions: list[Transition] = []
    continued: list[int] = []
    scores = pairs.smoothed[episodes.rows, episodes.interactions].astype(np.float64)
    np.maximum(episodes.peak_score, scores, out=episodes.peak_score)
    is_past, is_moved = np.zeros((2, episodes.num_episodes), np.bool_)
    places = life_cycle.may_change(episodes, scores, pairs, t_s).nonzero()[0]
    listed = zip(places.tolist(), episodes.one_by_one(places), scores.take(places).tolist(), strict=True)
    for place, episode, score in listed:
        if continued:  # which may have changed this one
            if is_past[place] or is_moved[place]:
                continue
            episodes.peak_score[place] = max(episodes.peak_score[place], score)
            (episode,) = episodes.one_by_one(np.array([place]))
        row = episode.row
        sight = OutOfSight(t_s - pairs.in_view_s.item(row), pairs.absent_s.item(row), pairs.absence.item(row))
        unseen_s = sight.unseen_s
        if episode.started_s == NEVER:
            if unseen_s > 0:
                is_past[place] = life_cycle.gives_up(sight) is not None
            elif why := life_cycle.opens(episode, score, t_s):
                old_row = find_continued(pairs, episodes, place, is_past, t_s)
                if old_row is not None:
                    is_moved[take_over(pairs, episodes, tracks, episode.row, old_row, is_past)] = True
                    continued.append(old_row)
                    continue
                if is_duplicate(pairs, episodes, place, is_past):
                    continue
                started_s = life_cycle.start_of(episode, t_s)
                episodes.started_s[place], episodes.updated_s[place] = started_s, t_s
                episodes.peak_score[place] = score
                episode = episode._replace(started_s=started_s, peak_score=score)
                transitions.append(reporter.transition("started", pairs, episode, t_s, "score", why))
            else:
                is_past[place] = life_cycle.is_flicker(episode, score, t_s)
            continue
        low_since_s = episode.low_since_s if unseen_s > 0 else life_cycle.low_since(episode, score, t_s)
        episodes.low_since_s[place] = low_since_s
        still_s = pairs.seen_s.item(episode.row) - pairs.still_since_s.item(episode.row)
        if closing := life_cycle.closes(episode, score, low_since_s, sight, still_s, t_s):
            transitions.append(reporter.transition("ended", pairs, episode, t_s, *closing))
            is_past[place] = True
            if closing[0] == "stationary":
                pairs.is_muted[episode.row, episode.interaction] = True
        elif unseen_s == 0 and life_cycle.is_due(episode, t_s):
            episodes.updated_s[place] = t_s
            why = life_cycle.goes_on(episode, score)
            transitions.append(reporter.transition("updated", pairs, episode, t_s, "interval", why))
    if any(transition.kind == "ended" for transition in transitions):
        take_ids_of_tracks(pairs, episodes, tracks, is_past)
    if np.count_nonzero(is_past):
        episodes = episodes.at(~is_past)
    if continued:
        episodes = episodes.in_order()
    return Decision(transitions, episodes, continued)
