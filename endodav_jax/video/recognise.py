"""Recognises what a file is and what a folder holds, by one rule for every command."""

import contextlib
import dataclasses
import json
from pathlib import Path

import av

from endodav_jax.errors import UserError
from endodav_jax.video.container import open_container, video_track
from endodav_jax.video.dicom_header import DICOM_SUFFIXES, is_dicom
from endodav_jax.video.encoder import OURS
from endodav_jax.video.frame_masks import is_named_masks
from endodav_jax.video.image_files import FRAME_FOLDERS, SUFFIXES
from endodav_jax.video.image_order import in_order, natural_order
from endodav_jax.video.suffixes import VIDEO_SUFFIXES

# Files next to recordings that hold something else.  Files with any other suffix are looked into.
_OTHERS = frozenset((
    ".7z", ".aac", ".bib", ".bin", ".bup", ".c", ".cfg", ".conf", ".cpp", ".csv", ".doc", ".docx", ".exr",
    ".flac", ".gz", ".h", ".h5", ".hdf5", ".html", ".idx", ".ifo", ".ini", ".ipynb", ".jsn", ".json", ".jsonl",
    ".log", ".m", ".m3u", ".m3u8", ".m4a", ".mat", ".md", ".mka", ".mp2", ".mp3", ".npy", ".npz", ".obj",
    ".odt", ".oga", ".ogg", ".onnx", ".pdf", ".pickle", ".pkl", ".ply", ".pt", ".pth", ".py", ".rar", ".rst",
    ".rtf", ".safetensors", ".sav", ".sh", ".srt", ".stl", ".sub", ".sup", ".tar", ".tex", ".tgz", ".thm",
    ".toml", ".tsv", ".txt", ".vtt", ".wav", ".wma", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip",
))  # fmt: skip
# Folders next to frames that are not recordings.
COMPANIONS = ("depth", "depths", "intrinsic", "intrinsics", "mask", "masks", "pose", "poses", "sparse")
MASK = "mask"  # stem of the image of the view, which is not a frame
_RESULT = "a result of an earlier run"
META_SUFFIX = "_meta.json"  # of the description that `infer` and `reconstruct` write beside their outputs
_RESULT_STEMS = ("_src", "_vis", "_sbs")
_IMAGES_NOT_READ = frozenset((
    ".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".ico", ".jxl", ".nef", ".psd", ".raw", ".svg",
    ".tga",
))  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a folder holds, each in natural order.

    Attributes:
      images: files of one or several images.
      videos: video files.
      dicom: DICOM files.
      folders: subfolders.
      left_out: files that may be meant as frames but are not read, with the reason.
    """

    images: list[Path]
    videos: list[Path]
    dicom: list[Path]
    folders: list[Path]
    left_out: dict[Path, str]


def contents(folder: Path) -> Contents:
    """Returns what a folder holds, judging by suffix and looking into files of unknown suffix.

    What `infer`, `stream` and `reconstruct` wrote there is left out: depth as colours is no recording.
    """
    found = Contents([], [], [], [], {})
    results = _listed_results(folder)
    for path in folder.iterdir():
        if path.is_dir():
            if path.name in results:
                found.left_out[path] = _RESULT
            elif not path.name.startswith("."):
                found.folders.append(path)
            continue
        kind = kind_of(path)
        if kind is not None and (path.name in results or (kind == "video" and _is_result(path))):
            found.left_out[path] = _RESULT
        elif kind is not None and path.name.startswith("."):
            found.left_out[path] = "hidden"
        elif (kind == "image" and path.stem == MASK) or (kind is not None and is_named_masks(path)):
            continue  # these accompany frames but are not frames
        elif kind == "image":
            found.images.append(path)
        elif kind == "video":
            found.videos.append(path)
        elif kind == "dicom":
            found.dicom.append(path)
        elif path.suffix.lower() in _IMAGES_NOT_READ and not path.name.startswith("."):
            found.left_out[path] = "of a format that is not read"
    return Contents(
        in_order(found.images),
        sorted(found.videos, key=natural_order),
        sorted(found.dicom, key=natural_order),
        sorted(found.folders, key=natural_order),
        dict(sorted(found.left_out.items())),
    )


def kind_of(path: Path) -> str | None:
    """Returns `image`, `video` or `dicom`, or None for anything else."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return "image"
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in DICOM_SUFFIXES:
        return "dicom"
    if suffix in _OTHERS or suffix in _IMAGES_NOT_READ or not path.is_file():
        return None
    if is_dicom(path):
        return "dicom"
    return "video" if _is_video_inside(path) else None


def frames_of_folder(folder: Path) -> Contents:
    """Returns what a folder holds, or, if that is nothing, what its `frames/`, `color/` ... holds."""
    own = contents(folder)
    if own.images or own.videos or own.dicom:
        return own
    inside = images_inside(own)
    if inside is None:
        return own
    folder, found = inside
    others = [inner for inner in own.folders if inner != folder]
    return dataclasses.replace(found, folders=found.folders + others, left_out=own.left_out | found.left_out)


def images_inside(own: Contents) -> tuple[Path, Contents] | None:
    """Returns the first of a folder's `frames/`, `color/` ... that has images, and what it holds; None if none has."""
    by_name = {inner.name.lower(): inner for inner in own.folders}
    for name in FRAME_FOLDERS:
        if name in by_name:
            found = contents(by_name[name])
            if found.images:
                return by_name[name], found
    return None


def is_companion(folder: Path) -> bool:
    """Returns whether the name of a folder says that it accompanies frames and is not a recording."""
    return folder.name.lower() in COMPANIONS or is_named_masks(folder)


def is_written_by_a_command(folder: Path) -> bool:
    """Returns whether a folder holds results of `infer`, `reconstruct` or `evaluate`."""
    return any(folder.glob(f"*{META_SUFFIX}")) or (folder / "results.json").is_file()


def holds_only_results(folder: Path) -> bool:
    """Returns whether a folder holds results of a command or a training run, and no recording beside them."""
    found = frames_of_folder(folder)
    ours = is_written_by_a_command(folder) or (folder / "metrics.jsonl").is_file()
    return ours and not (found.images or found.videos or found.dicom)


def _listed_results(folder: Path) -> set[str]:
    """Names of the files and folders that descriptions in a folder list as their outputs, and of videos beside them."""
    names: set[str] = set()
    for meta in folder.glob(f"*{META_SUFFIX}"):
        names |= {f"{meta.name.removesuffix(META_SUFFIX)}{end}.mp4" for end in _RESULT_STEMS}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # another program's
            names |= {str(name) for name in json.loads(meta.read_text(encoding="utf-8"))["files"].values()}
    return names


def _is_result(video: Path) -> bool:
    """Whether a video is named as results are and says that it is one, wherever it was moved."""
    if not video.stem.endswith(_RESULT_STEMS):
        return False
    try:
        with open_container(video, str(video)) as container:
            return container.metadata.get("comment") == OURS
    except (av.FFmpegError, UserError, OSError):
        return False  # whoever opens it says what is wrong


def holds_recordings(folder: Path) -> bool:
    """Returns whether a folder holds images or recordings and does not just accompany frames."""
    if is_companion(folder):
        return False
    found = contents(folder)
    return bool(found.images or found.videos or found.dicom)


class Walk:
    """Folders below a root, each to be read once though symbolic links may lead to it, or back to what is around it."""

    def __init__(self, root: Path):
        """Begins at the root, which is being read."""
        self._root = root.resolve()
        self._read = {self._root}

    def enters(self, folder: Path) -> bool:
        """Returns whether a folder is to be read, which the caller then does; not by a link if it is met without."""
        real = folder.resolve()
        around = real.is_relative_to(self._root) or self._root.is_relative_to(real)
        if real in self._read or (folder.is_symlink() and around):
            return False
        self._read.add(real)
        return True


def left_out_notes(left_out: dict[Path, str]) -> list[str]:
    """Returns one line that names everything left out, with the reasons, or no line if that is nothing."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out.items():
        by_reason.setdefault(reason, []).append(path.name)
    named = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
    return [f"left out: {named}"] if named else []


def _is_video_inside(path: Path) -> bool:
    """Whether FFmpeg finds a video in the content; text and single pictures, which it also decodes, do not count."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
        if len(head) < 64 or (head.isascii() and b"\0" not in head):
            return False
        with open_container(path, path.name) as container:
            video_track(container, path.name, None)
            name = container.format.name
            return not (name.endswith("_pipe") or name in ("tty", "image2", "ico"))
    except (UserError, OSError, av.error.FFmpegError):
        return False
