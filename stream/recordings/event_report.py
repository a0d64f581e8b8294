"""The report on events: one HTML file that needs nothing beside it and names no path of the machine."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from hoiclip.evaluation.event_errors import FALSE_CAUSES, MISSED_CAUSES
from stream.recordings.error_pictures import ErrorPicture
from stream.recordings.true_parts import LADDER

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 1180px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.note, figcaption { color: #57606a; margin: .2rem 0 .6rem; } img { max-width: 100%; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: .7rem; }
.tile { border: 1px solid #d0d7de; border-radius: 8px; padding: .5rem .8rem; }
.tile b { display: block; font-size: 1.35rem; }
.tile span, .tile small { color: #57606a; } .tile small { display: block; }
table { border-collapse: collapse; margin: .4rem 0; }
td, th { padding: .2rem .7rem; text-align: right; white-space: nowrap; }
td.words, th.words { text-align: left; white-space: normal; }
th { border-bottom: 1px solid #8c959f; font-weight: 600; } tr:nth-child(even) td { background: #f6f8fa; }
.wide { overflow-x: auto; }
figure.error { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; padding: .8rem; border: 1px solid #d0d7de;
  border-radius: 8px; align-items: flex-start; } figure.error figcaption { width: 100%; }
figure.error img { width: 540px; } figure.error b { color: #1f2328; }
.true { color: #1a7f37; } .told { color: #c4380d; }
"""


def build_report(
    measures: Mapping[str, Any], det: bytes, pictures: Sequence[ErrorPicture], about: Mapping[str, str]
) -> str:
    """Return the report as HTML.

    Args:
        measures: what `event_measures.measure` gave, with `rerun_measures` where the model ran again.
        det: the trade-off's chart, PNG.
        pictures: the worst errors.
        about: what was measured, as lines of name and value.
    """
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Event report</title>",
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body>",
        "<h1>Event report</h1>",
        f"<p class='note'>{' · '.join(f'{escape(k)}: {escape(v)}' for k, v in about.items())}</p>",
        _tiles(measures),
        "<h2>Misses against false alarms</h2>",
        _image(det, "png", "Detection error trade-off"),
        _trade_off(measures),
        _causes(measures["causes"]),
    ]
    if "true_parts" in measures:
        parts += [_parts(measures["true_parts"]), _plain(measures)]
    parts += [_errors(pictures), _interactions(measures["by_interaction"]), _overlaps(measures), "</body></html>"]
    return "\n".join(parts)


def _tiles(m: Mapping[str, Any]) -> str:
    alarms, tracking = m["false_alarms"], m["tracking"]
    onset, end = m["onset_delay_s"] or {}, m["end_delay_s"] or {}
    tiles = [
        ("F1", _number(m["f1"]), f"95 %: {_range(m['f1_interval'])}"),
        ("precision", _number(m["precision"]), f"95 %: {_range(m['precision_interval'])}"),
        ("recall", _number(m["recall"]), f"95 %: {_range(m['recall_interval'])}"),
        ("false alarms an hour", _number(alarms["per_hour"], 1), f"95 %: {_range(alarms['per_hour_interval'], 1)}"),
        ("false alarms a day", _number(alarms["per_day"], 0), f"95 %: {_range(alarms['per_day_interval'], 0)}"),
        ("heard of after", f"{_number(onset.get('median'))} s", f"p95 {_number(onset.get('p95'))} s"),
        ("end heard of after", f"{_number(end.get('median'))} s", f"p95 {_number(end.get('p95'))} s"),
        ("pieces an event", _number(m["fragmentation"], 3), f"{m['num_fragmented']} told in pieces"),
        ("identity switches", str(m["identity_switches"]), "of people"),
        ("pair IDF1", _number(tracking["pair_idf1"], 3), f"HOTA {_number(tracking['pair_hota'], 3)}"),
        ("edit score", _number(m["edit_score"], 3), "order of what each person did"),
        ("nAUDC@0.2", _number(m["naudc_0.2"], 3), "0 is perfect, 1 finds nothing"),
    ]
    cells = [
        f"<div class='tile'><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>"
        for name, value, note in tiles
    ]
    return f"<div class='tiles'>{''.join(cells)}</div>"


def _trade_off(m: Mapping[str, Any]) -> str:
    parts = []
    for key, note in (
        ("at_false_alarm_rates_by_enter_score", "The tracker at other enter scores."),
        (
            "at_false_alarm_rates",
            "Only events whose peak score reached a threshold, which is known when they are over. Delays are until a "
            "line of that score; lines may be 2 s apart: at most so late.",
        ),
    ):
        if key in m:
            parts.append(f"<p class='note'>{escape(note)}</p>" + _at_rates(m[key]))
    return "".join(parts)


def _at_rates(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p class='note'>The footage is too short to tell a rate of false alarms.</p>"
    heads = ("at most, an hour", "threshold", "recall", "95 %", "false alarms", "onset p50 s", "p95", "p99")
    table = [
        (
            f"{r['limit_per_hour']:g}", _number(r["threshold"]), _number(r["recall"], 3),
            _range([r["recall_low"], r["recall_high"]]) if r.get("recall_low") is not None else "–",
            str(r.get("false_alarms", "–")), *(_number(r.get(f"onset_delay_{p}_s")) for p in ("p50", "p95", "p99")),
        )
        for r in rows
    ]  # fmt: skip
    return _table(heads, table)


def _causes(causes: Mapping[str, Mapping[str, int]]) -> str:
    parts = ["<h2>Why events are wrong</h2>"]
    for kind, words in (("false", FALSE_CAUSES), ("missed", MISSED_CAUSES)):
        rows = [(name, str(count), words[name]) for name, count in causes[kind].items()]
        parts.append(
            _table((kind, "count", "what that means"), rows, (0, 2)) if rows else f"<p class='note'>Nothing {kind}.</p>"
        )
    return "".join(parts)


_ROW = (
    ("F1", "f1", 3), ("precision", "precision", 3), ("recall", "recall", 3), ("false", "num_false", 0),
    ("missed", "num_missed", 0), ("pieces", "fragmentation", 3), ("switches", "identity_switches", 0),
    ("onset s", "onset_delay_median_s", 2), ("end s", "end_delay_median_s", 2), ("IDF1", "pair_idf1", 3),
    ("HOTA", "pair_hota", 3),
)  # fmt: skip


def _rows(heads: Sequence[str], rows: Mapping[str, Mapping[str, Any]], notes: Mapping[str, str]) -> str:
    table = [
        (name, *([notes[name]] if notes else []), *(_number(r[key], digits) for _, key, digits in _ROW),
         _range(r["f1_interval"]))
        for name, r in rows.items()
    ]  # fmt: skip
    return _table((*heads, *(head for head, _, _ in _ROW), "F1 95 %"), table, (0, 1) if notes else (0,))


def _parts(rows: Mapping[str, Mapping[str, Any]]) -> str:
    note = "The same footage with parts of the truth in place of what the model found: what a part mends, it caused."
    return f"<h2>Where errors come from</h2><p class='note'>{note}</p>" + _rows(("fed in", ""), rows, LADDER)


def _plain(m: Mapping[str, Any]) -> str:
    note = "No smoothing, no patience, nobody is followed: an interaction goes on while a pair of the frame scores it."
    rows = {f"threshold {name}": each for name, each in m["plain_threshold"].items()}
    rows = {"the tracker": m["true_parts"]["as detected"], **rows}
    return f"<h2>What the tracker is worth</h2><p class='note'>{note}</p>" + _rows(("events by",), rows, {})


def _errors(pictures: Sequence[ErrorPicture]) -> str:
    if not pictures:
        return ""
    parts = [
        "<h2>The worst errors</h2><p class='note'>One of each cause in turn: the surest false events, the longest "
        "missed interactions. <b class='told'>Told</b> and <b class='true'>true</b> boxes; scores over time: the "
        "upright dotted line is the picture's moment, the level lines are the enter and leave scores, pale bars other "
        "events of that name.</p>"
    ]
    for picture in pictures:
        frame = _image(picture.frame, "jpeg", picture.title) if picture.frame else ""
        parts.append(
            f"<figure class='error'><figcaption><b>{escape(picture.title)}</b><br>{escape(picture.explanation)}"
            f"</figcaption>{frame}{_image(picture.chart, 'png', 'scores over time')}</figure>"
        )
    return "".join(parts)


def _interactions(rows: Mapping[str, Mapping[str, Any]]) -> str:
    table = [
        (
            name, str(r["matched"]), str(r["missed"]), _range(r["recall_interval"]), str(r["false"]),
            _number(r["per_hour"], 1), _range(r["per_hour_interval"], 1), _number(r["per_day"], 0),
            _range(r["per_day_interval"], 0), _number(r.get("naudc"), 3),
        )
        for name, r in rows.items()
    ]  # fmt: skip
    heads = ("interaction", "found", "missed", "recall 95 %", "false", "an hour", "95 %", "a day", "95 %", "nAUDC")
    return "<h2>By interaction</h2>" + _table(heads, table)


def _overlaps(m: Mapping[str, Any]) -> str:
    scores = m["f1_by_temporal_iou"]
    return "<h2>F1 by temporal IoU</h2>" + _table(
        ("at least", *scores), [("F1", *(_number(value, 3) for value in scores.values()))]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """Return a table; the columns `words` are text, the others numbers."""
    kind = ["words" if column in words else "number" for column in range(len(heads))]
    head = "".join(f"<th class='{k}'>{escape(each)}</th>" for k, each in zip(kind, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td class='{k}'>{escape(cell)}</td>" for k, cell in zip(kind, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def _image(packed: bytes, kind: str, words: str) -> str:
    return f"<img alt='{escape(words, quote=True)}' src='data:image/{kind};base64,{base64.b64encode(packed).decode()}'>"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _range(bounds: Sequence[float] | None, digits: int = 2) -> str:
    return "–" if bounds is None else f"{bounds[0]:.{digits}f} – {bounds[1]:.{digits}f}"
