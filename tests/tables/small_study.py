"""The study at the least size that has every part; as a program, into a folder."""

import dataclasses
import sys
from pathlib import Path

from endodav_jax.config import Config, read_config
from endodav_jax.data.config import PhantomData
from endodav_jax.tables.study import study


def small_study() -> Config:
    """Two steps on one tiny video, and another of two windows to measure on.

    With the pose network, since so small a video tells no path.
    """
    config = read_config("phantom_study")
    objective = dataclasses.replace(config.train.objective, camera="pose", learn_registration=True)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, image_shape=(28, 28)),
        data=dataclasses.replace(
            config.data, phantom=PhantomData(
                "organ", sequences=1, held_out=1, frames=6, held_out_frames=34, height=64, width=64
            ),
            clip_length=2, batch_size=1, frame_max_interval=1,
        ),
        train=dataclasses.replace(config.train, steps=2, objective=objective),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(study(small_study(), 1, Path(sys.argv[1])))
