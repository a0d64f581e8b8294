"""Events to an MQTT broker, shaped for home automation: ``mqtt://[user:password@]host[:port][/PREFIX]``.

Under the prefix (``hoistream``): ``available`` (``online``, and ``offline`` by the broker when we are gone), ``events``
and ``alerts`` (JSON, as they happen), ``CAMERA/available`` and ``CAMERA/INTERACTION`` (``ON`` while it goes on). All
but events and alerts are retained. Home Assistant finds cameras and interactions by itself, through discovery topics.
Source: home-assistant.io, MQTT discovery.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from hoiclip.errors import InputError
from hoiclip.hashes import short_hash
from stream.publish.records import Record
from stream.publish.spooled import SpooledSinkDownError

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

SCHEMES = ("mqtt://", "mqtts://")
TIMEOUT_S = 5.0
_PARTS = {"started": "new", "updated": "update", "ended": "end"}
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True)
class MqttTarget:
    """A broker. The password is never shown; `label` is."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None
    prefix: str
    discovery: str  # prefix of Home Assistant's discovery topics; empty for none

    @property
    def label(self) -> str:
        """Host, port and prefix."""
        return f"mqtt{'s' if self.tls else ''}://{self.host}:{self.port}/{self.prefix}"

    def __repr__(self) -> str:
        return f"<{self.label}>"


def parse_mqtt_url(url: str) -> MqttTarget:
    """Return the broker in ``mqtt://[user:password@]host[:port][/PREFIX][?discovery=homeassistant]``.

    Raises InputError, which shows no password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise InputError("sink mqtt: the port is not a number; write special characters of a password as %40") from None
    if not parts.hostname:
        raise InputError("sink mqtt: expected mqtt://HOST:PORT/PREFIX, with USER:PASSWORD@ before HOST")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    discovery = options.pop("discovery", "homeassistant")
    prefix = parts.path.strip("/") or "hoistream"
    for name, value in (("prefix", prefix), ("discovery", discovery or "none")):
        if not _PREFIX.fullmatch(value):
            raise InputError(f"sink mqtt: {name}: expected letters, digits, '.', '_', '-' and '/', got {value!r}")
    if options:
        raise InputError(f"sink mqtt: option {min(options)!r} is not known; expected discovery")
    tls = parts.scheme == "mqtts"
    user, password = (unquote(text) if text else None for text in (parts.username, parts.password))
    return MqttTarget(parts.hostname, port or (8883 if tls else 1883), tls, user, password, prefix, discovery)


class MqttSink:
    """Publishes with quality of service 1, in order, over one connection that paho keeps."""

    max_batch = 100
    give_up_s = 24 * 3600.0
    from_now = True

    def __init__(self, url: str) -> None:
        """Raises InputError for a URL that cannot be right, and when paho-mqtt is missing; connects when needed."""
        self._target = parse_mqtt_url(url)
        if find_spec("paho") is None:
            raise InputError("sink mqtt: paho-mqtt is not installed: pip install 'hoistream[mqtt]'")
        self.label = self._target.label
        self._client: Client | None = None
        self._open: dict[tuple[str, str], set[str]] = defaultdict(set)  # interaction ids by source and interaction
        self._discovered: set[tuple[str, str]] = set()

    def append(self, records: Sequence[Record]) -> int:
        """Publish records and wait until the broker has them. Raises SpooledSinkDownError."""
        client = self._connected()
        waiting: list[MQTTMessageInfo] = []
        for record in records:
            event = json.loads(record.json)
            for topic, payload, retain in self._messages(event):
                waiting.append(client.publish(topic, payload, qos=1, retain=retain))
        for message in waiting:
            try:
                message.wait_for_publish(TIMEOUT_S)
            except (RuntimeError, ValueError):
                self._down("not connected")
            if not message.is_published():
                self._down("no answer")
        return len(records)

    def _messages(self, event: dict[str, Any]) -> list[tuple[str, str, bool]]:
        prefix, kind, source = self._target.prefix, event["type"], event["source_id"]
        if kind == "alert":
            return [(f"{prefix}/alerts", json.dumps(event), False)]
        if kind == "source_state":
            payload = "online" if event["state"] == "up" else "offline"
            return [*self._discovery(source, ""), (f"{prefix}/{_topic(source)}/available", payload, True)]
        if kind not in _PARTS:
            return []
        interaction = event["interaction"]
        going_on = self._open[source, interaction]
        if kind == "ended":
            going_on.discard(event["interaction_id"])
        else:
            going_on.add(event["interaction_id"])
        message = json.dumps({"type": _PARTS[kind], "event": event})
        state = "ON" if going_on else "OFF"
        return [
            *self._discovery(source, interaction),
            (f"{prefix}/events", message, False),
            (f"{prefix}/{_topic(source)}/{_topic(interaction)}", state, True),
        ]

    def _discovery(self, source: str, interaction: str) -> list[tuple[str, str, bool]]:
        """Return what makes Home Assistant show a camera's connection, or an interaction of it; once each."""
        target = self._target
        if not target.discovery or (source, interaction) in self._discovered:
            return []
        self._discovered.add((source, interaction))
        camera = f"{target.prefix}/{_topic(source)}"
        unique = f"hoistream_{short_hash(target.prefix, source, interaction)[:12]}"
        about: dict[str, Any] = {
            "name": interaction or "connection",
            "unique_id": unique,
            "state_topic": f"{camera}/{_topic(interaction) if interaction else 'available'}",
            "payload_on": "ON" if interaction else "online",
            "payload_off": "OFF" if interaction else "offline",
            "availability_topic": f"{target.prefix}/available",
            "device": {
                "identifiers": [f"hoistream_{short_hash(target.prefix, source)[:12]}"],
                "name": source,
                "manufacturer": "hoistream",
            },
            "origin": {"name": "hoistream"},
        }
        about["device_class"] = "occupancy" if interaction else "connectivity"
        return [(f"{target.discovery}/binary_sensor/{unique}/config", json.dumps(about), True)]

    def _connected(self) -> Client:
        if self._client is not None and self._client.is_connected():
            return self._client
        self.close()
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        target = self._target
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"hoistream-{short_hash(target.label)[:8]}")
        client.connect_timeout = TIMEOUT_S
        if target.user is not None:
            client.username_pw_set(target.user, target.password)
        if target.tls:
            client.tls_set()
        client.will_set(f"{target.prefix}/available", "offline", qos=1, retain=True)
        answers: list[str] = []
        client.on_connect = lambda client, data, flags, reason, properties: answers.append(str(reason))
        try:
            client.connect(target.host, target.port)
        except (OSError, ValueError) as error:
            self._down(getattr(error, "strerror", None) or type(error).__name__)
        client.loop_start()
        self._client = client
        info = client.publish(f"{target.prefix}/available", "online", qos=1, retain=True)
        try:
            info.wait_for_publish(TIMEOUT_S)
        except (RuntimeError, ValueError):
            self._down(answers[0] if answers else "not connected")
        if not info.is_published():
            self._down(answers[0] if answers else "no answer")
        self._discovered.clear()  # a broker may have come back empty
        return client

    def _down(self, reason: str) -> None:
        self.close()
        raise SpooledSinkDownError(f"{self.label}: {reason}; events wait on disk")

    def look_after(self) -> None:
        """Say that we are there before anything happens. Raises SpooledSinkDownError."""
        self._connected()

    def close(self) -> None:
        """Say that we are gone, and let go; safe to call twice."""
        client, self._client = self._client, None
        if client is None:
            return
        if client.is_connected():
            farewell = client.publish(f"{self._target.prefix}/available", "offline", qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):
                farewell.wait_for_publish(1.0)
        client.disconnect()
        client.loop_stop()


def _topic(name: str) -> str:
    """Return a name as one level of a topic: spaces become `_`, and what topics give a meaning to goes."""
    return re.sub(r"[\s/+#$]+", "_", name)
