from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.safe_logs import OURS, RedactingFactory, redact_logs

URL = "rtsp://user:s3cret@cam/"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What an application's own handler on the root logger writes."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    redact_logs()
    yield written
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(before)


def open_camera() -> None:
    raise OSError(f"cannot open {URL}")


def test_a_secret_in_a_message_its_arguments_an_exception_or_a_stack_is_taken_out(lines: io.StringIO) -> None:
    logger = logging.getLogger("stream.made.later.than.the.factory")
    logger.error("open " + URL)
    logger.error("open %s of %s", URL, {"url": URL})
    logger.error("%(url)s", {"url": URL})
    logger.error(OSError(URL))
    logger.error("too few %s %s", URL)
    try:
        open_camera()
    except OSError:
        logger.exception("failed")
    logger.error("here", stack_info=True)
    logging.getLogger("libav.rtsp").error("method DESCRIBE failed: %s", URL)
    text = lines.getvalue()
    assert "s3cret" not in text
    for line in (
        "open rtsp://***@cam/",
        "{'url': 'rtsp://***@cam/'}",
        "libav.rtsp method DESCRIBE failed: rtsp://***@",
    ):
        assert line in text
    assert "too few %s %s ('rtsp://***@cam/',)" in text
    assert "in open_camera" in text  # the traceback is there
    assert "OSError: cannot open rtsp://***@cam/" in text


def test_records_without_secrets_stay_as_they_are(lines: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("stream.x")
    try:
        raise ValueError("harmless")
    except ValueError:
        logger.exception("%s of %d", "one", 2)
    record = caplog.records[-1]
    assert (record.msg, record.args) == ("%s of %d", ("one", 2))
    assert record.exc_info is not None


def test_what_an_application_logs_itself_is_not_touched(lines: io.StringIO) -> None:
    logging.getLogger("theirs").error("open %s", URL)
    assert "s3cret" in lines.getvalue()
    assert logging.getLogger().filters == []


def test_calling_twice_adds_nothing_and_all_loggers_are_covered_on_demand(lines: io.StringIO) -> None:
    first = logging.getLogRecordFactory()
    redact_logs()
    assert logging.getLogRecordFactory() is first
    assert isinstance(first, RedactingFactory)
    assert first.names == OURS
    redact_logs(None)
    logging.getLogger("redis").error("connect %s", URL)
    redact_logs()
    assert "s3cret" not in lines.getvalue()


def test_the_package_and_the_command_line_install_it() -> None:
    code = """
import logging, sys, threading
{}
logging.getLogger("stream.new").warning("open %s", "rtsp://user:s3cret@cam/")
"""
    root = Path(__file__).resolve().parents[2]
    library = code.format("import hoistream")
    command = (
        code.format("""
from hoistream.cli import app
try:
    app(["schema"], standalone_mode=False)
except SystemExit:
    pass
""")
        + """
logging.getLogger("redis").warning("connect %s", "redis://:s3cret@h/")
def fail():
    raise OSError("rtsp://user:s3cret@cam/")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""
    )
    for script, masked in ((library, 1), (command, 4)):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, timeout=60)
        assert "s3cret" not in done.stderr
        assert done.stderr.count("***") >= masked, done.stderr  # newer tracebacks show the source as well
