"""The variational autoencoder (Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114)."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vqgen.batch import ImageBatch
from vqgen.drawing.sampling import sample_seeds
from vqgen.models.ae import LatentModel
from vqgen.nn.likelihoods import Likelihood
from vqgen.nn.posteriors.posterior import (
    Posterior,
    PosteriorSample,
    free_bits,
    importance_weighted_bound,
    standard_normal_log_prob,
)
from vqgen.nn.sizes import check_at_least
from vqgen.optim import Objective, weighted
from vqgen.protocols import Bound


class VAE(LatentModel):
    """A VAE with any posterior and any likelihood.

    With a likelihood and both weights 1, the loss is the negative ELBO in nats an image (eq. 3).

    Args:
        posterior: makes q(z given x) from `num_features` and `latent_dim`.
        recon_weight: factor on the reconstruction term; 1 for the ELBO.
        kl_weight: factor on the KL term; 1 for the ELBO, below for sharper reconstructions.
        kl_warmup_steps: optimiser steps over which the factor on the KL rises from 0.
        free_bits: nats of KL that each latent dimension has free of charge (arXiv 1606.04934, eq. 15).
        importance_samples: draws per image of the importance-weighted bound that is logged on the test split
            (arXiv 1509.00519); 0 leaves it out.
        arguments: those of `LatentModel`; with a reconstruction loss in place of a likelihood there is no ELBO.
    """

    def __init__(
        self,
        posterior: Callable[..., Posterior],
        recon_weight: float = 1.0,
        kl_weight: float = 1.0,
        kl_warmup_steps: int = 0,
        free_bits: float = 0.0,
        importance_samples: int = 0,
        **arguments: Any,
    ) -> None:
        check_at_least(0, recon_weight=recon_weight, kl_weight=kl_weight, kl_warmup_steps=kl_warmup_steps)
        check_at_least(0, free_bits=free_bits, importance_samples=importance_samples)
        super().__init__(**arguments)
        self.posterior = posterior(num_features=self.encoder.num_features, latent_dim=self.latent_dim)
        self.recon_weight, self.kl_weight = recon_weight, kl_weight
        self.kl_warmup_steps, self.free_bits = kl_warmup_steps, free_bits
        self.importance_samples = importance_samples

    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The centre of the posterior of images in [-1, 1]."""
        return self.posterior.mean(self.encoder(x))

    def infer(self, x: Float[Tensor, "b c h w"]) -> PosteriorSample:
        """A draw of z from the posterior of each image in [-1, 1], with its log-probability and KL in nats."""
        return self.posterior(self.encoder(x))

    def generate(self, num_samples: int, seed: int = 0, first: int = 0) -> Float[Tensor, "b c h w"]:
        """Images decoded from z ~ N(0, I); z of image i is a function of (seed, i).

        Args:
            num_samples: how many images.
            seed: another gives others.
            first: number i of the first of these images, where they are drawn batch by batch.
        """
        seeds = sample_seeds(seed, range(first, first + num_samples), purpose="latents")
        z = np.stack([np.random.default_rng(s).standard_normal(self.latent_dim, np.float32) for s in seeds])
        return self.decode(torch.from_numpy(z).to(self.device))

    def objective(self, batch: ImageBatch) -> Objective:
        """Reconstruction and KL terms at one draw of z per image."""
        sample = self.infer(batch.x)
        return self.objective_of(batch.x, self.decoder(sample.z), sample)

    def evaluate(self, batch: ImageBatch, stage: str) -> None:
        """Log the objective, MSE and PSNR of `reconstruct` and, with a likelihood, ELBO (nats an image) and bits/dim.

        The objective and the bounds are of one draw of z, reconstructions of the posterior's centre.
        """
        features = self.encoder(batch.x)
        sample = self.posterior(features)
        output, kl = self.decoder(sample.z), sample.kl.sum(1)
        terms = self.objective_of(batch.x, output, sample).terms
        if isinstance(self.likelihood, Likelihood):
            log_mass = self.likelihood.log_mass(output, batch.x) - kl
            terms |= self.named("elbo", Bound(-(terms["recon_loss"] + terms["kl"]), log_mass.mean()))
            if stage == "test" and self.importance_samples:
                log_prob, log_mass = self.bound(batch.x, self.importance_samples)
                terms |= self.named("importance_weighted_bound", Bound(log_prob.mean(), log_mass.mean()))
        self.log_evaluation(batch, self.decoder(self.posterior.mean(features)), stage, terms)

    def bound(self, x: Float[Tensor, "b c h w"], num_samples: int) -> Bound:
        """Importance-weighted lower bounds in nats of log p(x), and of that of the images' bytes (1509.00519, eq. 8).

        Both are from the same `num_samples` draws.
        """
        assert isinstance(self.likelihood, Likelihood)
        features = self.encoder(x)
        weights: list[Bound] = []
        for _ in range(num_samples):
            sample = self.posterior(features)
            output, rest = self.decoder(sample.z), standard_normal_log_prob(sample.z) - sample.log_q
            log_prob, log_mass = self.likelihood.log_prob(output, x), self.likelihood.log_mass(output, x)
            weights.append(Bound(log_prob + rest, log_mass + rest))
        return Bound(*(importance_weighted_bound(torch.stack(of_draws)) for of_draws in zip(*weights, strict=True)))

    def named(self, name: str, bound: Bound) -> dict[str, Tensor]:
        """A bound averaged over images: nats an image by its name, and the bits for each value of its bytes."""
        assert isinstance(self.likelihood, Likelihood)
        suffix = "" if name == "elbo" else f"_{name}"
        bits = self.likelihood.bits_per_dim(-bound.log_mass, math.prod(self.shape))
        return {name: bound.log_prob, f"{self.likelihood.bits_name}{suffix}": bits}

    def objective_of(self, x: Tensor, output: Tensor, sample: PosteriorSample) -> Objective:
        """Averages over the images; `kl_free_bits` is `kl` with each dimension counted at `free_bits` at least."""
        losses = self.likelihood.losses(output, x) | {"kl_free_bits": free_bits(sample.kl, self.free_bits)}
        weights = {"recon_loss": self.recon_weight, "kl_free_bits": self._current_kl_weight()}
        return weighted(losses, self.likelihood.loss_weights | weights, figures={"kl": sample.kl.sum(1).mean()})

    def _current_kl_weight(self) -> float:
        """The factor on the KL: it rises during the warm-up, and is whole in evaluation."""
        if not self.training or not self.kl_warmup_steps:
            return self.kl_weight
        return self.kl_weight * min(1.0, self.global_step / self.kl_warmup_steps)
