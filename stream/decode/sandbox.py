"""Take from a decoder what it does not need, before it touches the source: as far as the system allows.

FFmpeg eats hostile input. A decoder that it takes over finds no secret in its environment (see
`stream.ingest.decoder_process`), writes no file, starts no program and leaves no core dump. Where the kernel has
Landlock, it reads the one recording that it is for and the libraries that it runs on, nothing else; a camera's decoder
reads what names are resolved with, and speaks TCP to the camera's port only. A recording's decoder has no network at
all where it may leave that of the system.

Nothing here is needed to decode: what the kernel, the platform or a missing package cannot do is left out.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import av
import numpy as np

import hoiclip
from stream.decode.redirects import DEFAULT_PORTS
from stream.decode.sources import SourceSettings

MAX_OPEN_FILES: Final = 64
_DNS_PORT: Final = 53
_ANY_ABI: Final = 1_000

# What the C library reads to resolve a name: its settings, its modules, and the sockets of local resolvers.
_RESOLVER_FILES: Final = (
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
)
_RESOLVER_FOLDERS: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/run/systemd/resolve", "/run/nscd")
RESOLVER_SETTINGS: Final = Path("/etc/resolv.conf")


def confine(settings: SourceSettings) -> list[str]:
    """Confine this process, which has one thread still, to what the source needs; return what it is kept from."""
    held = _landlock(settings, _without_network() if settings.scheme is None else [])
    return [*held, *_limits()]


def _limits() -> list[str]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    open_files = min(MAX_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, open_files),
    ):
        resource.setrlimit(limit, (value, value))
    return ["core dumps", "writing files"]


def _without_network() -> list[str]:
    """Go into a network of one's own, with nobody in it; Python has the call since 3.12, on Linux."""
    unshare = getattr(os, "unshare", None)
    if unshare is None:
        return []
    new_network, new_user = (int(getattr(os, name)) for name in ("CLONE_NEWNET", "CLONE_NEWUSER"))
    for flags in (new_network, new_user | new_network):  # the second needs no privilege, where the system allows it
        try:
            unshare(flags)
        except OSError:
            continue
        return ["the network"]
    return []


def _landlock(settings: SourceSettings, held: list[str]) -> list[str]:
    try:
        from landlockpy import AccessFS, AccessNet, LandlockError, Ruleset, Scope, net_for_abi, supported
    except ImportError:
        return held
    if not supported():
        return held
    tcp = AccessNet.BIND_TCP | AccessNet.CONNECT_TCP
    file, folder = AccessFS.READ_FILE, AccessFS.READ_FILE | AccessFS.READ_DIR
    allowed = dict.fromkeys(_libraries(), folder)
    if settings.scheme is None:
        allowed[settings.path.absolute()] = file
    else:
        allowed |= dict.fromkeys(map(Path, _RESOLVER_FILES), file)
        allowed |= dict.fromkeys(map(Path, _RESOLVER_FOLDERS), folder | AccessFS.RESOLVE_UNIX)
    try:
        with Ruleset(
            handled_net=net_for_abi(_ANY_ABI) if settings.scheme is None else tcp,  # names are asked for by UDP
            scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL,
        ) as rules:
            for path, access in allowed.items():
                with contextlib.suppress(FileNotFoundError):  # whoever opens it will say so
                    rules.allow_path(path, access)
            for port in _ports(settings):
                rules.allow_port(port, AccessNet.CONNECT_TCP)
            rules.restrict()
            held = [*held, "other files (Landlock)"]
            return [*held, "other TCP ports (Landlock)"] if rules.handled_net else held
    except LandlockError:  # such as a seccomp filter of the container that forbids it
        return held


def _libraries() -> list[Path]:
    """Return the folders of what runs here, for modules that are imported late."""
    packages = [Path(str(module.__file__)).parent for module in (os, av, np, hoiclip)]
    bundled = [package.with_name(f"{package.name}.libs") for package in packages]
    return [*packages, Path(__file__).parents[1], *(folder for folder in bundled if folder.is_dir())]


def _ports(settings: SourceSettings) -> set[int]:
    if settings.scheme is None:
        return set()
    ports = {_DNS_PORT}
    with contextlib.suppress(ValueError):
        port = urlsplit(settings.url).port or DEFAULT_PORTS.get(settings.scheme)
        if port is not None:
            ports.add(port)
    return ports


class ResolverWatch:
    """Notice that the system's resolver settings were replaced: a confined process cannot read the new file."""

    def __init__(self) -> None:
        self._before = self._identity()

    def replaced(self) -> bool:
        """Return whether they are another file than when this was made."""
        return self._identity() != self._before

    @staticmethod
    def _identity() -> tuple[int, int] | None:
        try:
            state = RESOLVER_SETTINGS.stat()
        except OSError:
            return None
        return state.st_dev, state.st_ino
