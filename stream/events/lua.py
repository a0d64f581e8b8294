"""Lua scripts that run inside the server: each in a file of its own, next to the module that calls it."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script's text, and the hash by which a server that has loaded it knows it."""

    text: str
    sha: str


def load_script(package: str, name: str) -> Script:
    """Return the script in file `name` of `package`."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
