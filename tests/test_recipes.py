"""Every recipe of conf/experiment at its full size on the meta device, and for two steps at a small one."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import composed
from tests.nn.priors import assert_no_blind_spot
from tests.test_experiment import FLAT, HIERARCHY, IMAGES, NETWORK, SMALL, train_in
from vqgen.config.search_path import CONF
from vqgen.runs.checkpoint import build

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
RECIPES = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))

# the codes that each prior learns: (grid, K) of every level from the top down to its own, and the labels
CODES = {
    "pixelcnn_keras": ([(7, 7)], 128, 0),
    "gated_pixelcnn_small": ([(7, 7)], 128, 0),
    "demo_prior": ([(8, 8)], 128, 6),
    "fashion_pixelcnn": ([(8, 8)], 128, 10),
    "fashion_gated_pixelcnn": ([(8, 8)], 128, 10),
    "fashion_pixelsnail": ([(8, 8)], 128, 10),
    "fashion_next_scale": ([(1, 1), (2, 2), (4, 4), (8, 8)], 128, 10),
    "photographs_pixelsnail": ([(8, 8), (16, 16)], 256, 0),
    "shapes64_pixelsnail": ([(8, 8), (16, 16)], 128, 6),
    "sprites_transformer": ([(16, 16)], 256, 18),
    "vqvae2_imagenet256_top": ([(32, 32)], 512, 1000),
    "vqvae2_imagenet256_bottom": ([(32, 32), (64, 64)], 512, 1000),
    "vqvae2_ffhq256_top": ([(32, 32)], 512, 0),
    "vqvae2_ffhq256_bottom": ([(32, 32), (64, 64)], 512, 0),
    "vqvae2_ffhq1024_top": ([(32, 32)], 512, 0),
    "vqvae2_ffhq1024_middle": ([(32, 32), (64, 64)], 512, 0),
    "vqvae2_ffhq1024_bottom": ([(32, 32), (64, 64), (128, 128)], 512, 0),
}
CODES["fashion_transformer"] = CODES["fashion_masked"] = CODES["fashion_pixelsnail"]
CODES |= {f"{name}_transformer": codes for name, codes in CODES.items() if name.startswith("vqvae2_")}
CLASSES = {"classifier_fashion": 10, "sprites_classifier": 18}
AUTOENCODERS = [name for name in RECIPES if name not in CODES]
GRIDS = {
    "vqvae_keras": [(7, 7)],
    "vqvae_small": [(7, 7)],
    "vqvae_cifar10": [(8, 8)],
    "fashion_vqvae": [(8, 8)],
    "fashion_vqvae2": [(4, 4), (8, 8)],
    "fashion_multiscale": [(1, 1), (2, 2), (4, 4), (8, 8)],
    "photographs_vqvae2": [(8, 8), (16, 16)],
    "shapes64_vqvae2": [(8, 8), (16, 16)],
    "sprites_vqvae": [(16, 16)],
    "vqvae2_128": [(16, 16), (32, 32)],
    "vqvae2_ffhq256": [(32, 32), (64, 64)],
    "vqvae2_imagenet256": [(32, 32), (64, 64)],
    "vqvae2_ffhq1024": [(32, 32), (64, 64), (128, 128)],
}
SMALLER = {
    "vqvae_keras": [],
    "classifier_fashion": ["model.network.hidden_channels=[8,8]", "~data.flip", "~data.margin"],
    **{f"{model}_fashion": FLAT for model in ("ae", "vae")},
    **{f"fashion_{model}": FLAT for model in ("ae", "vae", "vae_iaf")},
    "fashion_vqvae2": HIERARCHY,
    "fashion_multiscale": [*NETWORK, "model.scales=[1,2,4]"],
    "photographs_vqvae2": [*HIERARCHY, "~data.flip", "~data.root"],
    "shapes64_vqvae2": HIERARCHY,
    "sprites_vqvae": [*NETWORK, "~data.root"],
    "sprites_classifier": ["model.network.hidden_channels=[8,8]", "~data.flip", "~data.margin", "~data.root"],
    "shapes64_vae": FLAT,
    "vae_celeba64": ["data.size=64", "model.encoder.hidden_channels=[4,4,4,4,4]"],
    "vae_iaf_cifar10": ["model.latent_dim=8", "model.encoder.hidden_channels=[16]"],
    "vqvae2_ffhq1024": ["data.size=32", *HIERARCHY],
}
SMALLER_PRIOR = {
    "pixelcnn_keras": ["model.network.hidden_channels=8"],
    "gated_pixelcnn_small": ["model.network.hidden_channels=8"],
    "demo_prior": ["model.network.hidden_channels=8"],
    "fashion_pixelcnn": ["model.network.hidden_channels=8"],
    "fashion_gated_pixelcnn": ["model.network.hidden_channels=8"],
}
SMALLER_TRANSFORMER = [
    "model.network.channels=16",
    "model.network.num_heads=2",
    "model.network.num_layers=1",
    "model.conditioner.channels=8",
    "model.conditioner.residual_channels=8",
    "model.conditioner.num_residual_blocks=1",
]
SMALLER_PIXELSNAIL = [
    "model.network.hidden_channels=8",
    "model.network.residual_channels=8",
    "model.network.attention_channels=8",
    "model.conditioner.channels=8",
    "model.conditioner.residual_channels=8",
    "model.conditioner.num_residual_blocks=1",
]


def full_size(name: str, device: str = "meta") -> Any:
    """The recipe's model, by default on the meta device, where parameters have shapes and no memory."""
    cfg = composed([f"experiment={name}"])
    if OmegaConf.is_missing(cfg.data, "root"):
        cfg.data.root = "."
    cfg.facts = {**cfg.facts, "variance": 1.0, "num_classes": CLASSES.get(name, 0)}
    if name in CODES:
        grids, num_embeddings, num_classes = CODES[name]
        *upper, grid = grids
        cfg.facts = {
            **cfg.facts,
            "grid": grid,
            "num_embeddings": num_embeddings,
            "num_classes": num_classes,
            "upper_grids": upper,
            "upper_num_embeddings": [num_embeddings] * len(upper),
        }
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    with torch.device(device):
        return build(config["model"])


def _pages_counts() -> dict[str, int]:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \|$", PAGE.read_text(), re.M)
    return {name: int(count.replace(",", "")) for name, count in rows}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_at_its_full_size_has_the_parameters_that_the_page_states(name: str):
    model = full_size(name)
    assert sum(p.numel() for p in model.parameters()) == _pages_counts().get(name)
    if name in GRIDS:
        assert model.grids == GRIDS[name]


@pytest.mark.parametrize("name", [n for n in RECIPES if n.startswith("vqvae2_") and n in GRIDS])
def test_a_vqvae2_recipe_encodes_and_decodes_at_itsfull_size(name: str):
    model = full_size(name).eval()
    x = torch.empty(1, *model.shape, device="meta")
    codes = model.encode(x)
    assert [tuple(c.shape[1:]) for c in codes] == GRIDS[name]
    assert model.decode(codes).shape == x.shape


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_a_recipe_of_an_autoencoder_trains_for_two_steps(name: str, tmp_path: Path):
    smaller = SMALLER.get(name, HIERARCHY if name.startswith("vqvae2_") else NETWORK)
    images = [*IMAGES, "data.shape=[3,16,16]"] if "fashion" in name else IMAGES
    train_in(tmp_path / name, [f"experiment={name}", *images, *SMALL, *smaller])


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs of tokenizers of one, two and three levels."""
    words = {
        1: ["model=vqvae", *NETWORK],
        2: ["model=vqvae2", *HIERARCHY],
        3: ["model=vqvae2_3level", *HIERARCHY, "model.downsampling=[2,2,2]"],
    }
    folder = tmp_path_factory.mktemp("runs")
    return {n: train_in(folder / str(n), [*words[n], *IMAGES, *SMALL]) for n in words}


@pytest.mark.parametrize("name", CODES)
def test_a_recipe_of_a_prior_trains_for_two_steps(name: str, tokenizers: dict[int, Path], tmp_path: Path):
    two = "vqvae2_" in name or name.endswith("scale")
    levels = len(CODES[name][0]) if name.endswith("snail") else 3 if "1024" in name else 2 if two else 1
    others = SMALLER_TRANSFORMER if name.endswith(("transformer", "masked", "scale")) else SMALLER_PIXELSNAIL
    smaller = SMALLER_PRIOR.get(name, others)
    words = [f"experiment={name}", f"tokenizer={tokenizers[levels]}", "data.batch_size=16", *smaller, *SMALL]
    train_in(tmp_path / name, words)


@pytest.mark.parametrize(
    "name", [n for n in CODES if ("pixelcnn" not in n or "gated" in n) and not n.endswith(("masked", "scale"))]
)
def test_a_prior_of_a_recipe_sees_every_code_before(name: str):
    node: Any = OmegaConf.to_container(composed([f"experiment={name}"]).model.network, resolve=True)
    narrow = {key: 8 for key in ("residual_channels", "attention_channels") if key in node}
    narrow |= {"channels": 16, "num_heads": 2} if "channels" in node else {"hidden_channels": 8}
    torch.manual_seed(0)
    network = build({**node, **narrow, "checkpointing": False} if "checkpointing" in node else {**node, **narrow})
    assert_no_blind_spot(network(num_embeddings=4).double().eval(), (3, min(16, CODES[name][0][-1][1])))
