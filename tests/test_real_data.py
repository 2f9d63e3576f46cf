"""Real expression data through the command that a user types. The data lie beside the
repository."""

import pytest
from made_up import mean_accuracy

MODELS = ["logistic_regression", "linear_svm"]

COUNTS = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.acmg_59.gct.gz"


@pytest.fixture
def tcga(shared) -> list[str]:
    folder = shared / "data" / "tcga11_paired"
    return [
        "dataset=file",
        f"dataset.expression={folder / 'metagsca_tcga11_paired.csv.gz'}",
        f"dataset.metadata={folder / 'metagsca_tcga11_meta.csv'}",
        "dataset.on_nan=drop_genes",
        "logger=none",
    ]


@pytest.mark.slow
def test_cohort_by_donor(run_here, tcga):
    records = run_here(
        *tcga, "task.label=cohort", "split=group", "split.group=donor", "model=logistic_regression"
    )
    assert mean_accuracy(records) >= 0.93
    assert records[0]["data"]["n_samples"] == 1204
    assert records[0]["data"]["n_groups"] == 602
    assert len(records[0]["data"]["classes"]) == 11


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_cohort_after_removal_is_at_chance_for_linear_models(run_here, tcga, model):
    records = run_here(
        *tcga,
        "task.label=cohort",
        "split=group",
        "split.group=donor",
        f"model={model}",
        "signal_removal=class_means",
    )
    assert mean_accuracy(records) <= 0.15  # 11 classes: 0.091


@pytest.mark.slow
def test_cohort_by_donor_and_plate(run_here, tcga):
    records = run_here(
        *tcga,
        "task.label=cohort",
        "split=group",
        "split.group=[donor,plate]",
        "model=logistic_regression",
    )
    assert mean_accuracy(records) >= 0.85
    assert records[0]["data"]["n_groups"] < 102  # plates that share a donor are one group


@pytest.mark.slow
def test_sample_type_with_whole_cohorts_held_out(run_here, tcga):
    records = run_here(
        *tcga,
        "task.label=sample_type",
        "split=group",
        "split.group=cohort",
        "split.folds=null",
        "model=logistic_regression",
    )
    assert {r["held_out"] for r in records} >= {"BRCA", "KIRC", "THCA"}
    assert len(records) == 11
    assert mean_accuracy(records) >= 0.8


def test_gtex_tissue_by_donor(run_here, shared):
    folder = shared / "data" / "gtex_v8_acmg59"
    records = run_here(
        "dataset=file",
        f"dataset.expression={folder / COUNTS}",
        f"dataset.metadata={folder / 'gtex_v8_acmg59_sample_labels.csv.gz'}",
        "dataset.transform=log2p1",
        "task.label=SMTS",
        "task.classes={top: 3}",
        "split=group",
        "split.group=SUBJID",
        "split.folds=3",
        "model=logistic_regression",
        "logger=none",
    )
    assert records[0]["data"]["n_genes"] == 59
    assert mean_accuracy(records) >= 0.95


@pytest.mark.parametrize("model", ["ridge_logistic", "random_forest"])
def test_gtex_sex_is_a_real_negative(run_here, shared, model):
    """59 genes that say nothing of sex: near chance by donor, on a tenth of the training samples
    and of the forest's trees."""
    folder = shared / "data" / "gtex_v8_acmg59"
    records = run_here(
        "dataset=file",
        f"dataset.expression={folder / COUNTS}",
        f"dataset.metadata={folder / 'gtex_v8_acmg59_sample_labels.csv.gz'}",
        "dataset.transform=log2p1",
        "task.label=SEX",
        "split=group",
        "split.group=SUBJID",
        "split.fractions=[0.1]",
        f"model={model}",
        *(["model.estimator.n_estimators=50"] if model == "random_forest" else []),
        "logger=none",
    )
    assert records[0]["data"]["n_samples"] == 17_382
    assert records[0]["data"]["n_groups"] == 948
    assert 0.45 < mean_accuracy(records) < 0.58
