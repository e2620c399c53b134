"""Losses by name, and their weighted sum."""

import pytest
import torch

from vqgen.optim import weighted


def test_a_loss_counts_its_weight_and_once_where_it_has_none():
    losses = {"recon_loss": torch.tensor(2.0, requires_grad=True), "kl": torch.tensor(4.0, requires_grad=True)}
    objective = weighted(losses, {"kl": 0.25}, figures={"accuracy": torch.tensor(0.5)})
    assert objective.loss == 3
    assert [float(gradient) for gradient in torch.autograd.grad(objective.loss, [*losses.values()])] == [1, 0.25]


def test_every_term_is_logged_under_its_own_name_and_without_its_weight():
    objective = weighted({"nll": torch.tensor(2.0)}, {"nll": 3.0}, figures={"accuracy": torch.tensor(0.5)})
    assert objective.terms == {"loss": 6, "nll": 2, "accuracy": 0.5}


def test_further_losses_count_their_own_weights():
    objective = weighted({"recon_loss": torch.tensor(2.0)}, {}, outputs={"x_hat": torch.tensor(1.0)})
    more = objective.plus({"adversarial_loss": torch.tensor(4.0)}, {"adversarial_loss": 0.5})
    assert more.terms == {"loss": 4, "recon_loss": 2, "adversarial_loss": 4}
    assert more.outputs == objective.outputs


def test_a_weight_of_no_loss_is_named_with_the_near_miss():
    with pytest.raises(ValueError, match=r"recon_los=2.0: there is no such loss \(did you mean recon_loss\?\)"):
        weighted({"recon_loss": torch.tensor(1.0)}, {"recon_los": 2.0})
