"""Opening what FFmpeg reads, and choosing which of its streams is the video."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.stream import Disposition

from endodav_jax.errors import UserError

# FFmpeg's own messages would end up between ours; what matters of them comes back as an exception.
av.logging.set_level(None)

REPAIR = "copy the file anew, or repair it: ffmpeg -i BROKEN -c:v libx264 -crf 12 REPAIRED.mp4"
# A damaged header may announce a picture of any size, and FFmpeg would make room for it: no more than 8K (7680x4320).
LARGEST_PICTURE = 7680 * 4320

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
_NO_DECODER = "its video is of a kind that FFmpeg cannot decode; export it anew, as H.264 or HEVC"
_PREVIEW = 0.25  # a track with less than such a part of another's pixels is a preview of it
# Older PyAV raises where a title is not UTF-8, unless told otherwise; since 19 it
# replaces them by itself and takes no such word.
_LENIENT_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_STILL_CODECS = ("mjpeg", "png", "bmp", "gif", "tiff", "webp", "jpeg2000")


def open_container(target: str | Path | BinaryIO, name: str, **how) -> av.container.InputContainer:
    """Opens anything that FFmpeg reads and that holds a video stream.

    Args:
      target: a file's `Path`, whatever characters it has; an open file; or text for FFmpeg, such as an address.

    Raises:
      UserError: one line with the reason and the cure.
    """
    # FFmpeg takes what stands before a colon for a protocol, except in a path that begins at the root.
    place = str(target.absolute()) if isinstance(target, Path) else target
    options = {"max_pixels": str(LARGEST_PICTURE)} | how.pop("options", {})
    try:
        container = av.open(place, mode="r", options=options, **_LENIENT_METADATA, **how)
    except av.error.InvalidDataError as error:
        raise UserError(
            f"{name}: not a video that FFmpeg can read, or its end is missing; copy or export it anew"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{name}: cannot be opened ({error.strerror}); check the path and its permissions") from error
    except (ValueError, MemoryError) as error:
        raise UserError(f"{name}: its header makes no sense; {REPAIR}") from error
    if not container.streams.video:
        container.close()
        raise UserError(f"{name}: has no video stream; name a video, a folder of images or an image")
    return container


def video_track(container: av.container.InputContainer, name: str, track: int | None) -> av.VideoStream:
    """Returns the stream that is the video: the one asked for, or the likeliest.

    Pictures of a cover and thumbnails are none.  Of the others the default one counts, where that is one alone and no
    preview (muxers mark the first track, whatever it is), or else the largest; the first of several as large.

    Args:
      track: number among the video streams, from 0; None chooses.

    Raises:
      UserError: there is no such track, or there are pictures alone.
    """
    streams = container.streams.video
    if track is not None:
        if not 0 <= track < len(streams):
            raise UserError(f"--track {track}: {name} has {described_tracks(container)}; name one of them")
        if streams[track].codec_context is None:
            raise UserError(f"--track {track}: {name}: {_NO_DECODER}")
        return streams[track]
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise UserError(f"{name}: {_NO_DECODER}")
    candidates = [stream for stream in decodable if not stream.disposition & _PICTURES]
    if not candidates:
        raise UserError(f"{name}: has no video, only a cover picture; name a video, or that picture with --track 0")
    moving = [stream for stream in candidates if not _is_still(stream)]
    candidates = moving or candidates
    largest = max(map(_area, candidates))
    default = [stream for stream in candidates if stream.disposition & Disposition.default]
    if len(default) == 1 and _area(default[0]) > _PREVIEW * largest:
        return default[0]
    return max(candidates, key=_area)


def packets_of(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Yields the packets of a stream, and at its end an empty one."""
    # PyAV looks for streams that began in the middle of a file (a joined transport stream) among those of its
    # beginning, after it has given everything of ours.
    with contextlib.suppress(IndexError):
        yield from container.demux(stream)


def described_tracks(container: av.container.InputContainer) -> str:
    """Returns `2 video tracks: 0 (80x64 h264), 1 (640x512 h264)`."""
    each = [f"{number} ({_described(stream)})" for number, stream in enumerate(container.streams.video)]
    return f"{len(each)} video track{'s' if len(each) > 1 else ''}: {', '.join(each)}"


def track_note(container: av.container.InputContainer, stream: av.VideoStream, asked: int | None) -> str | None:
    """Returns a line where another stream than the chosen one might be meant, or None."""
    others = [other for other in container.streams.video if other.index != stream.index and not _is_picture(other)]
    if asked is not None or not others:
        return None
    number = container.streams.video.index(stream)
    return f"has {described_tracks(container)}; reading {number}, --track N reads another"


def seconds_of(stream: av.VideoStream) -> float | None:
    """Returns how long a stream lasts by its own header, None where it does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION")  # Matroska: 00:01:23.456000000
    try:
        hours, minutes, seconds = (float(part.strip("\0")) for part in tag.split(":")) if tag else (0.0, 0.0, 0.0)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds or None


def _described(stream: av.VideoStream) -> str:
    if stream.codec_context is None:
        return "of an unknown kind"
    picture = ", a picture" if _is_picture(stream) else ""
    return f"{stream.width}x{stream.height} {stream.codec_context.name}{picture}"


def _is_picture(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & _PICTURES) or _is_still(stream)


def _area(stream: av.VideoStream) -> int:
    return stream.width * stream.height


def _is_still(stream: av.VideoStream) -> bool:
    """Whether a stream is one picture: it has a picture's codec, and by its header one frame or hardly a duration."""
    if stream.codec_context is None or stream.codec_context.name not in _STILL_CODECS:
        return False
    if stream.disposition & Disposition.still_image or stream.frames == 1:
        return True
    seconds = seconds_of(stream)
    return stream.frames == 0 and seconds is not None and seconds <= 0.1
