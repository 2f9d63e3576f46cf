import json
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict

import pytest
from made_up import ROOT
from omegaconf import OmegaConf

from beyondlinear.experiment.hyperparameter_search import (
    Study,
    StudyFile,
    Trial,
    Tuning,
    check_space,
    choose,
    grid,
)
from beyondlinear.runtime.config import build
from beyondlinear.runtime.errors import ConfigError, ResultsError, TuningError
from beyondlinear.runtime.seeds import stream_seed

SPACE = {"lr": (1e-5, 1e-1), "weight_decay": (1e-8, 1e-2)}
DEFAULTS = {"lr": 1e-2, "weight_decay": 0.0}
LR = {"lr": (1e-4, 1e-1)}
METHODS = ["random", "tpe", "grid"]


class Memory:
    """A study that is kept as the text a file would hold."""

    def __init__(self, *trials: Trial) -> None:
        self.text = json.dumps([asdict(t) for t in trials])

    def load(self) -> list[dict]:
        return json.loads(self.text)

    def save(self, trials: list[dict]) -> None:
        self.text = json.dumps(trials)


def bowl(parameters: dict[str, float], fold: int = 0) -> float:
    """Least at lr = 10^−3.2, weight_decay = 10^−4.5: 0 in the first inner fold, 0.1 more in each
    later one."""
    x = (math.log10(parameters["lr"]) + 3.2) / 2
    y = (math.log10(max(parameters["weight_decay"], 1e-8)) + 4.5) / 3
    return x * x + y * y + 0.1 * fold


def run(
    method: str,
    evaluate: Callable[[dict[str, float], int], float] = bowl,
    seed: int = 0,
    space: Mapping = SPACE,
    defaults: Mapping = DEFAULTS,
    n_folds: int = 4,
    saved: Memory | StudyFile | None = None,
    said: Callable | None = None,
    **keys,
) -> list[Trial]:
    tuning = Tuning(method, **keys)
    if method == "none" or not space:
        return []
    seeds = [stream_seed(seed, "trial", t) for t in range(tuning.trials)]
    study = Study(tuning, space, defaults, n_folds, seeds, saved or Memory())
    for parameters, fold in study.requests():
        try:
            study.tell(evaluate(parameters, fold))
        except (MemoryError, OSError):
            raise
        except Exception as e:
            study.tell_failure(e)
        if said is not None and study.trials[-1].state != "running":
            said(study.line())
    return study.trials


def of_table(*losses: list[float], **keys) -> list[Trial]:
    """Trials of one parameter whose losses are literal: a row a trial, a column an inner fold."""
    saved = Memory()

    def look_up(parameters, fold):
        return losses[len(saved.load()) - (fold > 0)][
            fold
        ]  # a trial is saved from its first inner fold on

    return run(
        "random", look_up, 0, LR, {"lr": 1e-3}, len(losses[0]), saved, trials=len(losses), **keys
    )


def untimed(trials: list[Trial]) -> list[dict]:
    return [asdict(t) | {"seconds": 0} for t in trials]


class TestSpace:
    def test_a_null_range_is_not_searched(self):
        assert check_space({"lr": [1e-5, 1], "weight_decay": None}) == {"lr": (1e-5, 1.0)}
        assert check_space(OmegaConf.create({"lr": [0.5, 0.5]})) == {"lr": (0.5, 0.5)}

    @pytest.mark.parametrize(
        "wrong", [[0, 0.1], [1, 0.1], [0.1], [1, math.inf], [math.nan, 1], ["1", 2], 0.1]
    )
    def test_a_range_without_logarithms_or_order_is_refused(self, wrong):
        with pytest.raises(ConfigError) as e:
            check_space({"weight_decay": [1e-8, 1e-2], "lr": wrong})
        assert (
            str(e.value)
            == f"model.search.lr: {wrong} is not allowed; a log-uniform range needs 0 < low ≤ high,"
            " e.g. [1e-5, 1e-2]. null leaves lr at the model's value"
        )


class TestGrid:
    def test_its_points_are_the_literal_ones(self):
        lrs, decays = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], [1e-8, 10**-6.5, 1e-5, 10**-3.5, 1e-2]
        points = [(p["lr"], p["weight_decay"]) for p in grid(SPACE, 25)]
        assert points == [pytest.approx((lr, decay), rel=1e-12) for lr in lrs for decay in decays]
        assert (points[0], points[-1]) == ((1e-5, 1e-8), (1e-1, 1e-2))

    @pytest.mark.parametrize(("trials", "points"), [(1, 4), (8, 4), (9, 9), (24, 16), (26, 25)])
    def test_the_number_of_points(self, trials, points):
        assert len(grid(SPACE, trials)) == points

    def test_one_range_takes_all_points_and_equal_ends_one(self):
        assert [p["lr"] for p in grid(LR, 4)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1], rel=1e-12)
        assert grid({"a": (1, 4), "b": (0.5, 0.5)}, 2) == [{"a": 1, "b": 0.5}, {"a": 4, "b": 0.5}]
        assert grid({"lr": (0.5, 0.5)}, 25) == [{"lr": 0.5}]

    def test_the_search_visits_them_in_order_and_no_default(self):
        assert [t.parameters for t in run("grid", prune=False)] == grid(SPACE, 25)


class TestDraws:
    @pytest.mark.parametrize("method", ["random", "tpe"])
    def test_the_models_defaults_come_first_even_outside_the_range(self, method):
        trials = run(method, trials=12)
        assert trials[0].parameters == {"lr": 1e-2, "weight_decay": 0.0}
        for t in trials[1:]:
            assert all(low <= t.parameters[k] <= high for k, (low, high) in SPACE.items())
        assert len({t.parameters["lr"] for t in trials}) == 12
        equal_ends = run(method, space=SPACE | {"lr": (0.003, 0.003)}, trials=12)
        assert {t.parameters["lr"] for t in equal_ends[1:]} == {0.003}

    @pytest.mark.parametrize("method", ["random", "tpe"])
    def test_the_seed_decides_and_the_order_of_keys_does_not(self, method):
        trials = untimed(run(method, trials=14))
        assert untimed(run(method, trials=14)) == trials
        assert untimed(run(method, space=dict(reversed(SPACE.items())), trials=14)) == trials
        assert untimed(run(method, seed=1, trials=14))[1]["parameters"] != trials[1]["parameters"]

    def test_random_is_log_uniform(self):
        lrs = [
            t.parameters["lr"]
            for t in run("random", lambda p, fold: 0.0, n_folds=1, trials=400)[1:]
        ]
        decades = [sum(10.0**d <= lr < 10.0 ** (d + 1) for lr in lrs) for d in (-5, -4, -3, -2)]
        assert sum(decades) == 399
        assert all(70 <= n <= 130 for n in decades)  # 100 expected, standard deviation 8.7

    def test_tpe_finds_a_bowl_that_random_draws_circle(self):
        """Loss that 25 trials reach, median over ten seeds: over 100 seeds such medians are
        0.002–0.013 for tpe and 0.028–0.058 for random draws."""

        def reached(method):
            return statistics.median(
                bowl(choose(run(method, seed=s)).parameters) for s in range(10)
            )

        assert reached("tpe") < 0.02 < reached("random")

    def test_tpe_turns_away_from_where_trials_fail(self):
        """Half of the range of lr diverges, and so would 50 of 100 random draws."""

        def diverges(parameters, fold):
            if parameters["lr"] > 1e-3:
                raise FloatingPointError
            return bowl(parameters, fold)

        assert (
            sum(t.state == "failed" for s in range(10) for t in run("tpe", diverges, seed=s)[-10:])
            < 42
        )

    def test_tuning_never_ends_worse_than_the_default(self):
        assert (
            choose(run("random", lambda p, fold: 0.0 if p == DEFAULTS else 1.0 + fold)).parameters
            == DEFAULTS
        )

    def test_nothing_to_search_makes_no_trial(self):
        assert run("none") == run("tpe", space={}) == []

    def test_optuna_says_nothing_and_is_not_imported_without_need(self):
        code = """if True:
            import sys
            from test_hyperparameter_search import run
            run("random")
            print("optuna" in sys.modules)
            run("tpe")"""
        command = [
            sys.executable,
            "-W",
            "error::UserWarning",
            "-W",
            "error::FutureWarning",
            "-c",
            code,
        ]
        here = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")]),
        }
        done = subprocess.run(
            command,
            cwd=ROOT / "tests" / "experiment",
            env=here,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("False\n", "")


class TestInterruption:
    @pytest.mark.parametrize("method", METHODS)
    def test_interrupted_before_every_inner_fit_it_ends_in_the_same_trials(self, method, tmp_path):
        """Every inner fit is cut short once: between trials, between inner folds, before the very
        first."""
        calls, tries = [], []

        def cut_short(parameters, fold):
            tries.append((parameters, fold))
            if tries.count((parameters, fold)) == 1:
                raise KeyboardInterrupt
            calls.append(fold)
            return bowl(parameters, fold)

        saved, trials = StudyFile(tmp_path / "study.json"), None
        while trials is None:
            try:
                trials = run(method, cut_short, saved=saved, trials=16)
            except KeyboardInterrupt:
                assert sum(len(t["losses"]) for t in saved.load()) == len(calls)
        assert untimed(trials) == untimed(run(method, trials=16))
        assert {t.state for t in trials} == {"complete", "pruned"}
        assert len(tries) == 2 * len(calls) == 2 * sum(len(t.losses) for t in trials)

    def test_a_finished_study_is_not_made_again(self):
        saved = Memory()
        trials = run("random", saved=saved, trials=3)
        assert (
            run(
                "random",
                lambda p, fold: pytest.fail("again"),
                saved=saved,
                said=pytest.fail,
                trials=3,
            )
            == trials
        )

    @pytest.mark.parametrize(
        "other",
        [
            Trial(0, {"lr": 1}),
            Trial(3, DEFAULTS),
            Trial(0, DEFAULTS, [1] * 4),
            Trial(0, DEFAULTS, [1], "complete"),
        ],
    )
    def test_another_study_is_refused(self, other):
        with pytest.raises(
            ResultsError, match="another one: .* 3 trials of lr, weight_decay on 4 inner folds"
        ):
            run("random", saved=Memory(other), trials=3)

    def test_a_saved_file_is_loaded_to_the_last_bit(self, tmp_path):
        saved = StudyFile(tmp_path / "new" / "study.json")
        assert saved.load() == []
        saved.save(
            [trial := asdict(Trial(0, {"lr": 0.1 + 0.2}, [1 / 3, None], "failed", "why", 0.25))]
        )
        assert saved.load() == [trial]

    @pytest.mark.parametrize(
        "text",
        [
            *(
                "",
                '{"trials": [{"number": 0, "para',
                "[]",
                "{}",
                '{"trials": 3}',
                '{"trials": [{"number": 0}]}',
            ),
            '{"trials": [{"number": 0, "parameters": {"lr": "high"}}]}',
            '{"trials": [{"number": 1, "parameters": {"lr": 1}}]}',
            (
                '{"trials": [{"number": 0, "parameters": {"lr": 1}}, {"number": 1, "parameters":'
                ' {"lr": 1}}]}'
            ),
        ],
    )
    def test_a_broken_file_is_named_with_the_remedy(self, tmp_path, text):
        path = tmp_path / "study.json"
        path.write_text(text)
        with pytest.raises(
            ResultsError,
            match=r"study\.json cannot be continued: .*; delete it and its study starts",
        ):
            StudyFile(path).load()


class TestPruning:
    def test_it_needs_five_earlier_trials_and_a_loss_above_their_median(self):
        """Trial 4 is the worst of five, but four are no median. 3.5 > 3, the median of 1 2 3 4 5.
        Then the pruned trial counts too: 3.25 is the median of 1 2 3 3.5 4 5 and not above it."""
        trials = of_table([1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [3.5, 0], [3.25, 9], [3.3, 0])
        assert [t.state for t in trials] == [*["complete"] * 5, "pruned", "complete", "pruned"]
        assert (trials[5].losses, trials[5].value) == ([3.5], None)
        assert (
            trials[5].reason
            == "after 1 inner fold its mean loss 3.5 is above 3, the median of 5 earlier trials"
        )
        assert trials[6].value == 6.125
        assert of_table(*[[1, 1]] * 5, [9, 9], prune=False)[5].value == 9

    def test_the_same_inner_folds_are_compared(self):
        """The second of three inner folds is harder for all; against means of all three, each would
        be pruned after it."""
        assert {t.state for t in of_table(*[[0.1, 10, 0.1]] * 8)} == {"complete"}

    def test_failed_trials_are_no_measure(self):
        assert of_table(*[[1, math.nan]] * 5, [9, 9])[5].state == "complete"


class TestFailure:
    @pytest.mark.parametrize("loss", [math.nan, math.inf])
    def test_a_loss_that_is_not_finite_fails_the_trial(self, loss):
        trials = of_table([0.5, loss], [2, 2])
        assert (trials[0].state, trials[0].losses) == ("failed", [0.5, None])
        assert trials[0].reason == f"inner fold 1: the loss is {loss}"
        assert choose(trials).number == 1

    @pytest.mark.parametrize("method", METHODS)
    def test_an_exception_fails_its_trial_and_no_other(self, method):
        def diverges(parameters, fold):
            if parameters["lr"] > 5e-3 and fold == 2:
                raise FloatingPointError("no number")
            return bowl(parameters, fold)

        trials = run(method, diverges, prune=False)
        failed = [t for t in trials if t.state == "failed"]
        assert failed == [t for t in trials if t.parameters["lr"] > 5e-3] != []
        assert {(len(t.losses), t.reason) for t in failed} == {
            (2, "inner fold 2: FloatingPointError: no number")
        }
        assert choose(trials).parameters["lr"] <= 5e-3


class TestChoice:
    def test_the_smallest_mean_and_the_earlier_of_equals(self):
        rows = [[1.0, 3.0], [2.0, 1.0], [1.0, 2.0], [0.5, 4.0]]
        trials = [Trial(i, {"lr": 0.1}, row, "complete") for i, row in enumerate(rows)]
        unfinished = [
            Trial(i, {"lr": 0.1}, [0.1], s)
            for i, s in enumerate(["pruned", "failed", "running"], 4)
        ]
        assert [t.value for t in trials + unfinished] == [2, 1.5, 1.5, 2.25, None, None, None]
        assert choose(trials + unfinished) is choose(trials[::-1]) is trials[1]

    def test_no_complete_trial_names_the_first_reasons(self):
        trials = [Trial(i, {"lr": 10.0**-i}, [None], "failed", "loss nan") for i in range(5)]
        with pytest.raises(TuningError) as e:
            choose(trials)
        assert (
            str(e.value)
            == "none of 5 trials has a finite loss on every inner fold (lr 1: failed: loss nan; lr"
            " 0.1: failed: loss nan; lr 0.01: failed: loss nan; …). Move the ranges of"
            " model.search (a smaller lr diverges less), or take the model's defaults with"
            " tuning=none"
        )


def test_one_line_is_said_of_each_trial():
    spoken, losses = [], iter([0.25, 0.5, math.nan])
    run(
        "random",
        lambda p, fold: next(losses),
        0,
        LR,
        {"lr": 3e-3},
        n_folds=2,
        said=spoken.append,
        trials=2,
    )
    assert spoken[0] == "trial 1 of 2  lr 0.003: loss 0.375"
    assert re.fullmatch(
        r"trial 2 of 2  lr 0\.\d+: failed: inner fold 0: the loss is nan", spoken[1]
    )


CHOICES = sorted(p.stem for p in (ROOT / "conf" / "tuning").glob("[!_]*.yaml"))


@pytest.mark.parametrize("name", CHOICES)
def test_shipped_choices(compose_config, name):
    node = compose_config(f"tuning={name}").tuning
    assert node.name == name
    assert build(node) == Tuning(method=name, trials=25, inner_folds=4, prune=True)
