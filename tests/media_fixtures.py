"""Small videos and images that tests write, and an estimator that needs no network."""

import dataclasses
import io
import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from endodav_jax.checkpoints.card import Card
from endodav_jax.depth_video.config import ReadingConfig
from endodav_jax.inference.alignment import WindowLog
from endodav_jax.inference.prefetch import prefetch
from endodav_jax.models.config import DepthModelConfig


def moving_picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth picture that moves: uint8 [H, W, 3].  Its mean grows with `index`, so frames can be told apart."""
    y, x = np.mgrid[:height, :width]
    wave = 40 * np.sin((x + 2 * index) / 9.0) + 30 * np.cos((y - index) / 7.0)
    base = np.stack([wave, 0.5 * wave, -wave], axis=-1) + 70 + 2.0 * (index % 60)
    return np.clip(base, 0, 255).astype(np.uint8)


def noisy_picture(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Noise, uint8 [H, W, 3]: it makes large packets, so that damage hits one of them."""
    return np.random.default_rng(index).integers(0, 255, (height, width, 3), dtype=np.uint8)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    rate: Fraction | int = 25,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Iterable[float] | None = None,
    faststart: bool = True,
    options: dict[str, str] | None = None,
    format_name: str | None = None,
    muxing: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
) -> Path:
    """Writes frames, uint8 [H, W, C], with good quality; `times` in seconds make the rate variable."""
    source_format = {3: "rgb24", 4: "rgba"}
    muxing = muxing or ({"movflags": "faststart"} if faststart and path.suffix in (".mp4", ".mov") else {})
    with av.open(str(path.absolute()), "w", format=format_name, container_options=muxing) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1  # the same bytes every time
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if codec == "libx264":
            # Its macroblock tree reads memory that nothing has set, so that bytes would differ between processes.
            options = {"mbtree": "0", **(options or {"crf": "4"})}
        stream.options = options or {}
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        times = iter(times) if times is not None else None
        for index, pixels in enumerate(frames):
            if index == 0:
                stream.height, stream.width = pixels.shape[:2]
            frame = av.VideoFrame.from_ndarray(pixels, format=source_format[pixels.shape[-1]])
            if times is not None:
                frame.time_base, frame.pts = Fraction(1, 1000), round(1000 * next(times))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def mjpeg_avi(
    path: Path, chunks: Iterable[bytes], size: tuple[int, int], announced: int | None = None, closed: bool = True
) -> Path:
    """Writes an MJPEG AVI with an index, chunk by chunk; an empty one is a frame that a recorder dropped.

    Args:
      announced: the number of frames in its headers; None for the true one.
      closed: whether the recorder went back and wrote the sizes of the file, or left a placeholder.
    """

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)

    def group(name: bytes, content: bytes) -> bytes:
        return chunk(b"LIST", name + content)

    chunks = list(chunks)
    height, width = size
    count = len(chunks) if announced is None else announced
    stream = b"vidsMJPG" + struct.pack(
        "<IHHIIIIIIII4H", 0, 0, 0, 0, 1, 25, 0, count, 0, 0xFFFFFFFF, 0, 0, 0, width, height
    )
    picture = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    main = struct.pack("<14I", 40000, 0, 0, 0x10, count, 0, 1, 0, width, height, 0, 0, 0, 0)
    headers = chunk(b"avih", main) + group(b"strl", chunk(b"strh", stream) + chunk(b"strf", picture))
    body = index = b""
    for data in chunks:
        index += b"00dc" + struct.pack("<III", 0x10 if data else 0, 4 + len(body), len(data))
        body += chunk(b"00dc", data)
    content = b"AVI " + group(b"hdrl", headers) + group(b"movi", body) + chunk(b"idx1", index)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(content) if closed else 0xFFFFFFFF) + content)
    return path


def jpeg_bytes(picture: np.ndarray) -> bytes:
    """Returns a picture as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=80)
    return file.getvalue()


def numbered_picture(index: int, height: int = 64, width: int = 80) -> np.ndarray:
    """Shows its number, up to 255, in eight black or white blocks at the top: see `shown_number`."""
    picture = moving_picture(0, height, width) // 2 + noisy_picture(index, height, width) // 8
    for bit in range(8):
        picture[: height // 4, bit * width // 8 : (bit + 1) * width // 8] = 255 if index >> bit & 1 else 0
    return picture


def shown_number(rgb: np.ndarray) -> int:
    """Returns the number that a `numbered_picture` shows."""
    height, width = rgb.shape[0] // 4, rgb.shape[1] // 8
    middles = [
        rgb[height // 4 : 3 * height // 4, bit * width + width // 4 : (bit + 1) * width - width // 4]
        for bit in range(8)
    ]
    return sum(int(middle.mean() > 128) << bit for bit, middle in enumerate(middles))


def turn(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Sets the display matrix of an mp4's only track: x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def damage(path: Path, packet: int, length: int = 60, zeros: bool = False) -> None:
    """Overwrites bytes in the middle of a packet of a video, with noise or with zeros."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    start, size = places[packet]
    data = bytearray(path.read_bytes())
    middle = start + size // 2
    noise = np.random.default_rng(7).integers(0, 255, length, dtype=np.uint8)
    data[middle : middle + length] = bytes(length) if zeros else noise.tobytes()
    path.write_bytes(data)


def cut_short(path: Path, share: float) -> None:
    """Keeps the first `share` of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def luminance(frame: np.ndarray) -> np.ndarray:
    """The fake disparity, float32 [H, W] in 0..1: the mean of the channels."""
    return frame.astype(np.float32).mean(axis=-1) / np.float32(255)


@dataclasses.dataclass
class FakeEstimator:
    """Answers like a `DepthEstimator`: disparity is luminance, late by a window, frames are read ahead in a thread."""

    window: int = 32
    config: DepthModelConfig = DepthModelConfig()

    def iter_infer(self, frames, align="endodav", view_mask=None, on_window=None, mask_of=None):
        """Yields (place, float32 [H, W]) a window at a time, logging each window."""
        held: list[np.ndarray] = []
        done = 0
        ahead = prefetch(frames, 4)
        try:
            for frame in ahead:
                held.append(luminance(frame))
                if len(held) == self.window:
                    yield from self._window(held, done, on_window)
                    done += len(held)
                    held = []
            if held:
                yield from self._window(held, done, on_window)
        finally:
            ahead.close()

    def stream(self, view_mask=None) -> "FakeEstimator":
        """Its own stream."""
        return self

    def push(self, frame: np.ndarray) -> np.ndarray:
        """Returns float32 [H, W]."""
        return luminance(frame)

    def _window(self, held, done, on_window):
        if on_window is not None:
            on_window(WindowLog(done // self.window, done, done + len(held) - 1, 1.5, -0.25, False))
        yield from enumerate(held, start=done)


CARD = Card(what="luminance", licence="none")


def load_fake(weights: str, config: ReadingConfig) -> tuple[FakeEstimator, Card]:
    """Stands for `load_estimator`; weights are metric if they are called so."""
    output = config.output_kind or ("metric_depth" if "metric" in weights else "disparity")
    return FakeEstimator(config=DepthModelConfig(output=output)), CARD
