"""The root schemas, and the check that a config can be trained, or used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from vqgen.constructors import CODES, KNOWN_LATER, check_arguments, check_node, signature_of
from vqgen.errors import ConfigError, near_miss
from vqgen.runs import check_run, find_runs, find_started, released
from vqgen.signature import signature

PRIOR = "vqgen.models.prior.Prior"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")   # weights are always float32


@dataclass
class Hardware:
    """What a machine offers; conf/hardware."""

    accelerator: str
    devices: int | str | list[int]
    num_nodes: int
    strategy: str
    precision: str | int
    num_workers: int
    compile: bool
    channels_last: bool


@dataclass
class Facts:
    """What only the data (or the tokenizer) know; written into the run's config before the model is built."""

    variance: float | None = None
    num_classes: int | None = None
    class_names: list[str] | None = None
    attribute_names: list[str] | None = None
    grid: list[int] | None = None
    num_embeddings: int | None = None
    upper_grids: list[list[int]] | None = None
    upper_num_embeddings: list[int] | None = None


@dataclass
class Train:
    """Root of conf/train.yaml."""

    model: dict
    data: dict
    hardware: Hardware
    optim: dict
    schedule: dict
    logger: dict | None
    callbacks: dict | None
    trainer: dict
    facts: Facts
    seed: int
    run_dir: str
    data_dir: str
    project: str
    tags: list[str]
    tune: dict | None = None
    trust: bool = False
    resume: str | None = None
    tokenizer: str | None = None
    data_root: str | None = None
    level: int | str = 0


def check(cfg: DictConfig) -> None:
    """Raise ConfigError, naming the key, the value and the near miss, unless `cfg` can be trained.

    Nothing heavy is imported: constructors are read from source (vqgen.signature).
    """
    if cfg.resume:   # first, as the folder of the run follows from it
        find_started(cfg.resume)
    else:
        check_run("tokenizer", cfg.tokenizer)
    _check_nodes(cfg)
    _check_pairing(cfg)
    values = _resolve(cfg)
    check_arguments("", values, signature(f"{__name__}.Train"))
    _check_values(values)
    for section in ("hardware", "facts"):
        check_arguments(section, values[section], signature(f"{__name__}.{section.capitalize()}"))
    for section in ("optim", "schedule", "data", "model", "logger", "callbacks", "trainer", "tune"):
        check_node(section, values.get(section))


def check_sample(cfg: DictConfig) -> None:
    """As `check`, for conf/sample.yaml: the keys beside the common ones belong to the task."""
    values = _resolve(cfg)
    common = ("task", "run", "checkpoint", "out", "arrays", "log", "tokenizer", "data_root")
    options = {k: v for k, v in values.items() if k not in common}
    check_arguments("", options, signature_of("task", values["task"]))
    _check_drawing(values)
    if not values["run"]:
        names = near_miss("", released())
        raise ConfigError(f"run=RUN is needed: a run folder, a checkpoint file, or a released run{names}")
    find_runs(values["run"])


def _check_drawing(values: Mapping[str, Any]) -> None:
    """Numbers with which no image could be drawn; a list has one for each level."""
    ranges: dict[str, tuple[Callable[[Any], bool], str]] = {
        "num_samples": (lambda n: n >= 1, "at least 1"),
        "batch_size": (lambda n: n >= 1, "at least 1"),
        "seed": (lambda n: n >= 0, "0 or more"),
        "temperature": (lambda t: t > 0, "above 0 (top_k=1 takes the likeliest code)"),
        "top_k": (lambda k: k >= 1, "at least 1, or null for all codes"),
        "top_p": (lambda p: 0 < p <= 1, "above 0 and at most 1, or null for all codes"),
        "guidance": (lambda g: g >= 0, "0 or more, and 1 for none"),
    }
    for key, (fits_range, words) in ranges.items():
        value = values.get(key)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int | float) and not fits_range(one):
                raise ConfigError(f"{key}={value}: expected {words}")


def _check_values(values: Mapping[str, Any]) -> None:
    """Values of the right type with which nothing could be trained."""
    for key in ("run_dir", "data_dir", "resume", "tokenizer", "data_root"):
        if values[key] == "":
            raise ConfigError(f"{key}= is empty: give a path, or leave it out")
    if (values["data"] or {}).get("root") == "":
        raise ConfigError("data.root= is empty: give the folder of the data")
    if str(values["hardware"].get("precision")) not in PRECISIONS:
        raise ConfigError(f"hardware.precision={values['hardware']['precision']}: take one of {', '.join(PRECISIONS)}")
    if not 0 <= values["seed"] < 2**32:
        raise ConfigError(f"seed={values['seed']}: expected a number from 0 to 4294967295")
    rate = values["optim"].get("lr")
    if isinstance(rate, int | float) and rate <= 0:
        raise ConfigError(f"optim.lr={rate}: a learning rate is above 0, such as 1e-3")
    for key in ("max_epochs", "max_steps", "limit_train_batches"):
        if values["trainer"].get(key) == 0:
            raise ConfigError(f"trainer.{key}=0: nothing would be trained")


def _resolve(cfg: DictConfig) -> dict[str, Any]:
    """Plain containers of `cfg`, with a marker for what the data will fill in."""
    cfg = cfg.copy()
    if "facts" in cfg:
        cfg.facts = dict.fromkeys(cfg.facts, KNOWN_LATER)
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}=VALUE is needed: it has no default") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from None
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items()}


def _check_pairing(cfg: DictConfig) -> None:
    """A prior goes with codes and a tokenizer; every other model goes with images."""
    is_prior, has_codes = cfg.model.get("_target_") == PRIOR, cfg.data.get("_target_") == CODES
    if is_prior and not cfg.tokenizer:
        raise ConfigError(
            "tokenizer=RUN is needed: this model is a prior and learns the codes of a trained VQ-VAE "
            "(train one with: python train.py model=vqvae)"
        )
    if is_prior and not has_codes:
        raise ConfigError(
            "data: this model is a prior, which reads the codes of tokenizer=RUN; leave data= out "
            "(the images are those of the tokenizer)"
        )
    if has_codes and not is_prior:
        raise ConfigError("data=codes: this model reads images, not codes; take e.g. data=shapes")
    if cfg.tokenizer and not is_prior:
        raise ConfigError(f"tokenizer={cfg.tokenizer}: only a prior has one, and this model reads images")
    if cfg.data_root and not is_prior:
        raise ConfigError(f"data_root={cfg.data_root}: only beside tokenizer=RUN; images of data= are in data.root")


def _check_nodes(cfg: DictConfig) -> None:
    """What is looked into before the types are checked: names of options, and of classes where objects are made."""
    for section in ("model", "data", "hardware", "facts"):
        if not OmegaConf.is_dict(cfg.get(section)):
            raise ConfigError(f"{section}={cfg.get(section)}: expected options by their names")
    for section in ("logger", "callbacks"):
        for name, node in (cfg[section] if OmegaConf.is_dict(cfg[section]) else {}).items():
            if not OmegaConf.is_dict(node) or "_target_" not in node:
                raise ConfigError(f"{section}.{name}={node}: expected a _target_ and its options")
