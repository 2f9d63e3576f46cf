"""Nested choice of hyperparameters: trials are scored on inner folds of the training part, and the
best one trains the fit.

A study is the list of its trials. What trial t draws depends on the trials before it and on a seed
of its own, and on nothing else, so that an interrupted study that is continued ends in the same
trials as an undisturbed one.
"""

import itertools
import logging
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from beyondlinear.runtime.errors import ConfigError, ResultsError, TuningError
from beyondlinear.runtime.files import read_json, write_json

log = logging.getLogger(__name__)

Space = Mapping[str, tuple[float, float]]

RULE = (
    "Chosen is the complete trial with the smallest mean over the inner folds of the weighted"
    " inner-validation loss, the earlier one of equals; the first trial holds the model's defaults"
    " (not under grid), and a trial is pruned (unless tuning.prune=false) once its mean loss so far"
    " is above the median of five or more earlier trials on the same inner folds."
)

PRUNE_AFTER = 5  # earlier trials that a median needs to be worth believing


@dataclass(frozen=True)
class Tuning:
    """How hyperparameters are chosen; conf/tuning/ explains the keys."""

    method: Literal["none", "random", "tpe", "grid"]
    trials: Annotated[int, Field(ge=1)] = 25
    inner_folds: Annotated[int, Field(ge=2)] = 4
    prune: bool = True


@dataclass(frozen=True)
class Trial:
    """One set of hyperparameters and its weighted loss on each inner fold it finished; None: the
    loss was not finite."""

    number: int
    parameters: dict[str, float]
    losses: list[float | None] = field(default_factory=list)
    state: Literal["complete", "pruned", "failed", "running"] = "running"
    reason: str = ""
    seconds: float = 0.0

    @property
    def value(self) -> float | None:
        """Mean loss over the inner folds; None unless complete."""
        return self.mean(len(self.losses)) if self.state == "complete" else None

    def mean(self, n_folds: int) -> float:
        """Mean loss over the first inner folds, which are finite."""
        return float(np.mean(self.losses[:n_folds]))  # type: ignore[arg-type]


class Saved(Protocol):
    """Where a study is kept while it is under way."""

    def load(self) -> list[dict[str, Any]]:
        """The trials saved before, in order; only the last may be running."""

    def save(self, trials: list[dict[str, Any]]) -> None:
        """Called after every inner fold."""


@dataclass(frozen=True)
class StudyFile:
    """A study in one JSON file, replaced as a whole: a killed study repeats one inner fit at
    most."""

    path: Path

    def load(self) -> list[dict[str, Any]]:
        """The trials of the file, or none where there is no file.

        :raises ResultsError: a file that holds no study
        """
        if not self.path.exists():
            return []
        try:
            trials = TypeAdapter(list[Trial]).validate_python(read_json(self.path)["trials"])
        except (ResultsError, KeyError, TypeError, ValidationError) as e:
            raise self._broken(
                f"it holds no study ({str(e.__cause__ or e).splitlines()[0]})"
            ) from e
        if [t.number for t in trials] != list(range(len(trials))) or any(
            t.state == "running" for t in trials[:-1]
        ):
            raise self._broken("its trials are not in order")
        return [asdict(t) for t in trials]

    def save(self, trials: list[dict[str, Any]]) -> None:
        """:raises ResultsError: the disk is full or not writable; what was saved before stays
        whole"""
        write_json(self.path, {"trials": trials})

    def _broken(self, why: str) -> ResultsError:
        return ResultsError(
            f"{self.path} cannot be continued: {why}; delete it and its study starts again"
        )


def check_space(space: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """The log-uniform ranges to search, by parameter; one whose range is null stays at the model's
    value.

    :raises ConfigError: a range that is not two finite numbers 0 < low ≤ high
    """
    ranges = {}
    for name, given in space.items():
        if given is None:
            continue
        ends = (
            list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        )
        numbers = all(
            isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)
            for v in ends
        )
        if not numbers or len(ends) != 2 or not 0 < ends[0] <= ends[1]:
            raise ConfigError(
                f"model.search.{name}: {given} is not allowed; a log-uniform range needs 0 < low ≤"
                f" high, e.g. [1e-5, 1e-2]. null leaves {name} at the model's value"
            )
        ranges[name] = (float(ends[0]), float(ends[1]))
    return ranges


def grid(space: Space, trials: int) -> list[dict[str, float]]:
    """A regular grid over the log ranges, its ends included.

    Each of k ranges has the same number of points: the largest whose k-th power is at most
    `trials`, but at least 2 (25 trials: 5 × 5). A range of equal ends has one point and does not
    count.
    """
    k = sum(low < high for low, high in space.values())
    n = max(2, *(n for n in range(1, trials + 1) if n**k <= trials)) if k else 1
    axes = [
        np.geomspace(low, high, n if low < high else 1).tolist() for low, high in space.values()
    ]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*axes)]


class Study:
    """The trials of one search. Ask for what is to be tried next, and tell what came of it.

    >>> for parameters, fold in study.requests():          # doctest: +SKIP
    ...     study.tell(loss_of(parameters, fold))
    """

    def __init__(
        self,
        tuning: Tuning,
        space: Space,
        defaults: Mapping[str, float],
        n_folds: int,
        seeds: Sequence[int],
        saved: Saved,
    ) -> None:
        """:param space: what `check_space` returned
        :param defaults: the model's values, tried first (not under grid), so that tuning never ends
            with a worse inner loss
        :param seeds: one a trial, tuning.trials of them
        :raises ResultsError: the saved study is another one
        """
        self.tuning, self.n_folds, self.seeds, self.saved = tuning, n_folds, seeds, saved
        self.space = dict(sorted(space.items()))  # the order of keys in a YAML decides nothing
        self.defaults = {name: float(defaults[name]) for name in self.space}
        self.grid = grid(self.space, tuning.trials) if tuning.method == "grid" else []
        self.n_trials = len(self.grid) if tuning.method == "grid" else tuning.trials
        self.trials = [Trial(**trial) for trial in saved.load()]
        self._asked = 0.0  # when, on the monotonic clock
        for trial in self.trials:
            self._refuse_another_study(trial)

    def requests(self) -> Iterator[tuple[dict[str, float], int]]:
        """Hyperparameters and the inner fold (from 0) to try them on, until every trial has ended;
        each is to be answered by `tell` or `tell_failure` before the next is asked for.

        :raises ResultsError: the study cannot be written
        """
        for number in range(self.n_trials):
            if number == len(self.trials):
                self.trials.append(Trial(number, self._draw(number)))
            while self.trials[number].state == "running":
                trial = self.trials[number]
                self._asked = time.monotonic()
                yield dict(trial.parameters), len(trial.losses)
                if self.trials[number] is trial:
                    raise RuntimeError("a request was not answered by tell or tell_failure")
                self.saved.save([asdict(t) for t in self.trials])

    def tell(self, loss: float) -> None:
        """The weighted inner-validation loss of what was asked; one that is not finite fails the
        trial."""
        trial = self.trials[-1]
        fold = len(trial.losses)
        if math.isfinite(loss):
            self._answer(replace(trial, losses=[*trial.losses, loss]))
        else:
            reason = f"inner fold {fold}: the loss is {loss}"
            self._answer(replace(trial, losses=[*trial.losses, None], reason=reason))

    def tell_failure(self, error: Exception) -> None:
        """What was asked raised this error: these parameters' trial ends, the search goes on."""
        trial = self.trials[-1]
        reason = f"inner fold {len(trial.losses)}: {type(error).__name__}: {error}"
        self._answer(replace(trial, reason=reason))

    def line(self) -> str:
        """The latest trial in one line."""
        trial = self.trials[-1]
        return f"trial {trial.number + 1} of {self.n_trials}  {_shown(trial)}"

    def _answer(self, trial: Trial) -> None:
        seconds = round(trial.seconds + time.monotonic() - self._asked, 3)
        trial = replace(trial, seconds=seconds)
        if trial.reason:
            trial = replace(trial, state="failed")
        elif len(trial.losses) == self.n_folds:
            trial = replace(trial, state="complete")
        elif self.tuning.prune:
            reason = _why_pruned(trial, self.trials[:-1])
            trial = replace(trial, state="pruned" if reason else "running", reason=reason)
        self.trials[-1] = trial

    def _draw(self, number: int) -> dict[str, float]:
        """The hyperparameters of a trial, from the trials before it and a seed of its own."""
        if self.grid:
            return self.grid[number]
        if number == 0:
            return dict(self.defaults)
        if self.tuning.method == "random":
            return _draw_random(self.space, self.seeds[number])
        return _draw_tpe(self.space, self.trials[:number], self.seeds[number])

    def _refuse_another_study(self, trial: Trial) -> None:
        fewest = self.n_folds if trial.state == "complete" else 0
        most = self.n_folds - 1 if trial.state in ("running", "pruned") else self.n_folds
        same_parameters = trial.parameters.keys() == self.space.keys()
        if same_parameters and fewest <= len(trial.losses) <= most and trial.number < self.n_trials:
            return
        raise ResultsError(
            f"the saved study is another one: its trial {trial.number} has"
            f" {', '.join(trial.parameters)}, {len(trial.losses)} losses; this one has"
            f" {self.n_trials} trials of {', '.join(self.space)} on {self.n_folds} inner folds."
            " Delete it to start again"
        )


def choose(trials: Sequence[Trial]) -> Trial:
    """The complete trial with the smallest mean inner loss, the earlier one of equals (see RULE).

    :raises TuningError: no trial is complete
    """
    complete = [(t.value, t.number, t) for t in trials if t.value is not None]
    if not complete:
        first = "; ".join(map(_shown, trials[:3])) + ("; …" if len(trials) > 3 else "")
        raise TuningError(
            f"none of {len(trials)} trials has a finite loss on every inner fold ({first}). Move"
            " the ranges of model.search (a smaller lr diverges less), or take the model's"
            " defaults with tuning=none"
        )
    return min(complete, key=lambda c: c[:2])[2]


def _why_pruned(trial: Trial, rivals: list[Trial]) -> str:
    """The median stopping rule (Golovin et al. 2017, Google Vizier) on the inner folds finished so
    far. Unlike there, pruned trials count as far as they came: else the median would soon be that
    of the better half only."""
    n = len(trial.losses)
    means = [t.mean(n) for t in rivals if t.state in ("complete", "pruned") and len(t.losses) >= n]
    if len(means) < PRUNE_AFTER or trial.mean(n) <= statistics.median(means):
        return ""
    return (
        f"after {n} inner fold{'s' * (n > 1)} its mean loss {trial.mean(n):.4g} is above"
        f" {statistics.median(means):.4g}, the median of {len(means)} earlier trials"
    )


def _draw_random(space: Space, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    drawn = {
        k: math.exp(rng.uniform(math.log(low), math.log(high))) for k, (low, high) in space.items()
    }
    return {k: min(max(v, space[k][0]), space[k][1]) for k, v in drawn.items()}


def _draw_tpe(space: Space, earlier: list[Trial], seed: int) -> dict[str, float]:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023), told of the
    earlier trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, Any] = {
        k: optuna.distributions.FloatDistribution(low, high, log=True)
        for k, (low, high) in space.items()
    }
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32, multivariate=True, constant_liar=False)
    study = optuna.create_study(sampler=sampler)
    pruned = optuna.trial.TrialState.PRUNED
    for t in earlier:
        # a default outside its range, such as no weight decay, counts as the range's nearest end
        inside = {k: min(max(t.parameters[k], low), high) for k, (low, high) in space.items()}
        told: dict[str, Any] = {"params": inside, "distributions": distributions}
        if t.state == "complete":
            study.add_trial(optuna.trial.create_trial(value=t.value, **told))
        else:
            # Optuna leaves failed trials out and would go on drawing where training diverges; a
            # pruned trial without a loss is its worst
            means = (
                {n: t.mean(n) for n in range(1, len(t.losses) + 1)} if t.state == "pruned" else {}
            )
            study.add_trial(
                optuna.trial.create_trial(state=pruned, intermediate_values=means, **told)
            )
    asked = study.ask(distributions).params
    return {k: float(asked[k]) for k in space}


def _shown(trial: Trial) -> str:
    values = ", ".join(f"{k} {v:.2g}" for k, v in trial.parameters.items())
    return f"{values}: " + (
        f"loss {trial.value:.4g}" if trial.value is not None else f"{trial.state}: {trial.reason}"
    )
