"""Writers of tiny data sets in every layout as people have them on disk, from frames whose truth is known.

Every writer takes a list of `SourceFrame` (of `scene.render_truth`, or of the phantom) and a folder.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import tifffile
from PIL import Image

from endodav_jax.data.sources import SourceFrame
from endodav_jax.geometry.poses import inverse_rigid

SCARED_SIZE = (1280, 1024)
C3VD_SIZE = (1350, 1080)


def write_video(path: Path, frames: Sequence[np.ndarray], *, lossless: bool = False) -> None:
    """Writes H.264 in an mp4 (sides must be even): 4:2:0 as the data sets and endoscopes do, or without any loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb" if lossless else "libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24" if lossless else "yuv420p"
        stream.options = {"crf": "0" if lossless else "6", "preset": "veryfast", "g": "12"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def truncate(path: Path, keep: float = 0.6) -> None:
    """Cuts a file short, as a broken download does."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


# SCARED


def point_map(truth: SourceFrame, invalid: float = 0.0) -> np.ndarray:
    """Returns X, Y, Z in mm, float32 [2H, W, 3]: the left view on top, another below; depth 0 becomes `invalid`."""
    z = truth.depth_mm
    fx, fy, cx, cy = truth.intrinsics
    v, u = np.indices(z.shape)
    left = np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], axis=-1)
    left[z == 0] = invalid
    return np.concatenate([left, left + 7], axis=0).astype(np.float32)


def stacked_stereo(truth: SourceFrame) -> np.ndarray:
    """Returns uint8 [2H, W, 3]: the left view on top, a right one below that nobody could take for it."""
    return np.concatenate([truth.frame, 255 - truth.frame], axis=0)


def frame_data(truth: SourceFrame) -> dict:
    """Returns the JSON of a frame; KL is for 1280x1024 whatever the size of the fixture."""
    height, width = truth.frame.shape[:2]
    fx, fy, cx, cy = truth.intrinsics
    sx, sy = SCARED_SIZE[0] / width, SCARED_SIZE[1] / height
    left = [[fx * sx, 0, (cx + 0.5) * sx - 0.5], [0, fy * sy, (cy + 0.5) * sy - 0.5], [0, 0, 1]]
    return {
        "camera-calibration": {
            "DL": [[0.01], [0.0], [0.0], [0.0], [0.0]],
            "DR": [[0.01], [0.0], [0.0], [0.0], [0.0]],
            "KL": left,
            "KR": [[1, 0, 2], [0, 1, 2], [0, 0, 1]],
            "R": np.eye(3).tolist(),
            "T": [[-4.1434], [-0.0238], [-0.0019]],
        },
        "camera-pose": truth.cam_from_world.tolist(),
        "timestamp": 1558660318896583 + 40000 * truth.frame_index,
    }


def tiff_bytes(points: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, points, photometric="rgb", planarconfig="contig")
    return file.getvalue()


def write_tar_gz(path: Path, members: Sequence[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_scared_download(
    folder: Path,
    truth: Sequence[SourceFrame],
    *,
    poses: bool = True,
    depth: bool = True,
    order: Sequence[int] | None = None,
    unpacked: bool = False,
    lossless: bool = True,
) -> Path:
    """Writes a keyframe as the download has it; `folder` is `.../dataset_N/keyframe_M`.

    Args:
      folder: the keyframe's folder.
      truth: frames.
      poses: with `frame_data.tar.gz` (some downloads of data sets 8 and 9 lack it).
      depth: with `scene_points.tar.gz`.
      order: in which members stand in the archives; default sorted.
      unpacked: archives replaced by folders.
      lossless: the video without loss (comparable exactly) instead of 4:2:0 as published.
    """
    data = folder / "data"
    write_video(data / "rgb.mp4", [stacked_stereo(frame) for frame in truth], lossless=lossless)
    write_calibration(folder / "endoscope_calibration.yaml", truth[0])
    write_png(folder / "Left_Image.png", truth[0].frame)
    order = range(len(truth)) if order is None else order
    parts = []
    if poses:
        parts.append(("frame_data", lambda i: (f"frame_data{i:06d}.json", json.dumps(frame_data(truth[i])).encode())))
    if depth:
        parts.append(("scene_points", lambda i: (f"scene_points{i:06d}.tiff", tiff_bytes(point_map(truth[i])))))
    for name, member in parts:
        if unpacked:
            (data / name).mkdir(parents=True)
            for i in order:
                file, content = member(i)
                (data / name / file).write_bytes(content)
        else:
            write_tar_gz(data / f"{name}.tar.gz", [member(i) for i in order])
    return folder


def write_calibration(path: Path, truth: SourceFrame) -> None:
    """Writes `endoscope_calibration.yaml` as OpenCV's FileStorage does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("M1", np.array(frame_data(truth)["camera-calibration"]["KL"]))
    storage.write("D1", np.zeros((1, 5)))
    storage.release()


def zip_folder(path: Path, root: Path, *, prefix: str = "") -> None:
    """Zips everything below `root` under names relative to it, after `prefix`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(root).as_posix())


def write_scared_prepared(folder: Path, truth: Sequence[SourceFrame], *, first_image: int = 1) -> Path:
    """Writes a keyframe in the folders of EndoDAC and EndoDAV: `.../train/dataset7/keyframe4`."""
    data = folder / "data"
    for frame in truth:
        name = f"{frame.frame_index + first_image:010d}.png"
        write_png(data / "left" / name, frame.frame)
        write_png(data / "right" / name, 255 - frame.frame)
    _write_scared_truth(data / "scene_points", data / "frame_data", truth)
    return folder


def write_scared_af(folder: Path, truth: Sequence[SourceFrame]) -> Path:
    """Writes a keyframe in AF-SfMLearner's folders (`.../dataset7/keyframe4`): images from 1, depth from 0."""
    data = folder / "image_02" / "data"
    for frame in truth:
        write_png(data / f"{frame.frame_index + 1:010d}.png", frame.frame)
    _write_scared_truth(data / "groundtruth", data / "frame_data", truth)
    return folder


def _write_scared_truth(depth: Path, poses: Path, truth: Sequence[SourceFrame]) -> None:
    depth.mkdir(parents=True)
    poses.mkdir(parents=True)
    for frame in truth:
        (depth / f"scene_points{frame.frame_index:06d}.tiff").write_bytes(tiff_bytes(point_map(frame)))
        (poses / f"frame_data{frame.frame_index:06d}.json").write_text(json.dumps(frame_data(frame)))


# Hamlyn


def write_hamlyn(folder: Path, truth: Sequence[SourceFrame], *, numbers: Sequence[int] | None = None) -> Path:
    """Writes `rectifiedNN` (`folder`): JPEG colour of both views, uint16 depth in mm; `numbers` may have gaps."""
    numbers = [frame.frame_index for frame in truth] if numbers is None else numbers
    for frame, number in zip(truth, numbers, strict=True):
        for view in ("01", "02"):
            image = folder / f"image{view}" / f"{number:010d}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame.frame if view == "01" else 255 - frame.frame).save(image, quality=97, subsampling=0)
            depth = np.round(frame.depth_mm).astype(np.uint16) + (0 if view == "01" else 9)
            write_png(folder / f"depth{view}" / f"{number:010d}.png", depth)
    return folder


# C3VD


def write_c3vd(folder: Path, truth: Sequence[SourceFrame], *, padded: bool = True) -> Path:
    """Writes a clip: colour, uint16 depth of 100 mm, `pose.txt` camera to world, column by column."""
    folder.mkdir(parents=True)
    for frame in truth:
        stem = f"{frame.frame_index:04d}" if padded else str(frame.frame_index)
        write_png(folder / f"{stem}_color.png", frame.frame)
        depth = np.clip(np.round(frame.depth_mm / 100 * 65535), 0, 65535).astype(np.uint16)
        tifffile.imwrite(folder / f"{stem}_depth.tiff", depth)
    columns = [inverse_rigid(frame.cam_from_world).T.reshape(-1) for frame in truth]
    (folder / "pose.txt").write_text("\n".join(",".join(f"{x:.17g}" for x in row) for row in columns))
    return folder


# SimCol3D

UNITY = np.diag([1.0, -1.0, 1.0, 1.0])


def write_simcol3d(folder: Path, truth: Sequence[SourceFrame]) -> Path:
    """Writes `SyntheticColon_X/Frames_Sk` (`folder`): 16-bit RGBA, 16-bit depth of 20 cm, Unity's poses in cm."""
    folder.mkdir(parents=True)
    positions, quaternions = [], []
    for frame in truth:
        rgb = frame.frame.astype(np.uint16) * 257
        rgba = np.concatenate([rgb, np.full_like(rgb[..., :1], 30000)], axis=-1)
        cv2.imwrite(str(folder / f"FrameBuffer_{frame.frame_index:04d}.png"), rgba[..., [2, 1, 0, 3]])
        depth = np.round(frame.depth_mm / 200 * 65280).astype(np.uint16)
        write_png(folder / f"Depth_{frame.frame_index:04d}.png", depth)
        pose = UNITY @ inverse_rigid(frame.cam_from_world) @ UNITY
        positions.append(pose[:3, 3] / 10)
        quaternions.append(quaternion_of(pose[:3, :3]))
    camera = np.eye(3)
    camera[[0, 1, 0, 1], [0, 1, 2, 2]] = truth[0].intrinsics
    kind = folder.name.removeprefix("Frames_")
    np.savetxt(folder.parent / f"SavedPosition_{kind}.txt", positions)
    np.savetxt(folder.parent / f"SavedRotationQuaternion_{kind}.txt", quaternions)
    np.savetxt(folder.parent / "cam.txt", camera)
    return folder


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """Returns x, y, z, w of a rotation by less than half a turn."""
    w = np.sqrt(max(0.0, 1 + np.trace(rotation))) / 2
    return np.array([*(rotation - rotation.T)[[2, 0, 1], [1, 2, 0]] / (4 * w), w])


# EndoNeRF


def write_endonerf(
    folder: Path, truth: Sequence[SourceFrame], tools: Sequence[np.ndarray], *, poses_name: str = "poses_bounds.npy"
) -> Path:
    """Writes a scene: images, tool masks (255 = tool), 8-bit depth in mm, LLFF poses with axes down, right, back."""
    rows = []
    for frame, tool in zip(truth, tools, strict=True):
        stem = f"frame-{frame.frame_index:06d}"
        write_png(folder / "images" / f"{stem}.color.png", frame.frame)
        write_png(folder / "masks" / f"{stem}.mask.png", tool.astype(np.uint8) * 255)
        write_png(folder / "depth" / f"{stem}.depth.png", np.round(frame.depth_mm).astype(np.uint8))
        height, width = frame.frame.shape[:2]
        pose = inverse_rigid(frame.cam_from_world)[:3] * (1, -1, -1, 1)
        hwf = np.array([[height], [width], [frame.intrinsics[0]]])
        rows.append([*np.concatenate([pose, hwf], axis=1).reshape(-1), 30.0, 90.0])
    np.save(folder / poses_name, np.array(rows))
    return folder
