"""Looks at a copy of a data set, raw or prepared, and says of each sequence whether it is whole, missing or odd."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from endodav_jax.data.builders.features import decode_record
from endodav_jax.data.checks import check_pose_direction
from endodav_jax.data.contract import EvaluationFrame, check_evaluation_frame
from endodav_jax.data.kinds import nothing_found
from endodav_jax.data.prepared import (
    PreparedSplit,
    find_prepared,
    find_split,
    read_cards,
    sequences_without_camera,
)
from endodav_jax.data.signal import Signal, signal_rows
from endodav_jax.data.signal_of import frames_needed, signal_of_frames
from endodav_jax.data.sources.base import SequenceInfo, Source, SourceFrame
from endodav_jax.errors import UserError

PLAUSIBLE_MEDIAN_MM = (3.0, 300.0)  # of an endoscope's depth; outside, the unit is probably another
RUN_STEP = 5  # frames between those whose poses are compared: enough motion, and still the same scene
RUN_LENGTH = 4
# Which is no fault.
_NO_CAMERA = "no camera is known; its intrinsics are a guess (give them, or train with it as guessed or learned)"
_READ_AT_ONCE = 32  # records
_LEAST_SIDE = 12  # pixels
_ANCHORS = 4  # frames of a sequence whose signal is measured
_HALVES_ALIKE = 0.8  # correlation of the halves of two stacked views; that of one view's halves is far lower

Verdict = Literal["whole", "missing", "odd"]
Frame = SourceFrame | EvaluationFrame


@dataclasses.dataclass
class Report:
    """What was found of a sequence.

    Attributes:
      sequence: its name.
      verdict: `odd` for anything a user should look at.
      frames: how many there are.
      expected: how many there should be; None if nothing says.
      size: width x height of the frames.
      depth_mm: (least, median, greatest) valid depth of the frames looked at; None without depth.
      valid: share of their pixels that have depth.
      pose: `none`, `agrees` with the pictures, `reversed`, or why it cannot be said.
      notes: one line on each thing that is odd or missing, or that a user should know.
      signal: what can be learned from it; None where too few frames could be read.
      samples: the frames looked at, for a contact sheet.
    """

    sequence: str
    verdict: Verdict = "whole"
    frames: int = 0
    expected: int | None = None
    size: str = ""
    depth_mm: tuple[float, float, float] | None = None
    valid: float = 0.0
    pose: str = "none"
    notes: list[str] = dataclasses.field(default_factory=list)
    signal: Signal | None = None
    samples: list[Frame] = dataclasses.field(default_factory=list)

    def odd(self, note: str) -> None:
        """Adds a note that makes the sequence odd."""
        self.notes.append(note)
        self.verdict = "odd"


def verify_source(
    source: Source, splits: Sequence[str] = (), *, samples: int = 4, every_frame: bool = False
) -> Iterator[Report]:
    """Yields a report on each sequence of a download.

    Args:
      source: the copy.
      splits: which splits; by default `all` and `found` as far as there are such, or else every one.
      samples: how many frames of a sequence to look at, evenly spread.
      every_frame: decode all frames and name every bad one.

    Raises:
      UserError: there is no such split, or nothing in it.
    """
    chosen = splits or [split for split in ("all", "found") if split in source.splits] or source.splits
    sequences = dict.fromkeys(name for split in chosen for name in source.sequences(split))
    if not sequences:
        raise nothing_found(source)
    for sequence in sequences:
        try:
            info = source.describe(sequence)
        except UserError as error:
            yield Report(sequence, "missing", notes=[str(error).removeprefix(f"{sequence}: ")])
        else:
            yield _verify_sequence(source, info, samples, every_frame)


def verify_prepared(path: str | Path, splits: Sequence[str] = (), *, samples: int = 4) -> Iterator[Report]:
    """Yields a report on each sequence of the prepared data sets at or below `path`: all records are read, some shown.

    Raises:
      UserError: there is no finished data set, no such split, or a file is missing or cut short.
    """
    folders = find_prepared(path)
    found = [(folder, name) for folder in folders for name in read_cards(folder)]
    for name in splits:
        if name not in {known for _, known in found}:
            find_split(path, name)  # says what there is instead
    for folder, name in found:
        if splits and name not in splits:
            continue
        split = PreparedSplit.open(folder, name)
        for index in range(len(split.sequences)):
            report = _verify_records(split, index, samples)
            if sum(name == known for _, known in found) > 1:
                report.notes.insert(0, f"in {folder}")
            yield report


def table(reports: Iterable[Report]) -> Iterator[str]:
    """Yields the lines of a table, as the reports come: a heading, a line a sequence, and its notes below it."""
    row = "{:<32} {:<8} {:>13} {:>10} {:>22} {:>6}  {}"
    heading = row.format("sequence", "verdict", "frames", "size", "depth mm (med.)", "valid", "poses").rstrip()
    for report in reports:
        if heading:  # not before the first report: there may be an error instead
            yield heading
            heading = ""
        frames = str(report.frames) if report.expected is None else f"{report.frames} of {report.expected}"
        depth, valid = "none", ""
        if report.depth_mm is not None:
            low, median, high = report.depth_mm
            depth, valid = f"{low:.1f}..{high:.1f} ({median:.1f})", f"{100 * report.valid:.0f}%"
        cells = (frames, report.size, depth, valid, report.pose) if report.verdict != "missing" else ("",) * 5
        yield row.format(report.sequence, report.verdict, *cells).rstrip()
        for note in report.notes:
            yield f"    {note}"
        if report.signal is not None:
            yield f"    signal: {report.signal.line()}"
            if report.signal.truth:
                yield from (f"    {line}" for line in signal_rows(report.signal))


def looks_stacked(frame: np.ndarray) -> bool:
    """Whether a picture [H, W, 3] is two views, one above or beside the other.

    A picture higher than wide is taken for that, and one whose halves are almost the same.
    """
    height, width = frame.shape[:2]
    if height > width:
        return True
    if height < 2:  # no halves
        return False
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    top, bottom = grey[: height // 2], grey[height - height // 2 :]
    left, right = grey[:, : width // 2], grey[:, width - width // 2 :]
    return max(_correlation(top, bottom), _correlation(left, right)) > _HALVES_ALIKE


def _verify_sequence(source: Source, info: SequenceInfo, samples: int, every_frame: bool) -> Report:
    report = Report(info.name, frames=info.frames, expected=info.expected_frames, size=f"{info.width}x{info.height}")
    for line in info.odd:
        report.odd(line)
    if not info.has_intrinsics:
        report.notes.append(_NO_CAMERA)
    notes = (note.removeprefix(f"{info.name}: ") for note in info.notes)
    report.notes += [note for note in notes if note not in info.odd]
    for count, what in ((info.depth_frames, "depth maps"), (info.pose_frames, "poses")):
        if count and count != info.frames:
            report.odd(f"{info.frames} frames but {count} {what}")
    spread, run, pairs = _spread(info.frames, samples), _run(info.frames), frames_needed(info.frames, _ANCHORS)
    stream = source.read(info.name, on_bad_frame="skip", only=None if every_frame else spread | run | pairs)
    kept: list[Frame] = []
    neighbours: list[Frame] = []
    paired: dict[int, Frame] = {}
    try:
        for frame in stream:
            kept += [frame] if frame.frame_index in spread else []
            neighbours += [frame] if frame.frame_index in run else []
            paired |= {frame.frame_index: frame} if frame.frame_index in pairs else {}
    except UserError as error:
        report.odd(str(error))
    finally:
        stream.close()
    for line in stream.skipped:
        report.odd(line)
    _judge(report, kept, neighbours)
    _measure(report, paired, info.frames)
    return report


def _verify_records(split: PreparedSplit, index: int, samples: int) -> Report:
    name, length, first = split.sequences[index], split.lengths[index], int(split.offsets[index])
    left_out = [line for line in split.skipped if line.startswith(f"{name}, frame ")]
    report = Report(f"{split.split}: {name}", frames=length, expected=length + len(left_out))
    for line in left_out:
        report.odd(f"left out when it was prepared: {line}")
    if name in sequences_without_camera(split.folder, split.split):
        report.notes.append(_NO_CAMERA)
    damaged = _damaged_records(split, range(first, first + length))
    if damaged:
        (number, why), count = next(iter(damaged.items())), len(damaged)
        report.odd(f"{count} of {length} records cannot be read, the first is record {number - first}: {why}")
    spread, run, pairs = _spread(length, samples), _run(length), frames_needed(length, _ANCHORS)
    numbers = [number for number in sorted(spread | run | pairs) if first + number not in damaged]
    kept: list[Frame] = []
    neighbours: list[Frame] = []
    paired: dict[int, Frame] = {}
    indices: list[int] = []
    for number, record in zip(numbers, split.records([first + n for n in numbers]), strict=True):
        try:
            frame = decode_record(record)
            check_evaluation_frame(frame, ranges=True)
        except (UserError, ValueError) as error:
            report.odd(f"record {number}: {error}")
            continue
        if frame.sequence != name:
            report.odd(f"record {number} belongs to {frame.sequence}")
        indices.append(frame.frame_index)
        kept += [frame] if number in spread else []
        neighbours += [frame] if number in run else []
        paired |= {number: frame} if number in pairs else {}
    if indices != sorted(set(indices)):
        report.odd(f"frames are out of order: {', '.join(map(str, indices))}")
    gaps = indices[-1] - indices[0] - (numbers[-1] - numbers[0]) if indices and len(indices) == len(numbers) else 0
    if gaps > len(left_out):
        report.odd(f"{gaps} numbers are missing among the frames")
    _judge(report, kept, neighbours)
    _measure(report, paired, length)
    return report


def _damaged_records(split: PreparedSplit, numbers: range) -> dict[int, str]:
    """Reads every record, without decoding its images; returns those that cannot be read, and why."""
    damaged: dict[int, str] = {}
    for begin in range(0, len(numbers), _READ_AT_ONCE):
        part = numbers[begin : begin + _READ_AT_ONCE]
        with contextlib.suppress(UserError):
            split.records(part)
            continue
        for number in part:
            try:
                split.records([number])
            except UserError as error:
                damaged[number] = str(error)
    return damaged


def _measure(report: Report, frames: dict[int, Frame], length: int) -> None:
    """Fills in the signal, if frames of one size can be compared and optical flow takes them."""
    shapes = {frame.frame.shape for frame in frames.values()}
    if len(shapes) == 1 and min(shapes.pop()[:2]) >= _LEAST_SIDE:
        signal = signal_of_frames([frames], [length], _ANCHORS)
        report.signal = signal if signal.parallax else None


def _judge(report: Report, samples: list[Frame], run: list[Frame]) -> None:
    """Fills in what the frames show, and calls odd what is."""
    report.samples = samples
    if not samples:
        report.odd("no frame can be read")
        return
    sizes = {frame.frame.shape[:2] for frame in samples}
    height, width = samples[0].frame.shape[:2]
    report.size = f"{width}x{height}"
    if min(height, width) < _LEAST_SIDE:
        report.odd(f"frames of {report.size} pixels are too small to learn from")
    if len(sizes) > 1:
        report.odd(f"frames have {len(sizes)} sizes")
    if all(looks_stacked(frame.frame) for frame in samples):
        report.odd("frames look like two stacked views; cut out the left one")
    if any(frame.frame.std() < 1 for frame in samples):
        report.odd("some frames show nothing (one flat colour)")
    depths = [frame.depth_mm for frame in samples if frame.depth_mm is not None]
    if depths:
        values = np.concatenate([depth[depth > 0] for depth in depths])
        report.valid = values.size / sum(depth.size for depth in depths)
        if values.size:
            report.depth_mm = (float(values.min()), float(np.median(values)), float(values.max()))
            if not PLAUSIBLE_MEDIAN_MM[0] <= report.depth_mm[1] <= PLAUSIBLE_MEDIAN_MM[1]:
                report.odd(f"median depth of {report.depth_mm[1]:.3g} is not that of an endoscope in mm")
    if any(frame.cam_from_world is not None for frame in samples):
        _judge_poses(report, run)


def _judge_poses(report: Report, run: list[Frame]) -> None:
    pairs = [frame for frame in run if frame.depth_mm is not None and frame.cam_from_world is not None]
    if len(pairs) < 2:
        report.pose = "untested without depth"
        return
    direction = check_pose_direction(pairs)
    match direction.verdict:
        case "cam_from_world":
            report.pose = "agrees"
        case "world_from_cam":
            report.pose = "reversed"
            report.odd("poses fit the pictures the other way round: they are camera-to-world, or depth is not in mm")
        case "neither":
            report.pose = "neither"
            report.odd("poses explain the pictures no better than a camera that stands still")
        case still:
            report.pose = still


def _spread(frames: int, samples: int) -> frozenset[int]:
    """Numbers of `samples` frames, the first and last among them."""
    return frozenset(np.linspace(0, frames - 1, min(samples, frames)).round().astype(int).tolist())


def _run(frames: int) -> frozenset[int]:
    """Numbers of a few frames around the middle that are close enough to see the same."""
    step = min(RUN_STEP, max(1, (frames - 1) // (RUN_LENGTH - 1)))
    start = max(0, (frames - 1 - step * (RUN_LENGTH - 1)) // 2)
    return frozenset(number for number in range(start, start + step * RUN_LENGTH, step) if number < frames)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures' coarse structure."""
    small = [cv2.resize(picture, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float64) for picture in (one, other)]
    small = [picture - cv2.GaussianBlur(picture, (0, 0), 6) for picture in small]  # shading is alike anywhere
    scale = np.sqrt((small[0] ** 2).sum() * (small[1] ** 2).sum())
    return float((small[0] * small[1]).sum() / scale) if scale > 1e-6 else 0.0
