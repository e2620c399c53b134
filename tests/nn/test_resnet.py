"""The residual network of classifiers."""

import pytest
import torch
from torch.nn import functional as F

from vqgen.nn.resnet import PreActivationBlock


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_the_skip_connection_is_a_strided_convolution(size: tuple[int, int]):
    block = PreActivationBlock(3, 5, stride=2).double().eval()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    skip = F.conv2d(block.activation(x), block.skip.weight, stride=2)
    torch.testing.assert_close(block(x) - block.branch(block.activation(x)), skip)
