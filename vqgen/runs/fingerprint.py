"""What tells a tokenizer whose codes mean the same from one whose codes do not."""

import hashlib
import json
from collections.abc import Iterable

from torch import Tensor, nn

from vqgen.plain import PlainDict
from vqgen.protocols import Identified


def fingerprint(model: nn.Module) -> str:
    """Hash of what decides the codes of a tokenizer: encoder, quantizers, their rules, grids (16 hexadecimal digits).

    Decoder and likelihood are left out: a decoder may be trained again behind a frozen encoder. Of any other model, it
    is the hash of all weights.
    """
    assert isinstance(model, Identified)
    return _hash("".join(model.rules()), model.identity().items())


def fingerprint_without_rules(model: nn.Module) -> str:
    """The hash of the tensors alone, by which earlier priors know a tokenizer of rules other than the usual ones."""
    assert isinstance(model, Identified)
    return _hash("", model.identity().items())


def old_fingerprint(module: nn.Module, config: PlainDict) -> str:
    """The hash of versions before 0.2, of all weights and the config: priors of then know their tokenizer by it.

    Args:
        module: the tokenizer.
        config: its node `model`, as its checkpoint has it.
    """
    architecture = {k: v for k, v in config.items() if k not in ("optimizer", "schedule", "parameter_groups")}
    return _hash(json.dumps(architecture, sort_keys=True, default=str), module.state_dict().items())


def _hash(start: str, tensors: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256(start.encode())
    for name, tensor in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
