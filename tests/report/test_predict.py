"""A stored model gives new samples what the fit gave its test part; genes go by id; attributions
find what counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beyondlinear.report.predict import attribute, predict_samples
from beyondlinear.runtime.errors import ResultsError

CLASSES = ["a", "b", "c"]


def files(tmp_path: Path, n: int, n_genes: int) -> list[str]:
    """Three classes; genes g0 and g1 alone differ between them. Genes in their own units."""
    rng = np.random.default_rng(0)
    code = np.arange(n) % 3
    x = rng.normal(size=(n, n_genes)) * 5 + 100
    x[:, 0] += 40 * (code == 0)
    x[:, 1] += 40 * (code == 1)
    ids = [f"s{i}" for i in range(n)]
    frame = pd.DataFrame(
        x.astype(np.float32),
        index=pd.Index(ids, name="sample"),
        columns=[f"g{i}" for i in range(n_genes)],
    )
    frame.to_csv(tmp_path / "x.csv")
    frame[frame.columns[::-1]].assign(other=0.0).to_csv(tmp_path / "turned.csv")
    frame.drop(columns=["g0", "g3"]).to_csv(tmp_path / "fewer.csv")
    labels = pd.DataFrame(
        {"label": np.array(CLASSES)[code], "donor": [f"d{i // 3}" for i in range(n)]},
        index=frame.index,
    )
    labels.to_csv(tmp_path / "m.csv")
    files = [f"dataset.expression={tmp_path / 'x.csv'}", f"dataset.metadata={tmp_path / 'm.csv'}"]
    few = ["split.folds=2", "trainer.max_epochs=15", "trainer.threads=1", "leak_probes.trees=3"]
    return [
        "dataset=file",
        *files,
        "split=group",
        "split.group=donor",
        *few,
        "results.keep_model=true",
    ]


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    return files(tmp_path, 90, 8)


@pytest.mark.parametrize(
    "choice",
    [
        ["model=ridge_logistic"],
        ["model=three_layer"],
        ["model=five_layer", "signal_removal=leace"],
        ["model=logistic_regression", "select.top_variance=6"],
    ],
)
def test_validation_samples_get_the_scores_of_the_fit(run_here, own, tmp_path, choice):
    record = run_here(*own, *choice)[0]
    path = tmp_path / "records" / record["key"][:2] / f"{record['key']}.json"
    table = predict_samples(
        str(path), str(tmp_path / "turned.csv"), str(tmp_path / "p.csv")
    ).set_index("sample")
    with np.load(path.with_suffix(".npz")) as held:
        found = table.loc[held["sample_id"], [f"probability: {c}" for c in CLASSES]].to_numpy()
        assert found == pytest.approx(held["probabilities"], abs=1e-4)
        assert table.loc[held["sample_id"], "predicted"].tolist() == [
            CLASSES[i] for i in held["scores"].argmax(1)
        ]


def test_a_run_is_the_mean_of_its_folds(run_here, own, tmp_path):
    run_here(*own, "model=ridge_logistic")
    table = predict_samples(
        str(tmp_path / "run0"), str(tmp_path / "x.csv"), str(tmp_path / "p.csv")
    )
    assert table.models.unique().tolist() == [2]
    assert (table.predicted == np.resize(CLASSES, 90)).mean() > 0.95


def test_missing_genes_are_named(run_here, own, tmp_path):
    run_here(*own, "model=ridge_logistic")
    with pytest.raises(ResultsError, match=r"2 of them are missing here \(g0, g3\)"):
        predict_samples(
            str(tmp_path / "run0"), str(tmp_path / "fewer.csv"), str(tmp_path / "p.csv")
        )


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (["model=ridge_logistic", "results.keep_model=false"], "results.keep_model=true"),
        (["model=random_forest"], "never a forest"),
        (
            ["model=ridge_logistic", "signal_removal=class_means"],
            "signal_removal=class_means needs the labels",
        ),
    ],
)
def test_what_cannot_be_applied_is_refused(run_here, own, tmp_path, choice, said):
    run_here(*own, *choice)
    with pytest.raises(ResultsError, match=said):
        predict_samples(str(tmp_path / "run0"), str(tmp_path / "x.csv"), str(tmp_path / "p.csv"))


def test_coefficients_are_in_the_genes_own_units(run_here, own, tmp_path):
    """One unit more of a gene changes the score by the coefficient, found by changing the gene."""
    record = run_here(*own, "model=ridge_logistic", "split.only_folds=[0]")[0]
    table = attribute(str(tmp_path / "run0"), None, str(tmp_path / "a.csv")).set_index(
        ["gene", "class"]
    )
    assert set(table.index.get_level_values(0)[:6]) == {"g0", "g1"}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    from beyondlinear.records.saved_model import SavedModel

    model = SavedModel.read(tmp_path / "records" / record["key"][:2] / f"{record['key']}.json")
    x = np.full((1, 8), 100, dtype=np.float32)
    more = x.copy()
    more[0, 0] += 1
    genes = np.array([f"g{i}" for i in range(8)])
    change = model.scores(more, genes) - model.scores(x, genes)
    assert table.attribution["g0"][CLASSES].to_numpy() == pytest.approx(
        (change - change.mean())[0], abs=1e-5
    )


def test_integrated_gradients_find_the_genes(run_here, tmp_path):
    run_here(
        *files(tmp_path, 240, 64),
        "model=three_layer",
        "split.only_folds=[0]",
        "trainer.max_epochs=40",
    )
    with pytest.raises(ResultsError, match="give an expression file"):
        attribute(str(tmp_path / "run0"), None, str(tmp_path / "a.csv"))
    table = attribute(str(tmp_path / "run0"), str(tmp_path / "x.csv"), str(tmp_path / "a.csv"))
    assert set(table.gene[:6]) == {"g0", "g1"}
