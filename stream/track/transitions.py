"""What the tracker says: steps in the life of interactions, and the pairs that can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from stream.track.episodes import Episode, Episodes
from stream.track.pairs import PairTable

Kind = Literal["started", "updated", "ended"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Transition:
    """One step in the life of one interaction of one pair."""

    kind: Kind
    t_s: float  # media time of the frame that decided
    started_s: float  # media time of the first evidence
    duration_s: float  # to t_s; of `ended`, to the last evidence
    pair_id: int
    human_id: int
    object_id: int
    interaction: int  # index in the source's vocabulary
    object: str  # class of the tracked object
    score: float  # smoothed, in [0, 1]
    peak_score: float  # highest smoothed score since the start
    human_box_xyxy_px: Box
    object_box_xyxy_px: Box
    reason: str  # score, interval, lost, cut, clock, stationary, max_duration, or what `flush` was told
    why: str  # the same for people, with numbers


@dataclass(frozen=True)
class PairView:
    """A live pair, to be drawn."""

    pair_id: int
    human_id: int
    object_id: int
    object: str
    human_box_xyxy_px: Box
    object_box_xyxy_px: Box
    is_seen: bool  # in the last frame; else boxes are where it was last seen
    interactions: tuple[tuple[str, float], ...]  # open ones: name and smoothed score, best first


class Reporter:
    """Put rows of the tables into words."""

    def __init__(self, names: Sequence[str], object_names: Sequence[str]) -> None:
        self._names, self._object_names = tuple(names), tuple(object_names)

    def transition(
        self, kind: Kind, pairs: PairTable, episode: Episode, t_s: float, reason: str, why: str
    ) -> Transition:
        """Return what happens at `t_s` to an episode whose event is open."""
        row, started_s = episode.row, episode.started_s
        until_s = max(episode.evidence_s, started_s) if kind == "ended" else t_s
        boxes = pairs.boxes[row].tolist()
        return Transition(
            kind,
            t_s,
            started_s,
            until_s - started_s,
            pairs.pair_ids.item(row),
            pairs.human_ids.item(row),
            pairs.object_ids.item(row),
            episode.interaction,
            self._object_names[pairs.labels.item(row)],
            min(max(pairs.smoothed.item(row, episode.interaction), 0.0), 1.0),
            min(episode.peak_score, 1.0),
            tuple(boxes[:4]),
            tuple(boxes[4:]),
            reason,
            why,
        )

    def views(self, pairs: PairTable, episodes: Episodes) -> list[PairView]:
        """Return the pairs seen in the last frame and those with an open interaction, in the order of the table."""
        interactions: dict[int, list[tuple[str, float]]] = {}
        for place in episodes.is_open.nonzero()[0].tolist():
            row, interaction = episodes.rows.item(place), episodes.interactions.item(place)
            score = pairs.smoothed.item(row, interaction)
            interactions.setdefault(row, []).append((self._names[interaction], score))
        views = []
        for row in range(pairs.num_pairs):
            is_seen = pairs.is_seen.item(row)
            if not is_seen and row not in interactions:
                continue
            boxes = pairs.boxes[row].tolist()
            views.append(
                PairView(
                    pair_id=pairs.pair_ids.item(row),
                    human_id=pairs.human_ids.item(row),
                    object_id=pairs.object_ids.item(row),
                    object=self._object_names[pairs.labels.item(row)],
                    human_box_xyxy_px=tuple(boxes[:4]),
                    object_box_xyxy_px=tuple(boxes[4:]),
                    is_seen=is_seen,
                    interactions=tuple(sorted(interactions.get(row, ()), key=lambda item: (-item[1], item[0]))),
                )
            )
        return views
