"""Taught rows on disk: one file a lesson and version beside the vocabulary, and the vocabulary's line that uses it."""

from __future__ import annotations

import difflib
import json
import operator
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from hoiclip.classifier import TaughtRow, TextClassifier
from hoiclip.errors import InputError
from hoiclip.files import replacing, write_whole
from hoiclip.foreign_json import UNFIT, parse_json
from hoiclip.hashes import short_hash
from hoiclip.loaded import LoadedModel
from hoiclip.vocabulary import DeploymentVocabulary, load_deployment, templates_of, wanted_rows
from hoiclip.yaml_lines import ConfigError, load_config_lines

_FORMAT = "hoistream-lesson-1"
_MAX_BYTES = 1 << 20  # a lesson is a few kB


@dataclass(frozen=True)
class Lesson:
    """A taught row, where it came from and which model it belongs to."""

    row: TaughtRow
    model_fingerprint: str
    examples: tuple[str, ...]  # such as "a.mp4 3.2-5.0 s"
    version: int = 0  # 1 for the first lesson of a name; set when it is stored


def open_vocabulary(
    loaded: LoadedModel, vocabulary: Path | DeploymentVocabulary | None, *, cache_dir: Path | None = None
) -> TextClassifier:
    """Return the classifier for a deployment's YAML file with its taught rows, or for words.

    Without either it is for what the model's bundle names, or else for all that the model knows. Raises InputError
    naming file and line, or the entry's number, for what cannot be right.
    """
    vocabulary = vocabulary or loaded.default_vocabulary
    if vocabulary is None:
        return loaded.classifier(cache_dir=cache_dir)
    if isinstance(vocabulary, DeploymentVocabulary):
        words = wanted_rows(vocabulary, loaded.vocabulary, lambda index: f"vocabulary, entry {index + 1}")
        if taught := [row.name for row in words if row.taught]:
            raise InputError(f"`{taught[0]}`: taught rows lie beside their vocabulary; give the YAML file's path")
        return loaded.classifier(words, templates=vocabulary.templates, cache_dir=cache_dir)
    path = vocabulary
    wanted = load_deployment(path, loaded.vocabulary)
    lessons = load_lessons(path) if any(row.taught for row in wanted) else ()
    _check_taught(path, [lesson.row.name for lesson in lessons])
    for lesson in lessons:
        is_wanted = any(row.taught == lesson.row.name for row in wanted)
        if is_wanted and lesson.model_fingerprint != loaded.fingerprint:
            raise InputError(
                f"{path}: `{lesson.row.name}` was taught to model {lesson.model_fingerprint}, this one is "
                f"{loaded.fingerprint}; teach it again with --model {loaded.path}"
            )
    rows = [lesson.row for lesson in lessons]
    return loaded.classifier(wanted, templates=templates_of(path), taught=rows, cache_dir=cache_dir)


def _check_taught(path: Path, names: list[str]) -> None:
    """Raise InputError naming the line of the first taught row for which there is no lesson."""
    vocabulary, lines = load_config_lines(path, DeploymentVocabulary)
    for index, entry in enumerate(vocabulary.interactions):
        if entry.taught is not None and entry.taught not in names:
            near = difflib.get_close_matches(entry.taught, names, n=1, cutoff=0.4)
            hint = f"did you mean `{near[0]}`?" if near else "run `hoistream teach` or remove the line"
            raise InputError(f"{path}:{lines.get(('interactions', index), 1)}: `{entry.taught}` was not taught; {hint}")


def lesson_folder(vocabulary: Path) -> Path:
    """Return the folder that keeps the lessons of a vocabulary: ``my.taught`` beside ``my.yaml``."""
    return vocabulary.with_name(f"{vocabulary.stem}.taught")


def load_lessons(vocabulary: Path) -> tuple[Lesson, ...]:
    """Return the newest version of every lesson of `vocabulary`, by name. Raises InputError for a damaged file."""
    newest: dict[str, Lesson] = {}
    for path in _files(vocabulary):
        lesson = _read(path)
        if lesson.row.name not in newest or lesson.version > newest[lesson.row.name].version:
            newest[lesson.row.name] = lesson
    return tuple(newest[name] for name in sorted(newest))


def store_lesson(vocabulary: Path, lesson: Lesson) -> Path:
    """Write the next version of `lesson` and see that the vocabulary uses it; return the file written.

    Older versions stay: deleting the newest file goes back to the one before. A vocabulary that does not exist is made.
    """
    folder = lesson_folder(vocabulary)
    row = lesson.row
    version = 1 + max((old.version for old in load_lessons(vocabulary) if old.row.name == row.name), default=0)
    facts = {
        "format": _FORMAT,
        "name": row.name,
        "version": version,
        "object": row.object,
        "bias": row.bias,
        "model_fingerprint": lesson.model_fingerprint,
        "examples": list(lesson.examples),
    }
    text = _with_entry(vocabulary, row.name)  # before anything is written: the vocabulary may be unusable
    path = folder / f"{_slug(row.name)}.v{version}.npz"
    with replacing(path) as part:
        np.savez(part, facts=json.dumps(facts), text=row.text, verb_text=row.verb_text, embedding=row.embedding)
    if text is not None:
        write_whole(vocabulary, text)
    return path


def remove_lesson(vocabulary: Path, name: str) -> int:
    """Delete every version of the lesson `name` and its line in the vocabulary; return how many versions there were.

    Raises InputError for an unknown name, with the ones there are.
    """
    wanted = " ".join(name.split())
    versions = [path for path in _files(vocabulary) if _read(path).row.name == wanted]
    if not versions:
        known = ", ".join(f"`{lesson.row.name}`" for lesson in load_lessons(vocabulary)) or "none"
        raise InputError(f"{vocabulary}: nothing called `{wanted}` was taught; there are: {known}")
    text = _without_entry(vocabulary, wanted)
    if text is not None:
        write_whole(vocabulary, text)
    for path in versions:
        path.unlink()
    folder = lesson_folder(vocabulary)
    if not any(folder.iterdir()):
        folder.rmdir()
    return len(versions)


def _files(vocabulary: Path) -> list[Path]:
    """Return the lessons' files; what an interrupted write left is none."""
    return sorted(p for p in lesson_folder(vocabulary).glob("*.npz") if not p.stem.endswith(".part"))


def _slug(name: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:48] or "lesson"
    return f"{words}-{short_hash(name)[:6]}"


def _read(path: Path) -> Lesson:
    try:
        with zipfile.ZipFile(path) as archive:  # a small file may hold far more than its size
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise ValueError("too large")
        with np.load(path, allow_pickle=False) as stored:
            facts = parse_json(str(stored["facts"]))
            if facts["format"] != _FORMAT:
                raise ValueError(f"format {facts['format']!r}, expected {_FORMAT!r}")
            arrays = [np.asarray(stored[key], np.float32) for key in ("text", "verb_text", "embedding")]
            text, verb_text, embedding = arrays
            if len({array.shape for array in arrays}) != 1 or text.ndim != 1 or not np.isfinite(np.stack(arrays)).all():
                raise ValueError("its rows are not three finite vectors of one length")
        name, fingerprint, thing, bias = (
            facts["name"],
            facts["model_fingerprint"],
            facts["object"],
            float(facts["bias"]),
        )
        if not isinstance(name, str) or not isinstance(fingerprint, str) or not np.isfinite(bias):
            raise ValueError("its name, model or bias cannot be")
        row = TaughtRow(name, text, verb_text, None if thing is None else operator.index(thing), embedding, bias)
        return Lesson(row, fingerprint, tuple(map(str, facts["examples"])), operator.index(facts["version"]))
    except (OSError, EOFError, *UNFIT, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a lesson that can be used ({error}); delete it and teach again") from error


# -- the vocabulary's text: edited in place, so that comments and order stay -------------------------------------------


def _with_entry(vocabulary: Path, name: str) -> str | None:
    """Return the vocabulary's new text, or None if it uses the lesson already."""
    entry = f"taught: {json.dumps(name, ensure_ascii=False)}"
    if not vocabulary.exists():
        return f"# What to look for; see docs/vocabularies.md.\ninteractions:\n  - {entry}\n"
    text, items = _items(vocabulary)
    if any(_taught_name(item) == name for item in items.value):
        return None
    if items.flow_style:
        end = items.end_mark.index - 1
        comma = ", " if items.value else ""
        return f"{text[:end].rstrip()}{comma}{{{entry}}}{text[end:]}"
    last = items.value[-1]
    lines = text.splitlines(keepends=True)
    at = _last_line(last) + 1
    if not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    lines.insert(at, f"{' ' * items.start_mark.column}- {entry}\n")
    return "".join(lines)


def _without_entry(vocabulary: Path, name: str) -> str | None:
    """Return the vocabulary's new text, or None if it does not use the lesson."""
    if not vocabulary.exists():
        return None
    text, items = _items(vocabulary)
    entry = next((item for item in items.value if _taught_name(item) == name), None)
    if entry is None:
        return None
    if len(items.value) == 1:
        raise InputError(f"{vocabulary}: `{name}` is its only interaction; add another one or delete the file")
    if items.flow_style:
        start, end = entry.start_mark.index, entry.end_mark.index
        before, after = text[:start], text[end:]
        is_last = entry is items.value[-1]
        return (
            before.rstrip().removesuffix(",") + after if is_last else before + after.lstrip().removeprefix(",").lstrip()
        )
    lines = text.splitlines(keepends=True)
    del lines[entry.start_mark.line : _last_line(entry) + 1]
    return "".join(lines)


def _items(vocabulary: Path) -> tuple[str, yaml.SequenceNode]:
    try:
        text = vocabulary.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{vocabulary}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    for key, value in pairs:
        if key.value == "interactions" and isinstance(value, yaml.SequenceNode):
            return text, value
    raise ConfigError(f"{vocabulary}: expected a list under `interactions:`, see docs/vocabularies.md")


def _taught_name(item: yaml.Node) -> str | None:
    pairs = item.value if isinstance(item, yaml.MappingNode) else ()
    found = next((value.value for key, value in pairs if key.value == "taught"), None)
    return None if found is None else str(found)


def _last_line(node: yaml.Node) -> int:
    """Return the line of a node's last scalar; a block's own end lies behind the comments that follow it."""
    return max(leaf.end_mark.line for leaf in _leaves(node))


def _leaves(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (*_leaves(key), *_leaves(value))
    elif isinstance(node, yaml.SequenceNode) and node.value:
        for child in node.value:
            yield from _leaves(child)
    else:
        yield node
