"""Servers and files that lead elsewhere are refused in one line, and where they lead is never visited."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest
from PIL import Image

from hoiclip.types import Canvas
from stream.decode.opening import SourceFailureError, open_source
from stream.decode.redirects import SilentServerError, redirect_target
from stream.decode.sources import SourceSettings

MakeClip = Callable[..., Path]
SECRET = "user:s3cret@"


class Server:
    """Answers each request on a port with what `answer` makes of it, and remembers the requests."""

    def __init__(self, answer: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None) -> None:
        self.answer, self.requests, self.tls = answer, list[bytes](), tls
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            while request := connection.recv(8192):
                self.requests.append(request)
                connection.sendall(self.answer(request))
                if request.startswith(b"GET"):
                    return


@contextmanager
def serving(answer: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(answer, tls)
    try:
        yield server
    finally:
        server.socket.close()


def reply(request: bytes, status: str, *fields: str) -> bytes:
    number = next((line for line in request.decode().split("\r\n") if line.startswith("CSeq")), "CSeq: 1")
    version = "RTSP/1.0" if b"RTSP/1.0" in request else "HTTP/1.1"
    return "\r\n".join([f"{version} {status}", number, *fields, "", ""]).encode()


def failure(url: str, kind: str = "live") -> SourceFailureError:
    settings = SourceSettings("cam", url, kind, (Canvas(32, 48),), timeout_s=1.0)  # type: ignore[arg-type]
    with pytest.raises(SourceFailureError) as caught:
        open_source(settings)
    detail = caught.value.detail
    assert "\n" not in detail
    assert "s3cret" not in detail
    return caught.value


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_redirect_to_another_host_is_refused_and_not_followed(scheme: str) -> None:
    with serving(lambda request: reply(request, "200 OK", "Content-Length: 0")) as elsewhere:
        target = f"{scheme}://{SECRET}127.0.0.1:{elsewhere.port}/inside"
        with serving(lambda request: reply(request, "302 Found", f"Location: {target}")) as server:
            error = failure(f"{scheme}://{SECRET}127.0.0.1:{server.port}/cam")
            assert error.reason == "redirected"
            assert f"127.0.0.1:{elsewhere.port}/inside" in error.detail
            assert elsewhere.requests == []
            assert server.requests
            assert b"uthorization" not in server.requests[0]  # asked without the password


def test_a_redirect_once_the_user_is_known_is_refused_too() -> None:
    with serving(lambda request: reply(request, "404 Not Found")) as elsewhere:

        def answer(request: bytes) -> bytes:
            if request.startswith(b"OPTIONS"):
                return reply(request, "200 OK", "Public: DESCRIBE")
            if b"Authorization" not in request:
                return reply(request, "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"')
            return reply(request, "302 Found", f"Location: rtsp://127.0.0.1:{elsewhere.port}/inside")

        with serving(answer) as server:
            error = failure(f"rtsp://{SECRET}127.0.0.1:{server.port}/cam")
            assert (error.reason, f":{elsewhere.port}/inside" in error.detail) == ("redirected", True)


def test_http_that_redirects_only_ffmpeg_is_not_followed() -> None:
    with serving(lambda request: reply(request, "200 OK", "Content-Length: 0")) as elsewhere:

        def answer(request: bytes) -> bytes:
            if b"User-Agent: hoistream" in request:
                return reply(request, "200 OK", "Content-Length: 0")
            return reply(request, "302 Found", f"Location: http://127.0.0.1:{elsewhere.port}/inside")

        with serving(answer) as server:
            assert failure(f"http://127.0.0.1:{server.port}/cam").reason in ("failed", "redirected")
            assert elsewhere.requests == []


def test_a_server_that_sends_nobody_on_is_left_to_ffmpeg_and_a_silent_one_is_told() -> None:
    with serving(lambda request: reply(request, "200 OK")) as server:
        assert redirect_target(f"rtsp://127.0.0.1:{server.port}/cam", 1.0) is None
    with serving(lambda request: b"") as server:
        started_s = time.monotonic()
        error = failure(f"rtsp://127.0.0.1:{server.port}/cam")
        assert (error.reason, "says nothing" in error.detail) == ("stalled", True)
        assert time.monotonic() - started_s < 2.0
    assert failure("rtsp://127.0.0.1:99999/cam").reason == "invalid"


@pytest.mark.parametrize("scheme", ["rtsps", "https"])
def test_a_camera_that_signs_its_own_certificate_is_spoken_to(tmp_path: Path, scheme: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda request: reply(request, "404 Not Found"), context) as server:
        assert failure(f"{scheme}://{SECRET}127.0.0.1:{server.port}/cam").reason == "not_found"
        assert len(server.requests) >= 2  # ours without the password, then FFmpeg's


def test_a_playlist_that_a_camera_serves_is_not_read() -> None:
    with serving(lambda request: b"") as elsewhere:
        playlist = (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{elsewhere.port}/a.ts\n#EXT-X-ENDLIST\n"
        )

        def answer(request: bytes) -> bytes:
            fields = (f"Content-Length: {len(playlist)}", "Content-Type: application/vnd.apple.mpegurl")
            return reply(request, "200 OK", *fields) + playlist.encode()

        with serving(answer) as server:
            assert failure(f"http://127.0.0.1:{server.port}/cam.m3u8").reason == "unsafe"
            assert elsewhere.requests == []


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "tiff"])
def test_a_picture_is_called_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"holiday.{suffix}"
    Image.new("RGB", (96, 64)).save(path)
    error = failure(str(path), "file")
    assert error.reason == "no_video"
    assert re.match(r"is a picture \([A-Z]+\), not a video; `hoistream image` takes pictures", error.detail)


def test_sound_and_other_formats_are_not_called_playlists(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    error = failure(str(tmp_path / "a.wav"), "file")
    assert (error.reason, "has a format that is not read (wav)" in error.detail) == ("invalid", True)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for kind in ("file", "live"):
        error = failure(str(tmp_path / "pipe.mp4"), kind)
        assert (error.reason, error.detail) == ("invalid", "is not a regular file")


def test_a_hostile_servers_control_characters_do_not_get_through() -> None:
    target = "rtsp://127.0.0.1:1/\x1b[2J\x1b]0;owned\x07\x9b31m"
    with serving(lambda request: reply(request, "302 Found", f"Location: {target}")) as server:
        error = failure(f"rtsp://127.0.0.1:{server.port}/cam")
    assert error.reason == "redirected"
    assert error.detail.isprintable()


def test_files_that_lead_to_others_are_not_read(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip("clip.ts", seconds=0.4)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{clip}\n#EXT-X-ENDLIST\n")
    with av.open(str(playlist), options={"allowed_extensions": "ALL"}) as container:
        assert container.streams.video  # unguarded, FFmpeg opens it
    joined = tmp_path / "joined.mp4"
    joined.write_text(f"ffconcat version 1.0\nfile '{clip}'\n")
    description = tmp_path / "camera.mp4"
    description.write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n")
    for path in (playlist, joined, description):
        for kind in ("file", "live"):
            error = failure(str(path), kind)
            assert (error.reason, "lead elsewhere" in error.detail) == ("unsafe", True)
    for path in (f"concat:{clip}|{clip}", f"subfile,,start,0,end,99,,:{clip}", f"async:cache:{clip}", "pipe:0"):
        assert failure(path, "file").reason == "not_found"  # a path is a path, never a protocol


def test_a_camera_that_trickles_its_answer_is_waited_for_no_longer_than_a_silent_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for _ in range(200):  # ten seconds of an answer that never ends
                    connection.sendall(b"R")
                    time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        began_s = time.monotonic()
        with pytest.raises(SilentServerError):
            redirect_target(f"rtsp://127.0.0.1:{port}/x", 0.5)
        assert time.monotonic() - began_s < 5


@pytest.mark.parametrize("status", ["²²²", "30", "3000", "+301", "x"])
def test_a_status_that_is_no_number_of_three_digits_sends_nobody_on(status: str) -> None:
    with serving(lambda request: reply(request, "200 OK").replace(b"200", status.encode("latin-1"))) as server:
        assert redirect_target(f"http://127.0.0.1:{server.port}/x", 2.0) is None
