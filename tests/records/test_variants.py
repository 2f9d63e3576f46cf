"""Settings that tell cells apart, and those that may differ within one."""

from beyondlinear.records.columns import GROUPS
from beyondlinear.records.variants import variants


def row(**choices: str) -> dict[str, object]:
    return dict.fromkeys(GROUPS, "none") | choices


def test_only_settings_that_differ_are_named():
    configs = [
        {"model": {"lr": 0.1, "dropout": 0.5}, "scale": "standardise"},
        {"model": {"lr": 0.2, "dropout": 0.5}, "scale": "standardise"},
    ]
    found = variants([(row(model="net"), configs[0]), (row(model="net"), configs[1])])
    assert found == ["model.lr=0.1", "model.lr=0.2"]


def test_settings_are_compared_among_fits_with_the_same_choice():
    rows = [(row(model="net"), {"model": {"lr": 0.1}}), (row(model="svm"), {"model": {"lr": 0.2}})]
    assert variants(rows) == ["", ""]


def test_seeds_folds_and_paths_may_differ_within_a_cell():
    configs = [
        {"seed": seed, "split": {"only_folds": [seed]}, "results": {"store": f"/{seed}"}}
        for seed in range(2)
    ]
    assert variants([(row(), config) for config in configs]) == ["", ""]


def test_several_settings_are_in_alphabetical_order():
    configs = [{"trainer": {"patience": 5}, "model": {"lr": 0.1}}, {"model": {"lr": 0.2}}]
    configs.append({"trainer": {"patience": 7}, "model": {"lr": 0.1}})
    found = variants([(row(model="net"), config) for config in configs])
    assert found == [
        "model.lr=0.1, trainer.patience=5",
        "model.lr=0.2",
        "model.lr=0.1, trainer.patience=7",
    ]
