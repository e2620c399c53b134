"""A training step never waits for the host: it runs where no value can be read, and in one graph."""

from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import ROOT, composed
from tests.processes import python
from tests.test_experiment import FLAT, IMAGES, MODELS, NETWORK, PRIORS
from vqgen.batch import CodeBatch, Condition, ImageBatch
from vqgen.optim import Game
from vqgen.runs.checkpoint import build

CONF = ROOT / "conf"
FACTS = {
    **{"variance": 0.3, "num_classes": 6, "class_names": [*"abcdef"], "grid": [4, 8], "num_embeddings": 8},
    **{"codes_per_place": 2, "upper_grids": [], "upper_num_embeddings": []},
}
TRANSFORMER = ["model.network.channels=16", "model.network.num_layers=1"]
OF_IMAGES = {
    **{name: [f"model={name}", *words] for name, words in MODELS.items()},
    **{
        f"quantizer {path.stem}": ["model=vqvae", f"model/quantizer={path.stem}", *NETWORK]
        for path in sorted((CONF / "model" / "quantizer").glob("*.yaml"))
    },
    "quantizer with a rate": ["model=vqvae", "model.quantizer.rate_weight=0.1", *NETWORK],
    "quantizer from k-means": ["model=vqvae", "model/quantizer=gradient", "model.quantizer.kmeans=true", *NETWORK],
    **{
        f"likelihood {path.stem}": ["model=vqvae", f"model/likelihood={path.stem}", *NETWORK]
        for path in sorted((CONF / "model" / "likelihood").glob("*.yaml"))
        if path.stem not in ("perceptual",)  # of another run's network
    },
    "vae of bytes": ["model=vae", "model/likelihood=discretized_logistic", *FLAT],
    "critic": ["model=vqvae", "model/critic=patch", "model.critic.network.hidden_channels=4", *NETWORK],
    "classifier": ["model=classifier", "model.network.hidden_channels=[4,8]"],
}
OF_CODES = {
    **{name: [f"model={name}", *words] for name, words in PRIORS.items()},
    **{name: [f"model={name}", *TRANSFORMER] for name in ("transformer", "rq_transformer", "masked", "next_scale")},
}


def model(words: list[str], prior: bool) -> Any:
    cfg = composed([*words, "run_dir=x", *(["tokenizer=x"] if prior else IMAGES)])
    cfg.facts = {**cfg.facts, **FACTS}
    return build(OmegaConf.to_container(cfg, resolve=True)["model"], "model").train()


def labels(device: str) -> dict[str, torch.Tensor]:
    return {"label": torch.zeros(4, dtype=torch.long, device=device)}


def images(device: str) -> ImageBatch:
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return ImageBatch(x.to(device), labels(device), torch.arange(4))


def codes(device: str) -> CodeBatch:
    drawn = torch.randint(8, (4, 4, 8), generator=torch.Generator().manual_seed(0))
    return CodeBatch([drawn.to(device)], labels(device), torch.arange(4))


def begun(words: list[str]) -> Any:
    """A model of images in the course of its training: its codebooks have started."""
    made = model(words, prior=False)
    made.objective(images("cpu"))
    return made


@pytest.mark.filterwarnings("ignore:You are trying to")  # self.log, without a trainer
@pytest.mark.parametrize("name", OF_IMAGES)
def test_a_step_on_images_reads_no_value_back(name: str):
    made = begun(OF_IMAGES[name]).to("meta")
    Game(made, made.players()).play(images("meta")).loss.backward()
    made.eval().evaluate(images("meta"), "val")


@pytest.mark.filterwarnings("ignore:You are trying to")
@pytest.mark.parametrize("name", OF_CODES)
def test_a_step_on_codes_and_a_drawn_position_read_no_value_back(name: str):
    made = model(OF_CODES[name], prior=True).to("meta")
    made.objective(codes("meta")).loss.backward()
    made.eval().evaluate(codes("meta"), "val")
    if not hasattr(made, "begin"):
        return  # all at once, or in few steps
    with torch.no_grad():
        state = made.begin(4, Condition([], labels("meta")))
        for _ in range(2):
            state.logits().softmax(1)
            state.push(codes("meta").codes[0][:, 0, 0])


def in_one_graph(name: str) -> None:
    torch._dynamo.reset()
    if name in OF_CODES:
        made, batch = model(OF_CODES[name], prior=True), codes("cpu")
    else:
        made, batch = begun(OF_IMAGES[name]), images("cpu")
    loss = torch.compile(made.objective, fullgraph=True, backend="eager")(batch).loss
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.slow
def test_the_objective_of_every_model_is_one_graph():
    done = python("-m", __name__, cwd=ROOT)  # in a process that checks no types, which torch.compile cannot trace
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:-1] == [*OF_IMAGES, *OF_CODES]


if __name__ == "__main__":
    for each in [*OF_IMAGES, *OF_CODES]:
        in_one_graph(each)
        print(each)
