"""Small DICOM files that tests write, with a patient in them whose name must turn up nowhere."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SECRETS = ("DOE^JANE", "PAT-4711", "19570312", "MERCY HOSPITAL")
VIDEO_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1.1"


def dicom(size: tuple[int, int], syntax: str = ExplicitVRLittleEndian, **attributes) -> Dataset:
    """Returns a colour image's data set of (height, width) without its pixels."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = VIDEO_ENDOSCOPIC
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.PatientBirthDate, data.InstitutionName = SECRETS
    data.Rows, data.Columns = size
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def write_frames(path: Path, frames: np.ndarray, **attributes) -> Path:
    """Writes integers [N, H, W] or [N, H, W, 3] without compression."""
    frames = np.asarray(frames)
    if frames.ndim == 3:
        attributes = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"} | attributes
    data = dicom(frames.shape[1:3], **attributes)
    if frames.ndim == 3:
        del data.PlanarConfiguration
    data.BitsAllocated = 8 * frames.dtype.itemsize
    data.BitsStored = attributes.get("BitsStored", data.BitsAllocated)
    data.HighBit = data.BitsStored - 1
    if len(frames) > 1:
        data.NumberOfFrames = len(frames)
    content = frames.tobytes()
    data.PixelData = content + b"\0" * (len(content) % 2)
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    data.save_as(path, enforce_file_format=True)
    return path


def write_encapsulated(path: Path, pieces: list[bytes], size: tuple[int, int], syntax: str, **attributes) -> Path:
    """Writes compressed frames, or a video in one piece or several."""
    data = dicom(size, syntax, **attributes)
    data.PixelData = encapsulate(pieces, has_bot=False)
    data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)
    return path
