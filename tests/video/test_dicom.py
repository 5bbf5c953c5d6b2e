"""DICOM: video inside of it, many frames, series; and nothing of the patient anywhere."""

import importlib.util
import json
from fractions import Fraction

import numpy as np
import pytest

from endodav_jax import cli
from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.errors import UserError
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.reader import open_source
from tests.media_fixtures import FakeEstimator, jpeg_bytes, load_fake, numbered_picture, shown_number, write_video

pydicom = pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")

from pydicom.encaps import encapsulate, generate_frames  # noqa: E402
from pydicom.pixels import apply_color_lut, convert_color_space  # noqa: E402, F401 - a part that older versions lack
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.dicom_fixtures import SECRETS, dicom, write_encapsulated, write_frames  # noqa: E402

SIZE = (64, 80)
PICTURES = np.stack([numbered_picture(i) for i in range(6)])
MPEG2, H264, HEVC = (f"1.2.840.10008.1.2.4.{number}" for number in (100, 102, 107))
VIDEOS = {
    "mpeg2 in a transport stream": (MPEG2, "a.ts", {"codec": "mpeg2video"}),
    "mpeg2 in a program stream": (MPEG2, "a.mpg", {"codec": "mpeg2video"}),
    "bare mpeg2": (MPEG2, "a.m2v", {"codec": "mpeg2video", "format_name": "mpeg2video"}),
    "h264 in mp4": (H264, "a.mp4", {}),
    "h264 in a transport stream": (H264, "a.ts", {}),
    "bare h264": (H264, "a.h264", {}),
    "h264 in pieces": (H264 + ".1", "a.mp4", {}),
    "hevc": (HEVC, "a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
}


def numbers(source) -> list[int]:
    return [shown_number(frame.rgb) for frame in source]


@pytest.mark.parametrize("form", VIDEOS)
def test_video_is_read_where_it_lies(tmp_path, form):
    syntax, name, how = VIDEOS[form]
    data = write_video(tmp_path / name, map(numbered_picture, range(12)), **how).read_bytes()
    cut = len(data) // 3 // 2 * 2
    pieces = [data[:cut], data[cut : 2 * cut], data[2 * cut :]] if "pieces" in form else [data]
    path = write_encapsulated(tmp_path / "case.dcm", pieces, SIZE, syntax, NumberOfFrames=12, FrameTime="40")
    source = open_source(str(path))
    assert numbers(source) == list(range(12))
    assert (source.size, source.fps, source.stem) == (SIZE, 25, "case")
    assert source.about["container"] == "DICOM"
    assert len(source.samples(4)) > 0


def test_a_bare_stream_has_the_frame_time_of_its_header(tmp_path):
    data = write_video(tmp_path / "a.h264", map(numbered_picture, range(6))).read_bytes()
    path = write_encapsulated(tmp_path / "case.dcm", [data], SIZE, H264, NumberOfFrames=6, FrameTime="100")
    source = open_source(str(path))
    assert source.fps == 10


def test_a_video_inside_that_was_cut_is_found_out(tmp_path):
    data = write_video(tmp_path / "a.mp4", map(numbered_picture, range(30))).read_bytes()
    path = write_encapsulated(tmp_path / "case.dcm", [data[: len(data) * 2 // 3]], SIZE, H264, NumberOfFrames=30)
    with pytest.raises(ReadingStopped, match=r"case\.dcm: reading stopped after"):
        list(open_source(str(path)))


def test_frames_without_compression_come_back_exactly(tmp_path):
    path = write_frames(tmp_path / "case.dcm", PICTURES, FrameTime="50", PixelSpacing=["0.1", "0.2"],
                        PatientOrientation=["L", "F"])  # fmt: skip
    source = open_source(str(path))
    np.testing.assert_array_equal([frame.rgb for frame in source], PICTURES)
    np.testing.assert_allclose([frame.time for frame in source], np.arange(6) * 0.05)
    assert (source.fps, source.count, source.timed, source.pixel_aspect) == (20, 6, True, 2)
    assert source.about["pixel_spacing_mm"] == [0.1, 0.2]
    assert source.about["orientation"] == ["L", "F"]
    assert len(source.samples(3)) == 3


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1])
def test_compressed_frames_are_decoded(tmp_path, syntax):
    path = tmp_path / "case.dcm"
    if syntax in (JPEGBaseline8Bit, JPEGLosslessSV1):
        pieces = [jpeg_bytes(picture) for picture in PICTURES]
        if syntax == JPEGLosslessSV1:
            pytest.importorskip("imagecodecs", reason="nothing here writes lossless JPEG")
            import imagecodecs

            pieces = [imagecodecs.ljpeg_encode(picture) for picture in PICTURES]
        kind = "YBR_FULL_422" if syntax == JPEGBaseline8Bit else "RGB"
        write_encapsulated(path, pieces, SIZE, syntax, NumberOfFrames=6, PhotometricInterpretation=kind)
    else:
        data = pydicom.dcmread(write_frames(path, PICTURES))
        try:
            data.compress(syntax)
        except (RuntimeError, NotImplementedError):
            pytest.skip(f"nothing here writes {syntax.name}")
        data.save_as(path)
    shown = [frame.rgb for frame in open_source(str(path))]
    assert [shown_number(rgb) for rgb in shown] == list(range(6))
    if syntax != JPEGBaseline8Bit:
        np.testing.assert_array_equal(shown, PICTURES)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_fills_the_range_of_its_bits(tmp_path, kind, bits):
    ramp = np.linspace(0, 2**bits - 1, 64 * 80).reshape(1, 64, 80).round()
    ramp = ramp.astype(np.uint8 if bits == 8 else np.uint16)
    path = write_frames(tmp_path / "g.dcm", ramp, PhotometricInterpretation=kind, BitsStored=bits)
    (frame,) = open_source(str(path))
    expected = np.linspace(0, 255, 64 * 80).reshape(64, 80)
    expected = 255 - expected if kind == "MONOCHROME1" else expected
    assert np.abs(frame.rgb - expected[..., None]).max() <= 1


def test_a_window_is_applied_to_rescaled_values(tmp_path):
    values = np.arange(64 * 80, dtype=np.uint16).reshape(1, 64, 80)
    path = write_frames(tmp_path / "w.dcm", values, RescaleSlope="2", RescaleIntercept="-100", WindowCenter="1000.5",
                        WindowWidth="1001")  # fmt: skip
    (frame,) = open_source(str(path))
    expected = np.clip((2.0 * values[0] - 100 - 500) / 1000, 0, 1) * 255
    assert np.abs(frame.rgb[..., 0] - expected).max() <= 1


def _group(values, **attributes):
    """Returns a functional group with a window, and with what else is named."""
    group = pydicom.Dataset()
    window, rescale = pydicom.Dataset(), pydicom.Dataset()
    window.WindowCenter, window.WindowWidth = values
    group.FrameVOILUTSequence = [window]
    if attributes:
        for keyword, value in attributes.items():
            setattr(rescale, keyword, value)
        group.PixelValueTransformationSequence = [rescale]
    return group


@pytest.mark.parametrize("deflated", [False, True])
def test_windows_of_all_frames_and_of_each_are_applied(tmp_path, deflated):
    values = np.tile(np.arange(64 * 80, dtype=np.uint16).reshape(1, 64, 80), (3, 1, 1))
    syntax = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    told = {"syntax": syntax, "WindowCenter": "9000", "WindowWidth": "10"}
    shared = _group(("1000.5", "1001"), RescaleSlope="2", RescaleIntercept="-100")
    each = [pydicom.Dataset(), _group(("2000.5", "2001")), pydicom.Dataset()]
    path = write_frames(tmp_path / "w.dcm", values, SharedFunctionalGroupsSequence=[shared],
                        PerFrameFunctionalGroupsSequence=each, **told)  # fmt: skip
    frames = list(open_source(str(path)))
    for frame, (low, width) in zip(frames, [(500, 1000), (1000, 2000), (500, 1000)], strict=True):
        expected = np.clip((2.0 * values[0] - 100 - low) / width, 0, 1) * 255
        assert np.abs(frame.rgb[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("stored", "high"), [(12, 15), (10, 13), (12, 11)])
def test_values_may_lie_in_the_upper_bits(tmp_path, stored, high, signed):
    ramp = np.linspace(0, 2**stored - 1, 64 * 80).reshape(1, 64, 80).round().astype(np.int64)
    placed = (ramp - signed * 2 ** (stored - 1)) << (high + 1 - stored)
    placed = placed & (2 ** (high + 1) - 1) | 1 << high + 1 if high < 15 else placed  # overlays were kept above
    path = write_frames(tmp_path / "g.dcm", placed.astype(np.uint16), BitsStored=stored, PixelRepresentation=signed)
    data = pydicom.dcmread(path)
    data.HighBit = high
    data.save_as(path)
    (frame,) = open_source(str(path))
    assert np.abs(frame.rgb[..., 0] - np.linspace(0, 255, 64 * 80).reshape(64, 80)).max() <= 1


def test_a_palette_is_applied(tmp_path):
    values = np.tile(np.arange(4, dtype=np.uint8), (1, 64, 20))
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0], [10, 20, 30]], np.uint16)
    tables = {}
    for channel, name in enumerate(("Red", "Green", "Blue")):
        tables[f"{name}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tables[f"{name}PaletteColorLookupTableData"] = (colours[:, channel] * 257).astype("<u2").tobytes()
    path = write_frames(tmp_path / "p.dcm", values, PhotometricInterpretation="PALETTE COLOR", **tables)
    (frame,) = open_source(str(path))
    np.testing.assert_array_equal(frame.rgb[0, :4], colours)


def test_turns_and_unequal_times_are_kept(tmp_path):
    vector = ["0", "40", "40", "200", "40", "40"]
    path = write_frames(tmp_path / "t.dcm", PICTURES, FrameTimeVector=vector, ImageRotation=90,
                        ImageHorizontalFlip="Y")  # fmt: skip
    source = open_source(str(path))
    frames = list(source)
    np.testing.assert_allclose([frame.time for frame in frames], [0, 0.04, 0.08, 0.28, 0.32, 0.36])
    np.testing.assert_array_equal(frames[2].rgb, np.rot90(PICTURES[2][:, ::-1], -1))
    assert source.size == (80, 64)


def write_series(folder, name, count, series, order=None):
    for i in range(count):
        number = i + 1 if order is None else order[i] + 1
        write_frames(folder / f"{name}{i}", PICTURES[i : i + 1], SeriesInstanceUID=series, InstanceNumber=number)


def test_a_series_of_single_frames_is_one_recording_in_the_order_of_its_numbers(tmp_path):
    folder = tmp_path / "IMAGES"
    folder.mkdir()
    write_series(folder, "IM", 6, "1.2.3", order=[3, 0, 5, 1, 2, 4])  # without suffix, as archives export
    source = open_source(str(folder))
    assert numbers(source) == [1, 3, 4, 0, 5, 2]
    assert (source.count, source.stem) == (6, "IMAGES")
    frames = FramesSource(folder)
    assert frames.sequences("train") == ["IMAGES"]
    assert [shown_number(frame.frame) for frame in frames.read("IMAGES")] == [1, 3, 4, 0, 5, 2]


def test_folders_of_dicom_become_sequences(tmp_path):
    folder = tmp_path / "study"
    (folder / "b").mkdir(parents=True)
    write_frames(folder / "one.dcm", PICTURES)
    data = write_video(tmp_path / "a.mp4", map(numbered_picture, range(5))).read_bytes()
    write_encapsulated(folder / "two.dcm", [data], SIZE, H264, NumberOfFrames=5)
    write_series(folder / "b", "x", 4, "1.2.3")
    report = dicom(SIZE)
    for keyword in ("Rows", "Columns"):
        delattr(report, keyword)
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    source = FramesSource(folder)
    assert sorted(source.sequences("train")) == ["b", "one", "two"]
    assert [source.describe(name).frames for name in ("b", "one", "two")] == [4, 6, 5]
    assert [shown_number(frame.frame) for frame in source.read("two")] == list(range(5))
    notes = [note for name in source.sequences("train") for note in source.describe(name).notes]
    assert any("report.dcm (no pictures)" in note for note in notes)
    with pytest.raises(UserError, match=r"holds 2 recordings \(one.dcm, two.dcm\)"):
        open_source(str(folder))


def test_without_pydicom_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    path = write_frames(tmp_path / "case.dcm", PICTURES)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pydicom" else found(name))
    with pytest.raises(UserError, match=r"case\.dcm: is DICOM, .* pip install 'endodav-jax\[dicom\]'"):
        open_source(str(path))


def _subsampled(pictures: np.ndarray) -> bytes:
    """Returns pictures [N, H, W, 3] as YBR_FULL_422: two luminances, then the colour of both."""
    ycbcr = convert_color_space(pictures, "RGB", "YBR_FULL")
    pairs = ycbcr.reshape(len(pictures), SIZE[0], SIZE[1] // 2, 2, 3)
    return np.concatenate([pairs[..., 0], pairs[..., 0, 1:]], axis=-1).tobytes()


def write_subsampled(path, pictures, **attributes):
    pairs = np.repeat(pictures[:, :, ::2], 2, axis=2)  # neighbours are equal, so that nothing is lost
    data = dicom(SIZE, PhotometricInterpretation="YBR_FULL_422", **attributes)
    data.PixelData = _subsampled(pairs)
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)
    return pairs


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("announced", [None, 2, 6])
def test_every_frame_of_subsampled_colour_is_right(tmp_path, announced, deflated):
    told = {} if announced is None else {"NumberOfFrames": announced}
    told |= {"syntax": DeflatedExplicitVRLittleEndian} if deflated else {}
    pictures = write_subsampled(tmp_path / "y.dcm", PICTURES, **told)
    shown = [frame.rgb for frame in open_source(str(tmp_path / "y.dcm"))]
    assert [shown_number(rgb) for rgb in shown] == list(range(6))
    assert np.abs(np.array(shown, int) - pictures).max() <= 2  # rounded on the way


def test_colour_that_is_said_to_be_subsampled_and_is_not_is_no_reason_for_more_frames(tmp_path):
    path = write_frames(tmp_path / "y.dcm", PICTURES[:2], PhotometricInterpretation="YBR_FULL_422")
    assert open_source(str(path)).count == 2


@pytest.mark.parametrize("announced", [None, 1, 4])
@pytest.mark.parametrize("form", ["plain", "implicit", "big endian", "deflated", "jpeg", "jpeg with a table", "rle"])
def test_frames_beyond_the_number_in_the_header_are_read_and_named(tmp_path, form, announced):
    path = tmp_path / "case.dcm"
    syntaxes = {"implicit": ImplicitVRLittleEndian, "big endian": ExplicitVRBigEndian,
                "deflated": DeflatedExplicitVRLittleEndian}  # fmt: skip
    if form.startswith("jpeg"):
        pieces = list(map(jpeg_bytes, PICTURES))
        data = dicom(SIZE, JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422")
        data.PixelData = encapsulate(pieces, has_bot=form == "jpeg with a table")
        data["PixelData"].VR = "OB"
    else:
        syntax = syntaxes.get(form, ExplicitVRLittleEndian)
        data = pydicom.dcmread(write_frames(path, PICTURES, syntax=syntax, FrameTime="40"))
    if form == "rle":
        data.compress(RLELossless)
        data.PixelData = encapsulate(list(generate_frames(data.PixelData, number_of_frames=6)), has_bot=False)
    data.NumberOfFrames = announced
    if announced is None:
        del data.NumberOfFrames
    data.save_as(path, enforce_file_format=True)
    source = open_source(str(path))
    assert numbers(source) == list(range(6))
    assert source.count == 6
    (note,) = source.notes
    assert f"case.dcm: holds 6 frames and its header announces {announced or 1}" in note
    assert len(source.samples(3)) == 3


def test_a_frame_in_several_pieces_is_one_frame(tmp_path):
    data = jpeg_bytes(PICTURES[3])
    pieces = [data[i : i + 500] for i in range(0, len(data), 500)]
    path = write_encapsulated(
        tmp_path / "case.dcm", pieces, SIZE, JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422"
    )
    source = open_source(str(path))
    assert (numbers(source), source.notes) == ([3], [])


def test_a_file_of_many_frames_without_their_number_is_a_recording_by_itself(tmp_path):
    for part in (1, 2):
        path = write_frames(tmp_path / f"{part}.dcm", PICTURES, SeriesInstanceUID="1.2.3", InstanceNumber=part)
        data = pydicom.dcmread(path)
        del data.NumberOfFrames
        data.save_as(path)
    assert sorted(FramesSource(tmp_path).sequences("train")) == ["1", "2"]


def test_a_deflated_file_is_read(tmp_path):
    write_frames(tmp_path / "case.dcm", PICTURES, syntax=DeflatedExplicitVRLittleEndian, FrameTime="50")
    source = open_source(str(tmp_path / "case.dcm"))
    np.testing.assert_array_equal([frame.rgb for frame in source], PICTURES)
    assert (source.fps, source.count, source.notes) == (20, 6, [])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short_is_one_line(tmp_path, share):
    path = write_frames(tmp_path / "case.dcm", PICTURES)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    count = 0
    with pytest.raises(UserError, match=r"case\.dcm: ") as error:
        for frame in open_source(str(path)):
            assert shown_number(frame.rgb) == count
            count += 1
    assert "\n" not in str(error.value)
    assert count < 6


def test_text_named_dcm_is_one_line(tmp_path):
    (tmp_path / "a.dcm").write_text("no DICOM at all " * 40)
    with pytest.raises(UserError, match=r"a\.dcm: "):
        open_source(str(tmp_path / "a.dcm"))


@pytest.mark.parametrize("form", ["frames", "video", "broken"])
def test_nothing_of_the_patient_leaves_the_file(tmp_path, monkeypatch, capfd, form):
    monkeypatch.setattr("endodav_jax.depth_video.run.load_estimator", load_fake)
    path = tmp_path / "case.dcm"
    if form == "video":
        data = write_video(tmp_path / "a.mp4", map(numbered_picture, range(6))).read_bytes()
        write_encapsulated(path, [data], SIZE, H264, NumberOfFrames=6, FrameTime="40")
    else:
        write_frames(path, PICTURES, FrameTime="40")
    if form == "broken":
        path.write_bytes(path.read_bytes().replace(b"FrameTime", b"").replace(b"40", b"x\\", 1)[:-20000])
    out = tmp_path / "out"
    code = cli.main(["infer", str(path), "-o", str(out), "--save", "npz,png16,ply"])
    assert code in ((1, 2) if form == "broken" else (0,))
    said = "".join(capfd.readouterr())
    written = b"".join(file.read_bytes() for file in out.rglob("*") if file.is_file()) if out.exists() else b""
    for secret in SECRETS:
        assert secret not in said
        assert secret.encode() not in written
    if form != "broken":
        names = {file.name for file in out.iterdir()}
        assert {"case_src.mp4", "case_vis.mp4", "case_sbs.mp4", "case_depths.npz", "case_meta.json"} <= names
        about = json.loads((out / "case_meta.json").read_text())["input"]
        assert about["container"] == "DICOM"
        assert Fraction(about["fps"]) == 25
        assert FakeEstimator().window > about["frames_by_header"] == 6
