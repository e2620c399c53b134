"""Every way into a quantizer says the same: forward, nearest, embed, look_up, and a tokenizer's encode and decode."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from vqgen.batch import ImageBatch
from vqgen.models.vqvae import VQVAE
from vqgen.models.vqvae2 import VQVAE2
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.likelihoods.reconstruction import NormalizedMSE
from vqgen.nn.quantize.search import nearest_vectors
from vqgen.optim.schedules import Constant
from vqgen.runs.checkpoint import build
from vqgen.training import AveragedWeights

CHOICES = sorted(Path(__file__).parents[3].glob("conf/model/quantizer/*.yaml"))
STATES = ["new", "learnt", "averaged", "scaled"]
PRECISIONS = [None, torch.bfloat16, torch.float16]


def quantizer_of(path: Path) -> Any:
    config = OmegaConf.merge({"seed": 0}, {"quantizer": OmegaConf.load(path)}).quantizer
    sizes = {name: value for name, value in {"num_embeddings": 32, "embedding_dim": 4}.items() if name in config}
    return build(OmegaConf.to_container(config, resolve=True), **sizes)


def in_state(make: Any, state: str, images: Tensor) -> Any:
    """A quantizer or tokenizer whose codebooks are new, learnt, moving averages, or of any length."""
    torch.manual_seed(0)
    model = make().train()
    if state == "new":
        return model
    averaged = AveragedModel(model, avg_fn=AveragedWeights(0.5)._average, use_buffers=True)
    for step in range(6):
        model(images + 0.3 * step)
        averaged.update_parameters(model)
    if state == "averaged":
        model = averaged.module
    if state == "scaled":
        with torch.no_grad():
            for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
                if name.endswith("codebook"):
                    tensor.mul_(torch.linspace(0.2, 3, len(tensor))[:, None])
    return model


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("path", CHOICES, ids=lambda path: path.stem)
def test_forward_nearest_and_embed_are_one_quantizer(path: Path, state: str, training: bool, precision: Any):
    probe = quantizer_of(path)
    z_e = 3 * torch.randn(4, probe.embedding_dim, 9, 7, generator=torch.Generator().manual_seed(1))
    quantizer = in_state(partial(quantizer_of, path), state, z_e).train(training and state != "new")
    with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None):
        given = z_e.to(precision or torch.float32)
        nearest, looked_up = quantizer.nearest(given), quantizer.look_up(given)
        vectors = quantizer.embed(nearest)
        quantized = quantizer(given)  # in training the codebook moves after it
    assert torch.equal(looked_up.codes, nearest)
    assert torch.equal(looked_up.z_q, vectors.to(looked_up.z_q.dtype))
    if not quantizer.training or not quantizer.learns_through_z_q:  # such codes are drawn in training, or noisy
        assert torch.equal(quantized.codes, nearest)
        assert torch.equal(looked_up.z_q, quantized.z_q)
    assert looked_up.z_q.stride() == quantized.z_q.stride()  # the same kernels, to the last bit, are run on them


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: path.stem)
def test_only_losses_that_there_are_have_weights(path: Path):
    quantizer = quantizer_of(path).train()
    losses = quantizer(torch.randn(4, quantizer.embedding_dim, 9, 7)).losses
    assert losses.keys() >= quantizer.loss_weights.keys()


NOT_BY_DISTANCE = ("fsq", "ibq", "gumbel")  # of which a code vector is not what its code stands for


@pytest.mark.parametrize("path", [p for p in CHOICES if p.stem not in NOT_BY_DISTANCE], ids=lambda path: path.stem)
def test_a_code_vector_is_its_own_nearest(path: Path):
    size = quantizer_of(path).embedding_dim
    quantizer = in_state(partial(quantizer_of, path), "scaled", torch.randn(4, size, 8, 8))
    codes = torch.arange(32)[None, None]
    assert torch.equal(quantizer.nearest(quantizer.embed(codes)), codes)


def vqvae(path: Path) -> VQVAE:
    sizes = {"hidden_channels": 8, "num_residual_blocks": 1, "residual_channels": 4}
    encoder, decoder = partial(Encoder, downsampling=2, **sizes), partial(Decoder, upsampling=2, **sizes)
    training: Any = {"optimizer": Adam, "schedule": Constant()}
    return VQVAE((3, 16, 16), encoder, quantizer_of(path), decoder, NormalizedMSE(1.0), **training)


def vqvae2(path: Path, downsampling: list[int]) -> VQVAE2:
    training: Any = {"optimizer": Adam, "schedule": Constant()}
    return VQVAE2((3, 16, 16), downsampling, partial(quantizer_of, path), NormalizedMSE(1.0), 8, 1, 4, **training)


TOKENIZERS = {
    "vqvae": vqvae,
    "two levels": partial(vqvae2, downsampling=[2, 2]),
    "three levels": partial(vqvae2, downsampling=[2, 2, 2]),
}


LEVELS = ("ema", "cosine", "fsq")  # one of each kind, for the tokenizers of several levels
PAIRS = [(path, kind) for path in CHOICES for kind in TOKENIZERS if kind == "vqvae" or path.stem in LEVELS]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("path", "kind"), PAIRS, ids=lambda value: getattr(value, "stem", value))
def test_a_tokenizers_codes_are_those_of_its_forward_pass(path: Path, kind: str, state: str, training: bool):
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    model = in_state(partial(TOKENIZERS[kind], path), state, x).train(training and state != "new")
    for precision in PRECISIONS:
        with torch.autocast("cpu", dtype=precision or torch.bfloat16, enabled=precision is not None), torch.no_grad():
            codes, features = model.encode(x), model.features(x)
            output, x_hat = model.decode_output(codes), model.reconstruct(x)
            assert all(map(torch.equal, model.nearest(features), codes))
            if model.training and any(quantizer.learns_through_z_q for quantizer in model.quantizers):
                continue  # such codes are drawn in training, or noisy
            forward = model(x)
        assert all(torch.equal(level.codes, own) for level, own in zip(forward.levels, codes, strict=True))
        tolerance: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5} if precision is None else {"rtol": 0.02, "atol": 0.02}
        torch.testing.assert_close(forward.output, output, **tolerance)
        torch.testing.assert_close(model.likelihood.x_hat(output).clamp(-1, 1), x_hat, **tolerance)


def test_averaged_cosine_codebooks_stay_on_the_sphere():
    """As the callback leaves them in the model after training, and so in a checkpoint."""
    path = next(path for path in CHOICES if path.stem == "cosine")
    batches = [ImageBatch(torch.rand(4, 3, 16, 16) * 2 - 1, {}, torch.arange(4)) for _ in range(8)]
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", enable_model_summary=False, callbacks=[AveragedWeights(0.9)], **quiet
    )
    model = vqvae(path)
    trainer.fit(model, DataLoader(batches, batch_size=None))
    codebook: Any = model.quantizer.codebook
    torch.testing.assert_close(codebook.norm(dim=1), torch.ones(32))


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e4])
def test_the_nearest_of_vectors_far_from_the_origin_is_that_of_float64(offset: float):
    generator = torch.Generator().manual_seed(0)
    x, vectors = (torch.randn(n, 16, generator=generator) + offset for n in (3000, 200))
    distances = torch.cdist(x.double(), vectors.double(), compute_mode="donot_use_mm_for_euclid_dist")
    chosen = distances.gather(1, nearest_vectors(x, vectors)[:, None])[:, 0]
    assert float((chosen - distances.min(dim=1).values).max()) < 1e-5
