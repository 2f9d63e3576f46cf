"""An eraser is fitted once, lies beside the fit, and is applied to new samples without labels."""

import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from beyondlinear import cli
from beyondlinear.data.scaling import Preparation
from beyondlinear.removal.erasers import Eraser
from beyondlinear.removal.frozen import FrozenRemoval
from beyondlinear.report.predict import erase
from beyondlinear.runtime.errors import RemovalError, ResultsError

# takes gene g1 off (1, 1) after g1 was halved
ERASER = Eraser(np.array([1.0, 1.0]), np.array([[1.0], [0.0]]), np.array([[1.0, 0.0]]))
SCALED = Preparation(None, np.array([0, 0], dtype=np.float32), np.array([0.5, 1], dtype=np.float32))
FROZEN = FrozenRemoval(np.array(["g1", "g2"]), SCALED, ERASER)


def test_genes_are_found_by_id_and_others_left_out():
    x = np.array([[9.0, 3.0, 4.0]], dtype=np.float32)
    np.testing.assert_allclose(FROZEN.apply(x, np.array(["other", "g2", "g1"])), [[1.0, 3.0]])


def test_other_genes_are_refused():
    x = np.zeros((1, 2), dtype=np.float32)
    with pytest.raises(
        RemovalError, match=r"fitted on 2 genes, and 1 of them are missing here \(e.g. g2\)"
    ):
        FROZEN.apply(x, np.array(["g1", "g3"]))
    with pytest.raises(RemovalError, match="1 of 2 gene ids occur twice"):
        FROZEN.apply(x, np.array(["g1", "g1"]))


def test_missing_values_are_refused():
    with pytest.raises(RemovalError, match="not finite"):
        FROZEN.apply(np.array([[np.nan, 1.0]], dtype=np.float32), FROZEN.gene_ids)


@pytest.fixture
def fitted(run_here, tmp_path):
    """A record with an eraser, and new samples in a file."""
    settings = [
        "dataset=simulated_clusters",
        "dataset.n_samples=300",
        "dataset.n_genes=12",
        "split.folds=2",
    ]
    settings += ["model=ridge_logistic", "trainer.threads=1", "leak_probes.trees=0"]
    [record, _] = run_here(*settings, "signal_removal=leace")
    [plain, _] = run_here(*settings, "signal_removal=none")
    genes = [f"gene_{i:04}" for i in range(12)]
    store = tmp_path / "records"
    return record, plain, store, genes


def test_the_erase_verb_gives_what_the_fit_was_given(fitted, tmp_path, monkeypatch, capsys):
    record, _, store, _ = fitted
    path = store / record["key"][:2] / f"{record['key']}.json"
    with np.load(path.with_suffix(".npz")) as arrays:
        genes = arrays["eraser_gene_ids"]
        assert "eraser_right" in arrays
    random = np.random.default_rng(0)
    new = random.normal(size=(5, len(genes))).astype(np.float32) * 3
    table = pd.DataFrame(
        new.T, index=genes, columns=[f"new{i}" for i in range(5)]
    )  # genes × samples
    table.to_csv(tmp_path / "new.csv")
    out = tmp_path / "erased.h5ad"
    monkeypatch.setattr(
        sys,
        "argv",
        ["beyondlinear", "erase", str(path), str(tmp_path / "new.csv"), "--out", str(out)],
    )
    cli.main()
    assert capsys.readouterr().out.startswith("5 samples × 12 genes, erased as in")
    erased = ad.read_h5ad(out)
    assert list(erased.obs_names) == [f"new{i}" for i in range(5)]
    with np.load(path.with_suffix(".npz")) as arrays:
        frozen = FrozenRemoval.from_arrays(dict(arrays))
    scaled = (new - frozen.preparation.shift) * frozen.preparation.factor
    np.testing.assert_allclose(erased.X, frozen.eraser.apply(scaled), atol=1e-5)
    # erased once, nothing is left for the same eraser
    np.testing.assert_allclose(frozen.eraser.apply(erased.X), erased.X, atol=1e-4)


def test_a_fit_without_an_eraser_and_paths_that_are_none(fitted, tmp_path):
    _, plain, store, genes = fitted
    path = store / plain["key"][:2] / f"{plain['key']}.json"
    pd.DataFrame(np.zeros((2, 12)), columns=genes, index=["a", "b"]).to_csv(tmp_path / "new.csv")
    with pytest.raises(RemovalError, match="this fit holds no eraser"):
        erase(path, str(tmp_path / "new.csv"), tmp_path / "out.h5ad")
    with pytest.raises(ResultsError, match="is no record of a done fit"):
        erase(tmp_path / "new.csv", str(tmp_path / "new.csv"), tmp_path / "out.h5ad")
    with pytest.raises(ResultsError, match=r"--out .*out.csv: the name must end in .h5ad"):
        erase(path, str(tmp_path / "new.csv"), tmp_path / "out.csv")
