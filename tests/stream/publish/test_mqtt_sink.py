"""Against a real broker (amqtt) in a process of its own, read by a client that is not the sink's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hoiclip.errors import InputError
from stream.events.schema import Event, EventNumbers, SourceStateEvent
from stream.publish.mqtt_sink import parse_mqtt_url
from stream.publish.publisher import Publisher
from stream.run.checking import check_sink
from tests.stream.conftest import free_port, need
from tests.stream.publish.support import wait_until
from tests.stream.publish.test_webhooks import alert

MakeEvents = Callable[..., list[Event]]

BROKER = """
import asyncio, sys
from amqtt.broker import Broker
config = {
    "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}
async def serve():
    await Broker(config).start()
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(serve())
"""


class MqttBroker:
    """A broker on a port of its own that can be killed and come back, empty."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", BROKER, str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Listener:
    """Takes everything that a broker says; `kept` is what it keeps for those who come later."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, str]] = []
        self.kept: dict[str, str] = {}
        subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *arguments: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("#", qos=1)
        assert subscribed.wait(10)

    def _take(self, client: Any, data: Any, message: Any) -> None:
        if message.retain:
            self.kept[message.topic] = message.payload.decode()
        self.got.append((message.topic, message.payload.decode()))

    def of(self, topic: str) -> list[str]:
        return [payload for found, payload in self.got if found == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker() -> Iterator[MqttBroker]:
    need("amqtt")
    need("paho")
    made = MqttBroker()
    yield made
    made.kill()


@pytest.fixture
def listen(broker: MqttBroker) -> Iterator[Callable[[], Listener]]:
    made: list[Listener] = []

    def begin() -> Listener:
        made.append(Listener(broker.port))
        return made[-1]

    yield begin
    for listener in made:
        listener.close()


def life(make_events: MakeEvents) -> list[Event]:
    numbers = EventNumbers("run", "front door")
    kinds = ("started", "updated", "ended")
    return [make_events(1, source_id="front door", numbers=numbers, type=kind)[0] for kind in kinds]


def test_interactions_are_new_updated_and_ended_and_their_state_is_kept(
    broker: MqttBroker, listen: Callable[[], Listener], tmp_path: Path, make_events: MakeEvents
) -> None:
    listener = listen()
    events, state = life(make_events), "hoistream/front_door/ride_bicycle"
    with Publisher([f"mqtt://127.0.0.1:{broker.port}"], tmp_path) as publisher:
        for event in events[:2]:
            publisher.publish(event)
        publisher.publish(alert())
        assert publisher.flush(10.0)
        wait_until(lambda: listener.of("hoistream/alerts"))
        during = listen()
        wait_until(lambda: during.kept.get(state) == "ON")
        publisher.publish(events[2])
        assert publisher.flush(10.0)
        wait_until(lambda: len(listener.of("hoistream/events")) == 3)
    steps = [json.loads(payload) for payload in listener.of("hoistream/events")]
    assert [step["type"] for step in steps] == ["new", "update", "end"]
    assert [step["event"]["event_id"] for step in steps] == [event.event_id for event in events]
    assert json.loads(listener.of("hoistream/alerts")[0])["rule"] == "phone at the press"
    assert listener.of(state) == ["ON", "ON", "OFF"]
    later = listen()
    wait_until(lambda: later.kept.get("hoistream/available") == "offline")
    wait_until(lambda: later.kept.get(state) == "OFF")
    assert "hoistream/events" not in later.kept


def test_home_assistant_finds_cameras_and_interactions(
    broker: MqttBroker, listen: Callable[[], Listener], tmp_path: Path, make_events: MakeEvents
) -> None:
    up = SourceStateEvent(**EventNumbers("r", "front door").next(), media_time_s=0.0, state="up")
    with Publisher([f"mqtt://127.0.0.1:{broker.port}/house"], tmp_path) as publisher:
        for event in (up, *life(make_events)):
            publisher.publish(event)
        assert publisher.flush(10.0)
    listener = listen()
    wait_until(lambda: len([t for t in listener.kept if t.startswith("homeassistant/")]) == 2)
    found = {}
    for topic, payload in listener.kept.items():
        if topic.startswith("homeassistant/"):
            about = json.loads(payload)
            assert topic == f"homeassistant/binary_sensor/{about['unique_id']}/config"
            assert about["availability_topic"] == "house/available"
            assert about["state_topic"] in listener.kept  # and it has a state
            assert listener.kept[about["state_topic"]] in (about["payload_on"], about["payload_off"])
            found[about["name"]] = about
    assert set(found) == {"connection", "ride bicycle"}
    assert found["connection"]["device"] == found["ride bicycle"]["device"]
    assert found["connection"]["device_class"] == "connectivity"
    assert listener.kept["house/front_door/available"] == "online"


def test_a_broker_that_comes_back_gets_what_waited(
    broker: MqttBroker, listen: Callable[[], Listener], tmp_path: Path, make_events: MakeEvents
) -> None:
    events = life(make_events)
    with Publisher([f"mqtt://127.0.0.1:{broker.port}"], tmp_path) as publisher:
        publisher.publish(events[0])
        assert publisher.flush(10.0)
        broker.kill()
        publisher.publish(events[1])
        wait_until(lambda: publisher.state.state == "sink_down", 20.0)
        broker.start()
        listener = listen()
        publisher.publish(events[2])
        wait_until(lambda: publisher.state.ok and publisher.state.lag == 0, 40.0)
        wait_until(lambda: "OFF" in listener.of("hoistream/front_door/ride_bicycle"))
    ids = {json.loads(payload)["event"]["event_id"] for payload in listener.of("hoistream/events")}
    assert ids == {event.event_id for event in events[1:]}


PUBLISH = """
import sys, time
from pathlib import Path
from stream.publish.publisher import Publisher
with Publisher([sys.argv[1]], Path(sys.argv[2])) as publisher:
    print("up", flush=True)
    time.sleep(60)
"""


def test_the_broker_says_when_a_killed_run_is_gone(
    broker: MqttBroker, listen: Callable[[], Listener], tmp_path: Path
) -> None:
    listener = listen()
    command = [sys.executable, "-c", PUBLISH, f"mqtt://127.0.0.1:{broker.port}", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: listener.of("hoistream/available") == ["online"], 20.0)
    finally:
        child.kill()
        child.wait()
    wait_until(lambda: listener.of("hoistream/available") == ["online", "offline"], 20.0)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mqtt://", "expected mqtt://HOST:PORT/PREFIX"),
        ("mqtt://u:pa:ss/word@h:1883", "the port is not a number"),
        ("mqtt://h/a%20b", "prefix: expected letters"),
        ("mqtt://h/?discovery=a%23b", "discovery: expected letters"),
        ("mqtt://h/?retain=1", "option 'retain' is not known"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_sink(url)
    assert message in str(caught.value)


def test_a_password_is_in_no_name() -> None:
    target = parse_mqtt_url("mqtts://me:hunter%402@broker.example/house?discovery=")
    assert (target.user, target.password, target.port, target.discovery) == ("me", "hunter@2", 8883, "")
    assert "hunter" not in repr(target) + target.label
