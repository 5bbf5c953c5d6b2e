"""Frames through a codec and back, as a recorder would have kept them."""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from endodav_jax.errors import UserError
from endodav_jax.video.encoder import with_even_sides

_RATE = Fraction(25)  # frames per second, which determine how x264 spends its bits
_ENCODERS = {"h264": "libx264", "mjpeg": "mjpeg"}
_FORMATS = {"h264": ("yuv420p", ColorRange.MPEG), "mjpeg": ("yuvj420p", ColorRange.JPEG)}
# Quality 1 and 100 on the encoders' own scales: x264's rate factor, and the quantiser of JPEG's tables.
_SCALES = {"h264": (51.0, 10.0), "mjpeg": (31.0, 2.0)}


class RoundTrip:
    """Accepts frames uint8 [H, W, 3] of one size and returns as many, in order, with a delay of up to a few dozen.

    The same frames come back every time: one thread works each way.  Odd sizes are made even by repeating the last row
    or column, which is cropped again.
    """

    def __init__(self, codec: str, quality: int):
        """Opens the codec.

        Args:
          codec: `h264` or `mjpeg`.
          quality: 1 is the worst, 100 the best.

        Raises:
          UserError: this build of PyAV lacks the codec.
        """
        try:
            encoder, decoder = av.CodecContext.create(_ENCODERS[codec], "w"), av.CodecContext.create(codec, "r")
        except av.codec.codec.UnknownCodecError as error:
            raise UserError(f"{codec}: this build of PyAV cannot write it; install PyAV from its wheel") from error
        worst, best = _SCALES[codec]
        level = worst + (best - worst) * (quality - 1) / 99
        assert isinstance(encoder, av.VideoCodecContext)  # both are video codecs
        assert isinstance(decoder, av.VideoCodecContext)
        self._encoder, self._decoder = encoder, decoder
        encoder.thread_count = decoder.thread_count = 1
        encoder.pix_fmt, encoder.color_range = _FORMATS[codec]
        encoder.framerate, encoder.time_base = _RATE, 1 / _RATE
        if codec == "h264":
            # x264's macroblock tree reads memory that nothing has set: one recording in ten came out different.
            encoder.options = {"crf": f"{level:.1f}", "preset": "veryfast", "mbtree": "0"}
        else:
            encoder.qmin = encoder.qmax = round(level)
        self._converter = VideoReformatter()
        self._shape = (0, 0)
        self._sent = 0

    def send(self, rgb: np.ndarray) -> list[np.ndarray]:
        """Records a frame and returns the frames that are ready."""
        self._shape = rgb.shape[:2]
        even = with_even_sides(rgb)
        if not self._encoder.is_open:
            self._encoder.height, self._encoder.width = even.shape[:2]
        frame = self._converter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"),
            format=self._encoder.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=self._encoder.color_range,
        )
        frame.pts = self._sent
        self._sent += 1
        return self._decoded(self._encoder.encode(frame))

    def rest(self) -> list[np.ndarray]:
        """Ends the recording and returns the remaining frames."""
        return self._decoded([*self._encoder.encode(None), None]) if self._sent else []

    def _decoded(self, packets: list) -> list[np.ndarray]:
        back = []
        for packet in packets:
            for frame in self._decoder.decode(packet):
                rgb = self._converter.reformat(
                    frame,
                    format="rgb24",
                    src_colorspace=Colorspace.ITU709,
                    src_color_range=self._encoder.color_range,
                )
                back.append(rgb.to_ndarray()[: self._shape[0], : self._shape[1]])
        return back
