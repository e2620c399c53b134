"""The transformer, one position after another."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.drawing.incremental import Incremental, twin_of
from vqgen.nn.priors.transformer import Rotation, Transformer, TransformerBlock, rotation


class Past:
    """Causal blocks in the course of a sequence, with the keys and values of all positions so far.

    Args:
        blocks: of the transformer.
        num_samples: sequences at a time.
        by: the turns of all positions.
    """

    def __init__(self, blocks: Iterable[nn.Module], num_samples: int, by: Rotation):
        self.blocks = [block for block in blocks if isinstance(block, TransformerBlock)]
        self.by, attention = by, self.blocks[0].attention
        size = (2, num_samples, attention.num_heads, len(by.cos), attention.head_channels)
        self.past = [by.cos.new_zeros(size) for _ in self.blocks]

    def step(self, x: Float[Tensor, "b c"], here: int) -> Float[Tensor, "b c"]:
        """Features of position `here`, after all those before it."""
        x, by = x[:, None], Rotation(self.by.cos[here : here + 1], self.by.sin[here : here + 1])
        for block, past in zip(self.blocks, self.past, strict=True):
            query, past[0, :, :, here : here + 1], past[1, :, :, here : here + 1] = block.attention.project(
                block.attention_norm(x), by
            )
            keys, values = past[:, :, :, : here + 1]
            attended = F.scaled_dot_product_attention(query, keys, values)
            x = x + block.attention.output(attended.transpose(1, 2).flatten(2))
            x = x + block.mlp(block.mlp_norm(x))
        return x[:, 0]


@twin_of(Transformer)
class StepwiseTransformer(Incremental):
    """A transformer in the course of a map."""

    def __init__(
        self, network: Transformer, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ):
        super().__init__(grid)
        network.check_condition(condition)
        self.network = network
        weight = network.embedding.weight
        self.past = Past(network.blocks, num_samples, rotation(grid, network.head_channels, weight))
        self.side_input = network.side_input(grid, condition)
        none = torch.full((num_samples,), network.num_embeddings, dtype=torch.long, device=weight.device)
        self.previous = network.embedding(none)

    def begin_row(self) -> None:
        """A position knows its row by its angles."""

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        x = self.past.step(self.previous + self.side_input[:, self.position], self.position)
        return self.network.output(self.network.norm(x))

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        self.previous = self.network.embedding(codes)
