"""Triton's kernel in Triton's interpreter, where there is no GPU, and compiled for GPUs that are not there."""

import os
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.processes import python

triton = pytest.importorskip("triton")
ARCHITECTURES = (80, 90, 100)
SIZES = ((1, 2, 1), (130, 200, 40), (65, 1000, 64), (10, 3, 100))


def test_in_the_interpreter_it_finds_what_the_plain_search_finds():
    done = python("-m", __name__, "interpreted", cwd=ROOT, env={**os.environ, "TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_it_compiles_for_gpus_without_rounding_to_tf32():
    done = python("-m", __name__, "compiled", cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]


def interpreted() -> None:
    from vqgen.nn.quantize import fused, search

    for n, k, d in SIZES:
        x, vectors, costs = torch.randn(n, d), torch.randn(k, d), torch.rand(k)
        centre, twice = vectors.mean(dim=0), torch.cat([vectors, vectors])
        moved = torch.cat([centre - vectors, costs[:, None]], dim=1)
        for given in ((x, vectors, None), (x, twice, None), (x, moved, centre)):
            assert torch.equal(fused.smallest_product(*given), search._smallest_product(*given))
    x = torch.tensor([[torch.nan], [torch.inf], [1.0]])
    assert fused.smallest_product(x, torch.tensor([[1.0], [-1.0]]), None).tolist() == [0, 1, 1]
    assert fused.smallest_product(x[:0], torch.ones(2, 1), None).shape == (0,)


def compiled() -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from vqgen.nn.quantize import fused

    types = dict.fromkeys(("x", "columns", "centre"), "*fp32") | {"found": "*i64"}
    types |= dict.fromkeys(("num_rows", "num_codes", "width", "dim"), "i32")
    for moved in (True, False):
        constants = {"MOVED": moved, "ROWS": fused.ROWS, "CODES": fused.CODES, "NUMBERS": fused.NUMBERS}
        signature = types | dict.fromkeys(constants, "constexpr")
        for architecture in ARCHITECTURES:
            source = ASTSource(fused._search, signature, constexprs=constants)
            code = triton.compile(source, target=GPUTarget("cuda", architecture, 32)).asm
            assert code["cubin"]
            assert "fma.rn.f32" in code["ptx"]
            assert "mma" not in code["ptx"]


if __name__ == "__main__":
    {"interpreted": interpreted, "compiled": compiled}[sys.argv[1]]()
