"""Measures on a terminal: one JSON document, or aligned lines for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document with every measure.")]


def print_measures(summary: Mapping[str, Any], by_interaction: Mapping[str, Any] | None, as_json: bool) -> None:
    """Print measures and, where given, those of each interaction, to stdout."""
    if as_json:
        typer.echo(json.dumps({**summary, "by_interaction": by_interaction}, indent=2))
        return
    for name, value in _flat(summary):
        typer.echo(f"{name:42} {value}")
    for name, counts in (by_interaction or {}).items():
        shown = "  ".join(f"{key} {count}" for key, count in counts.items() if isinstance(count, int))
        typer.echo(f"  {name:40} {shown}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} ")
        else:
            rows.append((prefix + name, _shown(value)))
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return " … ".join(_shown(each) for each in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
