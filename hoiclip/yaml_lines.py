"""Read YAML and remember where each value stands, so that an error can name its line."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from hoiclip.errors import InputError
from hoiclip.foreign_json import UNFIT

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
_MAX_DEPTH = 32
_MAX_VALUES = 200_000
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class ConfigError(InputError):
    """A configuration that cannot be right; the message begins with ``file:line``."""


def load_config(path: Path, model: type[Model]) -> Model:
    """Return `path` validated as `model`; ``${NAME}`` and ``${NAME:-default}`` come from the environment.

    Raises ConfigError naming the file, the line, the key and, for an unknown key, the nearest known one. Values are
    never shown: they may be secrets.
    """
    return load_config_lines(path, model)[0]


def load_config_lines(path: Path, model: type[Model]) -> tuple[Model, dict[Location, int]]:
    """Return `load_config`'s value and the line of every key and item, for errors that come later."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the configuration: {reason}") from error
    try:
        _check_size(text, path)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: expected `key: value` lines, got {'nothing' if node is None else 'something else'}")
    lines: dict[Location, int] = {}
    values = _read(node, (), lines, path)
    try:
        return model.model_validate(values), lines
    except ValidationError as error:
        raise ConfigError(_explain(error, model, lines, path)) from None


def _check_size(text: str, path: Path) -> None:
    """Refuse what would grow without bound when it is read: too deep, referring to itself, or large once expanded."""
    sizes: dict[str, int | None] = {}  # values below each anchor once expanded; None while it is still open
    stack: list[tuple[str | None, int]] = []  # of open lists and mappings: their anchor, the count when they began
    count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        line = f"{path}:{mark.line + 1}" if mark else str(path)
        if isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), 1)  # an unknown anchor is the parser's to refuse
            if size is None:
                raise ConfigError(f"{line}: `*{event.anchor}` refers to itself; write the value out")
            count += size
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append((event.anchor, count))
            count += 1
            if event.anchor is not None:
                sizes[event.anchor] = None
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = stack.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        if len(stack) > _MAX_DEPTH:
            raise ConfigError(f"{line}: more than {_MAX_DEPTH} levels deep; a configuration has a handful")
        if count > _MAX_VALUES:
            raise ConfigError(f"{line}: more than {_MAX_VALUES:,} values, references followed; split the file")


def _read(node: yaml.Node, location: Location, lines: dict[Location, int], path: Path) -> Any:
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in result:
                raise ConfigError(f"{path}:{line}: `{key}` is given twice; keep one")
            lines[(*location, key)] = line
            result[key] = _read(value_node, (*location, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_read(child, (*location, index), lines, path) for index, child in enumerate(node.value)]
    if node.tag != "tag:yaml.org,2002:str":
        if node.value == "":  # `key:` with nothing behind it, which `serialize` cannot write
            return None
        try:
            return yaml.safe_load(yaml.serialize(node))
        except (yaml.YAMLError, *UNFIT) as error:  # PyYAML lets through what Python says of `!!int x` or 2001-99-99
            tag = node.tag.rpartition(":")[2]
            raise ConfigError(
                f"{path}:{node.start_mark.line + 1}: not a plain value: "
                f"{getattr(error, 'problem', f'no {tag}; quote it if it is text')}"
            ) from error
    return _VARIABLE.sub(lambda match: _variable(match, node.start_mark.line + 1, path), node.value)


def _variable(match: re.Match[str], line: int, path: Path) -> str:
    name, default = match.groups()
    value = os.environ.get(name, default)
    if value is None:
        raise ConfigError(
            f"{path}:{line}: environment variable {name} is not set; export it or write ${{{name}:-default}}"
        )
    return value


def _explain(error: ValidationError, model: type[BaseModel], lines: dict[Location, int], path: Path) -> str:
    # A key that is not known explains a missing one better than the other way round.
    errors = error.errors(include_url=False, include_input=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    location = tuple(part for part in first["loc"])
    while location not in lines and location:
        location = location[:-1]
    where = f"{path}:{lines.get(location, 1)}"
    if first["type"] == "extra_forbidden":
        parts, known_keys = _followed(model, first["loc"][:-1])
        name, known = ".".join([*parts, str(first["loc"][-1])]), sorted(known_keys)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return f"{where}: unknown key `{name}`; {hint}"
    name = ".".join(_followed(model, first["loc"])[0]) or "configuration"
    more = error.error_count() - 1
    rest = f" (and {more} more)" if more else ""
    return f"{where}: `{name}`: {first['msg'].removeprefix('Value error, ')}{rest}"


def _followed(model: type[BaseModel], location: Iterable[str | int]) -> tuple[list[str], set[str]]:
    """Follow `location` through nested models and lists; return the parts that stand in the file, and the keys there.

    The rest of its parts are the names by which pydantic tells the members of a union apart.
    """
    current: type[BaseModel] | None = model
    parts: list[str] = []
    is_key = False  # of a mapping whose values are models
    for part in location:
        if isinstance(part, int) or current is None or is_key:
            parts.append(str(part))
            is_key = False
        elif part in current.model_fields:
            parts.append(part)
            annotation = current.model_fields[part].annotation
            current, is_key = _model_in(annotation), get_origin(annotation) is dict
    return parts, set(current.model_fields) if current is not None else set()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _model_in(argument):
            return found
    return None
