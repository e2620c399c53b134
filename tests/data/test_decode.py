import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from vqgen.data.files.decode import UnreadableError, decode


def gradient(height=48, width=64):
    """Red grows to the right, green downwards, blue is constant."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.full_like(x, 90)], -1).astype(np.uint8)


def saved(folder, image, name="a.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


def close(a, b, tolerance=3):
    return np.abs(a.astype(int) - b.astype(int)).max() <= tolerance


def test_an_image_of_the_right_size_is_kept_as_it_is(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient()))
    assert np.array_equal(decode(path, (3, 48, 64)), gradient().transpose(2, 0, 1))


def test_another_aspect_ratio_takes_the_middle(tmp_path):
    x = decode(saved(tmp_path, Image.fromarray(gradient(64, 128))), (3, 64, 64))
    assert np.array_equal(x, gradient(64, 128)[:, 32:96].transpose(2, 0, 1))
    x = decode(saved(tmp_path, Image.fromarray(gradient(128, 64))), (3, 64, 64))
    assert np.array_equal(x, gradient(128, 64)[32:96].transpose(2, 0, 1))


def test_a_window_takes_the_middle_square_of_that_side(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient(60, 80)))
    assert np.array_equal(decode(path, (3, 40, 40), window=40), gradient(60, 80)[10:50, 20:60].transpose(2, 0, 1))
    assert np.array_equal(decode(path, (3, 60, 60), window=99), decode(path, (3, 60, 60)))


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_resizing_is_anti_aliased(tmp_path, suffix):
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (128, 128))
    x = decode(saved(tmp_path, Image.fromarray(fine), f"a.{suffix}"), (1, 16, 16))
    assert close(x[:, 2:-2, 2:-2], np.array(127), 4)


def test_a_smaller_image_is_enlarged(tmp_path):
    x = decode(saved(tmp_path, Image.fromarray(gradient(8, 8))), (3, 32, 32))
    assert (np.diff(x[0].astype(int), axis=1) >= -1).all()
    assert decode(saved(tmp_path, Image.new("RGB", (1, 1), (9, 8, 7))), (3, 4, 4))[:, 0, 0].tolist() == [9, 8, 7]


def test_sixteen_bits_become_eight(tmp_path):
    values = np.linspace(0, 2**16 - 1, 64 * 64).reshape(64, 64).astype(np.uint16)
    x = decode(saved(tmp_path, Image.fromarray(values)), (1, 64, 64))
    assert np.array_equal(x[0], values >> 8)
    assert np.array_equal(decode(tmp_path / "a.png", (3, 64, 64))[1], values >> 8)
    assert np.array_equal(decode(saved(tmp_path, Image.fromarray(values), "a.tiff"), (1, 64, 64))[0], values >> 8)


def test_cmyk_becomes_rgb(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient()).convert("CMYK"), "a.jpg", quality=98)
    assert close(decode(path, (3, 48, 64)), gradient().transpose(2, 0, 1), 12)


def test_palettes_become_rgb(tmp_path):
    image = Image.fromarray(gradient()).quantize(256)
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(decode(saved(tmp_path, image), (3, 48, 64)), expected)
    assert np.array_equal(decode(saved(tmp_path, image, "a.gif"), (3, 48, 64)), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(tmp_path, mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    x = decode(saved(tmp_path, image.convert(mode)), (3, 8, 8))
    assert (x[:, :, :4] == 255).all()
    assert (x[:, :, 4:] == 0).all()


def test_half_transparent_pixels_are_half_white(tmp_path):
    x = decode(saved(tmp_path, Image.new("RGBA", (4, 4), (0, 0, 0, 128))), (1, 4, 4))
    assert close(x, np.array(127), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_photographs_stand_upright(tmp_path, orientation):
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 3),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](gradient())))
    x = decode(saved(tmp_path, stored, "a.jpg", exif=exif, quality=98, subsampling=0), (3, 48, 64))
    assert close(x, gradient().transpose(2, 0, 1), 6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_undone_once_whatever_the_format(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(gradient(40, 40))
    expected = decode(saved(tmp_path, stored, "a.png", exif=exif), (3, 40, 40))
    tiff = saved(tmp_path, stored, "a.tiff", tiffinfo={0x0112: orientation})
    assert np.array_equal(decode(tiff, (3, 40, 40)), expected)
    assert close(decode(saved(tmp_path, stored, "a.webp", exif=exif, quality=99), (3, 40, 40)), expected, 30)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_does_not_spoil_the_image(tmp_path):
    content = saved(tmp_path, Image.fromarray(gradient()), "a.jpg").read_bytes()
    for exif in (b"Exif\0\0", b"Exif\0\0no header", b"Exif\0\0II*\0" + b"\xff" * 20):
        block = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
        (tmp_path / "b.jpg").write_bytes(content[:2] + block + content[2:])
        assert np.array_equal(decode(tmp_path / "b.jpg", (3, 48, 64)), decode(tmp_path / "a.jpg", (3, 48, 64)))


@pytest.mark.parametrize(("mode", "key"), [("RGB", (255, 0, 0)), ("L", 7)])
def test_a_colour_that_means_transparent_is_white(tmp_path, mode, key):
    x = decode(saved(tmp_path, Image.new(mode, (4, 4), key), transparency=key), (3, 4, 4))
    assert (x == 255).all()


def test_colour_becomes_grey_and_grey_becomes_colour(tmp_path):
    path = saved(tmp_path, Image.fromarray(gradient()))
    assert np.array_equal(decode(path, (1, 48, 64))[0], np.asarray(Image.fromarray(gradient()).convert("L")))
    path = saved(tmp_path, Image.fromarray(gradient()).convert("L"))
    assert np.array_equal(decode(path, (3, 48, 64))[2], decode(path, (1, 48, 64))[0])
    path = saved(tmp_path, Image.fromarray(gradient()[..., 0] > 99), "b.png")
    assert set(np.unique(decode(path, (1, 48, 64)))) == {0, 255}


def test_an_animation_gives_its_first_picture(tmp_path):
    pictures = [Image.new("L", (8, 8), value) for value in (40, 200)]
    path = saved(tmp_path, pictures[0], "a.gif", save_all=True, append_images=pictures[1:])
    assert close(decode(path, (1, 8, 8)), np.array(40), 0)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp", "a.tiff"])
def test_a_truncated_file_is_unreadable(tmp_path, name):
    path = saved(tmp_path, Image.fromarray(gradient()), name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableError):
        decode(path, (3, 32, 32))


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"<html>no image</html>" * 99, "cannot identify")])
def test_a_file_that_is_no_image_is_unreadable(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=reason):
        decode(path, (3, 32, 32))


def test_missing_files_folders_and_floating_point_images_are_unreadable(tmp_path):
    saved(tmp_path, Image.fromarray(np.zeros((4, 4), np.float32)), "f.tiff")
    for name in ("none.jpg", ".", "f.tiff"):
        with pytest.raises(UnreadableError):
            decode(tmp_path / name, (3, 32, 32))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 20_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(UnreadableError, match="pixels"):
        decode(tmp_path / "bomb.png", (3, 32, 32))
