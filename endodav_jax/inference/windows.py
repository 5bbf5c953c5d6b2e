"""Assigns the frames of a video to the slots of windows.

A network with motion modules sees 32 frames at once.  Windows advance by 22 frames; the first ten slots of a window
repeat frames of the previous window, so that neighbouring windows can be aligned:

    slots 0, 1     context from further back; the rule decides which two frames
    slots 2 ... 9  the last eight frames of the previous window
    slots 10 ... 31  frames not seen before

Past its end, the last frame of a video is repeated.  A video of N frames has ceil(N / 22) windows.  Source: the
published programs' `infer_video_depth`; the exact frames for many lengths are in the golden case `stitching`.
"""

import dataclasses
from typing import Literal, get_args

AlignRule = Literal["endodav", "vda", "none"]
ALIGN_RULES: tuple[AlignRule, ...] = get_args(AlignRule)

WINDOW_FRAMES = 32
STEP = 22
CONTEXT_SLOTS = 2
BLENDED_SLOTS = 8
OVERLAP = CONTEXT_SLOTS + BLENDED_SLOTS


def carried_slots(rule: AlignRule) -> tuple[int, ...]:
    """The slots of one window that become slots 0 to 9 of the next.

    Under `vda` the first context frame is the previous window's first, so frame 0 of the video enters every window.
    EndoDAV uses slot 6 instead, which moves along with the video.  Without alignment, windows are as in EndoDAV.
    """
    context = (0, 12) if rule == "vda" else (6, 12)
    return (*context, *range(WINDOW_FRAMES - BLENDED_SLOTS, WINDOW_FRAMES))


def window_count(length: int) -> int:
    """Windows of a video of `length` frames."""
    return -(-length // STEP)


@dataclasses.dataclass(frozen=True)
class Window:
    """One window: the frame in each slot, and how the network's output for it is used.

    Attributes:
      index: 0 for the first window.
      rule: how windows overlap and are aligned.
      length: number of frames of the video, or None while its end has not been reached.  It is not needed for a window
        whose 32 slots are all filled by frames that were read.
    """

    index: int
    rule: AlignRule
    length: int | None = None

    @property
    def first_frame(self) -> int:
        """The frame that slot 0 would contain if windows overlapped without context frames; slot s >= 2 has +s."""
        return self.index * STEP

    @property
    def frames(self) -> tuple[int, ...]:
        """The frame in each of the 32 slots."""
        frames = [self.first_frame + slot for slot in range(WINDOW_FRAMES)]
        if self.index > 0:
            previous = self.first_frame - STEP
            frames[0] = 0 if self.rule == "vda" else previous + carried_slots(self.rule)[0]
            frames[1] = previous + carried_slots(self.rule)[1]
        return tuple(frames if self.length is None else (min(frame, self.length - 1) for frame in frames))

    @property
    def has_next(self) -> bool:
        """Whether another window follows.  A window without padding is always followed: its overlap is not final."""
        return self.length is None or self.index + 1 < window_count(self.length)

    @property
    def final_slots(self) -> range:
        """Slots whose frames are finished once this window is aligned, in the order of the video.

        The last eight wait to be blended with the next window; if no window follows, they are always padding.
        Without alignment nothing waits: every frame is taken from the first window in which it is new.
        """
        if self.rule == "none":
            first, stop = (OVERLAP if self.index else 0), WINDOW_FRAMES
        else:
            first, stop = (CONTEXT_SLOTS if self.index else 0), WINDOW_FRAMES - BLENDED_SLOTS
        if self.length is not None:
            stop = min(stop, self.length - self.first_frame)
        return range(first, max(first, stop))

    @property
    def used_slots(self) -> range:
        """Slots whose disparity is used: for output, for the fit, or for blending with the next window.

        The two context frames of later windows are used only as context for the others, except by the rule `vda`,
        which fits on them.  A window that finishes no frame is not used (a video of 23 frames has one).
        """
        final = self.final_slots
        if not final:
            return range(0)
        if self.rule == "none":
            return final
        first = CONTEXT_SLOTS if self.index and self.rule == "endodav" else 0
        if self.has_next:
            return range(first, WINDOW_FRAMES)
        return range(first, max(final.stop, OVERLAP if self.index else 0))
