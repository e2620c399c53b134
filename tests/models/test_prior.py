"""The prior: its likelihood, its labels, its samples."""

import itertools
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Adam

from vqgen import load
from vqgen.batch import CodeBatch, Condition
from vqgen.drawing import KnownCodes, Sampling, begin
from vqgen.errors import UserError
from vqgen.models.prior import RasterPrior
from vqgen.nn.priors.conditioner import Conditioner, LabelEmbedding
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.optim.schedules import Constant

NETWORKS = {
    "gated_pixelcnn": partial(GatedPixelCNN, hidden_channels=8, num_layers=2, output_channels=16),
    "pixelcnn": partial(PixelCNN, hidden_channels=8),
}


def prior(
    name: str = "gated_pixelcnn", grid: tuple[int, int] = (3, 4), k: int = 5, wide: bool = False, **kwargs: Any
) -> RasterPrior:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"upper_grids": [], "upper_num_embeddings": [], "num_classes": 0} | kwargs
    return RasterPrior(
        partial(NETWORKS[name], hidden_channels=32) if wide else NETWORKS[name],
        partial(Conditioner, channels=8, num_residual_blocks=1, residual_channels=8),
        grid=grid,
        num_embeddings=k,
        **sizes,
        optimizer=partial(Adam, lr=1e-2),
        schedule=Constant(),
    ).eval()


def labelled(label: torch.Tensor) -> Condition:
    return Condition(given={"label": label})


@pytest.mark.parametrize("name", NETWORKS)
def test_the_probabilities_of_all_maps_sum_to_one(name: str):
    model = prior(name, (2, 2), 3, num_classes=2)
    maps = torch.tensor(list(itertools.product(range(3), repeat=4))).view(-1, 2, 2)
    for label in (0, 1):
        total = model.log_prob(maps, labelled(torch.full((len(maps),), label))).double().sum((1, 2)).exp().sum()
        assert total.item() == pytest.approx(1.0, abs=1e-5)


def test_the_loss_is_the_mean_of_the_negative_log_probability():
    model, codes = prior(), torch.randint(5, (6, 3, 4))
    terms = model.objective(CodeBatch([codes], {}, torch.arange(6)))
    assert torch.isclose(terms.loss, -model.log_prob(codes).mean())


def test_the_bottom_prior_depends_on_every_upper_level():
    model = prior(grid=(4, 8), upper_grids=[[1, 2], [2, 4]], upper_num_embeddings=[3, 4])
    codes, upper = torch.randint(5, (1, 4, 8)), [torch.zeros(1, 1, 2).long(), torch.zeros(1, 2, 4).long()]
    before = model.log_prob(codes, Condition(upper))
    for level in (0, 1):
        changed = [u.clone() for u in upper]
        changed[level][0, 0, 0] = 1
        assert not torch.allclose(model.log_prob(codes, Condition(changed)), before)


def test_a_sample_depends_on_its_seed_and_number_and_not_on_the_batch():
    model = prior()
    many = model.sample(6, sampling=Sampling(seed=3))
    assert torch.equal(model.sample(2, sampling=Sampling(seed=3)), many[:2])
    assert not torch.equal(model.sample(6, sampling=Sampling(seed=4)), many)
    assert not torch.equal(many[0], many[1])


def test_known_codes_are_kept():
    model = prior()
    codes, mask = torch.randint(5, (2, 3, 4)), torch.rand(2, 3, 4) < 0.5
    drawn = model.sample(2, known=KnownCodes(mask, codes))
    assert torch.equal(drawn[mask], codes[mask])


def test_drawing_leaves_the_mode_as_it_was():
    model = prior().train()
    model.sample(1)
    assert model.training


def test_guidance_moves_a_sample_and_labels_matter():
    model = prior(num_classes=2, grid=(6, 6))
    with torch.no_grad():
        model.conditioner.label.embedding.weight.mul_(10)
    a, b = (model.sample(4, labelled(torch.full((4,), label))) for label in (0, 1))
    assert not torch.equal(a, b)
    assert not torch.equal(model.sample(4, labelled(torch.zeros(4).long()), Sampling(guidance=5.0)), a)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prior_learns_a_few_maps_by_heart(name: str):
    model = prior(name, wide=True).train()
    codes = torch.randint(5, (4, 3, 4))
    batch = CodeBatch([codes], {}, torch.arange(4))
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        loss = model.objective(batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    floor = math.log(4) / 12  # four maps, all likely: no model can know which one comes
    assert loss.item() < floor + 0.03


def test_the_keras_recipe_has_the_published_number_of_parameters():
    model = RasterPrior(PixelCNN, Conditioner, (7, 7), 128, [], [], 0, optimizer=Adam, schedule=Constant())
    assert sum(p.numel() for p in model.parameters()) == 1_049_728


BEFORE = Path(__file__).parent / "before"  # written, with their logits, before the networks had the paths named below


@pytest.mark.parametrize("name", ["gated_pixelcnn", "pixelsnail"])
def test_a_checkpoint_from_before_the_residual_path_or_the_vertical_stream_computes_what_it_did(
    name: str, tmp_path: Path
):
    file = BEFORE / f"{name}.ckpt"
    stored, model = torch.load(file, weights_only=True), load(file).double()
    codes, label, logits = stored["codes"], stored["label"], stored["logits"]
    torch.testing.assert_close(model(codes, labelled(label)), logits, rtol=0, atol=1e-12)
    saved_again = {**stored, "state_dict": model.state_dict()}
    torch.save(saved_again, tmp_path / "again.ckpt")
    again = load(tmp_path / "again.ckpt").double()
    torch.testing.assert_close(again(codes, labelled(label)), logits, rtol=0, atol=1e-12)
    with torch.no_grad():
        state = begin(model.network, 1, codes.shape[1:], model.conditioner(labelled(label)))
    for i, code in enumerate(codes.flatten()):
        torch.testing.assert_close(state.logits()[0], logits.flatten(2)[0, :, i], rtol=0, atol=1e-10)
        state.push(code[None])


def without_dropout(**kwargs: Any) -> RasterPrior:
    model = prior(num_classes=2, **kwargs)
    model.conditioner.label.dropout = 0.0
    return model


def test_a_prior_that_knows_no_image_without_class_is_not_asked_for_one():
    model, codes = without_dropout(), torch.randint(5, (2, 3, 4))
    label = torch.zeros(2).long()
    ways = [
        lambda: model.sample(2),
        lambda: model.sample(2, labelled(label), Sampling(guidance=2.0)),
        lambda: model.log_prob(codes),
        lambda: model.begin(2),
        lambda: model.log_prob(codes, labelled(label + 2)),  # the number of no class
    ]
    for way in ways:
        with pytest.raises(UserError, match=r"label_dropout=0.*give every sample a label and guidance=1, or train"):
            way()
    model.sample(2, labelled(label))
    model.log_prob(codes, labelled(label))


def test_a_prior_that_has_seen_images_without_class_draws_without_one():
    model = prior(num_classes=2)
    assert model.sample(2).shape == model.sample(2, labelled(torch.zeros(2).long()), Sampling(guidance=2.0)).shape


def test_what_the_images_do_not_tell_or_tell_too_much_of_is_named_before_the_network_sees_it():
    corners = {"corners": partial(LabelEmbedding, num_classes=3)}
    model = RasterPrior(
        NETWORKS["pixelcnn"],
        partial(Conditioner, channels=8, others=corners),
        (2, 2),
        3,
        [],
        [],
        0,
        optimizer=partial(Adam, lr=1e-2),
        schedule=Constant(),
    )
    codes, index = [torch.zeros(2, 2, 2, dtype=torch.long)], torch.arange(2)
    with pytest.raises(UserError, match=r"takes corners, which the images do not tell \(did you mean corner\?\)"):
        model.objective(CodeBatch(codes, {"corner": index}, index))
    with pytest.raises(UserError, match="corners=3: there are 3, from 0"):  # and 3 stands for images without corners
        model.on_before_batch_transfer(CodeBatch(codes, {"corners": index + 2}, index), 0)


def test_a_batch_is_a_part_of_the_whole():
    model = prior()
    sampling = Sampling(seed=3)
    assert torch.equal(model.sample(4, sampling=sampling)[2:], model.sample(2, sampling=sampling, first=2))


def test_levels_have_random_numbers_of_their_own():
    top, bottom = prior(k=64), prior(k=64)
    bottom.level = 1  # all else the same
    drawn = [model.sample(2, sampling=Sampling(seed=seed)).tolist() for model in (top, bottom) for seed in (0, 1)]
    assert all(a != b for a, b in itertools.combinations(drawn, 2))
