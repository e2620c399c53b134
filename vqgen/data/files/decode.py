"""One image file of any kind to an array of a given shape."""

import errno
import io
import os
import re

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import ExifTags, Image, features

from vqgen.data.files.member import AnyPath, source_of
from vqgen.data.reading import printable
from vqgen.errors import DataError

_ALWAYS = ".jpg .jpeg .jfif .jpe .mpo .png .apng .bmp .gif .tif .tiff .ppm .pgm .pbm .pnm .tga .qoi"
_OPTIONAL = {  # kinds that Pillow reads where it was built so
    "webp": ".webp",
    "avif": ".avif .avifs",
    "jpg_2000": ".jp2 .j2k .jpx .jpf .jpc .j2c",
}
_NEVER = ".heic .heif .hif .jxl .svg .psd .xcf .exr .hdr .dcm .dicom .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf"
_HERE = _OPTIONAL.keys() & features.get_supported()
SUFFIXES = tuple(" ".join([_ALWAYS, *(_OPTIONAL[kind] for kind in sorted(_HERE))]).split())
IMAGE_SUFFIXES = (*SUFFIXES, *" ".join([*_OPTIONAL.values(), _NEVER]).split())  # with those that are not read here
_BY_CONTENT = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
MAX_PIXELS = 2**26  # a larger image is refused before it is decoded: 67 megapixels take 200 MB
PREPROCESSING = "middle, lanczos, 2"  # names how pixels come about, for caches; change it when they do

_UPRIGHT = {  # how to undo each EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# no fault of the file: without it, what is prepared now would stay incomplete
_OF_THE_MACHINE = {errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}


class UnreadableError(ValueError):
    """A file that holds no image that can be used, and why."""


def decode(
    path: AnyPath, shape: tuple[int, int, int], window: int | None = None, white: int = 2**16 - 1
) -> UInt8[ndarray, "c h w"]:
    """The middle of the image, as large as the aspect ratio allows, resized with anti-aliasing to `shape`.

    Of an animation the first picture is taken, and a smaller image is enlarged.

    Args:
        shape: channels (1 grey, 3 RGB), height, width.
        window: take only the middle square with this side, in pixels of the file.
        white: the value of white in a grey image of 16 bits.

    Raises:
        UnreadableError: the file is empty, truncated, no image, or a decompression bomb.
        DataError: the file may be whole, but the machine does not let it be read.
    """
    try:
        source = source_of(path)
        if isinstance(source, io.BytesIO):
            return decode_bytes(source.getvalue(), shape, window, white)
        with Image.open(source) as image:
            return _decode(image, shape, window, white)
    except (MemoryError, UnreadableError):
        raise
    except OSError as error:
        if error.errno in _OF_THE_MACHINE:
            raise DataError(f"{shown(path)}: {error.strerror}; correct that and start again.") from error
        raise _unreadable(path, error) from error
    except Exception as error:  # decoders raise nearly anything for a damaged file
        raise _unreadable(path, error) from error


def decode_bytes(
    content: bytes, shape: tuple[int, int, int], window: int | None = None, white: int = 2**16 - 1
) -> UInt8[ndarray, "c h w"]:
    """As `decode`, of the content of a file."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return _decode(image, shape, window, white)
    except MemoryError:
        raise
    except Exception as error:  # as in `decode`
        raise UnreadableError(_reason(error, not content)) from error


def upright_size(path: AnyPath) -> tuple[int, int]:
    """Height and width of an image as it is to be seen. Raises UnreadableError where `decode` would."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except Exception as error:  # as in `decode`
        raise _unreadable(path, error) from error


def is_image(path: str) -> bool:
    """Whether a file begins as an image does; its name makes no difference."""
    Image.init()
    try:
        with Image.open(path, formats=[kind for kind in _BY_CONTENT if kind in Image.OPEN]):
            return True
    except Exception:  # as in decode
        return False


def _unreadable(path: AnyPath, error: Exception) -> UnreadableError:
    return UnreadableError(_reason(error, os.path.exists(path) and os.path.getsize(path) == 0))


def _reason(error: Exception, is_empty: bool) -> str:
    said = re.sub(r" <_io\.BytesIO object at \w+>", "", str(error)).replace("\n", " ")
    return "the file is empty" if is_empty else f"{type(error).__name__}: {said}"


def _decode(image: Image.Image, shape: tuple[int, int, int], window: int | None, white: int) -> ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}")
    channels, height, width = shape
    if window is None:  # the JPEG decoder itself halves a much larger image; what is left is enough to stay sharp
        side = 2 * max(height, width)
        image.draft(None, (side, side))
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # loading turns a TIFF, and forgets this
    upright = _colours(image, "L" if channels == 1 else "RGB", white)
    if orientation in _UPRIGHT:
        upright = upright.transpose(_UPRIGHT[orientation])
    box = _middle(upright, height, width, window)
    if upright.size != (width, height) or box != (0, 0, width, height):
        upright = upright.resize((width, height), Image.Resampling.LANCZOS, box, reducing_gap=2.0)
    return np.stack([np.asarray(plane) for plane in upright.split()])  # faster than transposing the whole


def _middle(image: Image.Image, height: int, width: int, window: int | None) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest part in the middle with the aspect ratio of height and width."""
    w, h = (image.width, image.height) if window is None else (min(window, image.width), min(window, image.height))
    scale = min(h / height, w / width)
    left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
    return left, top, left + scale * width, top + scale * height


def is_deep(image: Image.Image) -> bool:
    """Whether an opened file has 16 bits, as far as its header says; in colour Pillow reads the upper 8 of them."""
    return image.mode.startswith("I") or any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


def _colours(image: Image.Image, mode: str, white: int) -> Image.Image:
    """Grey ("L") or RGB of 8 bits, transparent pixels on white."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        image = _eight_bits(image, white)
    if image.mode == "F":
        raise UnreadableError("floating-point pixels have no known range: save them as 8 or 16 bits")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image.convert("RGBA")).convert(mode)
    return image.convert(mode)


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    """A 16-bit image with `white` as 255: the upper 8 of as many bits as that takes."""
    array = np.asarray(image).astype(np.int64)
    if array.max() > 2**16 - 1 or array.min() < 0:
        raise UnreadableError("pixels of more than 16 bits")
    return Image.fromarray((np.minimum(array, white) * 256 // (white + 1)).astype(np.uint8))


def shown(path: AnyPath) -> str:
    """A path, which may be of any bytes, as one printable line."""
    return printable(os.fsencode(path).decode("utf-8", "backslashreplace"))
