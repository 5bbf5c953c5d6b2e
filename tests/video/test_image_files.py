"""Images as frames: order, depth of colour, orientation, and what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence, images_in, images_matching, read_rgb
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


def test_floating_point_images_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "f.tiff", np.ones((4, 4), np.float32))
    with pytest.raises(UserError, match=r"f\.tiff: holds float32 values"):
        read_rgb(tmp_path / "f.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path, orientation):
    picture = moving_picture(0, 40, 64)
    turned = {
        1: picture, 2: picture[:, ::-1], 3: picture[::-1, ::-1], 4: picture[::-1], 5: picture.swapaxes(0, 1),
        6: np.rot90(picture, -1), 7: np.rot90(picture, 2).swapaxes(0, 1), 8: np.rot90(picture, 1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "e.png", exif=exif)
    images = sequence(tmp_path)
    assert images.size == turned.shape[:2]
    np.testing.assert_array_equal(next(iter(images)).rgb, turned)


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
