"""The network of another run that a perceptual loss compares by, and the critic: what is refused, and what is said."""

import csv
from pathlib import Path

import pytest
import torch

from tests.test_experiment import FLAT, IMAGES, NETWORK, SMALL, train_in
from vqgen import load
from vqgen.errors import CheckpointError, ConfigError
from vqgen.nn.sizes import num_parameters
from vqgen.runs.fingerprint import fingerprint
from vqgen.runs.opening import open_trained
from vqgen.tasks import Evaluate

VQVAE = ["model=vqvae", *NETWORK, *IMAGES, *SMALL]
COMPARES = "model/likelihood=perceptual"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    return train_in(folder, ["model=classifier", "model.network.hidden_channels=[4,8]", *IMAGES, *SMALL])


@pytest.fixture(scope="module")
def compared(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer trained by what the classifier sees."""
    folder = tmp_path_factory.mktemp("runs") / "compared"
    return train_in(folder, [*VQVAE, COMPARES, f"perceptual={classifier}", "model/critic=patch"])


def of_foreign_class(run: Path, key: str, file: Path) -> Path:
    """A checkpoint whose model names a class that is not ours."""
    contents = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    node = contents["vqgen"]["config"]["model"]
    for name in key.split("."):
        node = node[name]
    node["_target_"] = "os.system"
    torch.save(contents, file)
    return file


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([COMPARES], "perceptual=RUN is needed"),
        (["perceptual=RUN"], "only beside model/likelihood=perceptual"),
        ([COMPARES, "perceptual=fashion_classifier"], "its images have 1 channels, and these 3"),
        ([COMPARES, "perceptual=fashion_vqvae_transformer"], "a RasterPrior, which sees no images"),
    ],
)
def test_a_perceptual_loss_without_its_network_is_refused(
    words: list[str], message: str, classifier: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        train_in(tmp_path / "run", [*VQVAE, *(word.replace("RUN", str(classifier)) for word in words)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.likelihood.layers=[]"], r"perceptual=.*: layers=\[\]: none of them gives a map"),
        (["model.likelihood.layers=[nope]"], r"the network has no nope \(there are: network.body"),
        (["model.likelihood.layers={network.body:0.0}"], "every weight must be more than 0"),
    ],
)
def test_layers_that_compare_nothing_are_refused_before_the_training(
    words: list[str], message: str, classifier: Path, tmp_path: Path
):
    with pytest.raises(ConfigError, match=message):
        train_in(tmp_path / "run", [*VQVAE, COMPARES, f"perceptual={classifier}", *words])


def test_a_network_of_images_of_another_size_is_refused(tmp_path: Path):
    smaller = train_in(tmp_path / "ae", ["model=ae", *FLAT, *IMAGES, *SMALL])
    with pytest.raises(ConfigError, match=r"perceptual=.*: x has shape \(3, 32, 32\)"):
        train_in(tmp_path / "run", [*VQVAE, "data.size=32", COMPARES, f"perceptual={smaller}"])


def test_a_critic_judges_the_mean_of_a_mixture_too(tmp_path: Path):
    words = [*VQVAE, "model/likelihood=discretized_logistic", "model/critic=patch", "model.critic.start_step=0"]
    train_in(tmp_path / "run", words)


def test_the_fingerprint_knows_how_much_rare_codes_cost(tmp_path: Path):
    words = [*VQVAE, "model.quantizer.rate_weight=0.01"]
    one = train_in(tmp_path / "one", words)
    words = [*VQVAE, "model.quantizer.rate_weight=3.0", f"weights={one}", "freeze=[encoder,quantizer]"]
    assert fingerprint(load(one)) != fingerprint(load(train_in(tmp_path / "other", words)))


def test_figures_by_the_network_of_the_loss_are_noted(compared: Path, classifier: Path):
    images = {"metrics": ["rfid"], "split": "train"}
    outcome = Evaluate(**images, classifier=str(classifier))(open_trained(compared))
    assert "the training of this run goes by this classifier" in outcome.text


def test_a_network_that_names_what_is_not_ours_is_not_built(classifier: Path, compared: Path, tmp_path: Path):
    file = of_foreign_class(classifier, "network", tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match=r"other.ckpt' names model.network._target_=os.system, .*: refused"):
        train_in(tmp_path / "run", [*VQVAE, COMPARES, f"perceptual={file}"])
    last = compared / "checkpoints" / "last.ckpt"
    kept = last.read_bytes()
    try:
        of_foreign_class(compared, "likelihood.network.network", last)
        with pytest.raises(CheckpointError, match=r"names model.likelihood.network.network._target_=os.system"):
            train_in(compared, [*VQVAE, COMPARES, f"perceptual={classifier}", f"resume={compared}"])
    finally:
        last.write_bytes(kept)


def test_a_run_that_goes_on_keeps_its_network(compared: Path):
    with pytest.raises(ConfigError, match=r"perceptual=fashion_classifier: '.*' goes on with the network that it has"):
        train_in(compared, [*VQVAE, COMPARES, "perceptual=fashion_classifier", f"resume={compared}"])


def test_the_network_is_that_of_perceptual_also_where_weights_bring_another(
    compared: Path, classifier: Path, tmp_path: Path
):
    words = ["model=classifier", "model.network.hidden_channels=[4,8]", "seed=5"]
    other = train_in(tmp_path / "other", [*words, *IMAGES, *SMALL])
    words = [*VQVAE, COMPARES, f"perceptual={other}", "model/critic=patch", f"weights={compared}"]
    network = load(train_in(tmp_path / "run", words)).likelihood.network
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in load(other).state_dict().items())


def test_an_autoencoder_of_vectors_may_compare_by_it_too(classifier: Path, tmp_path: Path):
    run = train_in(tmp_path / "ae", ["model=ae", *FLAT, *IMAGES, *SMALL, COMPARES, f"perceptual={classifier}"])
    row = list(csv.DictReader((run / "metrics.csv").open()))[-1]
    assert float(row["test/perceptual_loss"]) > 0


def test_the_parameters_of_a_model_are_not_those_of_its_critic_or_its_loss(compared: Path, tmp_path: Path):
    assert num_parameters(load(compared)) == num_parameters(load(train_in(tmp_path / "plain", VQVAE)))


def test_a_frozen_decoder_has_no_layer_to_weigh_the_critic_by(compared: Path, classifier: Path, tmp_path: Path):
    words = [*VQVAE, COMPARES, f"perceptual={classifier}", "model/critic=patch", f"weights={compared}"]
    words += ["freeze=[decoder]", "model.critic.start_step=0"]
    with pytest.raises(ConfigError, match=r"model.critic.adaptive=true: nothing of the decoder is trained; take false"):
        train_in(tmp_path / "run", words)
    train_in(tmp_path / "fixed", [*words, "model.critic.adaptive=false"])


def test_what_the_best_weights_go_by_is_said_beside_a_critic(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    train_in(tmp_path / "run", [*VQVAE, "model/critic=patch"])
    assert "best.ckpt keeps the lowest val/recon_loss, which knows nothing of the critic" in caplog.text
