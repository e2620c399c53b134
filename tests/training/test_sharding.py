"""Training in which each process keeps a part of every weight: what it keeps, what it refuses, and what it ends as."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.conftest import Command
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen.errors import ConfigError
from vqgen.nn.priors import GatedPixelCNN, Transformer
from vqgen.training.sharding import check, num_own, shard, without_weights

RANKS = 8
PRIOR = [
    "model=transformer",
    *(word for word in SMALL if "hardware" not in word and "epochs" not in word),
    "model.network.channels=16",
    "model.network.num_layers=2",
    "model.network.num_heads=2",
    "model.network.dropout=0.0",  # each process draws its own
    "model.conditioner.label_dropout=0.0",
    "extras=averaged_weights",
    "trainer.gradient_clip_val=0.05",  # at work in every step
    "schedule=constant",
    "optim.lr=3e-3",
    "trainer.log_every_n_steps=1",
]
ALONE = ["hardware=cpu", "data.batch_size=16"]
TWO = ["hardware=fsdp", "hardware.accelerator=cpu", "hardware.devices=2", "hardware.precision=32-true"]
TWO += ["hardware.num_workers=0", "data.batch_size=8"]


class Prior(nn.Module):
    """What a prior has, as far as sharding is concerned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


@pytest.fixture
def eight_ranks() -> Iterator[None]:
    """As rank 0 of eight, whose messages come from nowhere."""
    dist.init_process_group("fake", rank=0, world_size=RANKS, store=FakeStore())
    yield
    dist.destroy_process_group()


def test_each_rank_keeps_its_part_of_two_billion_weights_and_of_their_moments(eight_ranks: None):
    with torch.device("meta"):
        model = Prior(Transformer(num_embeddings=2047, channels=2048, num_layers=40, num_heads=32))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total > 2e9
    shard(model, init_device_mesh("cpu", (RANKS,)))
    assert num_own(model) == pytest.approx(total / RANKS, rel=1e-3)  # 2047 logits are not 8 equal parts
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.step()
    moments = [state[key].to_local() for state in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    assert sum(moment.numel() for moment in moments) == 2 * num_own(model)


def test_all_but_a_layer_is_gathered_with_its_own_layer_alone(eight_ranks: None):
    model = Prior(Transformer(num_embeddings=7, channels=16, num_layers=3, num_heads=2))
    shard(model, init_device_mesh("cpu", (RANKS,)))
    units = [name for name, module in model.named_modules() if type(module).__name__.startswith("FSDP")]
    assert units == ["network", "network.blocks.0", "network.blocks.1", "network.blocks.2"]


def test_a_model_without_weights_has_its_sizes_and_takes_others():
    model = Prior(Transformer(num_embeddings=7, channels=16, num_layers=1, num_heads=2))
    empty = without_weights(model)
    assert all(parameter.is_meta for parameter in empty.parameters())
    empty.load_state_dict(model.state_dict(), assign=True)
    codes = torch.randint(7, (2, 4, 4))
    assert torch.equal(empty.eval().network(codes), model.eval().network(codes))


@pytest.mark.parametrize(
    ("change", "precision", "message"),
    [
        (lambda model: setattr(model, "network", GatedPixelCNN(7)), "32-true", "GatedPixelCNN is not trained in parts"),
        (lambda model: delattr(model, "network"), "32-true", "take hardware=ddp"),
        (lambda model: None, "16-mixed", "take bf16-mixed, or 32-true"),
        (lambda model: model.network.compile(), "32-true", "hardware.compile=true"),
        (lambda model: _transpose(model.network.output), "32-true", "hardware.channels_last=true"),
    ],
)
def test_what_cannot_be_trained_in_parts_is_refused(change: Any, precision: str, message: str):
    model = Prior(Transformer(num_embeddings=7, channels=16, num_layers=1, num_heads=2))
    check(model, "32-true")
    change(model)
    with pytest.raises(ConfigError, match=message):
        check(model, precision)


def _transpose(linear: nn.Linear) -> None:
    linear.weight.data = linear.weight.data.t().contiguous().t()


def last(run: Path) -> dict[str, Any]:
    contents = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert contents["global_step"] == 6
    for group in contents["optimizer_states"][0]["param_groups"]:
        assert group.pop("name") in ("rest", "no_decay")
        group.pop("param_names")
    return contents


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_as_two_and_as_one_again_and_ends_as_one(command: Command, tmp_path: Path):
    tokenizer = train_in(tmp_path / "vqvae", ["model=vqvae", *NETWORK, *IMAGES, *SMALL])
    words = [*PRIOR, f"tokenizer={tokenizer}"]
    alone = train_in(tmp_path / "alone", [*words, *ALONE, "trainer.max_epochs=3"])
    run = train_in(tmp_path / "run", [*words, *ALONE, "trainer.max_epochs=1"])
    done = command("train.py", f"resume={run}", *TWO, "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert "Each of 2 processes keeps" in done.stdout + done.stderr
    assert (run / "images" / "samples_0002.png").exists()
    train_in(run, [*words, f"resume={run}", *ALONE, "trainer.max_epochs=3"])
    found, expected = last(run), last(alone)
    assert found.keys() == expected.keys()
    for key in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-5)
