"""What a container says of a video before it is read: hints, each checked against what it cannot be."""

from collections.abc import Callable
from fractions import Fraction

import av

from endodav_jax.video.container import packets_of, seconds_of
from endodav_jax.video.frames import SQUARE

DEFAULT_FPS = Fraction(25)  # where the container does not say
# Packets with their place in the container take at least this: an empty frame of an AVI and its entry in the index
# take 24 bytes, the shortest sample of an MP4 and its entries in the tables as many.
_BYTES_PER_FRAME = 8
_WILD = 4  # rates, or counts, this many times apart are not both true
_MEASURED_PACKETS = 256
_ASPECTS = Fraction(1, 4), Fraction(4)  # no camera or format has pixels beyond these

Reopen = Callable[[], "tuple[av.container.InputContainer, av.VideoStream]"]


def average_rate(stream: av.VideoStream, reopen: Reopen | None = None) -> Fraction:
    """Returns the average frames a second of a stream, `DEFAULT_FPS` where it does not say.

    An average that is higher than the rate at which every frame has its place in time, or far lower, is held against
    the times of the first frames.

    Args:
      reopen: opens the video once more to read times from it; None for what can be read only once.
    """
    average, guess = _sensible(stream.average_rate), _sensible(stream.guessed_rate)
    if average is None or guess is None:
        return average or guess or DEFAULT_FPS
    if guess / _WILD <= average <= guess * 3 / 2:
        return average
    measured = _measured_rate(reopen) if reopen is not None else None
    if measured is None:
        return guess
    nearest = min((average, guess), key=lambda rate: max(rate / measured, measured / rate))
    return nearest if max(nearest / measured, measured / nearest) < 2 else measured


def expected_count(stream: av.VideoStream, fps: Fraction, size: int, reopen: Reopen) -> int | None:
    """Returns about how many frames a file holds: by its header where that can be, or else its packets, counted.

    Args:
      size: bytes of the file; no more frames than fit into it are believed.
      reopen: opens the video once more, to count.
    """
    seconds = seconds_of(stream)
    by_time = max(1, round(seconds * float(fps))) if seconds else None
    # ASF knows how long the file lasts, not how long its picture does.
    shared = stream.container.format.name == "asf" and len(stream.container.streams) > 1
    count = stream.frames if stream.frames > 0 else None if shared else by_time
    if count is not None and count <= size // _BYTES_PER_FRAME:
        return count
    if count is None and not shared:
        return None
    return counted_packets(reopen)


def counted_packets(reopen: Reopen) -> int | None:
    """Returns how many packets of the video a file has, None where it has none; reads it to its end."""
    count = 0
    container, stream = reopen()
    with container:
        try:
            for packet in packets_of(container, stream):
                count += packet.size > 0
        except (av.error.FFmpegError, OSError):
            pass  # what comes after is damaged: where the frames end is seen when they are decoded
    return count or None


def pixel_aspect(stream: av.VideoStream) -> Fraction:
    """Returns width over height of a pixel as the container and the codec have it, 1 where they say nothing."""
    aspect = stream.sample_aspect_ratio
    if aspect is None or not _ASPECTS[0] <= aspect <= _ASPECTS[1]:
        return SQUARE
    return Fraction(aspect)


def _sensible(rate: Fraction | None) -> Fraction | None:
    return Fraction(rate) if rate is not None and rate.numerator > 0 and rate.denominator > 0 else None


def _measured_rate(reopen: Reopen) -> Fraction | None:
    """Returns the rate of the first packets by their times, None for fewer than three."""
    container, stream = reopen()
    times: set[int] = set()
    with container:
        try:
            for packet in packets_of(container, stream):
                if packet.pts is not None:
                    times.add(packet.pts)
                if len(times) >= _MEASURED_PACKETS:
                    break
        except (av.error.FFmpegError, OSError):
            pass
        if len(times) < 3 or not stream.time_base:
            return None
        rate = Fraction(len(times) - 1) / ((max(times) - min(times)) * Fraction(stream.time_base))
        return rate.limit_denominator(1001)
