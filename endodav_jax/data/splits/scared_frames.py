"""The frame lists of SCARED by name: which frames EndoDAC, AF-SfMLearner and EndoDAV's frame-wise code read.

Two numberings are in use.  The lists called `endovis_old` (AF-SfMLearner, EndoDAC) number frames from 1, as the
images written by ffmpeg, and rename keyframes 0-3 of data sets 8 and 9 to 1-4.  Those called `endovis` (EndoDAV) keep
keyframes 0-3 and hold frames 1 to n - 2 of every sequence, so that both neighbours exist counting from 0.
Here both become the sequence's name in `scared_video` and the raw frame index from 0.
"""

import dataclasses
import re
from pathlib import Path

from endodav_jax.data.splits.lists import published_counts, published_list, read_frame_list
from endodav_jax.errors import UserError

# Name -> (sequence, numbers) of the lists that are one sequence without a gap.
_TRAJECTORIES = {
    "endovis_old/test_files_sequence1": ("dataset5/keyframe4", range(1, 411)),
    "endovis_old/test_files_sequence2": ("dataset3/keyframe4", range(1, 834)),
}
# Name -> the list of sequences whose frames 1 to n - 2 it holds, in order.
_INTERIORS = {
    "endovis/train_files": "train_files",
    "endovis/val_files": "val_files",
    "endovis/test_files": "val_files",
    "endovis/test_files2": "test_files",
}
NAMES = (*_INTERIORS, *_TRAJECTORIES)


@dataclasses.dataclass(frozen=True)
class ListedFrame:
    """A frame of `scared_video`: the sequence's name there and the raw frame index from 0."""

    sequence: str
    frame_index: int


def scared_frame_list(name: str | Path, *, first_image: int = 1, renamed_test_keyframes: bool = True):
    """Returns a published frame list by name, or the user's own copy of one by its path, as `ListedFrame`s.

    Args:
      name: one of `NAMES`, or the path of a file in the published form.
      first_image: for a path, the number that stands for raw frame 0 (1 in `endovis_old`, 0 in `endovis`).
      renamed_test_keyframes: for a path, whether keyframes of data sets 8 and 9 are numbered 1-4 (`endovis_old`).

    Raises:
      UserError: neither a known name nor a file, or a line that cannot be read.
    """
    if str(name) in _TRAJECTORIES:
        sequence, numbers = _TRAJECTORIES[str(name)]
        return [ListedFrame(canonical_name(sequence), number - 1) for number in numbers]
    if str(name) in _INTERIORS:
        counts = published_counts("scared_video")
        sequences = published_list("scared_video", _INTERIORS[str(name)])
        return [ListedFrame(sequence, i) for sequence in sequences for i in range(1, counts[sequence] - 1)]
    if not Path(name).is_file():
        raise UserError(f"{name}: neither a file nor one of {', '.join(NAMES)}; give the path of your copy of the list")
    entries = read_frame_list(name)
    return [
        ListedFrame(
            canonical_name(entry.sequence, renamed_test_keyframes=renamed_test_keyframes), entry.number - first_image
        )
        for entry in entries
    ]


def canonical_name(sequence: str, *, renamed_test_keyframes: bool = False) -> str:
    """Returns EndoDAV's name of a sequence: `dataset_8/keyframe_0` -> `test/dataset8/keyframe0`.

    Args:
      sequence: with or without underscores, with or without `train/` or `test/`.
      renamed_test_keyframes: keyframes of data sets 8 and 9 count from 1 (AF-SfMLearner) and are moved back to 0.

    Raises:
      UserError: the name has no data set and keyframe.
    """
    match = re.fullmatch(r"(?:train/|test/)?dataset_?(\d+)/keyframe_?(\d+)", str(sequence).strip().strip("/"))
    if match is None:
        raise UserError(f"{sequence}: not a sequence of SCARED; wanted a name such as train/dataset7/keyframe4")
    dataset, keyframe = int(match[1]), int(match[2])
    if renamed_test_keyframes and dataset >= 8:
        keyframe -= 1
    return f"{'train' if dataset < 8 else 'test'}/dataset{dataset}/keyframe{keyframe}"
