"""Untrained stacks hand on what they are given: signal and gradient keep their scale at the recipes' depths."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vqgen.batch import Condition
from vqgen.nn.autoencoders.flat import FlatConvDecoder, FlatConvEncoder, FlatNormConvDecoder, FlatNormConvEncoder
from vqgen.nn.autoencoders.mlp import MLPDecoder, MLPEncoder
from vqgen.nn.autoencoders.residual import Decoder, Encoder
from vqgen.nn.priors.conditioner import Conditioner
from vqgen.nn.priors.gated_pixelcnn import GatedPixelCNN
from vqgen.nn.priors.pixelcnn import PixelCNN
from vqgen.nn.priors.pixelsnail import PixelSNAIL
from vqgen.nn.priors.transformer import Transformer
from vqgen.nn.resnet import ResNet

BATCH, K = 8, 32


def codes(height: int = 8, width: int = 8) -> Tensor:
    return torch.randint(K, (BATCH, height, width))


def images(side: int = 32) -> Tensor:
    return 2 * torch.rand(BATCH, 3, side, side) - 1


def snail(num_layers: int, attention: int, output: int = 0) -> Any:
    return PixelSNAIL(K, 0, 16, 32, 5, num_layers, attention, 4, 16, output, 0.0)


def layers(network: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, kinds)]


# makes a network, what it is given, and the layers whose results are one stage of a stack each
STACKS: dict[str, Callable[[], tuple[nn.Module, Any, list[nn.Module]]]] = {
    **{
        f"pixelcnn, {n} blocks": lambda n=n: (net := PixelCNN(K, 0, 32, n), codes(), [*net.blocks]) for n in (2, 10, 30)
    },
    **{
        f"gated, horizontal, {n} layers": lambda n=n: (
            net := GatedPixelCNN(K, 0, 16, n),
            codes(),
            [layer.output for layer in net.layers],
        )
        for n in (10, 30)
    },
    **{
        f"pixelsnail, {n} layers, {a} of attention": lambda n=n, a=a, o=o: (
            net := snail(n, a, o),
            codes(),
            [*net.blocks, *net.output_blocks],
        )
        for n, a, o in ((10, 0, 0), (20, 4, 20), (30, 2, 1))
    },
    **{
        f"transformer, {n} layers": lambda n=n: (
            net := Transformer(K, 0, 32, n, 4, dropout=0.0),
            codes(),
            [*net.blocks],
        )
        for n in (4, 12, 24)
    },
    **{
        f"pixelsnail, vertical, {n} layers": lambda n=n: (net := snail(n, 0), codes(), [*net.vertical])
        for n in (10, 20, 30)
    },
    **{
        f"encoder, {d} times smaller, {n} blocks": lambda d=d, n=n: (
            net := Encoder(3, 32, 16, d, n, 16),
            images(64),
            [*net.network[1:-2]],
        )
        for d, n in ((4, 2), (8, 2), (4, 20))
    },
    **{
        f"decoder, {d} times larger, {n} blocks": lambda d=d, n=n: (
            net := Decoder(16, 32, 3, d, n, 16),
            torch.randn(BATCH, 16, 8, 8),
            [*net.network[:-1]],
        )
        for d, n in ((4, 2), (8, 2), (4, 20))
    },
    **{
        f"flat encoder, {len(h)} layers": lambda h=h: (
            net := FlatConvEncoder((3, 32, 32), h),
            images(),
            layers(net, nn.ReLU),
        )
        for h in ([32, 64, 128], [32, 64, 64, 96])
    },
    **{
        f"flat decoder, {len(h)} layers": lambda h=h: (
            net := FlatConvDecoder(32, (3, 32, 32), 3, h),
            torch.randn(BATCH, 32),
            [net.dense, *layers(net, nn.ReLU)],
        )
        for h in ([128, 64, 32], [96, 64, 64, 32])
    },
    "flat encoder with batch norm": lambda: (
        net := FlatNormConvEncoder((3, 64, 64), [64] * 5),
        images(64),
        layers(net, nn.LeakyReLU),
    ),
    "flat decoder with batch norm": lambda: (
        net := FlatNormConvDecoder(200, (3, 64, 64), 3, [64] * 5),
        torch.randn(BATCH, 200),
        layers(net, nn.LeakyReLU),
    ),
    "dense encoder": lambda: (net := MLPEncoder((3, 32, 32), [500, 500]), images(), layers(net, nn.Tanh)),
    "dense decoder": lambda: (
        net := MLPDecoder(500, (3, 32, 32), 3, [500, 500]),
        torch.randn(BATCH, 500),
        layers(net, nn.Tanh),
    ),
    "classifier": lambda: (net := ResNet(3, 10, [32, 64, 128], 2), images(), [*net.body[1:-4]]),
    "conditioner": lambda: (
        net := Conditioner((16, 16), [K], [(8, 8)], 0, 32, 20, 32),
        Condition([codes()]),
        [*net.blocks],
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_signal_and_gradient_at_the_start_stay_within_a_factor_of_ten(name):
    torch.manual_seed(0)
    network, given, stages = STACKS[name]()
    results: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, result: Tensor) -> None:
        results.append(result)

    for stage in stages:
        stage.register_forward_hook(keep)
    y = network(given)
    gradients = torch.autograd.grad((y * torch.randn_like(y)).sum(), results)
    signal = torch.stack([x.detach().std(0).mean() for x in results])  # what differs from one sample to another
    gradient = torch.stack([g.square().sum() for g in gradients]).sqrt()
    for values in (signal / signal[0], gradient / gradient[-1]):
        assert values.min() > 0.1
        assert values.max() < 10
