import copy

import pytest
import torch

from vqgen.nn.quantize import CosineEMAQuantizer, EMAQuantizer, RotationEMAQuantizer


def batches(number, seed=0, size=(8, 4, 6, 6)):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, generator=generator) for _ in range(number)]


def rows(z_e):
    return z_e.movedim(1, -1).reshape(-1, z_e.shape[1])


def test_the_codebook_is_the_moving_average_of_the_published_formula():
    decay, epsilon, num_embeddings = 0.9, 1e-3, 12
    quantizer = EMAQuantizer(num_embeddings, 4, decay=decay, epsilon=epsilon, revive_below=0.0, warmup=1)
    first, *later = batches(8)
    quantizer(first)
    counts, sums = quantizer.counts.double(), quantizer.sums.double()
    for z_e in later:
        one_hot = torch.nn.functional.one_hot(rows(quantizer.nearest(z_e)[:, None])[:, 0], num_embeddings)
        quantizer(z_e)
        counts = decay * counts + (1 - decay) * one_hot.double().sum(dim=0)
        sums = decay * sums + (1 - decay) * one_hot.double().T @ rows(z_e).double()
        smoothed = (counts + epsilon) / (counts.sum() + num_embeddings * epsilon) * counts.sum()
        torch.testing.assert_close(quantizer.codebook.double(), sums / smoothed[:, None], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(quantizer.counts.double(), counts, rtol=1e-5, atol=1e-6)


def test_the_decay_warms_up_from_one_over_warmup_to_its_value():
    quantizer = EMAQuantizer(4, 4, decay=0.99, revive_below=0.0, warmup=10)
    quantizer(batches(1)[0])
    (z_e,) = batches(1, seed=1)
    before = quantizer.counts.double()
    new = torch.bincount(quantizer.nearest(z_e).flatten(), minlength=4).double()
    quantizer(z_e)
    torch.testing.assert_close(quantizer.counts.double(), before * 2 / 11 + new * 9 / 11)  # t = 1
    quantizer.num_updates.fill_(10_000)
    before = quantizer.counts.double()
    quantizer(z_e)
    assert (quantizer.counts.double() - before).abs().sum() <= 0.02 * before.sum()


def test_counts_keep_the_total_of_the_batch_since_smoothed_counts_are_not_stored():
    quantizer = EMAQuantizer(50, 4, epsilon=0.5, revive_below=0.0)
    for z_e in batches(30):
        quantizer(z_e)
        torch.testing.assert_close(quantizer.counts.sum(), torch.tensor(8.0 * 6 * 6))


def test_the_first_batch_starts_the_codebook_as_k_means_does():
    centres = 10 * torch.eye(4)
    z_e = centres[torch.arange(400) % 4] + 0.01 * torch.randn(400, 4)
    quantizer = EMAQuantizer(4, 4)
    quantizer(z_e.T.reshape(4, 1, 20, 20).transpose(0, 1))
    assert torch.cdist(centres, quantizer.codebook).min(dim=1).values.max() < 0.02
    torch.testing.assert_close(quantizer.counts, torch.full((4,), 100.0))


def test_codes_are_all_used_and_bounded_from_the_first_batches_on():
    quantizer = EMAQuantizer(64, 4)
    for z_e in batches(20, size=(16, 4, 8, 8)):
        codes = quantizer(z_e).codes
        assert quantizer.codebook.norm(dim=1).max() <= rows(z_e).norm(dim=1).max() * 2
        assert codes.unique().numel() > 60


def test_the_micro_batches_of_a_step_move_the_codebook_once_as_one_batch_does():
    whole = EMAQuantizer(16, 4, decay=0.5, revive_below=0.5)
    whole(batches(1)[0])
    parts = copy.deepcopy(whole)
    for z_e in batches(6, seed=1, size=(9, 4, 6, 6)):
        expected, before = whole(z_e), parts.codebook.clone()
        found = []
        for part in z_e.split(4):  # the last one is of one image
            assert torch.equal(parts.codebook, before)
            parts.step_ends = len(part) == 1
            found.append(parts(part).codes)
        assert torch.equal(torch.cat(found), expected.codes)
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(parts.state_dict()[name], value, msg=name)


def test_the_first_micro_batch_alone_starts_the_codebook():
    z_e, later = batches(2)
    one, other = EMAQuantizer(16, 4), EMAQuantizer(16, 4)
    other.step_ends = False
    one(z_e), other(z_e)
    codes = other(later).codes
    assert other.num_updates == 0
    assert torch.equal(codes, other.nearest(later))
    torch.testing.assert_close(other.counts, one.counts, rtol=0.5, atol=10.0)


def test_codes_that_are_never_used_stay_finite():
    quantizer = EMAQuantizer(64, 4, decay=0.5, revive_below=0.0)
    quantizer(batches(1)[0])
    narrow = torch.full((8, 4, 6, 6), 3.0)
    for _ in range(300):
        quantizer(narrow)
    assert torch.isfinite(quantizer.codebook).all()
    assert quantizer.codebook.abs().max() < 10
    assert (quantizer.counts < 1e-30).sum() > 50


def test_a_revived_code_is_a_vector_of_the_batch_and_stays_there_through_the_next_update():
    quantizer = EMAQuantizer(8, 4, decay=0.5, revive_below=0.1)
    first, second = batches(2)
    quantizer(first)
    quantizer.codebook[5] = 1e3
    quantizer.sums[5] = 1e3
    quantizer.counts[5] = 1e-3
    quantizer(second)
    revived = quantizer.codebook[5].clone()
    assert (rows(second) == revived).all(dim=1).any()
    quantizer(quantizer.codebook[0].clone()[None, :, None, None].expand(8, 4, 6, 6))
    torch.testing.assert_close(quantizer.codebook[5], revived, rtol=1e-4, atol=1e-4)


def test_revival_fills_the_codebook_when_data_spread_out():
    quantizer = EMAQuantizer(32, 4, decay=0.8, revive_below=0.05)
    for _ in range(3):
        quantizer(torch.ones(8, 4, 6, 6))
    torch.testing.assert_close(quantizer.codebook, torch.ones(32, 4), rtol=1e-4, atol=1e-4)
    for z_e in batches(60):
        quantizer(z_e)
    assert quantizer.nearest(batches(1, seed=1)[0]).unique().numel() > 25


def test_a_batch_of_fewer_vectors_than_codes_is_enough_to_start():
    quantizer = EMAQuantizer(64, 4)
    quantizer(torch.randn(1, 4, 2, 2))
    assert torch.isfinite(quantizer.codebook).all()


def test_in_evaluation_nothing_is_learned():
    quantizer = EMAQuantizer(16, 4)
    quantizer(batches(1)[0])
    before = copy.deepcopy(quantizer.state_dict())
    quantizer.eval()(batches(2)[1])
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_under_autocast_the_averages_are_those_of_float32():
    exact, mixed = EMAQuantizer(16, 4), EMAQuantizer(16, 4)
    for z_e in batches(5):
        exact(z_e)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed(z_e)
    assert torch.equal(exact.codebook, mixed.codebook)
    assert mixed.counts.dtype == mixed.sums.dtype == torch.float32


def test_a_restored_quantizer_goes_on_exactly_whatever_the_global_random_state():
    arguments = {"decay": 0.5, "revive_below": 0.3}
    whole, restored = EMAQuantizer(32, 4, **arguments), EMAQuantizer(32, 4, **arguments)
    for z_e in batches(3):
        whole(z_e)
    restored.load_state_dict(whole.state_dict())
    for z_e in batches(5, seed=1):
        whole(z_e)
        torch.rand(7)
        restored(z_e)
    assert torch.equal(whole.codebook, restored.codebook)
    assert whole.num_updates == restored.num_updates == 8


@pytest.mark.parametrize("kind", [EMAQuantizer, CosineEMAQuantizer, RotationEMAQuantizer])
def test_codes_that_are_never_seen_stay_where_they_are(kind):
    torch.manual_seed(0)
    quantizer = kind(8, 3, revive_below=0.0, decay=0.5, warmup=1).train()
    quantizer(torch.randn(8, 3, 2, 2) + 5)  # starts from all of the data
    start = quantizer.codebook.clone()
    one = start[:1].T.reshape(1, 3, 1, 1).expand(4, 3, 2, 2).contiguous()
    start[quantizer.nearest(one).unique()] = torch.nan  # those may move
    for _ in range(60):
        quantizer(one)
        assert torch.equal(quantizer.codebook[start.isfinite()], start[start.isfinite()])
    assert start.isnan().sum() < 10


def test_seeds_draw_otherwise_and_seed_0_as_quantizers_without_one_did():
    def drawn(seed: int, num_updates: int) -> int:
        quantizer = EMAQuantizer(4, 2, seed=seed)
        quantizer.num_updates.fill_(num_updates)
        return quantizer._generator().initial_seed()

    assert [drawn(0, t) for t in (0, 7, 10**6)] == [0, 7, 10**6]
    begun = sorted(drawn(seed, 0) for seed in range(1000))
    gaps = [later - earlier for earlier, later in zip(begun, [*begun[1:], begun[0] + 2**32], strict=True)]
    assert min(gaps) > 10**6  # updates after which one seed draws as another did


def test_a_codebook_starts_otherwise_with_another_seed():
    (z_e,) = batches(1)
    books = []
    for seed in (0, 0, 1):
        torch.manual_seed(3)
        quantizer = EMAQuantizer(12, 4, seed=seed)
        quantizer(z_e)
        books.append(quantizer.codebook)
    assert torch.equal(books[0], books[1])
    assert not torch.allclose(books[0], books[2])
