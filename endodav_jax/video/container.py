"""Opens whatever FFmpeg can read, and chooses the stream that is the video."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.stream import Disposition

from endodav_jax.errors import UserError

# FFmpeg's own messages would be mixed with ours; the ones that matter are raised as exceptions anyway.
av.logging.set_level(None)

REPAIR = "copy the file anew, or repair it: ffmpeg -i BROKEN -c:v libx264 -crf 12 REPAIRED.mp4"
# A damaged header may announce a picture of any size, and FFmpeg would allocate it: allow at most 8K (7680x4320).
LARGEST_PICTURE = 7680 * 4320

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
_NO_DECODER = "its video is of a kind that FFmpeg cannot decode; export it anew, as H.264 or HEVC"
_PREVIEW = 0.25  # a track with fewer pixels than this share of another's is a preview of it
# Older PyAV raises on a title that is not UTF-8 unless told otherwise; since 19 it
# replaces bad bytes by itself and no longer has the option.
_LENIENT_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_ARRAYS = (".h5", ".hdf5", ".mat", ".npy", ".npz")
_STILL_CODECS = ("mjpeg", "png", "bmp", "gif", "tiff", "webp", "jpeg2000")


def open_container(target: str | Path | BinaryIO, name: str, **how) -> av.container.InputContainer:
    """Opens anything that FFmpeg can read and that holds a video stream.

    Args:
      target: the `Path` of a file, with any characters; an open file; or text for FFmpeg, such as an address.

    Raises:
      UserError: it cannot be opened; one line gives the reason and the cure.
    """
    _refuse_what_holds_no_video(target, name)
    # FFmpeg takes anything before a colon as a protocol, except in an absolute path.
    place = str(target.absolute()) if isinstance(target, Path) else target
    options = {"max_pixels": str(LARGEST_PICTURE)} | how.pop("options", {})
    try:
        container = av.open(place, mode="r", options=options, **_LENIENT_METADATA, **how)
    except av.error.InvalidDataError as error:
        raise UserError(
            f"{name}: not a video that FFmpeg can read, or its end is missing; copy or export it anew"
        ) from error
    except av.error.EOFError as error:
        raise UserError(f"{name}: contains no frames, at most a header; copy or export it anew") from error
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{name}: cannot be opened ({error.strerror}); check the path and its permissions") from error
    except (ValueError, MemoryError) as error:
        raise UserError(f"{name}: its header makes no sense; {REPAIR}") from error
    if container.format.name == "tty":  # FFmpeg draws text as pictures
        container.close()
        raise UserError(f"{name}: is text, not a video; name a video, a folder of images or an image")
    if not container.streams.video:
        container.close()
        raise UserError(f"{name}: has no video stream; name a video, a folder of images or an image")
    return container


def _refuse_what_holds_no_video(target: str | Path | BinaryIO, name: str) -> None:
    """Says what a file is, where FFmpeg would say only that it does not know it, or take noise for sound."""
    if not isinstance(target, (str, Path)):
        return
    path = Path(target)
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:  # an address, say, that is no path
        return
    if size == 0:
        raise UserError(f"{name}: not a video but an empty file; copy or export it anew")
    if size is not None and path.suffix.lower() in _ARRAYS:
        raise UserError(
            f"{name}: not a video but a file of arrays; save its frames as images or as a video, "
            "or pass them to endodav_jax.load().infer in Python"
        )


def video_track(container: av.container.InputContainer, name: str, track: int | None) -> av.VideoStream:
    """Returns the video stream: the one asked for, or the most likely one.

    Cover pictures and thumbnails never count as video.  Of the other streams, the default one is chosen if only one is
    marked as such and it is not a preview (muxers mark the first track, whatever it is).  Otherwise the largest is
    chosen, and the first among equals.

    Args:
      track: number among the video streams, from 0; None chooses automatically.

    Raises:
      UserError: there is no such track, or there are only still pictures.
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
    """Yields the packets of a stream, followed by an empty one."""
    # After the last packet of our stream, PyAV fails on streams that began in the middle of the file (as in a joined
    # transport stream), since it looks them up among the streams known at the beginning.
    with contextlib.suppress(IndexError):
        yield from container.demux(stream)


def described_tracks(container: av.container.InputContainer) -> str:
    """Returns `2 video tracks: 0 (80x64 h264), 1 (640x512 h264)`."""
    each = [f"{number} ({_described(stream)})" for number, stream in enumerate(container.streams.video)]
    return f"{len(each)} video track{'s' if len(each) > 1 else ''}: {', '.join(each)}"


def track_note(container: av.container.InputContainer, stream: av.VideoStream, asked: int | None) -> str | None:
    """Returns a line if a stream other than the chosen one might be meant, or None."""
    others = [other for other in container.streams.video if other.index != stream.index and not _is_picture(other)]
    if asked is not None or not others:
        return None
    number = container.streams.video.index(stream)
    return f"has {described_tracks(container)}; reading {number}, --track N reads another"


def seconds_of(stream: av.VideoStream) -> float | None:
    """Returns the duration of a stream according to its own header, None if it does not say."""
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
    """Whether a stream is a single picture: it has an image codec, and its header says one frame or almost no time."""
    if stream.codec_context is None or stream.codec_context.name not in _STILL_CODECS:
        return False
    if stream.disposition & Disposition.still_image or stream.frames == 1:
        return True
    seconds = seconds_of(stream)
    return stream.frames == 0 and seconds is not None and seconds <= 0.1
