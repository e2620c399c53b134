"""Random changes of training images as functions of (seed, epoch, index)."""

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from vqgen.data.loading.counter import integers, uniform


def random_flip(
    x: UInt8[ndarray, "b c h w"], index: Int[ndarray, " b"], *key: int
) -> UInt8[ndarray, "b c h w"]:
    """Mirror each image left to right with probability 1/2, in place."""
    flipped = uniform(index, "flip", *key) < 0.5
    x[flipped] = x[flipped][..., ::-1]
    return x


def random_crop(
    x: UInt8[ndarray, "b c hh ww"], height: int, width: int, index: Int[ndarray, " b"], *key: int
) -> UInt8[ndarray, "b c h w"]:
    """Cut a window of height x width from each image, anywhere."""
    top = integers(index, x.shape[2] - height + 1, "top", *key)
    left = integers(index, x.shape[3] - width + 1, "left", *key)
    windows = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))
    return windows[np.arange(len(x)), :, top, left]


def center_crop(x: UInt8[ndarray, "b c hh ww"], height: int, width: int) -> UInt8[ndarray, "b c h w"]:
    """Cut the window of height x width in the middle of each image."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def bordered(x: UInt8[ndarray, "b c h w"], height: int, width: int) -> UInt8[ndarray, "b c hh ww"]:
    """The images in the middle of larger ones that are 0 around them."""
    top, left = (height - x.shape[2]) // 2, (width - x.shape[3]) // 2
    bottom, right = height - x.shape[2] - top, width - x.shape[3] - left
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
