from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hoiclip.errors import InputError
from stream.events.schema import AlertEvent, Event, EventNumbers
from stream.publish.publisher import Publisher
from stream.publish.webhooks import WebhookSink, cloud_event, parse_webhook_url, signature
from stream.redaction import redact
from stream.run.checking import check_sink
from tests.stream.conftest import need
from tests.stream.publish.support import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MakeEvents = Callable[..., list[Event]]


def alert(seq: int = 1, severity: str = "warning", **fields: Any) -> AlertEvent:
    numbers = EventNumbers("rules", "gate 1", seq - 1).next()
    values = {
        "media_time_s": 1.0, "rule": "phone at the press", "severity": severity, "reason": "lasts", "why": "≥ 10 s",
        "event_ids": ["a"], "interaction_ids": ["i"], "interactions": ["hold phone"],
        "sources": ["gate 1"], "human_ids": [3],
    }  # fmt: skip
    return AlertEvent(**numbers | values | fields)


class Receiver:
    """A real HTTP server that keeps what it is sent, and answers with `answers` in turn, then 204."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, options: str = f"secret={SECRET}") -> str:
        return f"webhook:http://127.0.0.1:{self.port}/hooks/private-path?key=abc#{options}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_an_alert_arrives_as_a_signed_cloud_event(receiver: Receiver, tmp_path: Path, make_events: MakeEvents) -> None:
    need("standardwebhooks")
    from standardwebhooks import Webhook, WebhookVerificationError

    sent = alert()
    with Publisher([receiver.url()], tmp_path) as publisher:
        for event in (*make_events(3), sent):
            publisher.publish(event)
        assert publisher.flush(10.0)
    ((path, headers, body),) = receiver.got
    assert path == "/hooks/private-path?key=abc"
    document = Webhook(SECRET).verify(body, headers)
    assert document["data"]["event_id"] == headers["webhook-id"] == sent.event_id
    assert AlertEvent.model_validate(document["data"]).why == "≥ 10 s"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"gate", b"gait"), headers)


def test_a_cloud_event_has_what_version_1_0_asks_for(receiver: Receiver, tmp_path: Path) -> None:
    with Publisher([receiver.url("types=alert")], tmp_path) as publisher:
        publisher.publish(alert())
        assert publisher.flush(10.0)
    ((_, headers, body),) = receiver.got
    document = json.loads(body)
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert "webhook-signature" not in headers
    assert (document["specversion"], document["type"], document["source"]) == (
        "1.0",
        "hoistream.v1.alert",
        "/hoistream/gate%201",
    )
    assert (document["subject"], document["datacontenttype"]) == ("phone at the press", "application/json")
    assert document["time"] == document["data"]["published_time"]
    assert set(document) <= {
        "specversion", "id", "source", "type", "datacontenttype", "time", "subject", "data",
    }  # fmt: skip
    assert "time" not in cloud_event(alert().model_dump(mode="json"))


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification."""
    target = parse_webhook_url(f"webhook:https://h/#secret={SECRET}")
    assert target.secret is not None
    signed = signature(target.secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_server_that_is_away_or_busy_gets_each_alert_in_order_later(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [503, 429, 204, 500]
    with Publisher([receiver.url()], tmp_path) as publisher:
        for seq in (1, 2, 3):
            publisher.publish(alert(seq))
        wait_until(lambda: publisher.state.lag == 0 and publisher.state.ok, 20.0)
        assert publisher.state.dead == 0
    seqs = [json.loads(body)["data"]["seq"] for _, _, body in receiver.got]
    assert seqs == [1, 1, 1, 2, 2, 3]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 3


def test_a_restart_sends_what_waits(tmp_path: Path, receiver: Receiver) -> None:
    url = receiver.url()
    receiver.close()
    with Publisher([url], tmp_path) as publisher:
        publisher.publish(alert())
        wait_until(lambda: publisher.state.state == "sink_down")
        assert "private-path" not in publisher.state.last_error
        publisher.close(time.monotonic() + 0.2)
    again = Receiver()
    with Publisher([url, again.url()], tmp_path) as publisher:  # a sink that is new here gets nothing from before
        wait_until(lambda: publisher.state.state == "sink_down")
        publisher.publish(alert(2))
        wait_until(lambda: again.got)
        publisher.close(time.monotonic() + 0.2)
    again.close()
    assert [json.loads(body)["data"]["seq"] for _, _, body in again.got] == [2]


def test_what_is_refused_is_put_aside_and_the_next_one_goes_on(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [400, 302, 400]  # a redirection is not followed
    with Publisher([receiver.url()], tmp_path) as publisher:
        publisher.publish(alert(1))
        publisher.publish(alert(2))
        wait_until(lambda: publisher.state.lag == 0, 20.0)
        assert publisher.state.dead == 1
    assert {path for path, _, _ in receiver.got} == {"/hooks/private-path?key=abc"}
    assert json.loads(receiver.got[-1][2])["data"]["seq"] == 2
    (file,) = tmp_path.glob("*.dead.jsonl")
    (letter,) = map(json.loads, file.read_text().splitlines())
    assert (letter["event"]["seq"], "refused with 400" in letter["error"]) == (1, True)


def test_what_cannot_be_delivered_for_too_long_is_put_aside(receiver: Receiver, tmp_path: Path) -> None:
    url = receiver.url("give_up_h=0.0001")
    receiver.close()
    with Publisher([url], tmp_path) as publisher:
        publisher.publish(alert())
        wait_until(lambda: publisher.state.dead == 1 and publisher.state.lag == 0, 20.0)


def test_types_and_severities_choose(receiver: Receiver, tmp_path: Path, make_events: MakeEvents) -> None:
    with Publisher([receiver.url("types=alert,started&severity=critical")], tmp_path) as publisher:
        for event in (*make_events(2), *make_events(1, run_id="x", type="ended"), alert(1), alert(2, "critical")):
            publisher.publish(event)
        assert publisher.flush(10.0)
    types = [json.loads(body)["type"].rsplit(".")[-1] for _, _, body in receiver.got]
    assert types == ["started", "started", "alert"]


def test_no_secret_and_no_address_in_any_log(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [500, 400, 400, 400]
    with Publisher([receiver.url()], tmp_path) as publisher:
        publisher.publish(alert())
        wait_until(lambda: publisher.state.dead == 1, 20.0)
    sink = WebhookSink(receiver.url())
    shown = caplog.text + repr(vars(sink)) + sink.label + "".join(p.read_text() for p in tmp_path.glob("*.dead.jsonl"))
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "private-path", "key=abc"):
        assert secret not in shown
    assert SECRET not in redact(receiver.url())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("webhook:", "expected webhook:https://HOST"),
        ("webhook:ftp://h/", "expected webhook:https://HOST"),
        ("webhook:https://h:port/", "the port is not a number"),
        ("webhook:https://h/#secret=hunter2", "secret: expected whsec_ and 24 to 64 bytes"),
        ("webhook:https://h/#types=hologram", "types: 'hologram' is not known"),
        ("webhook:https://h/#give_up_h=never", "give_up_h: expected hours"),
        ("webhook:https://h/#colour=red", "option 'colour' is not known"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused_without_showing_it(url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_sink(url)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
