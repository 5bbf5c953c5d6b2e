"""A phantom sequence in the form that the rest of the package reads: evaluation frames on the host, one by one."""

import collections
from collections.abc import Iterable, Iterator

import numpy as np

from endodav_jax.data.phantom.config import PhantomConfig
from endodav_jax.data.phantom.render import render_clip
from endodav_jax.data.phantom.scene import draw_scene
from endodav_jax.video.round_trip import RoundTrip

FRAMES_A_CALL = 8
EYES = ("frame", "right")


def render_sequence(config: PhantomConfig, sequence: int, start: int = 0) -> Iterator[dict]:
    """Yields evaluation frames of one sequence from frame `start` on, with a bounded number of them in memory.

    Keys: `frame` uint8 [H,W,3], `depth_mm` float32 [H,W] (0 invalid), `cam_from_world` float64 [4,4] (mm),
    `intrinsics` float64 [4] (pixels), `sequence`, `frame_index`, `view_mask` bool [H,W], `tool` bool [H,W] (true on
    instruments); with `stereo` also `right` uint8 [H,W,3], seen with the same intrinsics from that far along x.

    With a `codec`, `frame` and `right` are what comes back from it; a frame depends on those before it, so all are
    rendered wherever the sequence is entered.

    Raises:
      IndexError: there is no such sequence.
      UserError: this build of PyAV lacks the codec.
    """
    if not 0 <= sequence < config.sequences:
        raise IndexError(f"sequence {sequence} of {config.sequences}")
    if not config.codec:
        yield from _rendered(config, sequence, start)
        return
    for record in _recorded(_rendered(config, sequence, 0), config.codec, config.codec_quality):
        if record["frame_index"] >= start:
            yield record


def _rendered(config: PhantomConfig, sequence: int, start: int) -> Iterator[dict]:
    scene = draw_scene(config, sequence)
    for first in range(start, config.frames, FRAMES_A_CALL):
        # The last call renders a few frames too many rather than compile for another length.
        numbers = np.arange(first, first + FRAMES_A_CALL, dtype=np.int32)
        clip = {
            name: np.asarray(maps)
            for name, maps in render_clip(
                scene, numbers * config.every, height=config.height, width=config.width
            ).items()
        }
        for i, number in enumerate(numbers[: config.frames - first]):
            yield {name: clip[name][i] for name in EYES if name in clip} | {
                "depth_mm": clip["depth_mm"][i],
                "cam_from_world": clip["cam_from_world"][i].astype(np.float64),
                "intrinsics": clip["intrinsics"][i].astype(np.float64),
                "sequence": config.sequence_name(sequence),
                "frame_index": int(number),
                "view_mask": clip["view_mask"][i],
                "tool": clip["tool"][i],
            }


def _recorded(records: Iterable[dict], codec: str, quality: int) -> Iterator[dict]:
    """Replaces the pictures of records by what a recorder returns, with a delay of up to a few dozen frames."""
    waiting: collections.deque[dict] = collections.deque()
    trips: dict[str, RoundTrip] = {}
    back: dict[str, collections.deque[np.ndarray]] = {}

    def complete() -> Iterator[dict]:
        while all(back.values()):
            yield waiting.popleft() | {eye: pictures.popleft() for eye, pictures in back.items()}

    for record in records:
        waiting.append(record)
        for eye in EYES:
            if eye in record:
                if eye not in trips:
                    trips[eye], back[eye] = RoundTrip(codec, quality), collections.deque()
                back[eye].extend(trips[eye].send(record[eye]))
        yield from complete()
    for eye, trip in trips.items():
        back[eye].extend(trip.rest())
    yield from complete()
