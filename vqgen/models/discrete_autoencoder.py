"""The discrete autoencoder: images to a list of code maps and back. VQVAE and VQVAE2 are its two forms."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple, NotRequired, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vqgen.batch import ImageBatch
from vqgen.measure.metrics.codebook import CodebookUsage, counters
from vqgen.models.adversary import Adversary, last_weights
from vqgen.models.base import Model, ModelOptions, image_figures
from vqgen.nn.likelihoods import Likelihood, ReconstructionLoss
from vqgen.nn.quantize import Quantization, Quantizer
from vqgen.optim import Objective, Player, weighted
from vqgen.optim.players import owners

_BESIDE_THE_CODES = ("decoder.", "likelihood.", "usage.")  # parts of a tokenizer that `encode` does not ask
LEVEL_NAMES = {1: ["top"], 2: ["top", "bottom"], 3: ["top", "middle", "bottom"]}


class Forward(NamedTuple):
    """A pass through the autoencoder: what the decoder puts out, and what each level's quantizer did, top first."""

    output: Float[Tensor, "b o h w"]
    levels: list[Quantization]


class TokenizerOptions(ModelOptions):
    """The keyword arguments of `DiscreteAutoencoder`, which every tokenizer takes beside its own."""

    critic: NotRequired[Callable[..., Adversary] | None]


class DiscreteAutoencoder(Model[ImageBatch]):
    """Base of the discrete autoencoders, of one interface for any number of levels (top first).

    The objective counts a likelihood in nats for each value of the image, so that the weight of the quantizer's terms
    against it does not change with the size. `Gaussian` is then `NormalizedMSE` times variance / (2 std^2); a smaller
    std weighs the quantizer's terms less. Figures keep their own units: `nll` in nats an image (of a density, where
    the likelihood is one), `bits_per_dim_given_codes` in the bits that each value's byte takes.

    Args:
        shape: (channels, height, width) of the images.
        grids: (height, width) of each level's code map, top first.
        num_embeddings: codebook size K of each level, top first.
        likelihood: compares the decoder's output with the image; its `losses_per_value` are the reconstruction terms.
        critic: makes a critic from `in_channels`, by which reconstructions are to be taken for real.
        model: keyword arguments of `Model` (optimizer, schedule).
    """

    decoder: nn.Module
    codes_per_place: int = 1
    """Codes of each place of a level, side by side in its map."""

    def __init__(
        self,
        shape: Sequence[int],
        grids: list[tuple[int, int]],
        num_embeddings: list[int],
        likelihood: ReconstructionLoss,
        critic: Callable[..., Adversary] | None = None,
        **model: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**model)
        self.critic = critic(in_channels=shape[0]) if critic else None
        self.shape = tuple(shape)
        self.grids = grids
        self.num_embeddings = num_embeddings
        self.likelihood = likelihood
        self.usage = nn.ModuleDict(
            {stage: nn.ModuleList(map(CodebookUsage, num_embeddings)) for stage in ("val", "test")}
        )

    @property
    def level_names(self) -> list[str]:
        """Names of the levels, top first."""
        return LEVEL_NAMES.get(len(self.grids), [str(i) for i in range(len(self.grids))])

    @property
    def figure_suffixes(self) -> list[str]:
        """What the names of each quantizer's figures end with: its level, where there are several."""
        return [f"_{name}" for name in self.level_names] if len(self.grids) > 1 else [""]

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c h w"]) -> Forward:
        """Encode, quantise every level, decode."""

    def encode(self, x: Float[Tensor, "b c h w"]) -> list[Int[Tensor, "b _ _"]]:
        """Code maps of images in [-1, 1], top level first."""
        return self.nearest(self.features(x))

    @abstractmethod
    def features(self, x: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """`z_e` of images in [-1, 1], by which `nearest` chooses codes: of each level, top first, or one of all."""

    @property
    @abstractmethod
    def quantizers(self) -> list[Quantizer]:
        """The quantizer of each level, top first."""

    def identity(self) -> dict[str, Tensor]:
        """All that `encode` depends on: weights and buffers of the encoder and of the quantizers, and the grids.

        What other players than the first train (a critic) is left out.
        """
        players = self.players()
        state = dict(self.named_parameters()) | dict(self.named_buffers())
        learning = {id(tensor) for quantizer in self.quantizers for tensor in quantizer.learning_state()}
        own = {name: tensor for name, tensor in state.items() if players[0] in owners(players, name)}
        deciding = {
            name: tensor
            for name, tensor in own.items()
            if not name.startswith(_BESIDE_THE_CODES) and id(tensor) not in learning
        }
        return deciding | {"grids": torch.tensor(self.grids)}

    def rules(self) -> list[str]:
        """How modules that `encode` asks choose or compute, where it is not the usual way: their attribute `rule`."""
        named = ((name, getattr(module, "rule", "")) for name, module in self.named_modules())
        return [f"{name}: {rule}\n" for name, rule in named if rule and not name.startswith(_BESIDE_THE_CODES)]

    def nearest(self, features: list[Float[Tensor, "b _ _ _"]]) -> list[Int[Tensor, "b _ _"]]:
        """The code maps of feature maps: of the features of images, those that `encode` gives."""
        return [quantizer.nearest(z_e) for quantizer, z_e in zip(self.quantizers, features, strict=True)]

    def code_vectors(self, level: int) -> Float[Tensor, "k d"]:
        """The vectors that stand for the codes of a level, in the order of the codes."""
        every = torch.arange(self.num_embeddings[level], device=self.device)
        return self.quantizers[level].embed(every[None, None])[0, :, 0].T

    def code_images(self, level: int, codes: Int[Tensor, " n"]) -> Float[Tensor, "n c h w"]:
        """Images of maps that are of one code each at a level, the other levels being zero vectors."""
        maps: list[Tensor | None] = [None] * len(self.grids)
        maps[level] = codes[:, None, None].expand(-1, *self.grids[level])
        return self.decode(maps)

    @abstractmethod
    def decode_output(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b o h w"]:
        """The decoder's output (the likelihood's parameters) for code maps, top level first."""

    def decode(self, codes: Sequence[Int[Tensor, "b _ _"] | None]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1] for code maps, top level first."""
        return self.likelihood.x_hat(self.decode_output(codes)).clamp(-1, 1)

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Images in [-1, 1] through the codes and back."""
        return self.decode(self.encode(x))

    def on_train_batch_start(self, batch: ImageBatch, batch_idx: int) -> None:
        """Let the codebooks follow all micro-batches of an optimiser's step at once."""
        for quantizer in self.quantizers:
            quantizer.step_ends = self.step_ends

    def players(self) -> list[Player]:
        """The tokenizer, and its critic if it has one."""
        players = super().players()
        if self.critic is not None:
            players.append(Player("critic", r"critic\.", self.critic.judge, self.critic.optimizer, self.schedule))
        return players

    def objective(self, batch: ImageBatch) -> Objective:
        """Reconstruction and quantizer losses of a batch, and what the critic says of the reconstructions."""
        forward = self(batch.x)
        recon = self._reconstruction(batch.x, forward.output)
        objective = self._with_levels(recon, forward.levels)
        if self.critic is None:
            return objective
        x_hat = self.likelihood.x_hat(forward.output)
        return self.critic.fool(objective, x_hat, self.global_step, recon.loss, last_weights(self.decoder))

    def objective_of(self, x: Float[Tensor, "b c h w"], forward: Forward) -> Objective:
        """Averages: `recon_loss` over the values of an image, the losses of a level over those of its code vectors."""
        return self._with_levels(self._reconstruction(x, forward.output), forward.levels)

    def _reconstruction(self, x: Float[Tensor, "b c h w"], output: Float[Tensor, "b o h w"]) -> Objective:
        return weighted(self.likelihood.losses_per_value(output, x), self.likelihood.loss_weights)

    def _with_levels(self, recon: Objective, levels: Sequence[Quantization]) -> Objective:
        losses: dict[str, Tensor] = {}
        weights: dict[str, float | Tensor] = {}
        for suffix, quantizer, level in zip(self.figure_suffixes, self.quantizers, levels, strict=True):
            losses |= {f"{name}{suffix}": loss for name, loss in level.losses.items()}
            weights |= {f"{name}{suffix}": weight for name, weight in quantizer.loss_weights.items()}
        return recon.plus(losses, weights)

    def evaluate(self, batch: ImageBatch, stage: str) -> None:
        """Log the objective, MSE and PSNR (of images in [-1, 1]) and what the likelihood says; count the codes."""
        forward, likelihood = self(batch.x), self.likelihood
        measured = image_figures(likelihood.x_hat(forward.output).clamp(-1, 1), batch.x)
        objective = self.objective_of(batch.x, forward)
        if isinstance(likelihood, Likelihood):
            num_dims = math.prod(self.shape)
            nats = -likelihood.log_mass(forward.output, batch.x).mean()
            measured |= {
                "nll": objective.losses["recon_loss"] * num_dims,
                f"{likelihood.bits_name}_given_codes": likelihood.bits_per_dim(nats, num_dims),
            }
        self.log_means(stage, objective.terms | measured, len(batch.x))
        for metric, level in zip(counters(self.usage[stage]), forward.levels, strict=True):
            metric.update(level.codes)

    def on_validation_epoch_end(self) -> None:
        """Log codebook usage and perplexity of each level over the whole validation split."""
        self._log_usage("val")

    def on_test_epoch_end(self) -> None:
        """Log codebook usage and perplexity of each level over the whole test split."""
        self._log_usage("test")

    def _log_usage(self, stage: str) -> None:
        for suffix, metric in zip(self.figure_suffixes, counters(self.usage[stage]), strict=True):
            for key, value in metric.compute()._asdict().items():
                self.log(f"{stage}/{key}{suffix}", value, sync_dist=True)
            metric.reset()
