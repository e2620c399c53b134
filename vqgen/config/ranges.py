"""Which numbers an option can have, by its name: what is nonsense is told before anything is read or built."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from vqgen.errors import ConfigError
from vqgen.plain import PlainDict

KNOWN = ("vqgen.", "torch.", "pytorch_lightning.")  # whose options have the meaning that they have here
_LARGEST = 2**63  # of a whole number in torch


class Range(NamedTuple):
    """Whether a number is in it, and how that is said."""

    holds: Callable[[Any], bool]
    words: str


_COUNT = Range(lambda n: n >= 1, "at least 1")
_LAYERS = Range(lambda n: 1 <= n <= 1000, "a number of layers from 1 to 1000")
_LAYERS_OR_NONE = Range(lambda n: 0 <= n <= 1000, "a number of layers from 0 to 1000")
_NOT_NEGATIVE = Range(lambda n: n >= 0, "0 or more")
_POSITIVE = Range(lambda x: x > 0, "above 0")
_PART = Range(lambda p: 0 <= p <= 1, "from 0 to 1")
_BELOW_ONE = Range(lambda p: 0 <= p < 1, "0 or more and below 1")
_PLANNED = Range(lambda n: n >= 1 or n == -1, "at least 1, or -1 for no limit; with 0 nothing would be trained")
_BATCHES = Range(
    lambda n: 0 < n <= 1 if isinstance(n, float) else n >= 1, "a number of batches from 1 on, or a part such as 0.5"
)
_BATCHES_OR_NONE = Range(lambda n: n == 0 or _BATCHES.holds(n), f"{_BATCHES.words}, or 0 for none")

_NAMES = {
    _COUNT: "batch_size hidden_channels residual_channels output_channels condition_channels channels kernel_size "
    "attention_channels num_heads num_components num_embeddings embedding_dim latent_dim size "
    "num_samples num_train num_val num_test num_images num_codes downsampling upsampling accumulate_grad_batches "
    "check_val_every_n_epoch num_nodes every_n_epochs every_n_steps every_n_train_steps most side shape "
    "n_trials n_jobs",
    _NOT_NEGATIVE: "warmup warmup_steps kl_warmup_steps importance_samples free_bits kl_weight "
    "recon_weight commitment_cost weight_decay epsilon eps revive_below min_entropy margin patience "
    "min_steps min_epochs log_every_n_steps gradient_clip_val context_dim "
    "reload_dataloaders_every_n_epochs overfit_batches prepare_up_to cas_epochs min_delta momentum seed",
    _LAYERS: "num_layers num_steps",
    _LAYERS_OR_NONE: "num_residual_blocks num_output_layers num_attention_layers",
    _POSITIVE: "lr min_lr max_lr std scale variance every_n_minutes",
    _PART: "max_failure_rate label_dropout final_factor min_usage max_unreadable val_fraction test_fraction",
    _BELOW_ONE: "decay dropout label_smoothing betas",
    _PLANNED: "max_epochs max_steps",
    _BATCHES: "limit_train_batches val_check_interval",
    _BATCHES_OR_NONE: "limit_val_batches limit_test_batches",
    Range(lambda n: n >= -1, "0 or more, or -1 for all"): "num_sanity_val_steps",
    Range(lambda n: n >= 1 or n == -1, "at least 1, or -1 for all"): "save_top_k",
    Range(lambda n: 0 <= n <= 1024, "a number of processes from 0 to 1024"): "num_workers",
    Range(lambda n: -1 <= n <= 1024, "a number of devices up to 1024, or -1 for all"): "devices",
    Range(lambda n: n >= 2, "at least 2"): "levels",
    Range(lambda n: n >= 0, "0 or more, and 1 for none"): "guidance",
    Range(lambda t: t > 0, "above 0 (top_k=1 takes the likeliest code)"): "temperature",
    Range(lambda k: k >= 1, "at least 1, or null for all codes"): "top_k",
    Range(lambda p: 0 < p <= 1, "above 0 and at most 1, or null for all codes"): "top_p",
    Range(lambda p: 0 <= p <= 1, "0 to 1, or null for all codes"): "min_p",
}
RANGES = {name: allowed for allowed, names in _NAMES.items() for name in names.split()}
CHOICES = {"deterministic": (True, False, "warn", None)}  # where the annotation of the code of others does not tell


def check_ranges(path: str, values: PlainDict) -> None:
    """Raise ConfigError, naming the option, where one of the values at `path` has a number that it cannot have."""
    for key, value in values.items():
        if value not in CHOICES.get(key, (value,)):
            raise ConfigError(f"{path}.{key}={value}: take one of {', '.join(map(str, CHOICES[key]))}")
        for one in _numbers(value):
            if isinstance(one, float) and not math.isfinite(one):
                words = "a finite number"
            elif isinstance(one, int) and abs(one) >= _LARGEST:
                words = f"a number below {_LARGEST}"
            elif key in RANGES and not RANGES[key].holds(one):
                words = RANGES[key].words
            else:
                continue
            raise ConfigError(f"{path}.{key}".lstrip(".") + f"={value}: expected {words}")


def _numbers(value: object) -> list[int | float]:
    """A number, or those of a list."""
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []
