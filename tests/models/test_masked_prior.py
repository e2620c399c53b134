"""The masked prior's bound, against enumeration."""

import math
from functools import partial
from itertools import combinations, permutations, product

import pytest
import torch
import torch.nn.functional as F

from vqgen.batch import CodeBatch
from vqgen.models import MaskedPrior
from vqgen.models.masked_prior import masks
from vqgen.nn.priors import Conditioner, MaskedTransformer, PixelCNN
from vqgen.optim import Constant

GRID, K = (2, 2), 2


def prior(num_masks: int = 4, **network) -> MaskedPrior:
    """One whose codes depend on each other strongly."""
    torch.manual_seed(0)
    made = MaskedPrior(
        num_masks,
        network=partial(MaskedTransformer, channels=16, num_layers=2, num_heads=2, dropout=0.0, **network),
        conditioner=partial(Conditioner, channels=4),
        grid=GRID,
        num_embeddings=K,
        upper_grids=[],
        upper_num_embeddings=[],
        num_classes=0,
        optimizer=torch.optim.AdamW,
        schedule=Constant(),
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return made.double().eval()


def batch(codes: torch.Tensor) -> CodeBatch:
    return CodeBatch([codes], {}, torch.arange(len(codes)))


def all_maps() -> torch.Tensor:
    return torch.tensor(list(product(range(K), repeat=4))).view(-1, *GRID)


@torch.no_grad()
def conditional(model: MaskedPrior, codes: torch.Tensor, masked: list[int]) -> torch.Tensor:
    """-log p of every code of every map given those that are not masked."""
    given = codes.clone()
    given.flatten(1)[:, masked] = K  # a view: codes are contiguous
    return F.cross_entropy(model(given), codes, reduction="none").flatten(1)


def bound(model: MaskedPrior, codes: torch.Tensor) -> torch.Tensor:
    """Of each map, by all masks there are."""
    by_number = []
    for n in range(1, 5):
        means = [conditional(model, codes, list(which))[:, list(which)].mean(1) for which in combinations(range(4), n)]
        by_number.append(torch.stack(means).mean(0))
    return 4 * torch.stack(by_number).mean(0)


def probabilities(model: MaskedPrior, codes: torch.Tensor) -> torch.Tensor:
    """Of each map when its codes are drawn one at a time, in any order alike."""
    orders = []
    for order in permutations(range(4)):
        nats = [conditional(model, codes, list(order[i:]))[:, order[i]] for i in range(4)]
        orders.append(torch.stack(nats).sum(0).neg().exp())
    return torch.stack(orders).mean(0)


def test_the_bound_is_one_and_no_loose_one():
    model, maps = prior(), all_maps()
    p = probabilities(model, maps)
    assert p.sum().item() == pytest.approx(1, abs=1e-10)
    nats = bound(model, maps)
    assert (nats >= -p.log() - 1e-10).all()
    gap = (p * (nats + p.log())).sum().item()  # in nats a map, on the prior's own maps
    assert 0 < gap < 0.5


def test_the_bound_is_that_of_orders():
    model, maps = prior(), all_maps()
    nats = []
    for order in permutations(range(4)):
        nats.append(torch.stack([conditional(model, maps, list(order[i:]))[:, order[i]] for i in range(4)]).sum(0))
    torch.testing.assert_close(bound(model, maps), torch.stack(nats).mean(0))


def test_nll_estimates_the_bound_and_is_the_same_every_time():
    model, codes = prior(num_masks=8), all_maps()
    expected = bound(model, codes).mean().item()
    many = codes.repeat(500, 1, 1)
    with torch.no_grad():
        nats = model.nll(batch(many))
        assert nats.shape == (8000, *GRID)
        assert nats.sum((1, 2)).mean().item() == pytest.approx(expected, abs=0.02)
        assert torch.equal(model.nll(batch(many[:16])), nats[:16])
        torch.manual_seed(5)
        assert torch.equal(model.nll(batch(many)), nats)


def test_nll_of_what_is_hidden_is_the_bound_given_all_that_is_known():
    model, codes = prior(num_masks=8), all_maps()
    known = torch.tensor([[False, True], [False, True]])  # which stand before and after
    one_by_one = [
        (conditional(model, codes, [first, last])[:, first] + conditional(model, codes, [last])[:, last])
        for first, last in ((0, 2), (2, 0))
    ]
    with torch.no_grad():
        nats = model.nll(batch(codes.repeat(500, 1, 1)), known)
    assert (nats[:, known] == 0).all()
    assert nats.sum((1, 2)).mean().item() == pytest.approx(torch.stack(one_by_one).mean().item(), abs=0.02)


def test_the_loss_is_the_bound_a_code():
    model, codes = prior(), all_maps()
    torch.manual_seed(0)
    with torch.no_grad():
        losses = [model.objective(batch(codes)).loss.item() for _ in range(800)]
    assert sum(losses) / 800 == pytest.approx(bound(model, codes).mean().item() / 4, abs=0.01)


def test_masks_are_of_every_number_alike_and_spread_over_a_batch():
    share, order = torch.arange(20) / 20, torch.rand(20, 4, 5)
    masked = masks(share, order, 20)
    assert masked.sum((1, 2)).tolist() == list(range(1, 21))
    assert all(order[i][masked[i]].max() < order[i][~masked[i]].min() for i in range(19))


def test_a_network_without_masks_is_refused():
    with pytest.raises(ValueError, match="PixelCNN does not take masked maps"):
        MaskedPrior(
            network=partial(PixelCNN, hidden_channels=8),
            conditioner=partial(Conditioner, channels=4),
            grid=GRID,
            num_embeddings=K,
            upper_grids=[],
            upper_num_embeddings=[],
            num_classes=0,
            optimizer=torch.optim.AdamW,
            schedule=Constant(),
        )


def test_it_learns_what_follows_from_what_comes_later():
    """The first code is the last one: half of the masks show it."""
    torch.manual_seed(0)
    model = prior().float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(200):
        codes = torch.randint(K, (64, *GRID))
        codes[:, 0, 0] = codes[:, 1, 1]
        loss = model.objective(batch(codes)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = torch.tensor([[[K, 0], [1, 1]], [[K, 0], [1, 0]]])
    assert model.eval()(codes).argmax(1)[:, 0, 0].tolist() == [1, 0]
    exact = 3 * math.log(2) / 4  # three free codes of four
    assert bound(model, codes.where(codes < K, codes[:, 1:, 1:])).mean().item() / 4 == pytest.approx(exact, abs=0.05)
