"""Decoded DICOM pixels as 8-bit RGB."""

from pathlib import Path

import numpy as np

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_WINDOWS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
_GREY = ("MONOCHROME1", "MONOCHROME2")


class Windows:
    """How each frame of a file is to be shown: enhanced files give windows in groups for all frames and for each."""

    def __init__(self, path: Path, described):
        """Reads the groups of a file of grey.

        Args:
          described: the data set with the pixels' attributes (group 0028), which are for all frames.
        """
        self._described = described
        self._shared: dict = {}
        self._each: list[dict] = []
        if described.get("PhotometricInterpretation") not in _GREY:
            return
        from pydicom import dcmread

        values = dcmread(path, stop_before_pixels=True, force=True, specific_tags=[*_GROUPS])
        shared, each = ([_windows_in(group) for group in values.get(keyword) or []] for keyword in _GROUPS)
        self._shared, self._each = (shared[0] if shared else {}), each

    def of(self, index: int):
        """Returns the attributes of a frame."""
        own = self._shared | (self._each[index] if index < len(self._each) else {})
        if not own:
            return self._described
        described = type(self._described)(self._described)
        for keyword, value in own.items():
            setattr(described, keyword, value)
        return described


def _windows_in(group) -> dict:
    """Returns what a functional group says about windows, the first where there are several."""
    found: dict = {}
    for sequence, keywords in _WINDOWS.items():
        for item in (group.get(sequence) or [])[:1]:
            found |= {keyword: item[keyword].value for keyword in keywords if keyword in item}
    return found


def to_rgb(values: np.ndarray, described) -> np.ndarray:
    """Returns one frame as uint8 [H, W, 3].

    Colour is already RGB.  Grey is rescaled and then windowed, using the range of its bits if there is no window;
    MONOCHROME1 is bright where the value is low.

    Args:
      values: integers [H, W] or [H, W, 3], decoded.
      described: the data set with the pixels' attributes (group 0028).

    Raises:
      ValueError: the pixels have another form.
    """
    kind = described.get("PhotometricInterpretation", "")
    if kind == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        coloured = apply_color_lut(values, described)
        return _eight_bits(coloured[..., :3], 8 * coloured.dtype.itemsize)
    bits = int(described.get("BitsStored") or described.get("BitsAllocated") or 8)
    if values.ndim == 2 and kind in _GREY:
        grey = _grey(values, described, bits)
        grey = 255 - grey if kind == "MONOCHROME1" else grey
        return np.repeat(grey[..., None], 3, axis=2)
    if values.ndim != 3 or values.shape[2] != 3:
        raise ValueError(f"pixels of {values.shape}")
    return _eight_bits(values, bits)


def _grey(values: np.ndarray, described, bits: int) -> np.ndarray:
    """Returns uint8 [H, W]; the window is that of PS3.3 C.11.2.1.2, the first if there are several."""
    centre, width = (_first(described.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width < 1:
        signed = int(described.get("PixelRepresentation") or 0)
        return _eight_bits(values.astype(np.int64) + (1 << bits - 1 if signed else 0), bits)
    slope, intercept = (_first(described.get(key)) for key in ("RescaleSlope", "RescaleIntercept"))
    x = values.astype(np.float32) * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)
    exact = described.get("VOILUTFunction") == "LINEAR_EXACT"
    share = (x - centre) / width + 0.5 if exact else (x - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    return np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)


def _eight_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Maps integers from 0..2**bits - 1 to 0..255, rounded."""
    if bits == 8:
        return np.clip(values, 0, 255).astype(np.uint8)
    largest = (1 << bits) - 1
    return ((np.clip(values, 0, largest).astype(np.int64) * 255 + largest // 2) // largest).astype(np.uint8)


def _first(value) -> float | None:
    if value is None or value == "":
        return None
    return float(value) if isinstance(value, (int, float, str)) else float(value[0])
