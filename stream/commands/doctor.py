"""`hoistream doctor`: what this machine has, what is missing, how to get it."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Say what this machine has, what is missing and how to get it; exits with 1 if a needed part is missing.

    Example: hoistream doctor --json
    """
    import json

    from stream.commands.support.diagnosis import diagnose

    findings = diagnose()
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        width = max(len(finding.name) for finding in findings)
        marks = {"ok": "ok      ", "optional": "optional", "missing": "MISSING "}
        for finding in findings:
            typer.echo(f"{marks[finding.state]}  {finding.name:<{width}}  {finding.detail}")
            if finding.remedy:
                typer.echo(f"{'':8}  {'':<{width}}  get it: {finding.remedy}")
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)
