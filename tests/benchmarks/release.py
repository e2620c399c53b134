"""Put a trained run among those that come with the project: its weights and config, no optimiser, no private path.

    python -m tests.benchmarks.release RUN NAME          NAME such as fashion_vqvae or fashion_vqvae2_transformer/top

The tokenizer of a prior is released first. A model card, README.md in the same folder, is written by hand.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vqgen.runs.atomic import replacing
from vqgen.runs.checkpoint import Run, fingerprint, module_of, open_run, relative_to, save_essence
from vqgen.runs.folders import RELEASED


def renamed(node: Any, names: Mapping[str, str]) -> Any:
    """A config whose texts have each of these paths replaced by its name."""
    if isinstance(node, dict):
        return {key: renamed(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [renamed(value, names) for value in node]
    for path, name in names.items():
        node = node.replace(path, name) if isinstance(node, str) else node
    return node


def released_tokenizer(mark: str) -> Path:
    """The released run of the tokenizer with this fingerprint."""
    for file in RELEASED.glob("*/checkpoints/best.ckpt"):
        run = open_run(file)
        if run.tokenizer is None and fingerprint(module_of(run)) == mark:
            return run.folder
    raise SystemExit(f"no released run is the tokenizer {mark}: release it first")


def release(run: Run, name: str) -> Path:
    """Write the released run `name`, and return its checkpoint."""
    folder = RELEASED / name
    names = {run.config["run_dir"]: f"runs/{name}"}
    lineage = run.tokenizer
    if lineage:
        tokenizer = released_tokenizer(lineage["fingerprint"])
        names |= {run.config["tokenizer"]: f"runs/{tokenizer.name}"}
        lineage = lineage | {"path": relative_to(folder, tokenizer / "checkpoints" / "best.ckpt")}
    config = renamed(run.config, dict(sorted(names.items(), key=lambda item: -len(item[0]))))
    contents = run.contents | {"vqgen": {"config": config, "tokenizer": lineage}}
    file = folder / "checkpoints" / "best.ckpt"
    save_essence(run._replace(config=config, contents=contents), file)
    with replacing(folder / "config.yaml") as part:
        OmegaConf.save(OmegaConf.create(config), part)
    return file


def main() -> None:
    """Release one run and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("name")
    options = parser.parse_args()
    file = release(open_run(options.run), options.name)
    total = sum(path.stat().st_size for path in RELEASED.rglob("*") if path.is_file())
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB; all released runs: {total / 1e6:.2f} of 8 MB")


if __name__ == "__main__":
    main()
