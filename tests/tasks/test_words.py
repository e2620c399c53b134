"""Command lines say the very options that a page was made with."""

import shlex
from typing import Any

import pytest

from tests.conftest import composed
from vqgen.drawing import Confidence, Halton, IntervalGuidance, LinearGuidance, Raster, Sampling
from vqgen.tasks.words import Opened, of_drawing, of_sampler, word


def drawn(options: dict[str, object]) -> Any:
    """The config of a command line with these options."""
    words = shlex.split(Opened("fashion_vqvae").command("sample", **options))[2:]
    return composed([word for word in words if not word.startswith("task=")], "sample")


def test_a_sampler_and_its_settings_are_said_as_the_options_that_choose_it():
    cfg = drawn(of_drawing(Sampling(), Confidence(7, 3.25)).options)
    assert (cfg.sampler._target_, cfg.sampler.steps, cfg.sampler.noise) == ("vqgen.drawing.Confidence", 7, 3.25)
    cfg = drawn(of_drawing(Sampling(), Halton(5)).options)
    assert (cfg.sampler._target_, cfg.sampler.steps) == ("vqgen.drawing.Halton", 5)
    assert of_sampler(type("Own", (Raster,), {})()) is None


def test_a_schedule_of_guidance_is_said_as_the_config_that_makes_it():
    guidance = [LinearGuidance(1.0, 2.5), IntervalGuidance(3.0, 0.1234567, 0.8)]
    cfg = drawn(of_drawing(Sampling(guidance=guidance)).options)
    assert cfg.guidance[0] == {"_target_": "vqgen.drawing.LinearGuidance", "start": 1, "end": 2.5}
    assert cfg.guidance[1].begin == 0.1234567


@pytest.mark.parametrize("number", [12345678, 0.1234567, 1e-7, 2.0, 10**18])
def test_a_number_is_said_with_all_its_digits(number: float):
    assert float(word("x", number).partition("=")[2]) == number
