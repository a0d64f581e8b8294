"""TensorRT's objects, real or simulated, with every use checked against what the real bindings offer.

A call that the real bindings would not take, an attribute that they lack and a result that they would not give raise
AssertionError where it happens, and so does a use that nobody thought of when these tests were written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.support.binding_signatures import Bindings

Use = tuple[str, str]
"""Class and member, such as ("Runtime", "__init__"); for enumerations the enumeration and its member."""


class Checked:
    """An object whose class is called `class_name` in the bindings."""

    def __init__(self, target: Any, class_name: str, checks: Sequence[Bindings], uses: set[Use]) -> None:
        for name, value in (("target", target), ("class_name", class_name), ("_checks", checks), ("_uses", uses)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        self._uses.add((self.class_name, name))
        if not callable(value):
            for bindings in self._checks:
                bindings.check_attribute(self.class_name, name)
            return value
        return lambda *arguments, **named: call(self, name, value, arguments, named)

    def __setattr__(self, name: str, value: Any) -> None:
        self._uses.add((self.class_name, name))
        for bindings in self._checks:
            bindings.check_attribute(self.class_name, name, written=True)
        setattr(self.target, name, _bare(value))

    def __bytes__(self) -> bytes:
        return bytes(self.target)


class CheckedModule:
    """A module of the bindings: classes to construct, enumerations, and classes to derive from."""

    def __init__(self, target: Any, checks: Sequence[Bindings]) -> None:
        self.target, self.checks = target, checks
        self.uses: set[Use] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if isinstance(value, type) and hasattr(value, "__members__"):
            return _Enumeration(self, name, value)
        if name in ("ILogger", "IProgressMonitor") or not callable(value):
            return value
        maker = Checked(value, name, self.checks, self.uses)
        return lambda *arguments, **named: call(maker, "__init__", value, arguments, named)


class _Enumeration:
    def __init__(self, module: CheckedModule, name: str, target: Any) -> None:
        self._module, self._name, self._target = module, name, target

    def __getattr__(self, member: str) -> Any:
        value = getattr(self._target, member)
        if not member.startswith("_"):
            self._module.uses.add((self._name, member))
            for bindings in self._module.checks:
                bindings.check_enumeration(self._name, member)
        return value

    def __dir__(self) -> list[str]:
        return dir(self._target)

    @property
    def __members__(self) -> Any:
        return self._target.__members__


def call(of: Checked, name: str, function: Any, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
    """Call a method (or, as ``__init__``, a class), and check arguments and result."""
    of._uses.add((of.class_name, name))
    fitting = [(bindings, bindings.check_call(of.class_name, name, arguments, named)) for bindings in of._checks]
    result = function(*map(_bare, arguments), **{key: _bare(value) for key, value in named.items()})
    if name == "__init__":
        return Checked(result, of.class_name, of._checks, of._uses)
    wrapped = _wrapped(of, result)
    for bindings, signatures in fitting:
        bindings.check_result(of.class_name, name, signatures, wrapped)
    return wrapped


def _wrapped(of: Checked, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_wrapped(of, item) for item in value)
    kind = type(value).__name__
    known = kind in of._checks[0].classes and kind != "Dims"
    return Checked(value, kind, of._checks, of._uses) if known else value


def _bare(value: Any) -> Any:
    return value.target if isinstance(value, Checked) else value
