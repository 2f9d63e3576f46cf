"""GTEx from the portal's three files: streamed, joined by sample and donor, the same store whatever
the route."""

import gzip
import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from mirror import serve
from trees import FILES, N, P, values, write_gtex

from beyondlinear.data import gene_table as gene_lines
from beyondlinear.data.gtex import Gtex
from beyondlinear.runtime.errors import DataError


def gtex(mirror, cache, **more) -> Gtex:
    return Gtex(**({"mirror": str(mirror), "cache": str(cache), "transform": "none"} | more))


def test_values_labels_and_donors(tmp_path):
    adata = gtex(write_gtex(tmp_path / "m"), tmp_path).load()
    assert adata.shape == (N - 1, P)  # the first sample has no attributes
    np.testing.assert_allclose(adata.X, values().T[1:], rtol=1e-6)
    first = adata.obs.iloc[0]
    assert first[["donor", "tissue", "tissue_detail", "sex", "age"]].tolist() == [
        *("GTEX-1000", "Blood", "Skin - Sun", "male", "60-69")
    ]
    assert adata.obs.loc["GTEX-1001-0004-SM-4", "sex"] == "female"
    assert adata.var_names[3] == "ENSG00000000003.1_PAR_Y"
    np.testing.assert_allclose(
        adata.var["variance"], values().T[1:].astype(np.float32).var(0, ddof=1), rtol=1e-6
    )
    assert gtex(tmp_path / "m", tmp_path).prepare().provenance()["dropped"] == {
        "without attributes": 1
    }


def test_the_most_variable_genes_are_kept_in_the_files_order(tmp_path):
    write_gtex(tmp_path / "m")
    adata = gtex(tmp_path / "m", tmp_path, n_genes=5).load()
    x = values().T[1:].astype(np.float32)
    by_tpm, by_log = (set(np.argsort(t.var(0))[-5:]) for t in (x, np.log2(x + 1)))
    assert [int(g[4:15]) for g in adata.var_names] == sorted(by_tpm | by_log)


def test_dimensions_that_do_not_fit_warn_or_are_refused(tmp_path, caplog):
    write_gtex(tmp_path / "m", stated=(56200, N))
    assert gtex(tmp_path / "m", tmp_path / "a").load().n_vars == P
    assert f"states 56,200 genes × {N} samples and holds {P} × {N}" in caplog.text
    with pytest.raises(DataError, match=r"states 56,200 genes.*dataset.strict=false"):
        gtex(tmp_path / "m", tmp_path / "b", strict=True).load()
    assert not list((tmp_path / "b").rglob("*.tmp"))


def test_blocks_and_routes_do_not_change_the_store(tmp_path, monkeypatch):
    folder = write_gtex(tmp_path / "m")
    whole = gtex(folder, tmp_path / "a").prepare().check()
    monkeypatch.setattr(gene_lines, "_READ", 500)
    with serve(folder) as (url, server):
        server.of[FILES.matrix] = [503, "die"]
        assert gtex(url, tmp_path / "b").prepare().check() == whole


def test_files_are_found_whichever_place_holds_them(tmp_path):
    folder = write_gtex(tmp_path / "m")
    (tmp_path / "annotations").mkdir()
    (folder / FILES.samples).rename(tmp_path / "annotations" / FILES.samples)
    both = [str(folder), str(tmp_path / "annotations")]
    assert Gtex(mirror=both, cache=str(tmp_path / "c")).load().n_obs == N - 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "missing or negative values"),
        ("truncated", "truncated or damaged"),
        ("other samples", "are they of one release"),
        ("no column", "has no column 'SMTS'"),
        ("no file", "was not found"),
        ("twice", r"1 gene id \('ENSG00000000000.1'\) occur twice"),
    ],
)
def test_bad_files(tmp_path, how, said):
    x = values()
    if how == "nan":
        x[0, 5] = np.nan
    folder = write_gtex(tmp_path / "m", x=x)
    matrix, samples = folder / FILES.matrix, folder / FILES.samples
    if how == "truncated":
        matrix.write_bytes(matrix.read_bytes()[:-200])
    elif how == "other samples":
        samples.write_text(samples.read_text().replace("GTEX-", "GTEX-X"))
    elif how == "no column":
        samples.write_text(samples.read_text().replace("SMTS\t", "SMTX\t"))
    elif how == "no file":
        samples.unlink()
    elif how == "twice":
        text = (
            gzip.decompress(matrix.read_bytes())
            .decode()
            .replace("ENSG00000000001.1", "ENSG00000000000.1")
        )
        matrix.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match=said):
        gtex(folder, tmp_path / "c").load()
    assert not list((tmp_path / "c").glob("stores/*.zarr"))


def test_killed_while_it_reads_the_same_command_ends_in_the_same_store(tmp_path):
    folder = write_gtex(tmp_path / "m")
    code = """
import os, signal, sys
from unittest.mock import patch
import beyondlinear.data.gtex as g
with patch.object(g, "most_variable", lambda *a: os.kill(os.getpid(), signal.SIGKILL)):
    g.Gtex(mirror=sys.argv[1], cache=sys.argv[2], transform="none").prepare()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, folder, tmp_path / "c"], capture_output=True, timeout=60
    )
    assert done.returncode == -9, done.stderr
    assert (
        gtex(folder, tmp_path / "c").prepare().check()
        == gtex(folder, tmp_path / "d").prepare().check()
    )
    assert not list((tmp_path / "c").rglob("*.tmp"))


def test_the_genuine_samples_of_v8(shared, tmp_path, caplog):
    """59 genes of all 17,382 samples; sex by donor is near chance there (a real negative)."""
    caplog.set_level(logging.INFO)
    real = shared / "data/gtex_v8_acmg59"
    (matrix,) = real.glob("*.gct.gz")
    labels = pd.read_csv(real / "gtex_v8_acmg59_sample_labels.csv.gz", dtype=str)
    labels[["SAMPID", "SMTS"]].assign(SMTSD=labels["SMTSD_id"]).to_csv(
        tmp_path / "samples.txt", sep="\t", index=False
    )
    adata = Gtex(
        mirror=[str(real), str(tmp_path)],
        cache=str(tmp_path / "c"),
        matrix=matrix.name,
        sample_attributes="samples.txt",
        subject_phenotypes="GTEx_v8_SubjectPhenotypesDS.txt",
    ).load()
    assert adata.shape == (17366, 59)  # 16 have no tissue
    assert adata.obs["tissue"].nunique() == 30
    assert adata.obs["donor"].nunique() == 948
    known = labels.set_index("SAMPID").loc[adata.obs_names, "SEX"]
    assert (adata.obs["sex"] == known).all()
    assert "states 56,200 genes × 17,382 samples and holds 59 × 17,382" in caplog.text
