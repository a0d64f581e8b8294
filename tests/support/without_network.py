"""Run a program where no network is but the loopback, and count what it, or any process it starts, tried to send out.

The counting is the kernel's own: in a network namespace without a route every connection and every datagram to another
machine, name servers included, adds to `OutNoRoutes`, whichever library or process tried. Name servers are replaced by
an address on another machine, so that each look-up counts too.

Run: unshare --user --map-root-user --net --mount python without_network.py SECONDS REPORT COMMAND…
Ends the command with SIGTERM after SECONDS; writes its exit code (None: it had to be ended) and the count to REPORT.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount")
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def raise_loopback() -> None:
    """Switch the loopback on, as every machine has it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def replace_name_servers() -> None:
    """Let look-ups go to another machine, in this mount namespace only."""
    settings = Path("/etc/resolv.conf")
    if settings.exists():
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write("nameserver 192.0.2.53\noptions timeout:1 attempts:1\n")
        subprocess.run(["mount", "--bind", file.name, str(settings.resolve())], check=True)


def attempts() -> int:
    """Return how often something without a route was tried in this network namespace."""
    names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:"))
    count = int(values[names.index("OutNoRoutes")])
    snmp6 = Path("/proc/net/snmp6")
    for line in snmp6.read_text().splitlines() if snmp6.exists() else []:
        name, value = line.split()
        count += int(value) if name == "Ip6OutNoRoutes" else 0
    return count


def main() -> None:
    """Run and count."""
    seconds, report, *command = sys.argv[1:]
    raise_loopback()
    replace_name_servers()
    process = subprocess.Popen(command)
    code: int | None
    try:
        code = process.wait(float(seconds))
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        code = None
    Path(report).write_text(json.dumps({"code": code, "attempts": attempts()}))


if __name__ == "__main__":
    main()
