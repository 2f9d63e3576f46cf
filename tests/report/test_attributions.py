"""Coefficients in the report: from kept linear models, in the genes' own units."""

import numpy as np
import pandas as pd
import pytest

from beyondlinear.report.write import write_report

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def own_file(tmp_path):
    """60 samples; the label is the sign of the first gene, whose unit is a hundredth of the
    others'; the rest is noise."""
    random = np.random.default_rng(0)
    x = random.standard_normal((60, 12))
    label = np.where(x[:, 0] > 0, "up", "down")
    x[:, 0] *= 100
    genes = [NASTY, *(f"noise{i}" for i in range(11))]
    pd.DataFrame(x, columns=genes, index=[f"s{i}" for i in range(60)]).rename_axis("sample").to_csv(
        tmp_path / "x.csv"
    )
    pd.DataFrame({"sample": [f"s{i}" for i in range(60)], "label": label}).to_csv(
        tmp_path / "m.csv", index=False
    )
    return [
        "dataset=file",
        f"dataset.expression={tmp_path / 'x.csv'}",
        f"dataset.metadata={tmp_path / 'm.csv'}",
    ]


RUN = ["split.folds=3", "trainer.max_epochs=30", "trainer.threads=1", "logger=none"]


def test_the_page_names_the_genes_that_linear_models_go_by(run_here, own_file, tmp_path):
    for model in ("ridge_logistic", "three_layer"):
        run_here(*own_file, *RUN, f"model={model}", "results.keep_model=true")
    write_report([str(tmp_path)], tmp_path / "report", said=lambda text: None)
    table = pd.read_csv(tmp_path / "report" / "tables" / "coefficients.csv")
    assert set(table.learner) == {"ridge_logistic"}  # a network has no coefficients
    assert set(table.models) == {3}
    assert len(table) == 12 * 2
    table["moves"] = table.coefficient * np.where(
        table.gene == NASTY, 100, 1
    )  # by one sd of the gene
    up = table[table["class"] == "up"].set_index("gene").moves
    assert up.abs().idxmax() == NASTY
    assert up[NASTY] > 2 * up.drop(NASTY).abs().max()
    assert (
        table.groupby("gene").coefficient.sum().abs().max() < 1e-12
    )  # against the mean of the classes
    text = (tmp_path / "report" / "index.html").read_text()
    assert NASTY not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "Which genes do linear models go by?" in text
    assert (tmp_path / "report" / "figures" / "coefficients.png").exists()


def test_without_kept_models_the_page_says_how_to_keep_them(run_here, own_file, tmp_path):
    run_here(*own_file, *RUN, "model=ridge_logistic")
    write_report([str(tmp_path)], tmp_path / "report", said=lambda text: None)
    assert pd.read_csv(tmp_path / "report" / "tables" / "coefficients.csv").empty
    text = (tmp_path / "report" / "index.html").read_text()
    assert "Models are kept with results.keep_model=true" in text
    assert not (tmp_path / "report" / "figures" / "coefficients.png").exists()
