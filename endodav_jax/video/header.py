"""What a container says about a video before it is read: hints, each checked for plausibility."""

import itertools
from collections.abc import Callable
from fractions import Fraction

import av

from endodav_jax.video.container import packets_of, seconds_of
from endodav_jax.video.frames import SQUARE

DEFAULT_FPS = Fraction(25)  # if the container does not say
# The least that a packet and its bookkeeping take in a container: an empty frame of an AVI and its index entry take
# 24 bytes, and so do the shortest sample of an MP4 and its table entries.
_BYTES_PER_FRAME = 8
_WILD = 4  # two rates or counts that differ by this factor cannot both be true
_MEASURED_FRAMES = 256
# A rate varies if more than this share of steps are so many times as long as the stated rate says.
_LONG, _LONG_SHARE = 1.5, 0.1
_ASPECTS = Fraction(1, 4), Fraction(4)  # no camera or format has pixels beyond these

Reopen = Callable[[], "tuple[av.container.InputContainer, av.VideoStream]"]


def average_rate(stream: av.VideoStream, reopen: Reopen | None = None) -> Fraction:
    """Returns the average frames per second of a stream, `DEFAULT_FPS` if it does not say.

    An average above the stream's base frame rate, or far below it, is checked against the times of the first frames.

    Args:
      reopen: opens the video again to read times from it; None for a source that can be read only once.
    """
    average, guess = _sensible(stream.average_rate), _sensible(stream.guessed_rate)
    if average is None or guess is None:
        return average or guess or DEFAULT_FPS
    if guess / _WILD <= average <= guess * 3 / 2:
        matroska = stream.container.format.name.startswith("matroska")
        return _counted_rate(reopen, average) if matroska and reopen is not None else average
    measured = _measured_rate(reopen) if reopen is not None else None
    if measured is None:
        return guess
    nearest = min((average, guess), key=lambda rate: max(rate / measured, measured / rate))
    return nearest if max(nearest / measured, measured / nearest) < 2 else measured


def expected_count(stream: av.VideoStream, fps: Fraction, size: int, reopen: Reopen) -> int | None:
    """Returns roughly how many frames a file holds: from its header if plausible, else by counting its packets.

    Args:
      size: file size in bytes, which limits the number of frames that is plausible.
      reopen: opens the video again, for counting.
    """
    seconds = seconds_of(stream)
    by_time = max(1, round(seconds * float(fps))) if seconds else None
    # ASF stores the duration of the file, not of its video.
    shared = stream.container.format.name == "asf" and len(stream.container.streams) > 1
    count = stream.frames if stream.frames > 0 else None if shared else by_time
    if count is not None and count <= size // _BYTES_PER_FRAME:
        return count
    if count is None and not shared:
        return None
    return counted_packets(reopen)


def counted_packets(reopen: Reopen) -> int | None:
    """Returns the number of video packets in a file, None if there are none; reads the file to its end."""
    count = 0
    container, stream = reopen()
    with container:
        try:
            for packet in packets_of(container, stream):
                count += packet.size > 0
        except (av.error.FFmpegError, OSError):
            pass  # the rest is damaged: decoding will show where the frames end
    return count or None


def pixel_aspect(stream: av.VideoStream) -> Fraction:
    """Returns width over height of a pixel according to the container and the codec, 1 if they do not say."""
    aspect = stream.sample_aspect_ratio
    if aspect is None or not _ASPECTS[0] <= aspect <= _ASPECTS[1]:
        return SQUARE
    return Fraction(aspect)


def _sensible(rate: Fraction | None) -> Fraction | None:
    return Fraction(rate) if rate is not None and rate.numerator > 0 and rate.denominator > 0 else None


def _counted_rate(reopen: Reopen, stated: Fraction) -> Fraction:
    """Returns the average rate of a Matroska file of a variable one, whose header states only the highest.

    Only if the first frames are far apart often, other than where a recording was interrupted, is the whole file read.
    """
    first = _packet_times(reopen, _MEASURED_FRAMES)
    long = sum(after - before > _LONG / float(stated) for before, after in itertools.pairwise(first))
    if long <= _LONG_SHARE * len(first):
        return stated
    times = _packet_times(reopen)
    rate = _sensible(Fraction((len(times) - 1) / (times[-1] - times[0])).limit_denominator(1001))
    return stated if rate is None else min(rate, stated)


def _packet_times(reopen: Reopen, count: int | None = None) -> list[float]:
    """Returns the times of the first packets in seconds, or of all, in growing order."""
    stamps: set[int] = set()
    container, stream = reopen()
    with container:
        try:
            for packet in packets_of(container, stream):
                if packet.pts is not None:
                    stamps.add(packet.pts)
                if len(stamps) == count:
                    break
        except (av.error.FFmpegError, OSError):
            pass  # the rest is damaged: decoding will show where the frames end
        return [stamp * float(stream.time_base or 0) for stamp in sorted(stamps)]


def _measured_rate(reopen: Reopen) -> Fraction | None:
    """Returns the frame rate given by the times of the first frames, None for a single one or no sensible rate.

    Frames are decoded, since packets do not tell their number: some are single fields, and in a program stream several
    small ones share one time.
    """
    container, stream = reopen()
    times: list[tuple[int, int]] = []  # with the number of the frame
    count = 0
    with container:
        try:
            for packet in packets_of(container, stream):
                for frame in _decoded(packet):
                    if frame.pts is not None:
                        times.append((frame.pts, count))
                    count += 1
                if count >= _MEASURED_FRAMES:
                    break
        except (av.error.FFmpegError, OSError):
            pass
        if len(times) < 2 or not stream.time_base:
            return None
        (first_time, first), (last_time, last) = min(times), max(times)
        if last_time == first_time:
            return None
        rate = Fraction(last - first) / ((last_time - first_time) * Fraction(stream.time_base))
        return _sensible(rate.limit_denominator(1001))


def _decoded(packet: av.Packet) -> list[av.VideoFrame]:
    try:
        return [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
    except (av.error.FFmpegError, OSError):
        return []  # such as what comes before the first key frame
