"""Every block of docs/python.md runs, in order, with the files, the camera and the server that it speaks of."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

import hoistream
from hoiclip.shipped import shipped_model
from tests.hoistream.conftest import write_demo_start

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the page's reader has it: an installed model, a picture, a recording and a folder of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOISTREAM_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "hoiclip-hico.bundle").symlink_to(shipped_model())
    write_demo_start(tmp_path / "monday.mp4", 3.0)
    (tmp_path / "recordings").mkdir()
    shutil.copy(tmp_path / "monday.mp4", tmp_path / "recordings" / "tuesday.mp4")
    with av.open(str(tmp_path / "monday.mp4")) as video:
        list(video.decode(video=0))[-1].to_image().save(tmp_path / "street.jpg")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_block_of_the_page_runs(
    place: Path,
    server: Any,
    make_camera: Callable[..., Any],
    make_events: Callable[..., list[hoistream.Event]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    camera = make_camera(seconds=30.0)
    camera.start()
    server.client.xadd("hoistream:events", {"event": make_events(1)[0].model_dump_json()})
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 10
    names: dict[str, Any] = {}
    for block in blocks:
        text = block.replace("rtsp://viewer:secret@192.0.2.10/1", camera.url)
        text = text.replace("redis://localhost:6379/0", server.url)
        exec(compile(text, str(PAGE), "exec"), names)
    out = capsys.readouterr().out
    assert re.search(r"^0\.\d\d [a-z ]+: [a-z_]+ [a-z ]+ \(\d", out, re.MULTILINE)
    assert re.search(r"monday \d+ ride bicycle score", out)
    assert "cam started ride bicycle" in out
    assert re.search(r"[1-9]\d* interactions", out)
    assert "an engine for 256x448" in out
    assert (place / "results" / "tuesday.events.parquet").is_file()
