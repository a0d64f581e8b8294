"""Decoders that die, lie or cannot be started touch their own source alone; every state is told once."""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hoiclip.errors import HoistreamError, InputError
from hoiclip.types import Canvas
from stream.backoff import Backoff
from stream.decode.sources import SourceSettings
from stream.decode.wire import (
    Alive,
    Counts,
    Ended,
    Failed,
    Frame,
    Lost,
    Opened,
    Resume,
    Resumed,
    WireError,
    encode_message,
)
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.source_state import SourceMessage, SourceState
from stream.ingest.supervisor import SourceSupervisor

WIDE = Canvas(4, 8)


def kinds(messages: list[SourceMessage], name: str = "cam") -> list[tuple[str, str]]:
    return [(message.kind, message.reason) for message in messages if message.source_id == name]


# Lies.


LIES: dict[str, tuple[Callable[[Any], bytes], str]] = {
    "not json": (lambda d: b"not json\n", "no JSON"),
    "frame without fields": (lambda d: b'{"kind": "Frame"}\n', "fields missing"),
    "slot 99": (lambda d: encode_message(replace(d.frame(5, 9.0), slot=99)), "slot 99 of 30"),
    "slot in use": (lambda d: encode_message(d.frame(1, 9.0)), "slot 1, where another waits"),
    "unknown canvas": (lambda d: encode_message(replace(d.frame(5, 9.0), canvas=Canvas(64, 64))), "canvas 64x64"),
    "time that goes back": (lambda d: encode_message(d.frame(5, 0.1)), "a frame at 0.1 s after one at 0.4 s"),
    "time past all bounds": (lambda d: encode_message(d.frame(5, 1e15)), "a frame at 1e.15 s"),
    "no time": (lambda d: encode_message(d.frame(5, 9.0)).replace(b"9.0", b"NaN"), "no JSON"),
    "capture in the future": (
        lambda d: encode_message(d.frame(5, 9.0, captured_s=time.monotonic() + 1e6)),
        "captured 1e.06 s from now",
    ),
    "capture long ago": (lambda d: encode_message(d.frame(5, 9.0, captured_s=-1e12)), "captured -1e.12 s from now"),
    "no capture time": (lambda d: encode_message(d.frame(5, 9.0, captured_s=None)), "capture time"),
    "a picture without size": (lambda d: encode_message(d.frame(5, 9.0, width=0)), "0x360"),
    "a picture beyond the limit": (lambda d: encode_message(d.frame(5, 9.0, width=10**6)), "1000000x360"),
    "a connection that is not open": (lambda d: encode_message(d.frame(5, 9.0, epoch=7)), "connection 7"),
    "counts that fall": (lambda d: encode_message(d.frame(5, 9.0, counts=Counts())), "counts that fall"),
    "an end": (lambda d: encode_message(Ended(9.0, Counts(decoded=2))), "Ended of a source of kind 'live'"),
    "a failure": (lambda d: encode_message(Failed("failed", "", Counts(decoded=2))), "Failed of a source"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_decoder_that_lies_is_killed_and_replaced_alone_and_its_lie_is_told(stage: Any, lie: str) -> None:
    stage.add("cam", "live")
    stage.add_with_frames("neighbour", 2)
    liar = stage.decoder("cam")
    liar.say(liar.frame(0, 0.2), liar.frame(1, 0.4))
    make, words = LIES[lie]
    liar.say(make(liar))
    honest = stage.decoder("cam", 1)
    assert liar.killed
    lost = next(message for message in _taken(stage) if message.kind == "lost")
    assert lost.reason == "misbehaved"
    assert re.search(words, lost.detail), lost.detail
    assert honest.job.busy_slots in ((), (0, 1))
    honest.open(2)
    honest.say(honest.frame(5, 10.0, epoch=2))
    stage.wait(lambda: stage.supervisor.connected()["cam"])
    assert stage.supervisor.connected()["neighbour"]
    assert not stage.decoders["neighbour"][0].killed
    assert len(stage.decoders["neighbour"]) == 1


def _taken(stage: Any) -> list[SourceMessage]:
    """Read until the source has nothing more to say."""
    messages = []
    batcher = FrameBatcher(stage.supervisor, 8, 0.0)
    while (item := batcher.collect(0.3)) is not None:
        if isinstance(item, SourceMessage):
            messages.append(item)
    return messages


def test_a_recording_whose_decoder_keeps_lying_fails_alone(stage: Any) -> None:
    stage.add_with_frames("good", 1)
    stage.supervisor.add(SourceSettings("bad", "/nowhere", "file", (WIDE,), backoff_initial_s=0.01, backoff_max_s=0.01))
    for number in range(3):
        stage.decoder("bad", number).say(b"not json\n")
    messages = stage.take_messages("bad", "failed")
    assert kinds(messages, "bad") == [("restarted", "misbehaved")] * 2 + [("failed", "misbehaved")]
    assert "/nowhere: at 0.0 s the decoder died (it sent what is no JSON: b'not json')" in messages[-1].detail
    assert stage.num_waiting("good") == 1


def test_an_endless_line_ends_its_decoder_alone(stage: Any) -> None:
    stage.add("cam", "live")
    liar = stage.decoder("cam")
    for _ in range(20):
        if not liar.killed:
            liar.say(b"x" * 8192)
        time.sleep(0.005)
    stage.decoder("cam", 1)
    assert "without end" in stage.take_messages("cam", "lost")[-1].detail


def test_a_decoder_that_floods_is_stopped(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ingest.source_state.MAX_PENDING", 50)
    stage.add("cam", "live")
    flood = stage.decoder("cam")
    flood.say(*[Opened(n, 1, 1, None, "h264", None) for n in range(1, 60)])
    stage.decoder("cam", 1)
    assert "that nobody has taken" in next(m.detail for m in _taken(stage) if m.kind == "lost")


def test_a_real_process_that_talks_nonsense_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    nonsense = "import time; print('not json', flush=True); time.sleep(60)"
    monkeypatch.setattr("stream.ingest.decoder_process._DECODE", nonsense)
    source = SourceSettings("a", "/nowhere", "file", (WIDE,), backoff_initial_s=0.01, backoff_max_s=0.01)
    with SourceSupervisor([source]) as supervisor:
        messages = list(FrameBatcher(supervisor, 1, 0.0))
        pids = supervisor.pids()
    assert kinds(messages, "a")[-1] == ("failed", "misbehaved")
    assert pids == {}


VALUES = st.one_of(st.just(0), st.just(1), st.integers(0, 40), st.just(10**9))
MESSAGES = st.one_of(
    st.just(Alive()),
    st.builds(Opened, VALUES, VALUES, VALUES, st.none(), st.just("h264"), st.none()),
    st.builds(Resumed, st.builds(Counts, VALUES, VALUES)),
    st.builds(Lost, st.sampled_from(["stalled", "refused"]), st.just(""), st.none()),
    st.builds(Failed, st.just("failed"), st.just(""), st.builds(Counts, VALUES)),
    st.builds(Ended, st.floats(0, 100), st.builds(Counts, VALUES)),
    st.tuples(VALUES, st.floats(0, 100), VALUES),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(st.sampled_from(["live", "file"]), st.lists(MESSAGES, max_size=30))
def test_whatever_a_decoder_says_the_state_stays_sound(kind: str, said: list[Any]) -> None:
    now_s = time.monotonic()
    source = SourceSettings("cam", "/nowhere", kind, (WIDE,), slots=8)  # type: ignore[arg-type]
    state = SourceState(source, now_s)
    decoded = 0
    for message in said:
        if isinstance(message, tuple):
            slot, media_s, epoch = message
            decoded += 1
            captured_s = now_s if kind == "live" else None
            message = Frame(slot, decoded, media_s, captured_s, 4, 4, WIDE, False, epoch, Counts(decoded=decoded))
        if state.over:
            break
        try:
            state.receive(message, now_s)
        except WireError as error:
            assert str(error).isprintable()
        busy = state.busy_slots
        assert len(busy) == len(set(busy)) == state.num_ready <= 8
        assert all(slot < 8 for slot in busy)
        while (taken := state.next_message(now_s)) is not None:
            assert taken.state is None or taken.state == state.status(now_s).state or state.pending
        if state.waiting() is not None and len(busy) > 3:
            state.next_frame(WIDE)
    assert state.coverage(now_s).pending == state.num_ready


# Deaths.


def test_the_same_loss_is_told_again_after_the_camera_was_up(stage: Any) -> None:
    stage.add("cam", "live")
    decoder = stage.decoder("cam")
    lost = Lost("stalled", "no data for 3 s", None)
    decoder.say(lost, lost, Resumed(Counts()), lost)
    stage.wait(lambda: stage.supervisor.status()["cam"].state == "lost")
    decoder.say(Lost("refused", "", None), Lost("refused", "", None))
    assert kinds(stage.take_messages("cam", "lost") + _taken(stage)) == [
        ("connecting", ""),
        ("opened", ""),
        ("lost", "stalled"),
        ("resumed", ""),
        ("lost", "stalled"),
        ("lost", "refused"),
    ]


def test_states_are_told_as_they_change_and_repeats_are_not(stage: Any) -> None:
    stage.add("cam", "live")
    decoder = stage.decoder("cam")
    decoder.say(Opened(2, 1, 1, None, "h264", None), Lost("stalled", "", None), Lost("refused", "", None))
    decoder.say(Opened(3, 1, 1, None, "h264", None))
    messages = _taken(stage)
    stage.supervisor.remove("cam")
    messages += stage.take_messages("cam", "removed")
    states = [(m.state, m.reason) for m in messages if m.state]
    lost = [("lost", "stalled"), ("lost", "refused")]
    assert states == [("connecting", ""), ("up", ""), *lost, ("up", ""), ("removed", "")]
    assert stage.supervisor.status() == {}


def test_a_recording_is_given_up_only_when_its_decoder_dies_at_the_same_frame(stage: Any) -> None:
    decoder = stage.add("rec")
    for number in range(5):  # each gets one frame further
        decoder.say(decoder.frame(number, 1.0 + number, epoch=1))
        stage.wait(lambda number=number: stage.supervisor.coverage()["rec"].pending == number + 1)
        decoder.die()
        decoder = stage.decoder("rec", number + 1)
        assert decoder.job.resume == Resume(1.0 + number, Counts(decoded=number + 1))
        decoder.num_frames = number + 1
        decoder.open()
    decoder.die()
    stage.decoder("rec", 6).die()
    messages = _taken(stage)
    assert kinds(messages, "rec").count(("restarted", "crashed")) == 6
    assert kinds(messages, "rec")[-1] == ("failed", "crashed")
    assert "at 5.0 s the decoder died (signal 9)" in messages[-1].detail


def test_a_decoder_that_replaces_another_is_told_which_slots_still_hold_frames(stage: Any) -> None:
    decoder = stage.add_with_frames("cam", 4, age_s=0.0, staleness_s=10.0)
    assert FrameBatcher(stage.supervisor, 2, 0.0).collect(1.0).meta[1].frame_index == 1
    decoder.die()
    successor = stage.decoder("cam", 1)
    assert successor.job.busy_slots == (2, 3)
    assert successor.job.last_media_s == pytest.approx(0.8)
    batch = FrameBatcher(stage.supervisor, 2, 0.0).collect(1.0)
    assert [int(picture.mean()) for picture in batch.frames] == [2, 3]
    assert successor.freed == [2, 3]


def test_a_frame_puts_the_delay_of_the_next_restart_back(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def note(backoff: Backoff) -> float:
        attempts.append(backoff.attempt)
        backoff.attempt += 1
        return 0.0

    monkeypatch.setattr(Backoff, "next", note)
    stage.add("cam", "live")
    stage.decoder("cam").die()
    stage.decoder("cam", 1).die()
    third = stage.decoder("cam", 2)
    third.open(1)
    third.say(third.frame(0, 0.2))
    stage.wait(lambda: stage.num_waiting("cam") or stage.supervisor.coverage()["cam"].pending)
    third.die()
    stage.decoder("cam", 3)
    assert attempts == [0, 1, 0]


def test_counts_survive_decoders_that_die_before_they_report(stage: Any) -> None:
    decoder = stage.add_with_frames("cam", 2, age_s=0.0, staleness_s=10.0)
    FrameBatcher(stage.supervisor, 2, 0.0).collect(1.0)
    decoder.die()
    stage.decoder("cam", 1).die()
    stage.decoder("cam", 2)
    account = stage.supervisor.coverage()["cam"]
    assert (account.decoded, account.delivered, account.seen) == (2, 2, 1.0)


def test_a_decoder_that_gives_no_sign_of_life_is_replaced(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ingest.supervisor.SILENCE_S", 0.3)
    stage.add("cam", "live")
    mute = stage.decoder("cam")
    stage.decoder("cam", 1)
    assert mute.killed
    assert "no sign of life" in stage.take_messages("cam", "lost")[-1].detail


def test_a_decoder_without_signs_of_life_is_not_connected_long_before_it_is_killed(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.ingest.source_state.SILENT_S", 0.2)
    decoder = stage.add("cam", "live")
    stage.wait(lambda: stage.supervisor.connected()["cam"])
    stage.wait(lambda: not stage.supervisor.connected()["cam"])
    status = stage.supervisor.status()["cam"]
    assert (status.state, status.reason, status.responding) == ("up", "silent", False)
    decoder.say(Alive())
    stage.wait(lambda: stage.supervisor.connected()["cam"])


# Blindness.


def test_a_camera_that_is_away_is_told_to_be_blind_while_it_is(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ingest.coverage.BLIND_S", 0.3)
    decoder = stage.add_with_frames("cam", 1, age_s=0.0, staleness_s=10.0, gap_s=0.1)
    FrameBatcher(stage.supervisor, 1, 0.0).collect(1.0)
    decoder.say(Lost("refused", "cam:554 refused the connection", None))
    messages = stage.take_messages("cam", "blind")
    gap = messages[-1].gap
    assert gap is not None
    assert (gap.open, gap.reason, gap.from_media_s) == (True, "refused", 0.2)
    assert gap.blind_s == pytest.approx(0.3, abs=0.25)
    decoder.say(Opened(2, 1, 1, None, "h264", None), decoder.frame(1, 5.0, epoch=2))
    whole = stage.take_messages("cam", "opened") + _taken(stage)
    assert kinds(whole) == [("opened", ""), ("gap", "refused")]
    assert whole[-1].gap is not None
    assert (whole[-1].gap.open, whole[-1].gap.from_media_s, whole[-1].gap.to_media_s) == (False, 0.2, 5.0)


def test_a_recording_that_waits_for_the_engine_is_not_blind(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.ingest.coverage.BLIND_S", 0.05)
    stage.add_with_frames("rec", 1)
    stage.add_with_frames("cam", 1, age_s=0.0, staleness_s=10.0, gap_s=0.1)  # its frame waits: it is not blind
    time.sleep(0.4)
    assert stage.supervisor.next_message() is None


# Shortages.


def shortage(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_a_camera_waits_for_descriptors_and_comes_up_when_there_are_some(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.refusals += [shortage(errno.EMFILE)] * 5
    stage.supervisor.add(
        SourceSettings("cam", "rtsp://cam/", "live", (WIDE,), backoff_initial_s=0.01, backoff_max_s=0.02)
    )
    decoder = stage.decoder("cam")
    decoder.open()
    messages = stage.take_messages("cam", "opened")
    assert kinds(messages)[:2] == [("connecting", ""), ("lost", "no_resources")]
    assert kinds(messages).count(("lost", "no_resources")) == 1
    assert "the decoder cannot be started: Too many open files (raise `ulimit -n`)" in messages[1].detail
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1  # once, however often it is tried


def test_a_recording_waits_out_a_short_shortage_and_gives_up_in_a_long_one(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.refusals += [shortage(errno.EAGAIN)] * 5
    stage.add("patient")
    assert not any(message.kind == "failed" for message in stage.take_messages("patient", "opened"))
    monkeypatch.setattr("stream.ingest.source_state.SHORTAGE_S", 0.05)
    stage.refusals += [shortage(errno.ENOMEM)] * 100
    stage.supervisor.add(
        SourceSettings("late", "/nowhere", "file", (WIDE,), backoff_initial_s=0.01, backoff_max_s=0.02)
    )
    failed = stage.take_messages("late", "failed")[-1]
    assert failed.reason == "no_resources"
    assert "cannot be started: Cannot allocate memory" in failed.detail


def test_a_ring_that_cannot_be_made_is_tried_again(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [shortage(errno.EMFILE)] * 3
    make = os.memfd_create

    def memfd_create(name: str) -> int:
        if refusals:
            raise refusals.pop()
        return make(name)

    monkeypatch.setattr(os, "memfd_create", memfd_create)
    stage.add("cam", "live")
    assert ("lost", "no_resources") in kinds(stage.take_messages("cam", "opened"))


def test_a_supervisor_that_finds_no_descriptor_says_so_and_leaks_none() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for allowed in range(before - 1, before + 3):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        try:
            SourceSupervisor().stop()
        except HoistreamError as error:
            assert "sources cannot be watched: Too many open files; raise `ulimit -n`" in str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_real_decoders_come_up_once_descriptors_are_free_again(make_clip: Callable[..., Path]) -> None:
    code = f"""
import os, resource, time
from hoiclip.types import Canvas
from stream.decode.sources import SourceSettings
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.supervisor import SourceSupervisor
supervisor = SourceSupervisor()
hoard = []
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4096))
while True:
    try:
        hoard.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        break
supervisor.add(SourceSettings("a", {str(make_clip(seconds=1))!r}, "file", (Canvas(32, 48),), target_fps=None))
frames = 0
for item in FrameBatcher(supervisor, 4, 0.0):
    if isinstance(item, Batch):
        frames += len(item.meta)
    else:
        print(item.kind, item.reason)
        for fd in hoard:
            os.close(fd)
        hoard.clear()
supervisor.stop()
print(frames)
"""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.stdout.splitlines() == ["restarted no_resources", "opened ", "ended ", "25"], done.stderr


# The thread that watches.


def test_an_error_of_the_watching_thread_is_raised_where_frames_are_read_and_health_sees_it(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage.supervisor.healthy

    def broken(state: SourceState, now_s: float) -> bool:
        raise RuntimeError("a bug")

    monkeypatch.setattr(SourceState, "check_blind", broken)
    stage.supervisor.add(SourceSettings("a", "/nowhere", "file", (WIDE,)))
    with pytest.raises(RuntimeError, match="a bug"):
        for _ in range(100):
            FrameBatcher(stage.supervisor, 4, 0.03).collect(0.1)
    assert not stage.supervisor.healthy


def test_two_sources_may_not_share_an_id(stage: Any) -> None:
    stage.add("a")
    with pytest.raises(InputError, match="in use"):
        stage.supervisor.add(SourceSettings("a", "/nowhere.mp4", "file", (WIDE,)))


def test_an_id_is_free_again_once_its_removal_was_taken(stage: Any) -> None:
    stage.add_with_frames("a", 2)
    account = stage.supervisor.remove("a")
    assert account.dropped == {"stopped": 2}
    with pytest.raises(InputError, match="in use"):
        stage.supervisor.add(SourceSettings("a", "/nowhere.mp4", "file", (WIDE,)))
    stage.take_messages("a", "removed")
    stage.supervisor.add(SourceSettings("a", "/nowhere.mp4", "file", (WIDE,)))


def test_a_camera_problem_is_logged_once(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stage.add("cam", "live")
    stage.decoder("cam").die()
    stage.decoder("cam", 1)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["source cam: lost crashed the decoder died (signal 9)"]


def test_a_batch_of_frames_is_yielded_before_the_loss_that_came_after_them(stage: Any) -> None:
    decoder = stage.add_with_frames("cam", 2, age_s=0.0, staleness_s=10.0)
    decoder.die()
    stage.decoder("cam", 1)
    batcher = FrameBatcher(stage.supervisor, 8, 0.0)
    first, second = batcher.collect(1.0), batcher.collect(1.0)
    assert isinstance(first, Batch)
    assert isinstance(second, SourceMessage)
    assert second.kind == "lost"
