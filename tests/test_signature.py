"""Signatures read from source agree with what the interpreter says."""

import importlib
import inspect

import pytest

from vqgen.config.signature import definitions, signature

TARGETS = [
    "vqgen.nn.quantize.EMAQuantizer",
    "vqgen.nn.autoencoders.Encoder",
    "torch.optim.Adam",
    "torch.optim.AdamW",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "pytorch_lightning.Trainer",
    "pytorch_lightning.callbacks.ModelCheckpoint",
    "vqgen.optim.Cosine",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_says_what_the_interpreter_says(target: str):
    module, _, name = target.rpartition(".")
    expected = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    found = signature(target).parameters
    assert list(found) == list(expected)
    required = [k for k, p in expected.items() if p.default is p.empty]
    assert [k for k, p in found.items() if p.required] == required


def test_keywords_handed_to_a_base_class_are_its_arguments():
    found = signature("vqgen.models.VQVAE").parameters
    assert set(found) == {"shape", "encoder", "quantizer", "decoder", "likelihood", "optimizer", "schedule",
                          "parameter_groups"}  # fmt: skip


@pytest.mark.parametrize("target", ["vqgen.nn.autoencoders.Encodr", "vqgen.nowhere.Class", "nowhere.at.All", "plain"])
def test_what_does_not_exist_is_a_lookup_error(target: str):
    with pytest.raises(LookupError):
        signature(target)


def test_definitions_are_the_near_misses():
    assert "Encoder" in definitions("vqgen.nn.autoencoders.residual")
    assert definitions("vqgen.nowhere") == []
