from __future__ import annotations

import pytest

from stream.decode.sources import SourceSettings
from stream.redaction import redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://user:pass@cam:554/a", "rtsp://***@cam:554/a"),
        ("rtsp://user@cam/a", "rtsp://***@cam/a"),
        ("no rtsp://u:p@ss@cam/a here", "no rtsp://***@cam/a here"),
        ("rtsp://user:pa/ss@cam/a", "rtsp://***@cam/a"),
        ("rtsp://cam:554/path@2x", "rtsp://cam:554/path@2x"),
        ("rtsp://cam/path", "rtsp://cam/path"),
        ("redis://:secret@host:6379/0", "redis://***@host:6379/0"),
        ("http://cam/v?channel=1&password=geheim&x=2", "http://cam/v?channel=1&password=***&x=2"),
        ("RTSP://a:b@c, rtsp://d:e@f", "RTSP://***@c, rtsp://***@f"),
        ('{"url": "rtsp://a:b@c/", "mail": "x@y"}', '{"url": "rtsp://***@c/", "mail": "x@y"}'),
        ("mail me at a@b.c", "mail me at a@b.c"),
    ],
)
def test_secrets_are_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_an_error_that_holds_a_url_is_redacted() -> None:
    assert "pass" not in redact(OSError("[Errno 1] failed: 'rtsp://user:pass@cam/'"))


def test_settings_never_print_their_password() -> None:
    settings = SourceSettings("cam", "rtsp://user:pass@cam/", "live", ((32, 48),))  # type: ignore[arg-type]
    assert "pass@" not in repr(settings)
    assert settings.display_url == "rtsp://***@cam/"
