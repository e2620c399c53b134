import numpy as np

from vqgen.data.loading.batches import center_crop, random_crop, random_flip


def numbered(n, height, width):
    """Images whose pixels tell their place."""
    y, x = np.mgrid[:height, :width]
    return np.broadcast_to(np.stack([y, x]), (n, 2, height, width)).astype(np.uint8)


def test_half_of_the_images_are_mirrored_and_which_depends_on_seed_epoch_and_index():
    index = np.arange(4000)
    x = numbered(4000, 2, 4)
    flipped = [random_flip(x.copy(), index, *key)[:, 1, 0, 0] == 3 for key in [(0, 0), (0, 1), (1, 0)]]
    assert all(abs(chosen.mean() - 0.5) < 0.03 for chosen in flipped)
    assert all(abs((a == b).mean() - 0.5) < 0.03 for a, b in [flipped[:2], flipped[1:]])
    assert np.array_equal(random_flip(x[7:9].copy(), index[7:9], 0, 0)[:, 1, 0, 0] == 3, flipped[0][7:9])


def test_a_mirrored_image_is_the_image_mirrored():
    x = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 6)).astype(np.uint8)
    for before, after in zip(x, random_flip(x.copy(), np.arange(50), 3), strict=True):
        assert np.array_equal(after, before) or np.array_equal(after, before[..., ::-1])


def test_random_windows_are_everywhere_alike_and_functions_of_the_key():
    windows = random_crop(numbered(9000, 6, 5), 4, 3, np.arange(9000), 0, 2)
    assert windows.shape == (9000, 2, 4, 3)
    assert (windows - windows[:, :, :1, :1] == numbered(1, 4, 3)).all()
    counts = np.bincount(windows[:, 0, 0, 0] * 3 + windows[:, 1, 0, 0])
    assert len(counts) == 9
    assert abs(counts / 1000 - 1).max() < 0.15
    assert np.array_equal(random_crop(numbered(1, 6, 5), 4, 3, np.array([77]), 0, 2)[0], windows[77])


def test_the_middle_window_is_in_the_middle():
    assert center_crop(numbered(2, 8, 6), 4, 4)[1, :, 0, 0].tolist() == [2, 1]
