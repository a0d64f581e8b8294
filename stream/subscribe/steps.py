"""What the rules of reading ask their driver for: they have no input or output of their own.

The rules are generators. They yield steps and are sent the outcome; the synchronous and the asyncio client drive the
same ones, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError

from stream.events.lua import Script
from stream.events.schema import Event


class Call(NamedTuple):
    """Send a Redis command and send its reply, or throw its error, in."""

    arguments: tuple[str | bytes | int, ...]


class Pause(NamedTuple):
    """Wait, then go on; over a new connection, where the old one may be out of step."""

    seconds: float
    reconnect: bool


class HandOver(NamedTuple):
    """An event for the application; go on once it is handled."""

    event: Event


Step = Call | Pause | HandOver
Steps = Generator[Step, Any, None]
Asking = Generator[Step, Any, Any]  # steps that return a reply


def resume(steps: Steps, outcome: Any) -> Step:
    """Continue `steps` with the reply to a call, or with the RedisError it ended in."""
    return steps.throw(outcome) if isinstance(outcome, RedisError) else steps.send(outcome)


def run_script(script: Script, keys: tuple[str, ...], *arguments: str | bytes | int) -> Asking:
    """Run a script, loading it first where the server does not know it; return its reply."""
    call = Call(("EVALSHA", script.sha, len(keys), *keys, *arguments))
    try:
        return (yield call)
    except NoScriptError:
        yield Call(("SCRIPT", "LOAD", script.text))
        return (yield call)
