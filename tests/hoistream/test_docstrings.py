"""Every example in the package's docstrings runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import av
import pyarrow as pa
import pyarrow.compute  # examples use it as `pa.compute`
import pytest

import hoistream
from tests.hoistream.conftest import write_demo_start

MODULES = sorted(f"hoistream.{module.name}" for module in pkgutil.iter_modules(hoistream.__path__))


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the examples find: the first seconds of the demonstration clip, and a picture of it."""
    folder = tmp_path_factory.mktemp("examples")
    clip, picture = folder / "clip.mp4", folder / "picture.png"
    write_demo_start(clip, 4.0)
    with av.open(str(clip)) as source:
        next(frame for frame in source.decode(video=0) if frame.time >= 3.0).to_image().save(picture)
    return {"clip": str(clip), "picture": str(picture), "pa": pa}


@pytest.mark.parametrize("name", ["hoistream", *MODULES])
def test_examples_run(name: str, examples: dict[str, Any]) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), extraglobs=dict(examples), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_each_public_function_has_an_example() -> None:
    for function in (hoistream.load_model, hoistream.watch, hoistream.process, hoistream.Model.predict):
        assert ">>>" in (function.__doc__ or ""), function


@pytest.mark.parametrize("name", ["subscribe", "subscribe_async"])
def test_the_examples_of_subscribing_run_against_a_server(
    name: str, server: Any, make_events: Callable[..., list[hoistream.Event]]
) -> None:
    for event in make_events(2):
        server.client.xadd("hoistream:events", {"event": event.model_dump_json()})
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(getattr(hoistream, name), name, globs={"redis_url": server.url})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
