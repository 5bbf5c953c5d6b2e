"""Files of several images: every one is a frame."""

import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import read_rgb
from endodav_jax.video.reader import open_source
from tests.media_fixtures import numbered_picture, shown_number

PICTURES = [numbered_picture(i) for i in range(8)]


def numbers(source) -> list[int]:
    return [shown_number(frame.rgb) for frame in source]


def write_pages(path, pages, **how):
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, contiguous=False, **how)
    return path


@pytest.mark.parametrize(
    "form", ["rgb", "rgb16", "grey16", "zlib", "pillow lzw", "imagej", "imagej grey", "ome", "big"]
)
def test_pages_of_a_tiff_are_frames(tmp_path, form):
    path = tmp_path / "stack.tif"
    stack = np.stack(PICTURES)
    grey16 = stack[..., 0].astype(np.uint16) * 257
    match form:
        case "rgb":
            write_pages(path, PICTURES)
        case "rgb16":
            write_pages(path, [page.astype(np.uint16) * 257 for page in PICTURES], photometric="rgb")
        case "grey16":
            write_pages(path, grey16)
        case "zlib":
            write_pages(path, PICTURES, compression="zlib")
        case "pillow lzw":
            first, *others = map(Image.fromarray, PICTURES)
            first.save(path, save_all=True, append_images=others, compression="tiff_lzw")
        case "imagej":
            tifffile.imwrite(path, stack, imagej=True)
        case "imagej grey":
            tifffile.imwrite(path, grey16, imagej=True)
        case "ome":
            tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TYXS"}, photometric="rgb")
        case "big":
            tifffile.imwrite(path, stack, bigtiff=True, photometric="rgb")
    source = open_source(str(path))
    frames = list(source)
    assert [shown_number(frame.rgb) for frame in frames] == list(range(8))
    assert (source.count, source.size, source.timed, source.stem) == (8, (64, 80), False, "stack")
    for frame, picture in zip(frames, PICTURES, strict=True):
        wanted = picture if frame.rgb[..., 0].tolist() != frame.rgb[..., 1].tolist() else picture[..., :1]
        np.testing.assert_array_equal(frame.rgb, np.broadcast_to(wanted, frame.rgb.shape))
    assert len(source.samples(3)) == 3


def test_an_imagej_file_that_describes_its_first_image_alone_is_read_whole(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack(PICTURES)[..., 0], imagej=True, contiguous=True)
    with tifffile.TiffFile(path) as file:
        described = len(file.pages)
    assert numbers(open_source(str(path))) == list(range(8))
    assert described in (1, 8)


def test_channels_in_pages_are_colour_or_are_refused(tmp_path):
    stack = np.moveaxis(np.stack(PICTURES), -1, 1)
    tifffile.imwrite(tmp_path / "c3.tif", stack, imagej=True, metadata={"axes": "TCYX"})
    source = open_source(str(tmp_path / "c3.tif"))
    np.testing.assert_array_equal([frame.rgb for frame in source], PICTURES)
    tifffile.imwrite(tmp_path / "c2.tif", stack[:, :2], imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(UserError, match=r"c2\.tif: its pages are 2 channels"):
        open_source(str(tmp_path / "c2.tif"))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "form", ["imagej", "imagej white", "imagej colour", "grey", "rgb", "planes", "CTYX", "TCYX", "ZCTYX", "volume"]
)
def test_images_that_follow_the_only_one_described_are_read(tmp_path, form, kind):
    stack = np.stack(PICTURES).astype(kind) * (257 if kind == np.uint16 else 1)
    grey, planes = stack[..., 0].copy(), np.moveaxis(stack, -1, 1).copy()
    named = {
        "CTYX": planes.swapaxes(0, 1).copy(),
        "TCYX": planes,
        "ZCTYX": planes.reshape(2, 4, 3, 64, 80).swapaxes(1, 2).copy(),
    }
    values, how = {
        "imagej": (grey, {"imagej": True}),
        "imagej white": (~grey, {"imagej": True, "photometric": "miniswhite"}),
        "imagej colour": (planes, {"imagej": True, "metadata": {"axes": "TCYX"}}),
        "grey": (grey, {"photometric": "minisblack"}),
        "rgb": (stack, {"photometric": "rgb"}),
        "planes": (planes, {"photometric": "rgb", "planarconfig": "separate"}),
        "volume": (grey, {"photometric": "minisblack", "volumetric": True}),
    }.get(form) or (named[form], {"photometric": "minisblack", "metadata": {"axes": form}})
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, values, truncate=True, **how)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 1
    shown = [frame.rgb for frame in open_source(str(path))]
    single = form in ("imagej", "imagej white", "grey", "volume")
    meant = np.repeat(np.stack(PICTURES)[..., :1], 3, axis=-1) if single else PICTURES
    np.testing.assert_array_equal(shown, meant)


@pytest.mark.parametrize("axes", ["CTYX", "TCYX", "ZCTYX", "CYX"])
@pytest.mark.parametrize("form", ["ome", "named"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_channels_are_told_from_frames_by_the_names_of_the_axes(tmp_path, axes, form, kind):
    """Each page is one colour; the red of all frames may come before the green of the first."""
    stack = np.stack(PICTURES).astype(kind) * (257 if kind == np.uint16 else 1)
    lengths = {"C": 3, "T": 4 if "Z" in axes else 8, "Z": 2, "Y": 64, "X": 80}
    others = axes.replace("C", "")
    if axes == "CYX":
        stack = stack[:1]
    ordered = stack.reshape([lengths[axis] for axis in others] + [3])
    ordered = np.moveaxis(ordered, -1, axes.index("C")).copy()
    path = tmp_path / ("stack.ome.tif" if form == "ome" else "stack.tif")
    tifffile.imwrite(path, ordered, ome=form == "ome", photometric="minisblack", metadata={"axes": axes})
    source = open_source(str(path))
    assert source.count == len(stack)
    np.testing.assert_array_equal([frame.rgb for frame in source], PICTURES[: len(stack)])


def test_pages_come_in_the_order_that_their_description_gives(tmp_path):
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(path, np.stack(PICTURES)[..., 0], ome=True, photometric="minisblack", metadata={"axes": "TYX"})
    told = tifffile.tiffcomment(path)
    told = re.sub(r"<TiffData[^>]*/>|<TiffData[^>]*>.*?</TiffData>", "", told)
    places = "".join(f'<TiffData FirstT="{7 - i}" FirstC="0" FirstZ="0" IFD="{i}" PlaneCount="1"/>' for i in range(8))
    tifffile.tiffcomment(path, told.replace("</Pixels>", places + "</Pixels>").encode())
    assert numbers(open_source(str(path))) == list(range(8))[::-1]


def test_a_smaller_copy_in_a_tiff_is_no_frame_and_is_named(tmp_path):
    path = tmp_path / "scan.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PICTURES[5])
        file.write(PICTURES[5][::2, ::2].copy(), subfiletype=1)
    source = open_source(str(path))
    assert numbers(source) == [5]
    assert any("scan.tif (1)" in note for note in source.notes)


@pytest.mark.parametrize("suffix", ["png", "webp", "gif"])
def test_animations_have_all_their_frames_at_their_times(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    first, *others = map(Image.fromarray, PICTURES)
    durations = [40, 40, 200, 40, 40, 40, 40, 40]
    first.save(path, save_all=True, append_images=others, duration=durations, lossless=True, loop=0)
    source = open_source(str(path))
    frames = list(source)
    assert [shown_number(frame.rgb) for frame in frames] == list(range(8))
    np.testing.assert_allclose(
        [frame.time for frame in frames], [0, 0.04, 0.08, 0.28, 0.32, 0.36, 0.4, 0.44], atol=1e-6
    )
    assert source.timed


def test_a_picture_for_programs_without_animation_is_no_frame(tmp_path):
    path = tmp_path / "a.png"
    first, *others = map(Image.fromarray, PICTURES)
    first.save(path, save_all=True, append_images=others, default_image=True, duration=50)
    source = open_source(str(path))
    assert numbers(source) == list(range(1, 8))
    assert source.fps == 20


def test_a_camera_jpeg_with_a_preview_is_one_frame_and_the_other_is_named(tmp_path):
    path = tmp_path / "a.jpg"
    first, second = map(Image.fromarray, PICTURES[:2])
    first.save(path, format="MPO", save_all=True, append_images=[second])
    source = open_source(str(path))
    assert numbers(source) == [0]
    assert any("a.jpg (1)" in note for note in source.notes)


def test_stacks_in_a_folder_follow_each_other(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in (10, 9):
        begin = 0 if part == 9 else 4
        write_pages(folder / f"part{part}.tif", PICTURES[begin : begin + 4])
    source = open_source(str(folder))
    assert numbers(source) == list(range(8))
    assert source.about == {"files": 2}
    assert [frame.index for frame in source] == list(range(8))


def test_a_stack_cut_short_gives_its_whole_pages(tmp_path):
    path = write_pages(tmp_path / "stack.tif", PICTURES)
    with tifffile.TiffFile(path) as file:
        place = file.pages[5].dataoffsets[0]
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: place + 1000])
    shown = []
    with pytest.raises((ReadingStopped, UserError), match=r"stack\.tif"):
        for frame in open_source(str(path)):
            shown.append(shown_number(frame.rgb))
    assert shown == list(range(len(shown)))


@pytest.mark.parametrize("how", [{}, {"rowsperstrip": 8}, {"compression": "zlib"}, {"planarconfig": "separate"}])
def test_a_stack_of_sixteen_bits_cut_short_gives_its_whole_pages(tmp_path, how):
    pages = [page.astype(np.uint16) * 257 for page in PICTURES]
    if "planarconfig" in how:
        pages = [np.moveaxis(page, -1, 0).copy() for page in pages]
    path = write_pages(tmp_path / "stack.tif", pages, photometric="rgb", **how)
    with tifffile.TiffFile(path) as file:
        place = file.pages[5].dataoffsets[-1]
    data = path.read_bytes()
    path.write_bytes(data[: place + 1000])
    shown = []
    with pytest.raises((ReadingStopped, UserError), match=r"stack\.tif"):
        for frame in open_source(str(path)):
            np.testing.assert_array_equal(frame.rgb, PICTURES[len(shown)])
            shown.append(shown_number(frame.rgb))
    assert shown == list(range(len(shown)))


def test_one_image_is_read_as_before(tmp_path):
    path = write_pages(tmp_path / "stack.tif", PICTURES)
    np.testing.assert_array_equal(read_rgb(path), PICTURES[0])
