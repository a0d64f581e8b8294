"""What a rules file may say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from hoiclip.hashes import short_hash
from hoiclip.yaml_lines import ConfigError, Location, load_config_lines

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)
Scope = Literal["human", "object", "pair", "camera", "any"]
"""Whose events belong together: those of one human, object, pair or camera, or all."""
Severity = Literal["info", "warning", "critical"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)]
Seconds = Annotated[float, Field(gt=0.0, le=7 * 86400.0, allow_inf_nan=False)]


class Condition(_Strict):
    """Which interactions, or crossings of a line, are meant. Each key takes one name or a list; all keys must agree."""

    camera: Names = Field((), description="Ids of sources.")
    interaction: Names = Field((), description="Such as `hold phone`.")
    verb: Names = Field((), description="Such as `hold`.")
    object: Names = Field((), description="Such as `phone`.")
    zone: Names = Field((), description="The pair is in one of these zones.")
    line: Names = Field((), description="Crossings of one of these lines, in place of interactions.")
    direction: Literal["in", "out"] | None = Field(None, description="Which way over the line.")
    min_score: float = Field(0.0, ge=0.0, le=1.0, description="Of the highest score so far.")
    on: Literal["begins", "ends"] = Field(
        "begins", description="Which end of an interaction counts, where its moment matters."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.interaction or self.verb or self.object or self.zone or self.line or self.direction):
            raise ValueError("says nothing: give interaction, verb, object, zone or line")
        if (self.line or self.direction) and self.on == "ends":
            raise ValueError("a crossing is a moment; leave `on` out")
        return self

    @property
    def is_crossing(self) -> bool:
        """Whether it means crossings of lines."""
        return bool(self.line or self.direction)


class Lasts(_Strict):
    """An interaction goes on for long."""

    what: Condition
    for_s: Seconds

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.what.is_crossing or self.what.on == "ends":
            raise ValueError("only what goes on can last: `what` without line and `on`")
        return self


class Sequence(_Strict):
    """One moment after the other."""

    steps: tuple[Condition, ...] = Field(min_length=2, max_length=8)
    within_s: Seconds = Field(description="From the first step to the last.")
    without: Condition | None = Field(None, description="What must not come between.")
    same: Scope = "human"


class Absence(_Strict):
    """Something that should follow does not."""

    after: Condition
    missing: Condition
    within_s: Seconds
    same: Scope = "human"


class Count(_Strict):
    """Something comes often."""

    what: Condition
    at_least: int = Field(ge=2, le=1000)
    within_s: Seconds
    per: Scope = "camera"


class Schedule(_Strict):
    """When a rule speaks, in the file's time zone. 22:00 to 06:00 goes over midnight and belongs to its first day."""

    days: tuple[Day, ...] = DAYS
    start: time = Field(time(0, 0), alias="from")
    end: time = Field(time(0, 0), alias="to", description="Until when; 00:00 is the end of the day.")

    @field_validator("start", "end", mode="before")
    @classmethod
    def _clock(cls, value: Any) -> Any:
        if not isinstance(value, time | str) or (isinstance(value, str) and not re.fullmatch(r"\d\d:\d\d", value)):
            raise ValueError('expected a time in quotes such as "06:30"')
        return value


class Rule(_Strict):
    """One rule; exactly one of lasts, sequence, absence and count."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")
    severity: Severity = "warning"
    lasts: Lasts | None = None
    sequence: Sequence | None = None
    absence: Absence | None = None
    count: Count | None = None
    schedule: Schedule | None = Field(None, description="When it speaks; always when not given.")
    cooldown_s: float = Field(0.0, ge=0.0, le=7 * 86400.0, description="Silence for a camera after an alert of it.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in OPERATORS if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"expected exactly one of {', '.join(OPERATORS)}, got {got}")
        return self

    @property
    def operator(self) -> Lasts | Sequence | Absence | Count:
        """The one that it has."""
        found: Lasts | Sequence | Absence | Count = next(
            getattr(self, name) for name in OPERATORS if getattr(self, name) is not None
        )
        return found

    @property
    def scope(self) -> Scope:
        """Whose events belong together."""
        operator = self.operator
        if isinstance(operator, Lasts):
            return "pair"
        return operator.per if isinstance(operator, Count) else operator.same

    @property
    def fingerprint(self) -> str:
        """A hash of all that it says: equal for equal rules however they were written."""
        return short_hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))

    def conditions(self) -> Iterator[tuple[Location, Condition]]:
        """Yield its conditions and where each stands below it."""
        name = next(name for name in OPERATORS if getattr(self, name) is not None)
        operator = self.operator
        if isinstance(operator, Sequence):
            yield from (((name, "steps", i), step) for i, step in enumerate(operator.steps))
        for key in ("what", "after", "missing", "without"):
            condition = getattr(operator, key, None)
            if condition is not None:
                yield (name, key), condition


OPERATORS = ("lasts", "sequence", "absence", "count")


class RulesFile(_Strict):
    """A file of rules."""

    timezone: str | None = Field(None, description="Of schedules, such as Europe/Berlin; the machine's when not given.")
    rules: list[Rule] = Field(min_length=1)

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            _ = value and ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"no such time zone: {value}; expected a name such as Europe/Berlin") from None
        return value

    @model_validator(mode="after")
    def _unique(self) -> Self:
        seen: set[str] = set()
        for rule in self.rules:
            if rule.name in seen:
                raise ValueError(f"rule {rule.name!r} is there twice; names must differ")
            seen.add(rule.name)
        return self

    @property
    def fingerprint(self) -> str:
        """A hash of all that it says."""
        return short_hash(self.timezone or "", *(rule.fingerprint for rule in self.rules))


class KnownNames(NamedTuple):
    """What a deployment has that conditions may name."""

    cameras: frozenset[str]
    zones: frozenset[str]
    lines: frozenset[str]
    interactions: frozenset[str]
    verbs: frozenset[str]
    objects: frozenset[str]


def load_rules(path: Path, known: KnownNames | None = None) -> RulesFile:
    """Return the rules in a YAML file. Raises InputError with the line of what cannot be right.

    With `known`, a name that the deployment does not have is refused as well.
    """
    rules, lines = load_config_lines(path, RulesFile)
    for problem in check_names(rules, known) if known is not None else ():
        place = problem.location
        line = next(lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines)
        raise ConfigError(f"{path}:{line}: {problem.message}")
    return rules


class UnknownName(NamedTuple):
    """A condition names what is not there."""

    location: Location
    message: str


def check_names(rules: RulesFile, known: KnownNames) -> Iterator[UnknownName]:
    """Yield what conditions name that the deployment does not have."""
    for number, rule in enumerate(rules.rules):
        for below, condition in rule.conditions():
            for key in ("camera", "zone", "line", "interaction", "verb", "object"):
                there: frozenset[str] = getattr(known, f"{key}s")
                for name in getattr(condition, key):
                    if name not in there:
                        has = ", ".join(sorted(there)[:20]) or "none"
                        message = f"rule {rule.name!r}: no {key} {name!r}; there are: {has}"
                        yield UnknownName(("rules", number, *below, key), message)
