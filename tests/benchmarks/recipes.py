"""What the published recipes cost: arithmetic and memory of a training step, worked out without the hardware.

    python -m tests.benchmarks.recipes [NAME ...] [--tflops 400]

One step (forward, backward) of the recipe's model at its full size is followed operation by operation, in bfloat16
autocast (see `step_cost`): a prior with tensors that have shapes and no contents, a tokenizer, whose quantizer looks at
its codes, with real images. Memory is the largest number of bytes that live at once; weights, gradients and Adam's
averages, 16 bytes a parameter, come on top. A batch of n needs the fixed part and n times the other. Kernels need
workspace and allocators keep more than they use: allow a fifth more.
"""

import argparse
import contextlib
import warnings
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.benchmarks.step_cost import Cost, step_cost
from tests.conftest import composed
from tests.test_recipes import CODES, full_size
from vqgen.batch import CodeBatch, ImageBatch

NAMES = [
    "vqvae2_imagenet256",
    "vqvae2_imagenet256_top",
    "vqvae2_imagenet256_bottom",
    "vqvae2_ffhq1024",
    "vqvae2_ffhq1024_top",
    "vqvae2_ffhq1024_middle",
    "vqvae2_ffhq1024_bottom",
    "vqvae2_imagenet256_top_transformer",
    "vqvae2_imagenet256_bottom_transformer",
    "vqvae2_ffhq256_top_transformer",
    "vqvae2_ffhq256_bottom_transformer",
    "vqvae2_ffhq1024_top_transformer",
    "vqvae2_ffhq1024_middle_transformer",
    "vqvae2_ffhq1024_bottom_transformer",
]


def cost(name: str, images: int) -> Cost:
    """The cost of a recipe's step at a batch of so many images."""
    with FakeTensorMode() if name in CODES else contextlib.nullcontext():
        torch.manual_seed(0)
        model = full_size(name, "cpu").train()
        return step_cost(model, random_batch(name, model, images))


def random_batch(name: str, model: Any, images: int) -> ImageBatch | CodeBatch:
    """Images, or codes of the levels that a prior's recipe learns from, without meaning."""
    index = torch.arange(images)
    if name not in CODES:
        return ImageBatch(torch.rand(images, *model.shape) * 2 - 1, {}, index)
    grids, num_embeddings, num_classes = CODES[name]
    codes = [torch.randint(num_embeddings, (images, *grid)) for grid in grids]
    return CodeBatch(codes, {"label": index % num_classes} if num_classes else {}, index)


def report(name: str, tflops: float) -> str:
    """A row of the page's table."""
    cfg = composed([f"experiment={name}"])
    one, two = cost(name, 1), cost(name, 2)
    fixed, each = 16 * one.parameters + 2 * one.memory - two.memory, two.memory - one.memory
    batch, steps = cfg.data.batch_size, cfg.trainer.max_steps
    days = one.step * batch * steps / (tflops * 1e12) / 86400
    return (
        f"| `{name}` | {one.parameters / 1e6:,.1f} M | {one.forward / 1e9:,.0f} | {one.step / 1e9:,.0f} "
        f"| {fixed / 2**30:.1f} | {each / 2**20:,.0f} | {batch:,} | {(fixed + batch * each) / 2**30:,.0f} "
        f"| {steps:,} | {days:,.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--tflops", type=float, default=400, help="that one device sustains, to turn FLOPs into days")
    options = parser.parse_args()
    columns = [
        "recipe",
        "parameters",
        "forward, GFLOP/image",
        "step, GFLOP/image",
        "fixed, GiB",
        "an image, MiB",
        "batch",
        "all, GiB",
        "steps",
        f"days at {options.tflops:g} TFLOP/s",
    ]
    print(f"| {' | '.join(columns)} |")
    warnings.filterwarnings("ignore", "Accessing the data pointer")  # which a tensor's test for contents does
    print("|---" * len(columns) + "|")
    for name in options.names:
        print(report(name, options.tflops), flush=True)


if __name__ == "__main__":
    main()
