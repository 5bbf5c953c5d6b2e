"""A phantom sequence as the rest of the house reads one: evaluation frames on the host, one by one."""

from collections.abc import Iterator

import numpy as np

from endodav_jax.data.phantom.config import PhantomConfig
from endodav_jax.data.phantom.render import render_clip
from endodav_jax.data.phantom.scene import draw_scene

FRAMES_A_CALL = 8


def render_sequence(config: PhantomConfig, sequence: int, start: int = 0) -> Iterator[dict]:
    """Yields evaluation frames of one sequence from frame `start` on, with a bounded number of them in memory.

    Keys: `frame` uint8 [H,W,3], `depth_mm` float32 [H,W] (0 invalid), `cam_from_world` float64 [4,4] (mm),
    `intrinsics` float64 [4] (pixels), `sequence`, `frame_index`, `view_mask` bool [H,W], `tool` bool [H,W].

    Raises:
      IndexError: there is no such sequence.
    """
    if not 0 <= sequence < config.sequences:
        raise IndexError(f"sequence {sequence} of {config.sequences}")
    scene = draw_scene(config, sequence)
    for first in range(start, config.frames, FRAMES_A_CALL):
        # The last call renders some frames too many rather than compile another length.
        numbers = np.arange(first, first + FRAMES_A_CALL, dtype=np.int32)
        clip = {
            k: np.asarray(v) for k, v in render_clip(scene, numbers, height=config.height, width=config.width).items()
        }
        for i, number in enumerate(numbers[: config.frames - first]):
            yield {
                "frame": clip["frame"][i],
                "depth_mm": clip["depth_mm"][i],
                "cam_from_world": clip["cam_from_world"][i].astype(np.float64),
                "intrinsics": clip["intrinsics"][i].astype(np.float64),
                "sequence": config.sequence_name(sequence),
                "frame_index": int(number),
                "view_mask": clip["view_mask"][i],
                "tool": clip["tool"][i],
            }
