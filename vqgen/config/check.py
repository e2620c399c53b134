"""The root schemas, and the check that a config can be trained, or used."""

from collections.abc import Mapping
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from vqgen.config.arguments import (
    CODES,
    KNOWN_LATER,
    PERCEPTUAL,
    Signature,
    check_arguments,
    check_node,
    signature,
    signature_at,
)
from vqgen.config.ranges import check_ranges
from vqgen.errors import ConfigError, command, first_line, near_miss
from vqgen.plain import Plain
from vqgen.runs.folders import check_run, find_runs, find_started, released

SAMPLING = "vqgen.drawing.Sampling"  # its settings stand among the options of the tasks that take one
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "32", "bf16", "16")  # weights are always float32


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
    channels_last: bool | None = None


@dataclass
class Facts:
    """What only the data (or the tokenizer) know; written into the run's config before the model is built."""

    variance: float | None = None
    num_classes: int | None = None
    class_names: list[str] | None = None
    attribute_names: list[str] | None = None
    grid: list[int] | None = None
    num_embeddings: int | None = None
    codes_per_place: int | None = None
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
    parameter_groups: dict | None = None
    trust: bool = False
    resume: str | None = None
    tokenizer: str | None = None
    data_root: str | None = None
    data_changed: bool = False
    level: int | str | None = None
    weights: str | None = None
    weights_strict: bool = True
    freeze: list[str] | None = None
    perceptual: str | None = None


@dataclass
class Use:
    """Root of conf/sample.yaml, beside the options of the task."""

    task: str
    run: str | list[str] | None
    checkpoint: str
    tokenizer: str | None
    data_root: str | None
    data_changed: bool
    device: str
    out: str | None
    arrays: bool
    log: bool
    steps: int = 1  # of the samplers that draw in steps; they say how many


def check(cfg: DictConfig) -> None:
    """Raise ConfigError, naming the key, the value and the near miss, unless `cfg` can be trained.

    The classes that it names are imported, as training needs them anyway.
    """
    if cfg.resume:  # first, as the folder of the run follows from it
        find_started(cfg.resume)
    else:
        check_run("tokenizer", cfg.tokenizer)
        check_run("weights", cfg.get("weights"))
        check_run("perceptual", cfg.get("perceptual"))
    _check_sections(cfg)
    _check_pairing(cfg)
    values = _resolved(cfg)
    check_arguments("", values, signature(Train))
    _check_values(values, values["hardware"], values["data"])
    for section, kind in (("hardware", Hardware), ("facts", Facts)):
        check_arguments(section, values[section], signature(kind))
        check_ranges(section, values[section])
    for section in ("optim", "schedule", "parameter_groups", "data", "model", "logger", "callbacks", "trainer", "tune"):
        check_node(section, values.get(section))


def check_sample(cfg: DictConfig) -> None:
    """As `check`, for conf/sample.yaml: the keys beside the common ones belong to the task."""
    values, common = _resolved(cfg), signature(Use)
    check_arguments("", {key: values[key] for key in common.parameters if key in values}, common)
    if values["checkpoint"] not in ("best", "last"):
        raise ConfigError(f"checkpoint={values['checkpoint']}: take best or last, or give the file itself as run=FILE")
    options = {key: value for key, value in values.items() if key not in common.parameters}
    takes = dict(signature_at("task", values["task"]).parameters)
    if takes.pop("sampling", None):
        takes |= signature_at("sampling", SAMPLING).parameters
    check_arguments("", options, Signature(takes))
    for name, value in options.items():
        check_node(name, value)
    check_ranges("", options)
    if not values["run"]:
        names = near_miss("", released())
        raise ConfigError(f"run=RUN is needed: a run folder, a checkpoint file, or a released run{names}")
    find_runs(values["run"])


def _check_sections(cfg: DictConfig) -> None:
    """What must hold before references are resolved: sections have options, and those that make objects a class."""
    for section in ("hardware", "facts"):
        if not OmegaConf.is_dict(cfg.get(section)):
            raise ConfigError(f"{section}={cfg.get(section)}: expected options by their names")
    made = {section: cfg.get(section) for section in ("model", "data", "optim", "schedule", "trainer")}
    for section in ("logger", "callbacks", "tune", "parameter_groups"):
        several = cfg[section] if OmegaConf.is_dict(cfg.get(section)) else {}
        made |= {f"{section}.{name}": node for name, node in several.items()}
    for path, node in made.items():
        if not OmegaConf.is_dict(node) or "_target_" not in node:
            raise ConfigError(f"{path}={node}: expected a _target_ and its options")


def _check_pairing(cfg: DictConfig) -> None:
    """A prior goes with codes and a tokenizer; every other model goes with images."""
    is_prior, has_codes = "upper_grids" in cfg.model, cfg.data.get("_target_") == CODES
    if is_prior and not cfg.tokenizer:
        raise ConfigError(
            "tokenizer=RUN is needed: this model is a prior and learns the codes of a trained VQ-VAE "
            f"(train one with: {command('train', 'model=vqvae')})"
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
    if cfg.level and not is_prior:
        raise ConfigError(f"level={cfg.level}: only beside tokenizer=RUN, for a prior of one of its levels")
    if cfg.data_root and not is_prior:
        raise ConfigError(f"data_root={cfg.data_root}: only beside tokenizer=RUN; images of data= are in data.root")

    if cfg.data_changed and not (cfg.resume or cfg.tokenizer):
        raise ConfigError("data_changed=true: only beside resume=RUN or tokenizer=RUN, a run that knows its images")

    compares = OmegaConf.select(cfg, "model.likelihood._target_") == PERCEPTUAL
    if compares and not cfg.get("perceptual"):
        raise ConfigError(
            "perceptual=RUN is needed: model/likelihood=perceptual compares images by what the network of a run sees "
            f"(train one with: {command('train', 'model=classifier')})"
        )
    if cfg.get("perceptual") and not compares:
        raise ConfigError(f"perceptual={cfg.perceptual}: only beside model/likelihood=perceptual")

    if cfg.get("freeze") and not cfg.get("weights"):
        raise ConfigError(f"freeze={list(cfg.freeze)}: only beside weights=RUN, as what is frozen learns nothing")


def _check_values(values: Mapping[str, Plain], hardware: Mapping[str, Plain], data: Mapping[str, Plain]) -> None:
    """Values of the right type with which nothing could be trained."""
    for key in ("run_dir", "data_dir", "resume", "tokenizer", "weights", "perceptual", "data_root"):
        if values.get(key) == "":
            raise ConfigError(f"{key}= is empty: give a path, or leave it out")
    if data.get("root") == "":
        raise ConfigError("data.root= is empty: give the folder of the data")
    if str(hardware.get("precision")) not in PRECISIONS:
        raise ConfigError(f"hardware.precision={hardware['precision']}: take one of {', '.join(PRECISIONS)}")
    check_ranges("", {"seed": values["seed"]})
    if values["seed"] >= 2**32:  # of a training: it goes to NumPy's generator, too
        raise ConfigError(f"seed={values['seed']}: expected a number below {2**32}")


def _resolved(cfg: DictConfig) -> dict[str, Plain]:
    """The config as plain containers, with a marker for what the data will fill in."""
    cfg = cfg.copy()
    if "facts" in cfg:
        cfg.facts = dict.fromkeys(cfg.facts, KNOWN_LATER)
    try:
        values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}=VALUE is needed: it has no default") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {first_line(error)}") from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}
