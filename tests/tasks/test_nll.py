"""The map of nats is that of the priors, code by code."""

import torch

from tests.tasks import tiny
from vqgen.batch import Condition
from vqgen.tasks.nll import NLL


def test_the_nats_of_each_code_are_minus_the_log_softmax_of_the_logits_at_it():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(len(tiny.shapes().class_names)))
    images = [1, 4, 7]
    outcome = NLL(images=images)(run)
    batch = run.batch(images)
    codes = run.coder.encode(batch.x)
    for level, name in enumerate(run.levels):
        network = run.priors[level].network
        condition = run.priors[level].conditioner(Condition(codes[:level], batch.given), 3)
        log_prob = network(codes[level], condition).log_softmax(1)
        expected = -log_prob.gather(1, codes[level][:, None])[:, 0]
        assert torch.allclose(torch.from_numpy(outcome.arrays[f"nats/{name}"]), expected, atol=1e-5)


def test_what_is_dearest_is_brightest():
    run = tiny.trained(tiny.vqvae2(), tiny.priors(0))
    nats = NLL(images=[1])(run).arrays["nats/bottom"][0]
    picture = NLL(images=[1])(run).pictures["nll"][:, -18:-2, 2:18].sum(0)  # the last row of 16 pixels, less a gap
    tiles = picture.reshape(4, 4, 4, 4).mean((1, 3))
    assert tiles.flatten().argmax() == nats.argmax()
    assert tiles.flatten().argmin() == nats.argmin()
