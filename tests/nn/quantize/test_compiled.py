"""Compiled code, in a process of its own: the tests' own shape checks cannot be compiled."""

import copy

import pytest
import torch
from torch import multiprocessing

from vqgen.nn.quantize import EMAQuantizer


def compare_compiled(_rank):
    generator = torch.Generator().manual_seed(0)
    plain = EMAQuantizer(16, 4, decay=0.9, revive_below=0.3)
    module = copy.deepcopy(plain)
    compiled = torch.compile(module, backend="aot_eager")
    for step in range(8):
        z_e = torch.randn(8, 4, 6, 6, generator=generator)
        with torch.compiler.set_stance("fail_on_recompile" if step > 2 else "default"):
            assert torch.equal(compiled(z_e).codes, plain(z_e).codes)
    assert torch.equal(module.codebook, plain.codebook)


@pytest.mark.slow
def test_compiled_it_learns_exactly_as_uncompiled_and_is_not_compiled_anew_at_each_update():
    multiprocessing.spawn(compare_compiled)
