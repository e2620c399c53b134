"""The prior of all levels: its likelihood, what each level sees, and drawing by one call a level."""

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Adam

from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import KnownCodes, Sampling
from vqgen.drawing.fixed_point import FixedPoint
from vqgen.drawing.masked import Halton
from vqgen.drawing.raster import Raster
from vqgen.errors import UserError
from vqgen.models.next_scale import NextScalePrior
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.scale_transformer import ScaleTransformer
from vqgen.optim.schedules import Constant
from vqgen.protocols import AutoregressivePrior, Prior, priors_of

GRIDS = [(1, 1), (1, 2), (2, 3)]


def prior(grids: list[tuple[int, int]] = GRIDS, sizes: list[int] | None = None, **network: Any) -> NextScalePrior:
    torch.manual_seed(0)
    *upper, grid = grids
    *upper_sizes, size = sizes or [5] * len(grids)
    model = NextScalePrior(
        partial(ScaleTransformer, **{"channels": 16, "num_layers": 2, "num_heads": 2, "dropout": 0.0} | network),
        partial(Conditioner, channels=8),
        grid=grid,
        num_embeddings=size,
        upper_grids=upper,
        upper_num_embeddings=upper_sizes,
        num_classes=2,
        optimizer=partial(Adam, lr=1e-2),
        schedule=Constant(),
    )
    with torch.no_grad():  # otherwise all codes are nearly equally likely
        for parameter in model.parameters():
            parameter.mul_(4)
    return model.eval().double()


def some(model: NextScalePrior, n: int = 3) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    sizes = model.num_embeddings
    return [torch.randint(k, (n, *grid), generator=draw) for k, grid in zip(sizes, model.grids, strict=True)]


def labelled(codes: list[Tensor], label: int = 1, n: int = 3) -> Condition:
    return Condition(codes, {"label": torch.full((n,), label)})


def test_every_level_is_a_prior_that_can_be_asked_for_one_code_after_another():
    model = prior()
    assert not isinstance(model, Prior)
    levels = priors_of(model)
    assert [level.level for level in levels] == [0, 1, 2]
    assert all(isinstance(level, AutoregressivePrior) and level.exact and level.takes == ["label"] for level in levels)


def test_the_probabilities_of_all_maps_of_all_levels_sum_to_one():
    model = prior([(1, 1), (1, 2), (2, 2)], [2, 2, 2])
    every = torch.tensor(list(itertools.product(range(2), repeat=7)))
    codes = [every[:, :1].view(-1, 1, 1), every[:, 1:3].view(-1, 1, 2), every[:, 3:].view(-1, 2, 2)]
    for label in (0, 1):
        nats = model.nll(CodeBatch(codes, {"label": torch.full((len(every),), label)}, torch.arange(len(every))))
        total = torch.cat([level.flatten(1) for level in nats], 1).sum(1)
        assert total.std() > 0.05
        assert (-total).exp().sum().item() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("sizes", [None, [3, 4, 5]], ids=["shared", "one each"])
def test_a_level_by_itself_has_the_likelihood_that_the_whole_gives_it(sizes: list[int] | None):
    model = prior(sizes=sizes, shared=sizes is None)
    codes = some(model)
    whole = model.nll(CodeBatch(codes, {"label": torch.ones(3).long()}, torch.arange(3)))
    for i, level in enumerate(priors_of(model)):
        alone = level.nll(CodeBatch(codes[: i + 1], {"label": torch.ones(3).long()}, torch.arange(3)))
        torch.testing.assert_close(alone, whole[i], rtol=0, atol=1e-12)


def test_a_level_sees_all_above_and_nothing_of_itself_or_below():
    model = prior()
    codes = some(model)
    batch = CodeBatch(codes, {"label": torch.ones(3).long()}, torch.arange(3))
    features = model.features(Condition(codes[:-1], batch.given), 3)
    for changed, grid in enumerate(GRIDS[:-1]):
        for row, column in itertools.product(range(grid[0]), range(grid[1])):
            other = [c.clone() for c in codes[:-1]]
            other[changed][:, row, column] = (other[changed][:, row, column] + 1) % 5
            now = model.features(Condition(other, batch.given), 3)
            for level, (before, after) in enumerate(zip(features, now, strict=True)):
                moved = (before - after).abs().amax(1)
                assert (moved > 0).all() if level > changed else (moved == 0).all()


def test_code_by_code_it_is_what_it_is_at_once():
    model = prior()
    codes = some(model)
    for i, level in enumerate(priors_of(model)):
        assert isinstance(level, AutoregressivePrior)
        condition = labelled(codes[:i])
        logits, state = level(codes[i], condition), level.begin(3, condition)  # type: ignore[operator]
        for row, column in itertools.product(*map(range, level.grid)):
            torch.testing.assert_close(state.logits(), logits[:, :, row, column], rtol=0, atol=1e-10)
            state.push(codes[i][:, row, column])


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_level_takes_one_call_of_the_network_and_two_with_guidance(guidance: float):
    model, calls = prior(), []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    codes: list[Tensor] = []
    for i, level in enumerate(priors_of(model)):
        codes.append(level.sample(3, labelled(codes), Sampling(guidance=guidance)))
        assert codes[-1].shape == (3, *level.grid)
        assert len(calls) == (i + 1) * (1 if guidance == 1 else 2)


def test_samples_are_drawn_from_the_likelihood():
    model = prior([(1, 1), (1, 2)], [3, 3])
    n = 20_000
    top, bottom = priors_of(model)
    first = top.sample(n, labelled([], n=n))
    second = bottom.sample(n, labelled([first], n=n))
    drawn = torch.bincount(first.flatten() * 9 + second[:, 0, 0] * 3 + second[:, 0, 1], minlength=27) / n
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    codes = [every[:, :1].view(-1, 1, 1), every[:, 1:].view(-1, 1, 2)]
    nats = model.nll(CodeBatch(codes, {"label": torch.ones(27).long()}, torch.arange(27)))
    expected = (-torch.cat([level.flatten(1) for level in nats], 1).sum(1)).exp()
    assert (drawn - expected).abs().sum() / 2 < 3 * math.sqrt(27 / (2 * math.pi * n))  # total variation of true draws


def test_a_sample_depends_on_its_seed_and_keeps_what_is_known_and_any_order_draws_the_same():
    last = priors_of(prior())[2]
    upper = [torch.zeros(4, 1, 1).long(), torch.ones(4, 1, 2).long()]
    many = last.sample(4, Condition(upper), Sampling(seed=3))
    assert torch.equal(last.sample(2, Condition([u[:2] for u in upper]), Sampling(seed=3)), many[:2])
    assert not torch.equal(last.sample(4, Condition(upper), Sampling(seed=4)), many)
    for sampler in (FixedPoint(), Raster()):
        assert torch.equal(last.sample(4, Condition(upper), Sampling(seed=3), sampler=sampler), many)
    known = KnownCodes(torch.rand(4, 2, 3) < 0.5, torch.randint(5, (4, 2, 3)))
    assert torch.equal(last.sample(4, Condition(upper), known=known)[known.mask], known.codes[known.mask])


def test_it_learns_a_few_images_by_heart():
    model = prior(dropout=0.0).float().train()
    batch = CodeBatch(some(model, 4), {"label": torch.tensor([0, 0, 1, 1])}, torch.arange(4))
    optimizer = Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = model.objective(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    floor = math.log(4) / 9  # without their labels, which one comes
    assert loss.item() < floor + 0.03


@pytest.mark.parametrize(
    ("grids", "shared"), [(GRIDS, True), (GRIDS, False), ([(2, 3)], True)], ids=["shared", "one each", "one scale"]
)
def test_every_parameter_learns(grids: list[tuple[int, int]], shared: bool):
    model = prior(grids, shared=shared).train()
    model.objective(CodeBatch(some(model), {"label": torch.tensor([0, 1, 1])}, torch.arange(3))).loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_a_level_is_in_the_mode_of_the_whole():
    model = prior(dropout=0.5).train()
    (top, *_) = priors_of(model)
    assert top.training  # type: ignore[attr-defined]
    model.eval()
    top.sample(1)
    assert not any(module.training for module in model.modules())


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="codebooks of 3, 4, 5 codes share no table"):
        prior(sizes=[3, 4, 5])
    with pytest.raises(ValueError, match="no multiple of 4 x"):
        prior(channels=12)
    top, middle, _ = priors_of(prior())
    with pytest.raises(UserError, match="was trained on 1x1, and draws no other"):
        top.sample(2, grid=(2, 2))
    with pytest.raises(ValueError, match="the codes have grids"):
        middle.sample(2, Condition([torch.zeros(2, 2, 2).long()]))
    with pytest.raises(ValueError, match="this is the level below 1 others"):
        middle.sample(2)
    with pytest.raises(UserError, match="draws one code after another"):
        top.sample(2, sampler=Halton(12))
    with pytest.raises(UserError, match="label=7: there are 2"):
        top.sample(2, Condition(given={"label": torch.tensor([7, 0])}))
