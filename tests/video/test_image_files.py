"""Images as frames: order, depth of colour, orientation, and what is refused."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence, images_in, images_matching, read_rgb
from endodav_jax.video.reader import open_source
from endodav_jax.video.upright import over_black
from tests.media_fixtures import moving_picture


def sequence(folder) -> ImageSequence:
    return ImageSequence(images_in(folder), str(folder), folder.name)


def test_natural_order_and_only_images(tmp_path):
    for name in ("f10.png", "f9.PNG", "f1.jpg", ".hidden.png"):
        Image.fromarray(moving_picture(0)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    assert [path.name for path in images_in(tmp_path)] == ["f1.jpg", "f9.PNG", "f10.png"]
    assert [path.name for path in images_matching(str(tmp_path / "f?.*"))] == ["f1.jpg", "f9.PNG"]


def test_png_comes_back_exactly_at_25_frames_a_second(tmp_path):
    for i in range(3):
        Image.fromarray(moving_picture(i, 31, 45)).save(tmp_path / f"{i}.png")
    frames = list(sequence(tmp_path))
    assert [(frame.index, frame.time) for frame in frames] == [(0, 0.0), (1, 0.04), (2, 0.08)]
    np.testing.assert_array_equal([f.rgb for f in frames], [moving_picture(i, 31, 45) for i in range(3)])


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.fromarray(moving_picture(0)).convert("RGBA" if mode == "LA" else "RGB").convert(mode).save(path)
    rgb = read_rgb(path)
    assert (rgb.shape, rgb.dtype) == ((48, 64, 3), np.uint8)
    assert rgb.max() > rgb.min()


def test_alpha_is_laid_over_black(tmp_path):
    pixels = np.full((4, 6, 4), 100, np.uint8)
    pixels[0, :, 3], pixels[1, :, 3], pixels[2:, :, 3] = 0, 128, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png")[:3, 0, 0].tolist() == [0, 50, 100]


def test_a_transparent_palette_colour_is_black(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "p.png", transparency=0)
    assert read_rgb(tmp_path / "p.png")[0].tolist() == [[0, 0, 0], [40, 50, 60]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled_to_eight(tmp_path, suffix):
    values = np.array([[0, 257, 65535], [128, 129, 32768]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"g.{suffix}")
    expected = np.round(values / 257.0)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"g.{suffix}"), np.repeat(expected[..., None], 3, axis=-1))


def test_sixteen_bit_colour_tiff(tmp_path):
    values = moving_picture(0).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "c.tiff", values, photometric="rgb")
    np.testing.assert_array_equal(read_rgb(tmp_path / "c.tiff"), moving_picture(0))
    assert sequence(tmp_path).size == (48, 64)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 8}])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extra", [None, "unspecified", "assocalpha", "unassalpha"])
def test_sixteen_bit_colour_may_be_stored_in_any_way(tmp_path, how, planar, order, extra):
    picture = moving_picture(0)
    values = picture.astype(np.uint16) * 257
    if extra is not None:
        half = np.full_like(values[..., :1], 128 * 257)
        values = np.concatenate([values, half], axis=-1)
        picture = over_black(np.concatenate([picture, half >> 8], axis=-1)) if extra == "unassalpha" else picture
    values = np.moveaxis(values, -1, 0).copy() if planar == "separate" else values
    more = {} if extra is None else {"extrasamples": [extra]}
    tifffile.imwrite(tmp_path / "c.tif", values, photometric="rgb", planarconfig=planar, byteorder=order, **how, **more)
    np.testing.assert_array_equal(read_rgb(tmp_path / "c.tif"), picture)
    assert sequence(tmp_path).size == (48, 64)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("how", ["plain", "zlib", "lzw", "imagej"])
@pytest.mark.parametrize("photometric", ["miniswhite", "minisblack"])
def test_grey_is_bright_where_it_is_meant_to_be(tmp_path, kind, how, photometric):
    meant = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    values = meant.astype(kind) * (257 if kind == np.uint16 else 1)
    stored = ~values if photometric == "miniswhite" else values
    path = tmp_path / "g.tif"
    match how:
        case "plain" | "zlib":
            tifffile.imwrite(path, stored, photometric="minisblack", compression=None if how == "plain" else how)
        case "lzw":  # tifffile may be without it
            Image.fromarray(stored).save(path, compression="tiff_lzw")
        case "imagej":
            tifffile.imwrite(path, np.stack([stored] * 3), imagej=True, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            page.tags[262].overwrite(0 if photometric == "miniswhite" else 1)
    for frame in open_source(str(path)):
        np.testing.assert_array_equal(frame.rgb, np.repeat(meant[..., None], 3, axis=-1))


def test_twelve_bits_fill_the_range(tmp_path):
    values = np.array([[0, 4095, 2048, 16]], np.uint16)
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x10])
    tifffile.imwrite(tmp_path / "t.tif", np.frombuffer(packed, np.uint8)[None], photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "t.tif", mode="r+") as file:
        file.pages[0].tags[256].overwrite(4)
        file.pages[0].tags[258].overwrite(12)
    assert read_rgb(tmp_path / "t.tif")[0, :, 0].tolist() == np.round(values[0] / 4095 * 255).tolist()


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_deep_jpeg_2000_keeps_its_whites(tmp_path, bits, alpha):
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, 32:64], picture[:, 64:96, 0], picture[:, 96:] = 255, 255, 100
    values = np.round(picture / 255 * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    if alpha:
        values = np.concatenate([values, np.full_like(values[..., :1], 2**bits - 1)], axis=-1)
    order = [2, 1, 0, 3] if alpha else [2, 1, 0]
    path = tmp_path / "w.jp2"
    # OpenCV writes 8 or 16 bits.  The middle of the range is stored as 0: for 12 bits, put it there and say 12.
    values = values + np.uint16(2**15 - 2**11) if bits == 12 else values
    cv2.imwrite(str(path), values[..., order], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    if bits == 12:
        data = bytearray(path.read_bytes())
        place = data.index(b"\xff\x4f\xff\x51") + 42
        for component in range(4 if alpha else 3):
            assert data[place + 3 * component] == 15
            data[place + 3 * component] = 11
        header = data.index(b"ihdr") + 4 + 10
        assert data[header] == 15
        data[header] = 11
        path.write_bytes(data)
    np.testing.assert_allclose(read_rgb(path).astype(int), picture, atol=1)
    assert sequence(tmp_path).size == (64, 128)


def test_damaged_deep_jpeg_2000_is_one_line(tmp_path, capfd):
    path = tmp_path / "w.jp2"
    values = moving_picture(0, 64, 128).astype(np.uint16) * 257
    cv2.imwrite(str(path), values, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UserError, match=r"w\.jp2: not an image that can be decoded"):
        read_rgb(path)
    assert capfd.readouterr().err == ""


def test_colours_of_another_kind_are_refused(tmp_path):
    values = moving_picture(0).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "lab.tif", values, photometric="cielab")
    with pytest.raises(UserError, match=r"lab\.tif: its colours are neither grey nor RGB"):
        read_rgb(tmp_path / "lab.tif")


def test_planes_compressed_in_a_way_that_is_not_read_are_said_to_be(tmp_path, monkeypatch):
    values = np.moveaxis(moving_picture(0), -1, 0).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "c.tif", values, photometric="rgb", planarconfig="separate", compression="zlib")
    monkeypatch.setattr("endodav_jax.video.image_files.can_decode", lambda page: False)
    with pytest.raises(UserError, match=r"c\.tif: its compression cannot be read here"):
        read_rgb(tmp_path / "c.tif")


def test_floating_point_images_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "f.tiff", np.ones((4, 4), np.float32))
    with pytest.raises(UserError, match=r"f\.tiff: holds float32 values"):
        read_rgb(tmp_path / "f.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["png", "tif of 8 bits", "tif of 16 bits", "grey tif", "stack"])
def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path, orientation, form):
    picture = moving_picture(0, 40, 64)
    if form == "grey tif":
        picture = np.repeat(picture[..., :1], 3, axis=-1)
    turned = {
        1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1], 5: picture.swapaxes(0, 1),
        6: np.rot90(picture, -1), 7: np.rot90(picture, 2).swapaxes(0, 1), 8: np.rot90(picture, 1),
    }[orientation]  # fmt: skip
    told = {"photometric": "rgb", "extratags": [(0x0112, "H", 1, orientation, True)], "contiguous": False}
    deep = picture.astype(np.uint16) * 257
    match form:
        case "png":
            exif = Image.Exif()
            exif[0x0112] = orientation
            Image.fromarray(picture).save(tmp_path / "e.png", exif=exif)
        case "tif of 8 bits":
            tifffile.imwrite(tmp_path / "e.tif", picture, **told)
        case "tif of 16 bits":
            tifffile.imwrite(tmp_path / "e.tif", deep, **told)
        case "grey tif":
            tifffile.imwrite(tmp_path / "e.tif", deep[..., 0].copy(), **told | {"photometric": "minisblack"})
        case "stack":
            with tifffile.TiffWriter(tmp_path / "e.tif") as file:
                for _ in range(3):
                    file.write(picture, **told)
    images = sequence(tmp_path)
    assert images.size == turned.shape[:2]
    for frame in images:
        np.testing.assert_array_equal(frame.rgb, turned)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        sequence(tmp_path)


def test_sizes_that_differ_are_refused_before_any_work(tmp_path):
    Image.fromarray(moving_picture(0)).save(tmp_path / "0.png")
    Image.fromarray(moving_picture(1, 48, 66)).save(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"1\.png: is 66x48 and 0\.png is 64x48"):
        sequence(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_file_that_is_no_image_is_refused(tmp_path, suffix):
    (tmp_path / f"0.{suffix}").write_text("hello")
    with pytest.raises(UserError, match=rf"0\.{suffix}: not an image"):
        sequence(tmp_path)


def test_a_damaged_image_in_the_middle_ends_the_reading(tmp_path):
    for i in range(4):
        Image.fromarray(moving_picture(i)).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    seen = []
    with pytest.raises(ReadingStopped, match=r"after 2 of 4 images: .*2\.png: not an image"):
        for frame in sequence(tmp_path):
            seen.append(frame.index)
    assert seen == [0, 1]


def test_samples_are_of_the_images_that_can_be_read(tmp_path):
    for i in range(4):
        Image.fromarray(moving_picture(i)).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    assert len(sequence(tmp_path).samples(16)) == 3
