"""The condition map is made of every upper level and the label, at the true ratio of the grids."""

from functools import partial

import pytest
import torch

from vqgen.batch import Condition
from vqgen.errors import UserError
from vqgen.nn.priors.conditioner import Conditioner, LabelEmbedding


def labelled(label: torch.Tensor) -> Condition:
    return Condition(given={"label": label})


def codes(*grid: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(5, (batch, *grid))


@pytest.mark.parametrize("grid", [(8, 12), (4, 18)])
def test_the_map_has_the_grid_of_the_level_whatever_the_ratio(grid):
    conditioner = Conditioner(grid, [5, 6], [[2, 3], [4, 6]], channels=7)
    condition = conditioner(Condition([codes(2, 3), codes(4, 6)]))
    assert condition.shape == (2, 7, *grid)
    assert conditioner.out_channels == 7


def test_a_code_changes_the_map_at_its_own_place_most_locally():
    conditioner = Conditioner((8, 8), [5], [[4, 4]], channels=7, num_residual_blocks=0)
    first = codes(4, 4)
    second = first.clone()
    second[:, 1, 2] = (first[:, 1, 2] + 1) % 5
    changed = (conditioner(Condition([first])) - conditioner(Condition([second]))).abs().sum(1) > 0
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[2:4, 4:6] = True
    assert (changed == expected).all()


def test_every_upper_level_is_heard():
    conditioner = Conditioner((8, 8), [5, 5], [[2, 2], [4, 4]], channels=7)
    top, middle = codes(2, 2), codes(4, 4)
    base = conditioner(Condition([top, middle]))
    assert not torch.equal(base, conditioner(Condition([(top + 1) % 5, middle])))
    assert not torch.equal(base, conditioner(Condition([top, (middle + 1) % 5])))


def test_nothing_conditions_without_levels_and_labels():
    conditioner = Conditioner((8, 8))
    assert conditioner(Condition()) is None
    assert conditioner.out_channels == 0
    assert not list(conditioner.parameters())


def test_labels_alone_make_a_map_of_one_cell():
    conditioner = Conditioner((8, 8), num_classes=3, channels=7).eval()
    assert conditioner(labelled(torch.tensor([0, 2]))).shape == (2, 7, 1, 1)
    assert conditioner(Condition(), num_samples=4).shape == (4, 7, 1, 1)


def test_no_label_is_a_class_of_its_own():
    conditioner = Conditioner((4, 4), [5], [[2, 2]], num_classes=2, channels=7).eval()
    upper = codes(2, 2)
    known = [{"label": torch.tensor([0, 0])}, {"label": torch.tensor([1, 1])}, {}]
    maps = [conditioner(Condition([upper], given)) for given in known]
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])


def test_label_dropout_acts_in_training_only_and_in_its_share():
    conditioner = Conditioner((4, 4), num_classes=2, channels=7, label_dropout=0.25)
    label = torch.zeros(4000, dtype=torch.long)
    null = conditioner.label.embedding.weight[2]
    dropped = (conditioner(labelled(label))[:, :, 0, 0] == null).all(1).double().mean().item()
    assert abs(dropped - 0.25) < 0.04
    assert not (conditioner.eval()(labelled(label))[:, :, 0, 0] == null).all(1).any()


def test_wrong_grids_are_refused():
    with pytest.raises(ValueError, match=r"\[8, 9\] is no multiple"):
        Conditioner((8, 9), [5], [[4, 4]])
    with pytest.raises(ValueError, match="upper_num_embeddings has 1 levels and upper_grids 0"):
        Conditioner((8, 8), [5], [])
    conditioner = Conditioner((8, 8), [5, 5], [[2, 2], [4, 4]])
    assert conditioner(Condition([codes(3, 4), codes(6, 8)])).shape[2:] == (12, 16)  # of larger images
    for upper in ([codes(2, 2)], [codes(2, 4), codes(4, 4)], [codes(1, 1), codes(4, 4)]):
        with pytest.raises(ValueError, match="the upper codes have grids"):
            conditioner(Condition(upper))


def test_each_thing_that_is_given_has_its_own_embedding_and_the_rest_is_left():
    torch.manual_seed(0)
    corners = partial(LabelEmbedding, num_classes=6)
    conditioner = Conditioner((4, 4), num_classes=3, channels=7, others={"corners": corners}).eval()
    given = {"label": torch.tensor([0, 2]), "corners": torch.tensor([5, 3])}
    both = conditioner(Condition(given=given))
    expected = conditioner.label.embedding(given["label"]) + conditioner.others["corners"].embedding(given["corners"])
    torch.testing.assert_close(both[:, :, 0, 0], expected)
    assert torch.equal(conditioner(Condition(given={**given, "weather": torch.zeros(2)})), both)
    label_alone = conditioner(labelled(given["label"]))
    none = conditioner.others["corners"].embedding(torch.tensor([6, 6]))
    torch.testing.assert_close(label_alone[:, :, 0, 0], conditioner.label.embedding(given["label"]) + none)


def test_a_kind_that_there_is_not_is_named():
    conditioner = Conditioner((4, 4), num_classes=3, others={"corners": partial(LabelEmbedding, num_classes=6)})
    conditioner.check(Condition(given={"label": torch.tensor([0, 3]), "corners": torch.tensor([5, 6])}))
    with pytest.raises(UserError, match=r"corners=9: there are 6, from 0 \(num_classes\)"):
        conditioner.check(Condition(given={"corners": torch.tensor([1, 9])}))
    with pytest.raises(UserError, match="label=-1: there are 3, from 0"):
        conditioner.check(labelled(torch.tensor([-1])))
    with pytest.raises(UserError, match="label=3: there are 3, from 0"):  # which would be no class
        conditioner.check(labelled(torch.tensor([0, 3])), none=False)
