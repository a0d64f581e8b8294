"""Names, pairs and prompts: the built-in data sets' vocabularies, and what a deployment asks for."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hoiclip.errors import InputError
from hoiclip.yaml_lines import load_config_lines

ANY = "any"  # an object that a free-text interaction does not name
NO_INTERACTION = "no_interaction"  # the verb that says "nothing is done"; its phrase is just "and"
BUILT_IN = ("hico", "vcoco", "world")


class Verb(NamedTuple):
    """A verb, such as ``drink_with``, and how it is said: ``drinking with`` (empty where the data set has none)."""

    name: str
    phrase: str


class Object(NamedTuple):
    """An object class, its COCO id and its prompt."""

    name: str
    coco_id: int
    prompt: str


class Interaction(NamedTuple):
    """Indices of verb and object, and the prompt."""

    verb: int
    object: int
    prompt: str


@dataclass(frozen=True)
class Vocabulary:
    """A data set's verbs, objects and interactions, in the order of the checkpoint's rows."""

    name: str
    verbs: tuple[Verb, ...]
    objects: tuple[Object, ...]
    interactions: tuple[Interaction, ...]
    no_object_prompt: str
    rare: tuple[int, ...] = ()
    unseen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    reported_verbs: tuple[int, ...] = ()  # V-COCO: the verbs its role AP counts
    together: tuple[tuple[int, int], ...] | None = None
    """Verbs that one human does with one object at once; all others exclude each other. None where nobody knows."""

    def display(self, index: int) -> str:
        """Return the name people write, such as ``drink with cup``."""
        interaction = self.interactions[index]
        return spoken(f"{self.verbs[interaction.verb].name} {self.objects[interaction.object].name}")


def spoken(name: str) -> str:
    """Return a name with blanks for underscores, in lower case and single spaced."""
    return " ".join(name.replace("_", " ").lower().split())


@lru_cache(maxsize=8)
def load_builtin(name: str) -> Vocabulary:
    """Return a built-in vocabulary: ``hico``, ``vcoco`` or ``world``. Raises InputError for another name."""
    if name not in BUILT_IN:
        raise InputError(f"no built-in vocabulary {name!r}; there are {', '.join(BUILT_IN)}")
    path = Path(__file__).resolve().parent / "vocabularies" / f"{name}.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    return Vocabulary(
        name,
        tuple(Verb(v["name"], v.get("phrase", "")) for v in data["verbs"]),
        tuple(Object(o["name"], o["coco_id"], o["prompt"]) for o in data["objects"]),
        tuple(Interaction(i["verb"], i["object"], i["prompt"]) for i in data["interactions"]),
        data["no_object_prompt"],
        tuple(data.get("rare", ())),
        {split: tuple(members) for split, members in data.get("unseen", {}).items()},
        tuple(data.get("reported_verbs", ())),
        tuple((a, b) for a, b in data["together"]) if "together" in data else None,
    )


class Entry(BaseModel):
    """One line of a deployment's vocabulary: a known name, a group of known ones, or free text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, description="A known interaction such as `ride bicycle`.")
    verb: str | None = Field(None, description="Every known interaction of this verb.")
    object: str | None = Field(
        None, description="With `text`: the nearest COCO object or `any`. Alone: its whole group."
    )
    text: str | None = Field(None, description="Free text such as `a person carrying a ladder`.")
    taught: str | None = Field(None, description="Name of a row added by `hoistream teach`.")

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        blank = [k for k in sorted(self.model_fields_set) if not (getattr(self, k) or "").strip()]
        if blank:
            raise ValueError(f"`{blank[0]}` is empty; write what to look for or remove it")
        kinds = [k for k in ("name", "verb", "text", "taught") if getattr(self, k)]
        if len(kinds) > 1 or (not kinds and not self.object):
            raise ValueError("expected a name, or one of `verb`, `object`, `text` (with `object`), `taught`")
        if self.object and kinds and kinds[0] in ("name", "taught"):
            raise ValueError(f"`{kinds[0]}` already fixes its object; remove `object`")
        return self


class DeploymentVocabulary(BaseModel):
    """What one deployment looks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interactions: list[Entry] = Field(min_length=1)
    templates: list[str] = Field(
        default_factory=lambda: ["{}"],
        min_length=1,
        description="Prompt templates with one {}, averaged over free text.",
    )

    @model_validator(mode="after")
    def _slots(self) -> Self:
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} must hold {{}} exactly once")
        return self


class Wanted(NamedTuple):
    """One row a deployment asks for: a known interaction, or free text."""

    name: str  # to show
    known: int | None  # interaction index
    text: str  # prompt
    verb: int | None  # the known verb whose row helps, where there is one
    object: int | None  # object index; None is any
    taught: str | None = None


def load_deployment(path: Path, known: Vocabulary) -> list[Wanted]:
    """Return the rows that the YAML file asks for, in order and without repeats.

    Raises InputError naming file and line, with the closest known name for an unknown one.
    """
    vocabulary, lines = load_config_lines(path, DeploymentVocabulary)
    return wanted_rows(vocabulary, known, lambda index: f"{path}:{lines.get(('interactions', index), 1)}")


def wanted_rows(vocabulary: DeploymentVocabulary, known: Vocabulary, where: Callable[[int], str]) -> list[Wanted]:
    """Return the rows that a deployment's vocabulary asks for, in order and without repeats.

    `where` says where an entry stands, for the InputError of one that is not known.
    """
    rows: dict[str, Wanted] = {}
    for index, entry in enumerate(vocabulary.interactions):
        for row in _rows_of(entry, known, where(index)):
            rows.setdefault(row.name, row)
    return list(rows.values())


def templates_of(path: Path) -> list[str]:
    """Return the prompt templates of a deployment's vocabulary."""
    return load_config_lines(path, DeploymentVocabulary)[0].templates


def all_of(known: Vocabulary) -> list[Wanted]:
    """Return every interaction of a built-in vocabulary."""
    return [_known_row(known, index) for index in range(len(known.interactions))]


def _known_row(known: Vocabulary, index: int) -> Wanted:
    interaction = known.interactions[index]
    return Wanted(known.display(index), index, interaction.prompt, interaction.verb, interaction.object)


def _rows_of(entry: Entry, known: Vocabulary, where: str) -> list[Wanted]:
    if entry.name is not None:
        names = {known.display(i): i for i in range(len(known.interactions))}
        return [_known_row(known, _find(entry.name, names, "interaction", where))]
    if entry.taught is not None:
        return [Wanted(entry.taught, None, "", None, None, taught=entry.taught)]
    if entry.text is not None:
        thing = find_object(entry.object or ANY, known, where)
        text = " ".join(entry.text.split())
        return [Wanted(text, None, text, find_verb(text, known), thing)]
    verbs = {spoken(v.name): i for i, v in enumerate(known.verbs)}
    verb = _find(entry.verb, verbs, "verb", where) if entry.verb else None
    thing = find_object(entry.object, known, where) if entry.object else None
    rows = [
        _known_row(known, i)
        for i, pair in enumerate(known.interactions)
        if (verb is None or pair.verb == verb) and (thing is None or pair.object == thing)
    ]
    if not rows:
        raise InputError(
            f"{where}: no known interaction has verb `{entry.verb}` and object `{entry.object}`; use `text:`"
        )
    return rows


def find_object(name: str, known: Vocabulary, where: str) -> int | None:
    """Return the index of an object class, None for "any". Raises InputError that begins with `where`."""
    if spoken(name) == ANY:
        return None
    return _find(name, {spoken(o.name): i for i, o in enumerate(known.objects)}, "object", where, extra=(ANY,))


def find_verb(text: str, known: Vocabulary) -> int | None:
    """Return the known verb whose phrase ("carrying", "drinking with") stands in `text`; the longest wins.

    Never the one for "nothing is done": every text with an "and" would be silenced.
    """
    words = re.sub(r"[^\w-]+", " ", text)
    padded = f" {spoken(words)} "
    found = [
        (len(v.phrase), i)
        for i, v in enumerate(known.verbs)
        if v.phrase and v.name != NO_INTERACTION and f" {v.phrase} " in padded
    ]
    return max(found)[1] if found else None


def find_pair(text: str, known: Vocabulary) -> tuple[int, int] | None:
    """Return verb and object that a name or a phrase is about, None unless it says both.

    "push motorcycle", "push_motorcycle" and "a person pushing a motorcycle" mean the same.
    """
    words = re.sub(r"[^\w-]+", " ", text)
    padded = f" {spoken(words)} "
    objects = [(len(o.name), i) for i, o in enumerate(known.objects) if f" {spoken(o.name)} " in padded]
    if not objects:
        return None
    verbs = [(len(v.name), i) for i, v in enumerate(known.verbs) if padded.startswith(f" {spoken(v.name)} ")]
    verb = max(verbs)[1] if verbs else find_verb(text, known)
    return None if verb is None else (verb, max(objects)[1])


def _find(name: str, known: Mapping[str, int], kind: str, where: str, extra: Iterable[str] = ()) -> int:
    key = spoken(name)
    if key in known:
        return known[key]
    near = difflib.get_close_matches(key, [*known, *extra], n=1, cutoff=0.4)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known)[:8])} …"
    more = "; for anything else write `text: …` and `object: …`" if kind == "interaction" else ""
    raise InputError(f"{where}: unknown {kind} `{name}`; {hint}{more}")
