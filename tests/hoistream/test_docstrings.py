"""Every example in the package's docstrings runs and gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
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
