"""Engines that work on their own: frames and messages stay in order, and no end leaves a batch behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.base import BaseEngine, QueueingEngine
from engines.errors import EngineError
from engines.loading import load_model
from engines.null_engine import NullEngine
from hoiclip.errors import InputError
from hoiclip.types import Canvas, Outputs
from stream.decode.sources import SourceSettings
from stream.events.schema import Event, comparable
from stream.ingest.batcher import Batch, FrameBatcher
from stream.ingest.source_state import FrameMeta, SourceMessage
from stream.ingest.supervisor import SourceSupervisor
from stream.run.inference import EnginePool
from stream.run.pipeline import Pipeline
from stream.run.source_run import Head, SourceRun, source_tracker
from stream.track.settings import TrackerSettings

SMALL, LARGE = Canvas(4, 6), Canvas(8, 6)
Item = Batch | SourceMessage | None  # None: nothing is ready
Compute = Callable[[NDArray[np.uint8]], Outputs[NDArray[np.float32]]]


def answer(frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
    """Return outputs that name the frame they belong to."""
    return Outputs(*[frames[:, 0, 0, :1].astype(np.float32)] * len(Outputs._fields))


class Late(QueueingEngine):
    """Works in a thread of its own, and finishes a batch only once somebody waits for it."""

    def __init__(
        self,
        canvas: Canvas,
        compute: Compute = answer,
        *,
        depth: int = 2,
        fails: int | None = None,
        refuses: int | None = None,
    ) -> None:
        super().__init__("late", canvas, 3, depth)
        self.compute, self.fails, self.refuses = compute, fails, refuses  # numbers of batches, from 0
        self.started, self.most_in_flight, self.closed_with = 0, 0, -1
        self._tasks: deque[tuple[threading.Thread, threading.Event, list[Any]]] = deque()

    def _start(self, frames: NDArray[np.uint8]) -> None:
        if self.started == self.refuses:
            raise EngineError("no room for this batch")
        mine, number, wanted, result = frames.copy(), self.started, threading.Event(), list[Any]()

        def work() -> None:
            assert wanted.wait(10), "nobody collected this batch"
            result.append(EngineError(f"batch {number} failed late") if number == self.fails else self.compute(mine))

        self._tasks.append((threading.Thread(target=work), wanted, result))
        self._tasks[-1][0].start()
        self.started += 1
        self.most_in_flight = max(self.most_in_flight, len(self._tasks))

    def _finish(self) -> Outputs[NDArray[np.float32]]:
        thread, wanted, result = self._tasks.popleft()
        wanted.set()
        thread.join()
        if isinstance(result[0], Exception):
            raise result[0]
        outputs: Outputs[NDArray[np.float32]] = result[0]
        return outputs

    def close(self) -> None:
        self.closed_with = len(self._tasks)


class Prompt(BaseEngine):
    """Returns when it has finished."""

    def __init__(self, canvas: Canvas, compute: Compute = answer) -> None:
        super().__init__("prompt", canvas, 3)
        self.compute = compute

    def _run(self, frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        return self.compute(frames)


class Script:
    """A batcher whose items are all ready at once; what is callable happens when its turn comes."""

    def __init__(self, items: Iterable[Item | Callable[[], None]]) -> None:
        self._items = deque(items)

    def collect(self, timeout_s: float) -> Item:
        item = self._items.popleft() if self._items else None
        if callable(item):
            item()
            return self.collect(timeout_s)
        return item

    @property
    def finished(self) -> bool:
        return not self._items


class Run:
    """One source after the engine; `entries` is what the pipeline's own thread sees, in order."""

    is_live = False

    def __init__(self, source_id: str, entries: list[tuple[str, str | int]]) -> None:
        self.source_id, self.entries = source_id, entries

    def frame(self, outputs: Outputs[NDArray[np.float32]], meta: FrameMeta, picture: NDArray[np.uint8]) -> list[Any]:
        assert {float(value[0, 0]) for value in outputs} == {float(picture[0, 0, 0])} == {float(meta.frame_index)}
        self.entries.append((meta.source_id, meta.frame_index))
        return []

    def still(self, meta: FrameMeta) -> list[Any]:
        self.entries.append((f"{meta.source_id} still", meta.frame_index))
        return []

    def changed(self, message: SourceMessage) -> list[Any]:
        return []

    def finish(self, reason: str) -> list[Any]:
        return []


def batch(canvas: Canvas, *frames: tuple[str, int], still: frozenset[int] = frozenset()) -> Batch:
    pictures = np.zeros((len(frames), canvas.height, canvas.width, 3), np.uint8)
    pictures[:] = np.array([number for _, number in frames]).reshape(-1, 1, 1, 1)
    meta = [FrameMeta(name, number, number / 25, None, 6, 4, False, 0, number in still) for name, number in frames]
    return Batch(canvas, pictures, meta)


def ended(source: str) -> SourceMessage:
    return SourceMessage(source, "ended", 0.0)


def run(
    items: Iterable[Item | Callable[[], None]],
    pool: EnginePool,
    stop: threading.Event | None = None,
    on_frame: Callable[[FrameMeta], None] | None = None,
) -> tuple[list[tuple[str, str | int]], Pipeline, BaseException | None]:
    log, batcher = list[tuple[str, str | int]](), Script(items)
    sources: Any = {"a": Run("a", log), "b": Run("b", log)}
    pipeline = Pipeline(
        batcher=batcher,  # type: ignore[arg-type]
        engines=pool,
        sources=sources,
        publish=lambda event: None,
        on_message=lambda message: log.append((message.source_id, message.kind)),
        on_frame=on_frame,
    )
    try:
        pipeline.run(stop or threading.Event())
    except Exception as error:
        return log, pipeline, error
    return log, pipeline, None


def opened(*engines: QueueingEngine) -> EnginePool:
    by_canvas = {engine.canvas: engine for engine in engines}
    return EnginePool(lambda canvas: by_canvas[canvas])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_frames_and_messages_stay_in_order_while_batches_are_in_flight(depth: int) -> None:
    engine = Late(SMALL, depth=depth)
    items: list[Item] = [
        batch(SMALL, ("a", 0), ("b", 100)),
        batch(SMALL, ("a", 1)),
        batch(SMALL, ("a", 2), ("b", 101), ("a", 3)),
        ended("b"),
        batch(SMALL, ("a", 4)),
        None,
        batch(SMALL, ("a", 5)),
        batch(SMALL, ("a", 6)),
        ended("a"),
    ]
    with opened(engine) as pool:
        log, pipeline, error = run(items, pool)
    assert error is None and pipeline.finished
    expected = [("a", 0), ("b", 100), ("a", 1), ("a", 2), ("b", 101), ("a", 3), ("b", "ended")]
    assert log == [*expected, ("a", 4), ("a", 5), ("a", 6), ("a", "ended")]
    assert engine.most_in_flight == depth


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_still_frames_keep_their_place_and_never_reach_the_engine(depth: int) -> None:
    engine = Late(SMALL, depth=depth)
    items: list[Item] = [
        batch(SMALL, ("a", 0), ("b", 100)),
        batch(SMALL, ("a", 1), ("b", 101), still=frozenset({1, 101})),
        batch(SMALL, ("b", 102), ("a", 2), still=frozenset({102})),
        batch(SMALL, ("a", 3), still=frozenset({3})),
        ended("a"),
        batch(SMALL, ("b", 103), still=frozenset({103})),
        ended("b"),
    ]
    with opened(engine) as pool:
        log, pipeline, error = run(items, pool)
    assert error is None and pipeline.finished
    expected = [("a", 0), ("b", 100), ("a still", 1), ("b still", 101), ("b still", 102), ("a", 2), ("a still", 3)]
    assert log == [*expected, ("a", "ended"), ("b still", 103), ("b", "ended")]
    assert engine.started == 2


def test_still_frames_alone_leave_nothing_behind_when_a_batch_before_them_fails() -> None:
    engine = Late(SMALL, depth=3, fails=0)
    items = [batch(SMALL, ("a", 0)), batch(SMALL, ("a", 1), still=frozenset({1})), batch(SMALL, ("a", 2))]
    with opened(engine) as pool:
        log, _, error = run(items, pool)
        assert pool.in_flight == 0
    assert str(error) == "batch 0 failed late" and log == []


def test_a_batch_above_the_engines_limit_runs_in_parts() -> None:
    engine = Late(SMALL)
    with opened(engine) as pool:
        log, _, error = run([batch(SMALL, *(("a", number) for number in range(8)))], pool)
    assert error is None and log == [("a", number) for number in range(8)]
    assert engine.started == 3


@pytest.mark.parametrize("other", [Late, Prompt])
def test_engines_of_two_canvases_keep_a_sources_order(other: Callable[[Canvas], QueueingEngine]) -> None:
    canvases = [SMALL, LARGE, LARGE, SMALL, SMALL, LARGE, SMALL, LARGE]
    items: list[Item] = [batch(canvas, ("a", number)) for number, canvas in enumerate(canvases)]
    with opened(Late(SMALL), other(LARGE)) as pool:
        log, _, error = run(items, pool)
    assert error is None and log == [("a", number) for number in range(8)]


def test_outputs_do_not_wait_for_frames_that_do_not_come() -> None:
    seen = threading.Event()

    def idle() -> None:
        assert seen.wait(10), "the frame was held back until another came"

    with opened(Late(SMALL)) as pool:
        items = [batch(SMALL, ("a", 0)), None, idle, batch(SMALL, ("a", 1))]
        log, _, error = run(items, pool, on_frame=lambda meta: seen.set())
    assert error is None and len(log) == 2


def test_a_batch_that_fails_late_ends_the_run_after_what_came_before_it() -> None:
    engine = Late(SMALL, depth=3, fails=2)
    with opened(engine) as pool:
        log, pipeline, error = run([batch(SMALL, ("a", number)) for number in range(9)], pool)
        assert pool.in_flight == 0
    assert str(error) == "batch 2 failed late" and not pipeline.finished
    assert log == [("a", 0), ("a", 1)]  # 3 and 4, in flight behind it, would leave a hole
    assert engine.started == 5 and engine.closed_with == 0


def test_a_batch_that_is_refused_ends_the_run_after_those_in_flight() -> None:
    engine = Late(SMALL, refuses=3)
    with opened(engine) as pool:
        log, _, error = run([batch(SMALL, ("a", number)) for number in range(9)], pool)
    assert str(error) == "no room for this batch"
    assert log == [("a", 0), ("a", 1), ("a", 2)] and engine.closed_with == 0


def test_a_stop_lets_the_batches_in_flight_finish() -> None:
    stop, engine = threading.Event(), Late(SMALL, depth=3)
    items = [batch(SMALL, ("a", 0)), batch(SMALL, ("a", 1)), stop.set, None, batch(SMALL, ("a", 2))]
    with opened(engine) as pool:
        log, pipeline, error = run(items, pool, stop)
        assert pool.in_flight == 0
    assert error is None and not pipeline.finished
    assert log == [("a", 0), ("a", 1)]


def test_a_reader_that_fails_leaves_no_batch_for_the_next_run() -> None:
    def fail(meta: FrameMeta) -> None:
        raise OSError("no room")

    with opened(Late(SMALL)) as pool:
        _, _, error = run([batch(SMALL, ("a", number)) for number in range(20)], pool, on_frame=fail)
        assert str(error) == "no room" and pool.in_flight == 0
        log, _, error = run([batch(SMALL, ("b", 50)), batch(SMALL, ("b", 51))], pool)
    assert error is None and log == [("b", 50), ("b", 51)]


def test_a_pool_that_is_closed_early_waits_for_what_is_in_flight() -> None:
    engine = Late(SMALL, depth=3, fails=0)
    with opened(engine) as pool:
        pool.submit(batch(SMALL, ("a", 0)))
        pool.submit(batch(SMALL, ("a", 1)))
    assert engine.closed_with == 0


def test_a_file_gives_the_same_events_through_an_engine_that_works_on_its_own(
    tiny_model_path: Path, make_clip: Callable[..., Path]
) -> None:
    loaded, canvas, clip = load_model(tiny_model_path), Canvas(64, 112), make_clip(seconds=2.0)
    head = Head(loaded.classifier(), loaded.fingerprint, min_pair_score=0.05)
    constant = NullEngine(loaded.config, canvas, pairs=3)

    def follow_the_light(frames: NDArray[np.uint8]) -> Outputs[NDArray[np.float32]]:
        outputs = constant.infer(frames)
        outputs.human_boxes[:, :, 0] = 0.2 + 0.4 * frames.mean((1, 2, 3))[:, None] / 255
        return outputs

    def events(make: Callable[[Canvas, Compute], QueueingEngine]) -> list[dict[str, Any]]:
        tracker = source_tracker("clip", head.classifier, TrackerSettings(enter_score=0.2, min_duration_s=0.1))
        source = SourceSettings(id="clip", url=str(clip), kind="file", canvases=(canvas,), target_fps=None)
        found: list[Event] = []
        with SourceSupervisor([source]) as supervisor, EnginePool(lambda c: make(c, follow_the_light)) as pool:
            pipeline = Pipeline(
                batcher=FrameBatcher(supervisor, 4, 0.02),  # more than the engine takes at once
                engines=pool,
                sources={"clip": SourceRun("clip", "run", head, tracker)},
                publish=found.append,
            )
            assert pipeline.run(threading.Event())["clip"].frames == 50
        return [comparable(event) for event in found]

    prompt, late = events(Prompt), events(Late)
    assert late == prompt and {"started", "ended"} <= {event["type"] for event in late}


@pytest.mark.parametrize("make", [Late, Prompt])
def test_an_engine_says_when_batches_are_submitted_or_collected_out_of_turn(
    make: Callable[[Canvas], QueueingEngine],
) -> None:
    with make(SMALL) as engine:
        with pytest.raises(EngineError, match="no batch is in flight"):
            engine.collect()
        for number in range(engine.max_in_flight):
            engine.submit(batch(SMALL, ("a", number)).frames)
        with pytest.raises(EngineError, match=f"in flight: {engine.max_in_flight}, the most it takes"):
            engine.submit(batch(SMALL, ("a", 9)).frames)
        with pytest.raises(EngineError, match="collect them before `infer`"):
            engine.infer(batch(SMALL, ("a", 9)).frames)
        assert [engine.collect().human_boxes[0, 0] for _ in range(engine.max_in_flight)] == [
            *range(engine.max_in_flight)
        ]
        with pytest.raises(InputError, match="expected uint8 frames"):
            engine.submit(np.zeros((1, 5, 6, 3), np.uint8))
        assert engine.infer(batch(SMALL, ("a", 7)).frames).human_boxes[0, 0] == 7


def test_a_batch_that_failed_frees_its_place() -> None:
    with Late(SMALL, depth=1, fails=0) as engine:
        engine.submit(batch(SMALL, ("a", 0)).frames)
        with pytest.raises(EngineError, match="failed late"):
            engine.collect()
        assert engine.infer(batch(SMALL, ("a", 1)).frames).human_boxes[0, 0] == 1


def test_an_error_while_closing_never_hides_the_one_before_it(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Prompt):
        def close(self) -> None:
            raise EngineError("cudaFree failed")

    with pytest.raises(EngineError, match="the first"), Broken(SMALL):
        raise EngineError("the first")
    assert "cudaFree failed" in caplog.text
    with pytest.raises(EngineError, match="cudaFree failed"), Broken(SMALL):
        pass
