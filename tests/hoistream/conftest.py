from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

import hoistream
from tests.stream.conftest import free_tcp_port, make_camera, make_clip, make_events, make_server, server, write_clip

__all__ = ["free_tcp_port", "make_camera", "make_clip", "make_events", "make_server", "server"]

EAGER = {"enter_score": 0.2, "min_duration_s": 0.1, "min_pair_score": 0.05}
"""With these, the null engine's constant pairs open interactions at once."""


def write_demo_start(path: Path, seconds: float) -> Path:
    """Write the first seconds of the demonstration clip, as they are."""
    with av.open(str(hoistream.demo_clip())) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = copy
                target.mux(packet)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_model_path: Path) -> hoistream.Model:
    """A model with random weights, and an engine that computes nothing."""
    return hoistream.load_model(tiny_model_path, engine="null")


@pytest.fixture
def watch(tiny: hoistream.Model) -> Callable[..., hoistream.Watch]:
    """`hoistream.watch` with a model that finds something in every frame."""

    def make(sources: Any, **options: Any) -> hoistream.Watch:
        return hoistream.watch(sources, **{"model": tiny, "tracker": EAGER, "target_fps": None} | options)

    return make


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 50 frames."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute, 1500 frames."""
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", seconds=60.0)
