"""Every shipped YAML is composed and run, tiny: a YAML that nobody runs is a bug."""

import json
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from made_up import ROOT
from omegaconf import OmegaConf

from beyondlinear.experiment.sweeps.paper import EXPERIMENTS as PAPER
from beyondlinear.runtime.conf_dir import choices_of_groups
from beyondlinear.runtime.config import check

CONF = ROOT / "conf"
TINY = [
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "trainer.max_epochs=2",
    "trainer.threads=1",
    "split.folds=2",
]
CHOICES_OF = choices_of_groups([CONF])
GROUPS = ["model", "signal_removal", "control", "protocol", "tuning", "trainer", "logger", "task"]
CHOICES = [f"{group}={name}" for group in GROUPS for name in CHOICES_OF[group]]
# the only other files of a group: what choices build on, and old names
OLD_NAMES = {
    "split": "class_means",
    "full": "class_means_before_split",
    "train": "leace",
    "train_projection": "projection",
    "resistant": "matching",
}
SIMULATED = [p.stem for p in sorted((CONF / "dataset").glob("simulated_*.yaml"))]
EXPERIMENTS = [p.stem for p in sorted((CONF / "experiment").glob("*.yaml"))]


def test_every_group_is_covered_here():
    # tests/experiment/sweeps runs what is in hydra, tests/evaluation/residual_test the test
    apart = {"dataset", "split", "experiment", "hydra", "residual_test"}
    assert {p.name for p in CONF.iterdir() if p.is_dir()} == set(GROUPS) | apart
    assert {p.stem for p in (CONF / "dataset").glob("*.yaml")} == {
        *SIMULATED,
        "stand_in",
        "file",
        "gtex",
        "recount3",
    }
    assert CHOICES_OF["split"] == ["column", "donor", "group", "pretrain", "sample", "study"]
    assert CHOICES_OF["residual_test"] == ["none", "standard"]


def test_every_file_is_a_choice_a_base_or_an_old_name():
    for group in (*GROUPS, "dataset", "split", "residual_test"):
        names = {path.stem for path in (CONF / group).glob("[!_]*.yaml")}
        old = set(OLD_NAMES) if group == "signal_removal" else set()
        assert names == set(CHOICES_OF[group]) | old


@pytest.mark.parametrize("old", OLD_NAMES)
def test_an_old_name_is_its_new_one_with_overrides_too(compose_config, old):
    more = ["signal_removal.shrinkage=false"] if old == "train" else []
    cfg = compose_config(f"signal_removal={old}", *more)
    assert cfg.signal_removal.name == OLD_NAMES[old]
    assert cfg == compose_config(f"signal_removal={OLD_NAMES[old]}", *more)


def test_an_old_name_in_a_sweep(train, tmp_path):
    train(
        "-m",
        "signal_removal=split,none",
        "hydra.sweep.dir=m",
        *TINY,
        "model=ridge_logistic",
        "meters.trees=3",
        "logger=none",
    )
    lists = [json.loads(path.read_text()) for path in tmp_path.glob("m/*/fits_*.json")]
    assert sorted(run["names"]["signal_removal"] for run in lists) == ["class_means", "none"]
    assert [run["config"]["leak_probes"] for run in lists] == [{"trees": 3}, {"trees": 3}]


# what a choice needs of its data: samples that the linear model is not sure of; batches that share
# classes
NEEDS = {
    "signal_removal=matching": ["dataset=simulated_clusters", "dataset.n_samples=300"],
    "signal_removal=study": [
        "dataset=simulated_clusters",
        "dataset.n_samples=300",
        "signal_removal.column=cluster",
    ],
    "model=random_forest": ["+model.estimator.max_depth=3"],
}


# tests/data/test_preparation.py runs them on the data that they are for, with dataset=recount3 and
# dataset=gtex
OF_PREPARED_DATA = {"task=tissue", "task=pair", "task=sex"}


@pytest.mark.parametrize("choice", [c for c in CHOICES if c not in OF_PREPARED_DATA])
def test_choice_runs(run_here, tmp_path, monkeypatch, choice):
    if choice == "trainer=gpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    monkeypatch.chdir(tmp_path)  # where relative paths of a config go
    model = [] if choice.startswith("model=") else ["model=logistic_regression"]
    records = run_here(*TINY, *model, choice, *NEEDS.get(choice, []))
    assert [r["status"] for r in records] == ["done", "done"]
    group, name = choice.split("=")
    if group in records[0]["names"] and group != "task":
        assert records[0]["names"][group] == name


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_before_any_fit(train, tmp_path):
    done = train(*TINY, "model=logistic_regression", "trainer=gpu", expect=1)
    assert "trainer.accelerator=gpu: torch" in done.stderr
    assert "or take trainer=cpu" in done.stderr
    assert not (tmp_path / "outputs" / "records").exists()


@pytest.mark.parametrize("dataset", SIMULATED)
def test_simulated_dataset_runs(run_here, dataset):
    records = run_here(f"dataset={dataset}", *TINY, "model=logistic_regression", "logger=none")
    assert records[0]["data"]["n_genes"] == 12
    assert 0.5 <= records[0]["data"]["bayes_accuracy"] <= 1


@pytest.fixture
def own_files(tmp_path: Path) -> list[str]:
    """24 samples of 8 donors in 4 studies, as two files."""
    lines = ["sample,label,donor,study,batch"]
    values = ["sample,g1,g2"]
    for i in range(24):
        lines.append(f"s{i},{'ab'[i % 2]},d{i // 3},st{i // 6},{i // 12}")
        values.append(f"s{i},{i % 2 + i / 100},{i % 5}")
    (tmp_path / "m.csv").write_text("\n".join(lines))
    (tmp_path / "x.csv").write_text("\n".join(values))
    return [f"dataset.expression={tmp_path / 'x.csv'}", f"dataset.metadata={tmp_path / 'm.csv'}"]


@pytest.mark.parametrize(
    ("split", "n_folds"),
    [
        (["split=sample", "split.folds=2"], 2),
        (["split=group", "split.group=[donor,study]", "split.folds=2"], 2),
        (["split=study", "split.folds=null"], 4),
        (["split=donor", "split.folds=4"], 4),
        (["split=column", "split.column=batch"], 2),
    ],
)
def test_split_runs_on_the_users_own_files(run_here, own_files, split, n_folds):
    records = run_here(
        "dataset=file",
        *own_files,
        *split,
        "model=logistic_regression",
        "trainer.max_epochs=2",
        "logger=none",
    )
    assert len(records) == n_folds
    assert {r["status"] for r in records} == {"done"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_cell_of_an_experiment_composes(experiment, compose_config):
    file = OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml")
    grid = OmegaConf.select(file, "hydra.sweeper.params", default={})
    given = {
        "task.classes": "[Blood,Brain]",
        "dataset.sex_labels": "labels.csv",
    }  # what only a cell or the user gives
    for key, values in grid.items():
        [sweep] = OverridesParser.create().parse_overrides([f"{key}={values}"])
        for value in sweep.sweep_string_iterator() if sweep.is_sweep_override() else [values]:
            cell = {
                k: v
                for k, v in given.items()
                if k in grid or (experiment == "fig3c" and k != "task.classes")
            }
            cfg = compose_config(
                f"experiment={experiment}", *(f"{k}={v}" for k, v in (cell | {key: value}).items())
            )
            check(cfg)


@pytest.mark.parametrize("experiment", [e for e in EXPERIMENTS if e not in PAPER or e == "fig4"])
def test_an_experiment_runs_narrowed_to_one_cell(train, tmp_path, experiment):
    narrow = [
        "model=logistic_regression",
        "signal_removal=class_means",
        "seed=0",
        "dataset=simulated_mixed",
        *TINY,
    ]
    if experiment == "artefact":
        narrow += ["control=none", "control.draw=0"]
    if experiment == "verdict":
        small = [
            "dataset.n_samples=200",
            "dataset.n_genes=5",
            "residual_test.draws=19",
            "residual_test.statistics=[pairs]",
        ]
        narrow = [
            "model=ridge_logistic",
            "signal_removal=class_means",
            "control=none",
            "control.draw=0",
            *TINY,
            *small,
        ]
    done = train(f"experiment={experiment}", *narrow, "split.fractions=[1.0]")
    if experiment == "verdict":
        assert (tmp_path / "multirun" / "verdict" / "report" / "index.html").exists()
        assert "simulated_clusters: " in done.stdout
        assert len(list((tmp_path / "multirun" / "verdict").glob("*/test_*.json"))) == 1
    assert "Launching 1 jobs locally" in done.stdout
    assert len(list((tmp_path / "outputs" / "records").glob("??/*.json"))) == 2
    assert len(list((tmp_path / "multirun" / experiment).glob("*/fits_*.json"))) == 1


def test_every_file_opens_with_a_comment_that_says_what_it_is():
    for path in CONF.rglob("*.yaml"):
        assert path.read_text().startswith("#"), path


def test_lines_are_not_wider_than_a_screen():
    for path in CONF.rglob("*.yaml"):
        assert all(len(line) <= 100 for line in path.read_text().splitlines()), path
