"""The RQ-Transformer, one code after another: a step over places, then one for each of a place's codes."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from vqgen.drawing.incremental import Incremental, twin_of
from vqgen.drawing.stepwise.transformer import Past
from vqgen.nn.priors.rq_transformer import RQTransformer


@twin_of(RQTransformer)
class StepwiseRQTransformer(Incremental):
    """The network in the course of a map."""

    def __init__(
        self, network: RQTransformer, num_samples: int, grid: Sequence[int], condition: Float[Tensor, "_ e _ _"] | None
    ):
        super().__init__(grid)
        places, self.network = network.places(grid), network
        self.side_input = network.of_places(places, condition)
        self.of_places = Past(network.blocks, num_samples, network.turns(places))
        self.of_codes = Past(network.depth_blocks, num_samples, network.turns((1, network.depth)))
        self.said = network.embedding.weight[-1:].expand(num_samples, -1)  # by a place's codes so far, in sum

    def begin_row(self) -> None:
        """A place knows its row by its angles."""

    def step(self) -> Float[Tensor, "b k"]:
        """Logits at the current column."""
        place, depth = divmod(self.position, self.network.depth)
        x = self.said
        if depth == 0:
            x = self.of_places.step(x + self.side_input[:, place], place)
        x = self.of_codes.step(x + self.network.of_depth.weight[depth], depth)
        return self.network.output(self.network.norm(x))

    def take(self, codes: Int[Tensor, " b"]) -> None:
        """Enter the codes of the current column."""
        vectors = self.network.embedding(codes)
        self.said = vectors if self.column % self.network.depth == 0 else self.said + vectors
