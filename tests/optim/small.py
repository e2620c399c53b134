"""A small network and its optimiser, for tests of groups."""

from collections import OrderedDict
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from vqgen.optim import Constant, Game, ParameterGroup, Player, make_optimizer

NO_DECAY = ParameterGroup(r"\.bias$|Norm\w*\.weight$|^Embedding\.weight$|\.codebook$", weight_decay=0.0)
ADAMW = partial(AdamW, lr=1e-2, weight_decay=0.1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            codes=nn.Embedding(5, 8),
            hidden=nn.Linear(8, 8),
            norm=nn.LayerNorm(8),
            conv=nn.Conv1d(3, 2, 1),
        )
    )


def optimizer_of(module: nn.Module, factory: Any = ADAMW, **groups: ParameterGroup) -> Optimizer:
    player = Player("model", "", lambda *_: pytest.fail("nobody plays"), factory, Constant())
    return make_optimizer(Game(module, [player]), groups)[0]


def stepped(module: nn.Module, optimizer: Optimizer, steps: int = 3) -> nn.Module:
    for _ in range(steps):
        optimizer.zero_grad()
        module(torch.tensor([[0, 1, 4]])).square().sum().backward()
        optimizer.step()
    return module


def names(optimizer: Optimizer) -> dict[str | None, list[str]]:
    return {group.get("name"): group["param_names"] for group in optimizer.param_groups}
