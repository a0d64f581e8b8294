"""Open a recording or a camera safely with FFmpeg, and say in one line why it did not work."""

from __future__ import annotations

import errno
import socket
import time
from typing import Final
from urllib.parse import urlsplit

import av
import av.logging
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from stream.decode.ffmpeg_log import ffmpeg_log
from stream.decode.redirects import DEFAULT_PORTS, SilentServerError, redirect_target
from stream.decode.sources import LIVE_PROTOCOLS, SourceSettings
from stream.decode.wire import FailureReason
from stream.foreign_text import harmless
from stream.redaction import redact

# Formats that hold their own media: no playlists, whose entries would open other files.
FILE_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,h264,hevc"
CAMERA_FORMATS: Final = f"{FILE_FORMATS},flv,live_flv,mpjpeg,mjpeg,mpeg,m4v,mpegvideo"  # of all but RTSP
LEADING_FORMATS: Final = frozenset({"concat", "dash", "hls", "imf", "sdp"})  # FFmpeg's names of those that name others
UNSAFE: Final = "has a format that is not read: a playlist or the like, which may lead elsewhere"


class SourceFailureError(Exception):
    """A source that cannot be read (on). `reason` is a code, `detail` one line for people, without secrets."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        detail = harmless(redact(detail))
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def open_source(settings: SourceSettings) -> tuple[InputContainer, VideoStream]:
    """Return the open container and its video stream, set up for decoding. Raises SourceFailureError."""
    container = _open_recording(settings) if settings.scheme is None else _open_camera(settings)
    try:
        if not container.streams.video:
            has = "audio only" if container.streams.audio else "no audio or video"
            raise SourceFailureError("no_video", f"has no video stream ({has})")
        stream = container.streams.video[0]
        prepare_codec(stream.codec_context, settings)
        if stream.width * stream.height > settings.max_pixels:
            raise SourceFailureError(
                "too_large", f"pictures of {stream.width}x{stream.height} exceed max_pixels {settings.max_pixels}"
            )
    except BaseException:
        container.close()
        raise
    return container, stream


def prepare_codec(codec: VideoCodecContext, settings: SourceSettings) -> None:
    """Set one thread and the largest picture for a codec that is not open yet."""
    # FFmpeg's frame threads mend damaged pictures differently each time, and hang when one logs while PyAV closes them.
    codec.thread_count = 1
    codec.options = {"max_pixels": str(settings.max_pixels)}  # `av.open` would ignore it


def _open_recording(settings: SourceSettings) -> InputContainer:
    path = settings.path.absolute()
    log: list[tuple[int, str, str]] = []
    try:
        if not path.is_file():
            if path.exists():
                raise SourceFailureError("invalid", "is not a regular file")
            raise SourceFailureError("not_found", "does not exist")
        if path.stat().st_size == 0:
            raise SourceFailureError("invalid", "is empty (0 bytes)")
        options = {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
        with ffmpeg_log(av.logging.ERROR) as log:
            return av.open(f"file:{path}", options=options)
    except PermissionError as error:
        raise SourceFailureError("unauthorised", "may not be read (permission denied)") from error
    except av.error.InvalidDataError as error:
        raise SourceFailureError("invalid", "is not a video, or is cut off before its index") from error
    except (av.error.FFmpegError, OSError) as error:
        if (format_name := _refused_format(log)) is not None:
            raise _wrong_format(format_name) from error
        raise SourceFailureError("invalid", f"cannot be opened: {describe(error)}") from error


def _open_camera(settings: SourceSettings) -> InputContainer:
    assert settings.scheme is not None
    timeout_us = str(int(settings.timeout_s * 1e6))
    options = {"protocol_whitelist": LIVE_PROTOCOLS[settings.scheme], "analyzeduration": "200000"}
    if settings.scheme.startswith("rtsp"):  # `timeout` here is the only one of FFmpeg's that ends a silent read
        options |= {"rtsp_transport": "tcp", "timeout": timeout_us, "allowed_media_types": "video"}
    else:
        options |= {"rw_timeout": timeout_us, "max_redirects": "0", "format_whitelist": CAMERA_FORMATS}
    if settings.scheme in ("rtsps", "https"):
        options["tls_verify"] = "0"  # cameras sign their own certificates; FFmpeg 9 would refuse them all
    started_s = time.monotonic()
    log: list[tuple[int, str, str]] = []
    container: InputContainer | None = None
    failure: Exception | None = None
    try:
        _refuse_redirect(redirect_target(settings.url, settings.timeout_s))
        with ffmpeg_log(av.logging.INFO) as log:
            container = av.open(settings.url, options=options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        failure = error
    try:  # a server may do it only once it knows the user: then FFmpeg has followed, and what it found is not used
        _refuse_redirect(next((redact(text.split()[-1]) for _, _, text in log if "Redirecting to" in text), None))
    except SourceFailureError:
        if container is not None:
            container.close()
        raise
    if container is not None:
        return container
    assert failure is not None
    if _refused_format(log) is not None:
        raise SourceFailureError("unsafe", f"the stream {UNSAFE}") from failure
    raise _camera_failure(settings, failure, time.monotonic() - started_s) from failure


def _refuse_redirect(target: str | None) -> None:
    if target is not None:
        detail = f"the server sends on to {target}; redirects are not followed: if you trust it, give that as the url"
        raise SourceFailureError("redirected", detail)


def _refused_format(log: list[tuple[int, str, str]]) -> str | None:
    """Return FFmpeg's name of a format that was recognised and is not on the list of those that are read."""
    return next((name for _, name, text in log if "not on whitelist" in text), None)


def _wrong_format(name: str) -> SourceFailureError:
    if name == "gif" or name.endswith("_pipe"):  # as FFmpeg calls its readers of pictures
        kind = name.removesuffix("_pipe").upper()
        return SourceFailureError("no_video", f"is a picture ({kind}), not a video; `hoistream image` takes pictures")
    if name in LEADING_FORMATS:
        return SourceFailureError("unsafe", UNSAFE)
    return SourceFailureError("invalid", f"has a format that is not read ({name}); convert it to MP4 or Matroska")


def _camera_failure(settings: SourceSettings, error: Exception, took_s: float) -> SourceFailureError:
    """Ask the port itself first: FFmpeg reports a dead port as anything, even as invalid data."""
    parts = urlsplit(settings.url)
    try:
        port = parts.port or DEFAULT_PORTS.get(settings.scheme or "")
    except ValueError:
        return SourceFailureError("invalid", f"{settings.display_url} has no valid port")
    where = f"{parts.hostname}:{port}"
    if isinstance(error, SilentServerError):
        return SourceFailureError("stalled", f"{where} accepts connections and says nothing")
    if parts.hostname and port and settings.scheme not in ("udp", "srt"):
        try:
            socket.create_connection((parts.hostname, port), settings.timeout_s).close()
        except ConnectionRefusedError:
            return SourceFailureError("refused", f"{where} refused the connection")
        except socket.gaierror:
            return SourceFailureError("not_found", f"the name {parts.hostname} is not known")
        except TimeoutError:
            return SourceFailureError("unreachable", f"{where} did not answer in {settings.timeout_s:g} s")
        except OSError as network:
            return SourceFailureError("unreachable", f"{where} cannot be reached: {describe(network)}")
    if took_s >= 0.9 * settings.timeout_s and isinstance(error, av.error.InvalidDataError):
        return SourceFailureError("stalled", f"{where} accepts connections and says nothing")
    return classify(error, opening=True)


def classify(error: Exception, *, opening: bool = False) -> SourceFailureError:
    """Return the failure of a live source behind an error of FFmpeg."""
    doing = "on opening" if opening else "while reading"
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return SourceFailureError("unauthorised", "the camera refused the user or password")
    if isinstance(error, av.error.HTTPNotFoundError | av.error.FileNotFoundError):
        return SourceFailureError("not_found", "the camera has no such stream (404)")
    if isinstance(error, TimeoutError | av.error.ExitError) or getattr(error, "errno", None) == errno.ETIMEDOUT:
        return SourceFailureError("stalled", f"no data {doing} within the timeout")
    if isinstance(error, ConnectionRefusedError):
        return SourceFailureError("refused", "the connection was refused")
    if isinstance(error, av.error.EOFError):
        return SourceFailureError("end_of_stream", "the camera ended the stream")
    if isinstance(error, ConnectionError | BrokenPipeError):
        return SourceFailureError("end_of_stream", f"the connection broke {doing}: {describe(error)}")
    if isinstance(error, av.error.InvalidDataError):
        return SourceFailureError("invalid", f"data that is no known video {doing}")
    return SourceFailureError("failed", f"{describe(error)} {doing}")


def describe(error: BaseException) -> str:
    """Return an error's own words in one line, without the URL that PyAV puts into them."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(" ".join(str(text).split()))
