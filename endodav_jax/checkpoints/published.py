"""The published checkpoints: addresses, descriptions and licences."""

import dataclasses
import difflib
import shlex
import zipfile
from pathlib import Path, PurePosixPath

from endodav_jax.conversion.published_files import DEPTH_FILE
from endodav_jax.conversion.weights_file import SUFFIXES
from endodav_jax.errors import UserError
from endodav_jax.models.families import FAMILIES, foundation_licence


@dataclasses.dataclass(frozen=True)
class PublishedFile:
    """A file of weights that can be downloaded.

    Attributes:
      address: address of the file itself.
      page: where its authors publish it.
      file: its name.
      licence: licence of the weights, as far as known.
      free: whether the licence has no conditions for users, including commercial use.
      size: in bytes; None if not known.
      sha256: in hexadecimal; None if not known.
    """

    address: str
    page: str
    file: str
    licence: str
    free: bool
    size: int | None = None
    sha256: str | None = None


def published_file(name: str) -> PublishedFile:
    """Returns the entry of the table; raises `UserError` if there is none of that name."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    near = difflib.get_close_matches(name, PUBLISHED, 1)
    hint = f"did you mean {near[0]}?" if near else "`endodav weights list` shows the names"
    raise UserError(f"{name}: not a known published checkpoint; {hint}")


def commands_after(path: Path, name: str) -> list[str]:
    """Returns the commands that convert a downloaded file, or an archive of several, to checkpoint folders."""
    networks = _networks_in(path)
    if not networks:
        return [shlex.join(["endodav", "convert", str(path), f"weights/{name}"])]
    unpacked = path.with_name(f"{path.stem}_files")
    several = len(networks) > 1
    conversions = (
        ["endodav", "convert", str(unpacked / network), f"weights/{name}{f'_{number}' if several else ''}"]
        for number, network in enumerate(networks, 1)
    )
    unpacking = ["python", "-m", "zipfile", "-e", str(path), str(unpacked)]
    return [shlex.join(command) for command in (unpacking, *conversions)]


def _networks_in(path: Path) -> list[PurePosixPath]:
    """Files of a depth network in an archive, or their folders if they are stored with other networks."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        members = [PurePosixPath(member) for member in archive.namelist()]
    if any(member.name == "data.pkl" for member in members):
        return []  # PyTorch's own format
    weights = [member for member in members if member.suffix in SUFFIXES]
    folders = [member.parent for member in weights if member.stem == DEPTH_FILE]
    return folders or weights


def _video_depth_anything(preset: str, size: int, sha256: str, metric: bool = False) -> PublishedFile:
    model = {"vits": "Small", "vitb": "Base", "vitl": "Large"}[preset]
    page = f"https://huggingface.co/depth-anything/{'Metric-' if metric else ''}Video-Depth-Anything-{model}"
    file = f"{'metric_' if metric else ''}video_depth_anything_{preset}.pth"
    licence = foundation_licence(preset)
    return PublishedFile(f"{page}/resolve/main/{file}", page, file, licence, licence.startswith("Apache"), size, sha256)


def _google_drive(file_id: str, file: str, licence: str, free: bool) -> PublishedFile:
    """A file behind a download page; `confirm` skips the question about virus scans of large files."""
    address = f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"
    return PublishedFile(address, f"https://drive.google.com/file/d/{file_id}/view", file, licence, free)


# Addresses: the READMEs of DepthAnything/Video-Depth-Anything, Zanue/EndoDAV and BeileiCui/EndoDAC.  Sizes and SHA-256:
# EndoDAV's from its repository's Git LFS; Video-Depth-Anything's as given by several projects that pin these files.
PUBLISHED: dict[str, PublishedFile] = {
    "vda-small": _video_depth_anything(
        "vits", 116_440_756, "13379300b739e659f076a59d52e9801bd8d38c541a7e71f73bbca4dcfb013609"
    ),
    "vda-base": _video_depth_anything(
        "vitb", 458_247_082, "775e578e8f9431ec0496514aa466bd0a1f67c28d0f518267809f35a43c04329b"
    ),
    "vda-large": _video_depth_anything(
        "vitl", 1_538_392_012, "43df27c6b396042ba34ff7b798ab279f64d204d2e86d7a373968f8fa36d0e6fa"
    ),
    "vda-metric-small": _video_depth_anything(
        "vits", 116_444_063, "3c28432b4e1f0d7bb31cad5151b6313b49457db5aa58d82e85bfb0f8b1311b33", metric=True
    ),
    "vda-metric-base": _video_depth_anything(
        "vitb", 458_249_567, "f6f58576b9680a112f2428d4f39aff92656d3ae85745b0164675ace8d5b1fade", metric=True
    ),
    "vda-metric-large": _video_depth_anything(
        "vitl", 1_538_348_216, "24eba25342e7ee0f054be25da6a852ebd7cfa40cd6bf41a353ecb6abfe24e620", metric=True
    ),
    "endodav": PublishedFile(
        "https://github.com/Zanue/EndoDAV/raw/main/ckpts/models.zip",
        "https://github.com/Zanue/EndoDAV",
        "endodav_models.zip",
        FAMILIES["endodav"].licence("vitb"),
        False,
        464_347_092,
        "d32e9c459e5c1942cc4596dee02655aec2dd17528b05f437307864ea8a759521",
    ),
    "endodac": _google_drive(
        "1qzAYBtwYJDN7hEi6pApqBOOz6pUhyY70", "endodac_checkpoint", FAMILIES["endodac"].licence("vitb"), False
    ),
    "depth-anything-base": _google_drive(
        "163ILZcnz_-IUoIgy1UF_r7PAQBqgDbll",
        "depth_anything_vitb14.pth",
        "Apache-2.0",
        True,
    ),
}
