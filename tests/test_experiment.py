"""Every model trains: two steps of each yaml, through the same function as the command line."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.conftest import composed
from vqgen.config.check import check
from vqgen.drawing import NEUTRAL
from vqgen.errors import ConfigError, UserError
from vqgen.experiment import train
from vqgen.measure.sources import draw_levels
from vqgen.runs.opening import open_trained
from vqgen.tasks import Codebook, Complete, Evaluate, Morph, Sample, coding

SMALL = [
    "hardware=cpu",
    "logger=csv",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "trainer.enable_progress_bar=false",
    "trainer.enable_model_summary=false",
]
IMAGES = [
    "data=shapes",
    "data.size=16",
    "data.num_train=32",
    "data.num_val=16",
    "data.num_test=16",
    "data.batch_size=16",
]
NETWORK = ["model.encoder.hidden_channels=8", "model.encoder.residual_channels=8"]
FLAT = ["model.encoder.hidden_channels=[8,8]", "model.decoder.hidden_channels=[8,8]"]
HIERARCHY = ["model.hidden_channels=8", "model.residual_channels=8", "model.quantizer.num_embeddings=8"]
MODELS = {
    "vqvae": NETWORK,
    "vqvae2": HIERARCHY,
    "vqvae2_3level": [*HIERARCHY, "model.downsampling=[2,2,2]"],
    "rqvae": [*NETWORK, "model.depth=2", "model.quantizer.num_embeddings=8"],
    "rqvae_map": [*NETWORK, "model.depth=2", "model.quantizer.num_embeddings=8"],
    "multiscale": [*NETWORK, "model.scales=[1,2,4]", "model.quantizer.num_embeddings=8"],
    "ae": FLAT,
    "vae": FLAT,
    "vae_iaf": FLAT,
}
PRIORS = {
    "pixelcnn": ["model.network.hidden_channels=8"],
    "gated_pixelcnn": ["model.network.hidden_channels=8", "model.network.num_layers=2"],
    "pixelsnail": [
        "model.network.hidden_channels=8",
        "model.network.residual_channels=8",
        "model.network.num_layers=2",
        "model.network.attention_channels=8",
        "model.network.num_heads=2",
    ],
}


def train_in(folder: Path, words: Sequence[str]) -> Path:
    """Train as the command line would, with the datasets beside the folder."""
    cfg = composed([*words, f"run_dir={folder}", f"data_dir={folder.parent / 'data'}"])
    check(cfg)
    score = train(cfg, folder)
    assert score is not None
    assert torch.isfinite(torch.tensor(score))
    assert (folder / "checkpoints" / "best.ckpt").exists()
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "vqvae2"
    return train_in(folder, ["model=vqvae2", *HIERARCHY, *IMAGES, *SMALL])


@pytest.mark.parametrize("model", MODELS)
def test_every_autoencoder_trains(model: str, tmp_path: Path):
    train_in(tmp_path / model, [f"model={model}", *MODELS[model], *IMAGES, *SMALL])


@pytest.mark.parametrize(
    "quantizer", ["gradient", "fsq", "cosine", "rotation", "simvq", "diveq", "ibq", "gumbel", "lfq", "bsq"]
)
def test_every_quantizer_trains(quantizer: str, tmp_path: Path):
    train_in(tmp_path / quantizer, ["model=vqvae", f"model/quantizer={quantizer}", *NETWORK, *IMAGES, *SMALL])


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "classifier"
    return train_in(folder, ["model=classifier", "model.network.hidden_channels=[4,8]", *IMAGES, *SMALL])


@pytest.mark.parametrize("model", ["vqvae", "vqvae2", "rqvae_map", "multiscale"])
def test_every_tokenizer_trains_against_a_critic_and_by_what_a_network_sees(
    model: str, classifier: Path, tmp_path: Path
):
    words = [f"model={model}", *MODELS[model], *IMAGES, *SMALL, "trainer.log_every_n_steps=1"]
    losses = ["model/likelihood=perceptual", f"perceptual={classifier}", "model/critic=patch"]
    critic = ["model.critic.network.hidden_channels=4", "model.critic.start_step=1"]
    folder = train_in(tmp_path / model, [*words, *losses, *critic])
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    wanted = ("perceptual_loss", "adversarial_loss", "adversarial_balance", "critic_loss", "critic_lecam")
    assert all(any(row[f"train/{name}"] for row in rows) for name in wanted)
    trained = open_trained(folder)
    network, given = trained.model.likelihood.network, open_trained(classifier).model
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in given.state_dict().items())


@pytest.fixture(scope="module")
def scales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "multiscale"
    return train_in(folder, ["model=multiscale", *MODELS["multiscale"], *IMAGES, *SMALL])


@pytest.mark.parametrize("level", [None, "2x2"])
def test_a_prior_of_all_levels_or_those_down_to_one_trains_is_drawn_from_and_codes_files(
    level: str | None, scales: Path, tmp_path: Path
):
    network = ["model.network.channels=16", "model.network.num_layers=1", "data.batch_size=16"]
    words = ["model=next_scale", f"tokenizer={scales}", *network, *SMALL, *([f"level={level}"] if level else [])]
    train_in(tmp_path / "prior", words)
    trained = open_trained(tmp_path / "prior")
    assert trained.missing_priors == (["4x4"] if level else [])
    assert len(trained.priors) == 2 + (level is None)
    assert len(trained.modules) == 2
    if level:
        return
    Sample(num_samples=4)(trained)
    Complete(images=[0, 1])(trained)
    sizes = Evaluate(metrics=["likelihood"], num_samples=8)(trained).records["evaluation"]["metrics"]
    assert {f"nats_per_code_{name}" for name in ("1x1", "2x2", "4x4")} <= {*sizes}
    codes = trained.coder.encode(trained.first(3).x)
    files = {str(i): one.contents for i, one in enumerate(coding.compressed(trained, codes, [0, 1, None]))}
    read = coding.decompressed(trained, coding.blocks_of(trained, files))
    for i, image in enumerate(read):
        assert all(torch.equal(a, b[i : i + 1]) for a, b in zip(image.codes, codes, strict=True))


def test_a_prior_of_places_and_their_codes_trains_is_drawn_from_completes_and_codes_files(tmp_path: Path):
    tokenizer = train_in(tmp_path / "rqvae_map", ["model=rqvae_map", *MODELS["rqvae_map"], *IMAGES, *SMALL])
    network = ["model.network.channels=16", "model.network.num_layers=1", "data.batch_size=16"]
    train_in(tmp_path / "prior", ["model=rq_transformer", f"tokenizer={tokenizer}", *network, *SMALL])
    trained = open_trained(tmp_path / "prior")
    assert trained.model.network.depth == 2
    with pytest.raises(ConfigError, match=r"^model\.network\.depth=4 is not that of the tokenizer, 2 codes"):
        train_in(tmp_path / "deep", ["model=rq_transformer", "model.network.depth=4", f"tokenizer={tokenizer}", *SMALL])
    Codebook(num_images=8)(trained)
    Morph(first=[0], second=[1])(trained)
    assert draw_levels(trained, 2, {}, NEUTRAL, size=[16, 24])[0].shape == (2, 4, 12)
    with pytest.raises(UserError, match=r"size=\[16, 18\]: sides are multiples of 4"):
        draw_levels(trained, 2, {}, NEUTRAL, size=[16, 18])
    codes = trained.coder.encode(trained.first(3).x)
    Sample(num_samples=4)(trained)
    Complete(images=[0, 1])(trained)
    Evaluate(metrics=["likelihood", "reconstruction"], num_samples=8)(trained)
    files = {str(i): one.contents for i, one in enumerate(coding.compressed(trained, codes, [0, 1, None]))}
    read = coding.decompressed(trained, coding.blocks_of(trained, files))
    assert torch.equal(torch.cat([image.codes[0] for image in read]), codes[0])


def test_a_prior_of_all_levels_says_so_where_nothing_is_above_a_whole_map(tokenizer: Path, tmp_path: Path):
    network = ["model.network.channels=16", "model.network.num_layers=1", "data.batch_size=16"]
    with pytest.warns(UserWarning, match="the top level's 2x2 codes will be drawn without regard for each other"):
        train_in(tmp_path / "prior", ["model=next_scale", f"tokenizer={tokenizer}", *network, *SMALL])


@pytest.mark.parametrize(
    ("words", "validated"),
    [
        (["trainer.max_steps=5"], ["3", "4"]),
        (["trainer.max_steps=4"], ["3"]),
        (["trainer.max_steps=5", "+trainer.min_epochs=3"], ["3", "4"]),
        (["trainer.max_steps=2", "trainer.check_val_every_n_epoch=2"], ["1"]),
        (["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"], ["7", "11"]),
    ],
    ids=["within an epoch", "at its end", "below the least", "before the first validation", "an odd epoch"],
)
def test_a_run_ends_with_a_validation_and_the_test(words: list[str], validated: list[str], tmp_path: Path):
    without = [word for word in SMALL if not word.startswith(("trainer.max_epochs", "trainer.limit_train"))]
    epochs_of_four = ["data.batch_size=8"]
    train_in(tmp_path / "run", ["model=vqvae", *NETWORK, *IMAGES, *without, *epochs_of_four, *words])
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [row["step"] for row in rows if row["val/loss"]] == validated
    assert [row["step"] for row in rows if row["test/loss"]] == [str(int(validated[-1]) + 1)]


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "no-labels"])
@pytest.mark.parametrize("level", ["top", "bottom"])
@pytest.mark.parametrize("model", PRIORS)
def test_every_prior_trains_on_every_level_with_and_without_labels(
    model: str, level: str, labels: bool, tokenizer: Path, tmp_path: Path
):
    words = [] if labels else ["model.num_classes=0"]
    conditioner = ["model.conditioner.channels=8", "model.conditioner.residual_channels=8"]
    train_in(
        tmp_path / f"{model}-{level}",
        [
            f"model={model}",
            "data.batch_size=16",
            f"tokenizer={tokenizer}",
            f"level={level}",
            *PRIORS[model],
            *conditioner,
            *words,
            *SMALL,
        ],
    )


def test_a_run_that_goes_on_and_has_no_step_to_make_says_so(tmp_path: Path):
    limited = [word for word in SMALL if "limit_train" not in word and "max_epochs" not in word]
    words = ["model=vqvae", *NETWORK, *IMAGES, *limited, "trainer.max_epochs=1", "trainer.limit_train_batches=3"]
    run = train_in(tmp_path / "run", [*words, "trainer.max_steps=2"])
    with pytest.warns(UserWarning, match=r"no step was made, as the trainer.max_epochs=1 epochs are over.*at step 2"):
        train_in(run, [*words, "trainer.max_steps=3", f"resume={run}"])
