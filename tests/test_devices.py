"""One answer to which device: in a training the trainer's, of `hardware`; elsewhere what `device=` says."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_only

import vqgen
from tests.conftest import ROOT, composed
from tests.pretended import DEVICE, PretendedDevice
from tests.test_experiment import IMAGES, NETWORK, SMALL, train_in
from vqgen import experiment, load
from vqgen.batch import Condition
from vqgen.devices import Place, device_of, fork_rng, place
from vqgen.environment.launcher import is_first
from vqgen.errors import ConfigError
from vqgen.runs import opening
from vqgen.training.source import Machine

ASKED = re.compile(
    r"cuda\.(is_available|device_count|current_device)|mps\.is_available|get_rank\(|get_world_size\("
    r"|environ.*(RANK|PROCID|LOCALID)|fork_rng\(\)"
)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has two GPUs, and on which any tensor that goes to one raises."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_in(tmp_path_factory.mktemp("runs") / "vqvae", ["model=vqvae", *NETWORK, *IMAGES, *SMALL])


@pytest.fixture(scope="module")
def prior(tokenizer: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 2)
        return train_in(tokenizer.parent / "prior", prior_words(tokenizer))


def prior_words(tokenizer: Path) -> list[str]:
    sizes = ["model.network.hidden_channels=8", "model.network.num_layers=2", "model.conditioner.channels=8"]
    return ["model=gated_pixelcnn", f"tokenizer={tokenizer}", "data.batch_size=16", *sizes, *SMALL]


def test_devices_and_ranks_are_asked_for_in_one_place():
    files = [path for path in Path(vqgen.__path__[0]).rglob("*.py") if ASKED.search(path.read_text())]
    assert {path.name for path in files} == {"devices.py", "launcher.py"}  # once processes have joined, and before


@pytest.mark.parametrize(
    ("words", "device"),
    [
        (["hardware=cpu"], "cpu"),
        (["hardware=auto"], "cuda:0"),
        (["hardware=gpu"], "cuda:0"),
        (["hardware=gpu", "hardware.devices=[1]"], "cuda:1"),
        (["hardware=gpu", "hardware.devices='1,'"], "cuda:1"),
        (["hardware=ddp"], "cuda:0"),
        (["hardware=ddp", "hardware.accelerator=cpu", "hardware.devices=2"], "cpu"),
    ],
)
def test_a_training_is_where_hardware_says(words: list[str], device: str, two_gpus: None):
    config = experiment.plain(composed(["model=vqvae", *words]))
    assert experiment.machine_of(config).device == torch.device(device)


def test_each_process_of_a_training_has_its_own_gpu(two_gpus: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # Lightning sets it, and it would stay
    config = experiment.plain(composed(["model=vqvae", "hardware=ddp"]))
    assert experiment.machine_of(config).device == device_of("auto") == torch.device("cuda:1")
    assert not is_first()


def test_a_training_on_the_cpu_of_a_machine_with_gpus_touches_none(prior: Path, two_gpus: None):
    assert (prior / "checkpoints" / "best.ckpt").is_file()
    kept = torch.load(prior / "checkpoints" / "last.ckpt", weights_only=True)["vqgen"]["random_states"][0]
    assert kept["cuda"] == []
    train_in_again(prior)


def train_in_again(folder: Path) -> None:
    """The run gone on with, one epoch longer."""
    from vqgen.config.resume import resumed

    assert experiment.train(resumed(str(folder), {"trainer.max_epochs": 2, "trust": True}), folder) is not None


@pytest.mark.parametrize("choice", ["cpu", torch.device("cpu")])
def test_a_run_is_opened_on_the_device_that_is_asked_for(prior: Path, choice: Any, two_gpus: None):
    trained = opening.open_trained(prior, device=choice)
    assert {trained.model.device, trained.tokenizer.device, load(prior, device=choice).device} == {torch.device("cpu")}
    assert trained.open(str(prior)).model.device == torch.device("cpu")  # a classifier, say


def test_all_models_of_a_run_are_on_one_device(prior: Path):
    with PretendedDevice():
        trained = opening.open_trained(prior, device=DEVICE)
        other = trained.open(str(prior))
        for model in (*trained.priors, trained.tokenizer, *other.priors, other.tokenizer, load(prior, device=DEVICE)):
            assert model.device == DEVICE


def test_the_tokenizer_of_a_training_goes_to_the_device_of_its_trainer(tokenizer: Path, tmp_path: Path):
    config = experiment.plain(composed([*prior_words(tokenizer), f"data_dir={tokenizer.parent / 'other'}"]))
    with PretendedDevice():
        source = experiment.open_source(config, tmp_path, Machine(DEVICE, 1))  # and extracts the codes there
    assert source.tokenizer.device == DEVICE


def test_meta_tensors_show_that_no_other_device_is_used(prior: Path):
    model: Any = load(prior, device=torch.device("meta"))
    drawn = model.sample(2, Condition(given={"label": torch.zeros(2, dtype=torch.long, device="meta")}))
    assert drawn.device.type == "meta"
    tokenizer: Any = load(prior.parent / "vqvae", device=torch.device("meta"))
    assert tokenizer.decode([drawn]).device.type == "meta"


@pytest.mark.parametrize(
    ("choice", "device"), [("cpu", "cpu"), ("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")]
)
def test_words_for_devices(choice: str, device: str, two_gpus: None):
    assert device_of(choice) == torch.device(device)


def test_without_a_gpu_auto_is_the_cpu():
    if not torch.cuda.is_available():
        assert device_of("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("cdua", "device=cdua: there is no such device (did you mean cuda?)"),
        ("cuda:x", "device=cuda:x: there is no such device (did you mean cuda:"),
        ("gpu", "device=gpu: there is no such device"),
        ("1", "device=1: there is no such device"),
        ("cuda:2", "device=cuda:2: this machine has 2 CUDA GPUs, from cuda:0 to cuda:1"),
        ("mps", "device=mps: torch finds no GPU of Apple here; take cpu or auto"),
    ],
)
def test_a_device_that_is_not_there_is_told_in_a_line(choice: Any, message: str, two_gpus: None):
    with pytest.raises(ConfigError) as error:
        device_of(choice)
    assert str(error.value).startswith(message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without a GPU")
def test_a_gpu_where_there_is_none_is_told_in_a_line(prior: Path):
    with pytest.raises(ConfigError, match="device=cuda: torch finds no CUDA GPU here; take cpu or auto"):
        opening.open_trained(prior, device="cuda")
    with pytest.raises(ConfigError, match="No supported gpu backend found"):
        experiment.machine_of(experiment.plain(composed(["model=vqvae", "hardware=gpu"])))


def test_random_numbers_are_put_back_on_this_device_alone(two_gpus: None):
    before = torch.get_rng_state()
    with fork_rng(torch.device("cpu")):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_so_are_those_of_a_gpu_of_apple(monkeypatch: pytest.MonkeyPatch):
    state = [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[0].clone())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda new: state.__setitem__(0, new))
    with fork_rng(torch.device("mps")):
        state[0] += 1
    assert state == [torch.tensor([1])]


def test_a_process_alone_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch):
    assert place() == Place(0, 1)
    assert is_first()
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert not is_first()


def test_the_help_of_sample_shows_the_devices():
    text = (ROOT / "conf" / "sample.yaml").read_text()
    assert re.search(r"^device: auto +# .*cuda:1", text, re.MULTILINE)
