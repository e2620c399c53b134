"""Pictures of a search: its history, and how much each option matters."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optuna.study import Study

HISTORY, IMPORTANCE = "search_history.png", "search_importance.png"


def draw(study: "Study", folder: Path) -> Iterator[str]:
    """Write both pictures, and yield where they are, or why there is none."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    ended = [(t.number, t.value) for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    pruned = [(t.number, t.value) for t in trials if t.state == TrialState.PRUNED and t.value is not None]
    failed = [t.number for t in trials if t.state == TrialState.FAIL]
    if not ended:
        return
    yield history(ended, pruned, failed, study.direction.name == "MINIMIZE", folder / HISTORY)
    values = importances(study)
    if values:
        yield bars(values, folder / IMPORTANCE)
    else:
        yield f"note: no {IMPORTANCE}: for that, trials with different values and losses must have ended"


def importances(study: "Study") -> dict[str, float]:
    """The part of each option in where the best tenth of the trials lie (PED-ANOVA, arXiv 2304.10255); sums to 1.

    Empty where the trials that ended do not tell.
    """
    from optuna.exceptions import ExperimentalWarning
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # that the trials do not tell
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), normalize=False)
        except (UserWarning, ValueError, RuntimeError):  # too few trials, or all alike
            return {}
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if np.isfinite(total) and total > 0 else {}


def history(
    ended: list[tuple[int, float]], pruned: list[tuple[int, float]], failed: list[int], least: bool, path: Path
) -> str:
    """The objective of each trial by its number, and the best one so far."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    axes = (figure := Figure(figsize=(6, 3.5), layout="constrained")).subplots()
    numbers, values = zip(*sorted(ended), strict=True)
    best = (np.minimum if least else np.maximum).accumulate(values)
    axes.plot(numbers, values, "o", color="tab:blue", alpha=0.8, label="ended")
    axes.step(
        [*numbers, max(numbers[-1], *failed, *(n for n, _ in pruned), 0)],
        [*best, best[-1]],
        where="post",
        color="tab:orange",
        label="best so far",
    )
    if pruned:
        axes.plot(*zip(*pruned, strict=True), "x", color="tab:gray", label="pruned, at its last epoch")
    if failed:
        axes.plot(
            failed,
            np.zeros(len(failed)),
            "|",
            color="tab:red",
            markersize=12,
            clip_on=False,
            transform=axes.get_xaxis_transform(),
            label="failed",
        )
    axes.set(xlabel="trial", ylabel=f"objective ({'less' if least else 'more'} is better)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16))
    figure.savefig(path, dpi=200)
    return str(path)


def bars(importances: dict[str, float], path: Path) -> str:
    """A bar for each option, the most important one on top."""
    from matplotlib.figure import Figure

    names = sorted(importances, key=importances.__getitem__)
    axes = (figure := Figure(figsize=(6, 1.2 + 0.4 * len(names)), layout="constrained")).subplots()
    drawn = axes.barh(names, [importances[name] for name in names], color="tab:blue")
    axes.bar_label(drawn, fmt="%.2f", padding=3)
    axes.set(xlabel="importance (PED-ANOVA)", xlim=(0, 1.15))
    figure.savefig(path, dpi=200)
    return str(path)
