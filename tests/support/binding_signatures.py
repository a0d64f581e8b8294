"""What the Python bindings of TensorRT and TensorRT-RTX really offer, and whether a call fits it.

pybind11 writes each method's signatures into its docstring. TensorRT-RTX is read where it is installed. TensorRT cannot
be installed everywhere; its signatures were written to ``signatures/`` by

    python -m tests.support.binding_signatures MODULE > tests/support/signatures/tensorrt-VERSION.json

(its bindings load without its libraries when three empty ones export the few C functions that they name).
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

CLASSES = (
    "Builder",
    "Dims",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "IRuntimeCache",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "OnnxParser",
    "ParserError",
    "Runtime",
)
_ALIASES = {"IParserError": "ParserError"}  # C++ names that some signatures show
_ATTRIBUTE, _READ_ONLY = "attribute", "read-only attribute"


@dataclass(frozen=True)
class Argument:
    """One argument of a method, without self."""

    name: str
    kind: str
    optional: bool


@dataclass(frozen=True)
class Signature:
    """One overload of a method."""

    arguments: tuple[Argument, ...]
    returns: str


@dataclass(frozen=True)
class Bindings:
    """Members by class, attributes and methods with their signatures, and by enumeration."""

    version: str
    classes: dict[str, dict[str, str | list[str]]]
    enumerations: dict[str, list[str]]

    def check_attribute(self, kind: str, name: str, *, written: bool = False) -> None:
        """Raise AssertionError unless objects of class `kind` have the attribute, which may be written."""
        member = self._member(kind, name)
        assert member in (_ATTRIBUTE, _READ_ONLY), f"TensorRT {self.version}: {kind}.{name} is a method"
        assert not written or member == _ATTRIBUTE, f"TensorRT {self.version}: {kind}.{name} cannot be set"

    def check_call(self, kind: str, name: str, arguments: Sequence[Any], named: dict[str, Any]) -> list[Signature]:
        """Return the signatures that the call fits. Raises AssertionError when there is none."""
        found = self._member(kind, name)
        assert isinstance(found, list), f"TensorRT {self.version}: {kind}.{name} is an attribute"
        fitting = [parsed for parsed in map(_parse, found) if self._fits(parsed, arguments, named)]
        shown = ", ".join([*map(_show, arguments), *(f"{key}={_show(value)}" for key, value in named.items())])
        assert fitting, f"TensorRT {self.version}: {kind}.{name}({shown}) fits none of {found}"
        return fitting

    def check_result(self, kind: str, name: str, signatures: Sequence[Signature], result: Any) -> None:
        """Raise AssertionError unless one of the signatures may return `result`; None where it says that it failed."""
        kinds = [signature.returns for signature in signatures]
        failed = result is None and any(self._is_class(k) for k in kinds)
        assert failed or any(self.is_kind(result, k) for k in kinds), (
            f"TensorRT {self.version}: {kind}.{name} returns {kinds}, not {_show(result)}"
        )

    def check_enumeration(self, kind: str, name: str) -> None:
        """Raise AssertionError unless enumeration `kind` has a member `name`."""
        assert name in self.enumerations.get(kind, ()), f"TensorRT {self.version}: there is no {kind}.{name}"

    def _member(self, kind: str, name: str) -> str | list[str]:
        assert kind in self.classes, f"TensorRT {self.version}: no class {kind} was read"
        assert name in self.classes[kind], f"TensorRT {self.version}: {kind} has no {name}"
        return self.classes[kind][name]

    def _fits(self, signature: Signature, arguments: Sequence[Any], named: dict[str, Any]) -> bool:
        expected = signature.arguments
        if len(arguments) > len(expected) or not set(named) <= {a.name for a in expected[len(arguments) :]}:
            return False
        given = {a.name: value for a, value in zip(expected, arguments, strict=False)} | named
        return all(self.is_kind(given[a.name], a.kind) if a.name in given else a.optional for a in expected)

    def is_kind(self, value: Any, kind: str) -> bool:
        """Return whether pybind11 converts `value` to (or from) what a signature calls `kind`."""
        if container := re.fullmatch(r"(?:list|Sequence)\[(.*)\]", kind):
            return isinstance(value, list | tuple) and all(self.is_kind(item, container[1]) for item in value)
        if kind in ("SupportsInt", "int"):
            return hasattr(value, "__int__") and not isinstance(value, str | float)
        if kind == "Dims":  # a sequence of numbers is converted
            return all(isinstance(side, int) for side in value) and len(tuple(value)) <= 8
        if kind == "Buffer":
            return isinstance(value, bytes | bytearray | memoryview)
        plain = {"str": str, "bool": bool, "tuple": tuple, "list": list, "None": type(None)}
        if kind in plain:
            return isinstance(value, plain[kind])
        return kind.rpartition(".")[2] in names_of(value)

    def _is_class(self, kind: str) -> bool:
        return kind in self.classes or kind in self.enumerations


def names_of(value: Any) -> set[str]:
    """Return the names of the classes that `value` belongs to."""
    return {kind.__name__ for kind in type(value).__mro__} | {getattr(value, "class_name", "")}


def _show(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def _parse(signature: str) -> Signature:
    """Return a signature such as ``set_shape(self: IOptimizationProfile, input: str, min: Dims) -> None``."""
    matched = re.fullmatch(r"\w+\((.*)\) -> (.*)", signature)
    assert matched, signature
    arguments = []
    for text in re.split(r", (?=\w+: )", matched[1])[1:]:
        name, _, rest = text.partition(": ")
        kind, default, _ = rest.partition(" = ")
        arguments.append(Argument(name, kind, bool(default)))
    return Signature(tuple(arguments), matched[2])


def read(module: Any) -> Bindings:
    """Return what an imported module offers."""
    classes = {name: _members(getattr(module, name)) for name in CLASSES if hasattr(module, name)}
    enumerations = {
        name: sorted(getattr(value, "__members__"))  # noqa: B009  # not of a Python enumeration
        for name, value in vars(module).items()
        if isinstance(value, type) and hasattr(value, "__members__") and not issubclass(value, Enum)
    }
    return Bindings(str(module.__version__), classes, enumerations)


def _members(kind: Any) -> dict[str, str | list[str]]:
    members: dict[str, str | list[str]] = {}
    for name in dir(kind):
        if kind.__name__ == "INetworkDefinition" and name.startswith("add_"):
            continue  # eighty layers: networks come from ONNX
        value = getattr(kind, name)
        if isinstance(value, property):
            members[name] = _ATTRIBUTE if value.fset else _READ_ONLY
        elif signatures := _signatures(name, value.__doc__ or ""):
            members[name] = signatures
    return members


def _signatures(name: str, text: str) -> list[str]:
    lines = re.findall(rf"^(?:\d+\. )?({name}\(self: .*\) -> .*)$", text, re.MULTILINE)
    return [_short(line.strip()) for line in lines]


def _short(signature: str) -> str:
    """Return a signature without the modules of its kinds, in one spelling for all versions."""
    plain = re.sub(r"<(\w+)\.(\w+): \d+>", r"\1.\2", signature)  # default values
    plain = re.sub(r"\b(?:typing|collections\.abc|\w+\.tensorrt(?:_rtx)?)\.|\bnv\w+::(?:v_\d_\d::)?", "", plain)
    plain = plain.replace("List[", "list[").replace(": buffer", ": Buffer").replace(": capsule", ": CapsuleType")
    for alias, name in _ALIASES.items():
        plain = plain.replace(alias, name)
    return plain


def stored() -> list[Bindings]:
    """Return the bindings of TensorRT that were written to files."""
    paths = sorted((Path(__file__).parent / "signatures").glob("tensorrt-*.json"))
    return [Bindings(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]


if __name__ == "__main__":
    print(json.dumps(vars(read(importlib.import_module(sys.argv[1]))), indent=1))
