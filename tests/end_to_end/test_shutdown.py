"""`hoistream run` ends in time, and says what waits, also when Redis does not answer."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 8.0
GENEROUS_S = 22.0  # for a machine that is busy with other tests


@pytest.mark.parametrize("server", ["refuses", "hangs"])
def test_sigterm_ends_a_run_within_its_deadline_when_redis_is_away(
    server: str, tiny_model_path: Path, tmp_path: Path
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))  # accepts, and never says a word
    port = listener.getsockname()[1]
    if server == "refuses":
        listener.close()
    config, events = tmp_path / "run.yaml", tmp_path / "events.jsonl"
    config.write_text(
        f"model: {tiny_model_path}\nengine: {{kind: 'null'}}\n"
        f"sinks: ['redis://:s3cret@127.0.0.1:{port}/0', 'jsonl:{events}']\nspool_dir: {tmp_path / 'spool'}\n"
        "tracker: {enter_score: 0.1, min_duration_s: 0.1}\n"
        f"sources:\n  - {{id: cam, url: '{ROOT / 'assets/demo.mp4'}', kind: live, target_fps: 10}}\n"
    )
    command = [sys.executable, "-m", "hoistream", "run", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while not (events.exists() and b'"started"' in events.read_bytes()):
            assert time.monotonic() < end
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        took_s = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
        listener.close()
    assert process.returncode == 0, said
    assert took_s < DEADLINE_S + GENEROUS_S
    (waiting,) = re.findall(r"(\d+) events wait in (\S+) for the next start", said)
    assert waiting == (str(events.read_bytes().count(b"\n")), str(tmp_path / "spool"))
    assert "s3cret" not in said
    assert "Traceback" not in said
