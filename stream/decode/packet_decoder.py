"""Turn the packets of one stream into frames: damage costs one packet, and a change of codec goes on in the next."""

from __future__ import annotations

import re
from collections.abc import Iterator

import av
import av.logging
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from stream.decode.damage import DamageWatch
from stream.decode.ffmpeg_log import ffmpeg_log
from stream.decode.opening import SourceFailureError, prepare_codec
from stream.decode.sources import SourceSettings

MAX_USELESS_PACKETS = 100  # of a camera, in a row: it now sends what its first description did not announce


class PacketDecoder:
    """Decode packets one by one, each under `try`; used from the decoding thread.

    FFmpeg keeps the codec that a stream had when it was opened. A transport stream may announce another on the way
    (a recorder that changed channel, two files joined); its demuxer follows, and so does this.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, settings: SourceSettings, damage: DamageWatch
    ) -> None:
        self._container, self._stream, self._settings, self._damage = container, stream, settings, damage
        self._codec: VideoCodecContext = stream.codec_context
        self._useless = 0
        self._skips = False

    def decode(self, packet: av.Packet[VideoStream], *, skippable: bool = False) -> Iterator[av.VideoFrame]:
        """Yield the frames that `packet` completes; the last, empty packet of a file completes those left over.

        One that is `skippable` is not decoded if no other frame is made from it. Raises SourceFailureError when a
        camera sends nothing but data that cannot be decoded.
        """
        if packet.is_corrupt:
            self._damage.error()
        self._skip(skippable)
        frames: list[av.VideoFrame] = []
        complaint = True
        if packet.is_keyframe and (codec := self._other_codec()) and not (tried := self._try(codec, packet))[1]:
            yield from self._switch(codec)
            frames, complaint = tried
        if complaint:
            frames, complaint = self._try(self._codec, packet)
        if complaint and not packet.is_keyframe and (codec := self._other_codec()):
            yield from self._switch(codec)
            frames, complaint = self._try(codec, packet)
        if complaint:
            self._damage.error()
        elif packet.is_keyframe and not packet.is_corrupt:
            self._damage.key_packet(packet.pts)
        self._useless = self._useless + 1 if complaint and not frames else 0
        if self._settings.live and self._useless > MAX_USELESS_PACKETS:
            raise SourceFailureError("invalid", f"{self._useless} packets in a row could not be decoded")
        yield from frames

    @property
    def is_as_opened(self) -> bool:
        """Whether the demuxer still announces the codec that the stream was opened with."""
        return self._announced() == self._stream.codec_context.name

    def drain(self) -> list[av.VideoFrame]:
        """Return the frames that the decoder still holds; it then begins anew with a key frame."""
        self._skip(False)
        frames, complaint = self._try(self._codec, None)
        if complaint:
            self._damage.error()
        self._codec.flush_buffers()
        return frames

    def _try(self, codec: VideoCodecContext, packet: av.Packet[VideoStream] | None) -> tuple[list[av.VideoFrame], bool]:
        """Return the frames of `packet` (None: those that `codec` still holds) and whether FFmpeg complained."""
        with av.logging.Capture() as complaints:
            try:
                frames = codec.decode(packet if packet is not None and packet.size else None)
            except av.error.EOFError:
                return [], False
            except av.error.FFmpegError:
                return [], True
        return list(frames), any(level <= av.logging.ERROR for level, _, _ in complaints)

    def _skip(self, unreferenced: bool) -> None:
        if unreferenced != self._skips:  # setting it costs more than asking
            self._codec.skip_frame = "NONREF" if unreferenced else "DEFAULT"
            self._skips = unreferenced

    def _other_codec(self) -> VideoCodecContext | None:
        """Return a decoder for what the demuxer now says the stream has, if that is another codec than before."""
        name = self._announced()
        if name == self._codec.name:
            return None
        codec = av.CodecContext.create(name, "r")
        assert isinstance(codec, VideoCodecContext)
        prepare_codec(codec, self._settings)
        return codec

    def _switch(self, codec: VideoCodecContext) -> Iterator[av.VideoFrame]:
        """Yield the frames that the old codec still holds, then go on with `codec`.

        FFmpeg's demuxer may lose a frame at the change: it counts as an error, so the seam becomes a gap.
        """
        yield from self._try(self._codec, None)[0]
        self._codec, self._skips = codec, False
        self._damage.errors += 1

    def _announced(self) -> str:
        """Return the codec that the demuxer now says the stream has; PyAV shows it in this description alone."""
        with ffmpeg_log(av.logging.INFO):
            description = self._container.dumps_format()
        found = re.search(rf"Stream #\d+:{self._stream.index}\b.*?: Video: (\w+)", description)
        return found[1] if found and found[1] != "none" else self._codec.name
