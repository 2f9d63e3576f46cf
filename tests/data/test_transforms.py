from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from beyondlinear.data.transforms import transform
from beyondlinear.runtime.errors import ConfigError, DataError

GENES = ["ENSG00000000001.4", "ENSG00000000002.1", "ENSG00000000002.1_PAR_Y", "ENSG00000000003.7"]


def data(values: list[list[float]]) -> AnnData:
    x = np.array(values, dtype=np.float32)
    return AnnData(
        X=x,
        obs=pd.DataFrame(index=[f"s{i}" for i in range(len(x))]),
        var=pd.DataFrame(index=GENES[: x.shape[1]]),
    )


@pytest.fixture
def lengths(tmp_path: Path) -> str:
    path = tmp_path / "lengths.csv"
    path.write_text(
        "gene_id,bp_length,symbol\nENSG00000000001.9,1000,A\nENSG00000000002.1,500,B\nENSG00000000003.7,2000,C\n"
    )
    return str(path)


def test_none_changes_nothing():
    adata = data([[1, -2], [3, 4]])
    assert transform(adata, "none") is adata
    assert adata.X.tolist() == [[1, -2], [3, 4]]


def test_logs():
    assert transform(data([[0, 1], [3, 7]]), "log2p1").X.tolist() == [[0, 1], [2, 3]]
    np.testing.assert_allclose(transform(data([[0, np.e - 1]]), "log1p").X, [[0, 1]], rtol=1e-6)


def test_cpm_and_a_chain_from_left_to_right():
    np.testing.assert_allclose(
        transform(data([[1, 3], [5, 5]]), "cpm").X, [[250000, 750000], [500000, 500000]]
    )
    # 250,000 + 1 = 2^17.93157...
    chained = transform(data([[1, 3]]), ["cpm", "log2p1"]).X
    np.testing.assert_allclose(chained, [[17.931574, 19.516533]], rtol=1e-6)


def test_cpm_of_counts_above_float32_integers_has_float64_sums():
    counts = np.full((1, 4), 2**24 + 2, dtype=np.float32)
    assert transform(data(counts.tolist()), "cpm").X.tolist() == [[250000.0] * 4]


def test_the_matrix_is_changed_in_place():
    adata = data([[1, 3]])
    x = adata.X
    assert np.shares_memory(transform(adata, ["cpm", "log1p"]).X, x)
    assert adata.X.dtype == np.float32


def test_tpm_by_hand(lengths: str, caplog: pytest.LogCaptureFixture):
    # rates 10/1000, 5/500, 40/2000 = .01, .01, .02; the PAR_Y copy has no length of its own and
    # takes not its twin's
    adata = transform(data([[10, 5, 99, 40]]), "tpm", lengths)
    np.testing.assert_allclose(adata.X, [[250000, 250000, 500000]], rtol=1e-6)
    assert list(adata.var_names) == [GENES[0], GENES[1], GENES[3]]
    assert "1 gene ('ENSG00000000002.1_PAR_Y') have no length" in caplog.text


def test_tpm_forgets_a_constant_per_sample(lengths: str):
    counts = np.random.default_rng(0).integers(1, 1000, (3, 4)).astype(float)
    a = transform(data(counts.tolist()), "tpm", lengths).X
    b = transform(data((counts * [[1], [76], [150]]).tolist()), "tpm", lengths).X
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_gene_with_two_lengths_has_none(tmp_path: Path):
    path = tmp_path / "lengths.tsv"
    path.write_text(
        f"id\tbases\n{GENES[0]}\t1000\nENSG00000000002.3\t500\nENSG00000000002.4\t700\n"
    )
    assert list(transform(data([[1, 2]]), "tpm", str(path)).var_names) == [GENES[0]]


def test_negative_values_name_the_value_and_a_likely_reason():
    with pytest.raises(
        DataError,
        match=r"'ENSG00000000002.1' is -2 in sample 's0'; the data may be on a log scale already",
    ):
        transform(data([[1, -2]]), "cpm")
    with pytest.raises(DataError, match="log1p needs values from 0"):
        transform(data([[1, -2]]), "log1p")


def test_all_zero_samples_are_named():
    with pytest.raises(
        DataError, match=r"1 sample \('s1'\) hold zeros only, so cpm is not defined"
    ):
        transform(data([[1, 2], [0, 0]]), "cpm")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("log2", r"'log2' is not a transform. did you mean 'log2p1'\?"),
        (["log2p1", "cpm"], r"\[log2p1, cpm\] makes no sense"),
        (["log1p", "tpm"], "makes no sense"),
        (["cpm", "tpm"], "makes no sense"),
    ],
)
def test_chains_that_make_no_sense(names: str | list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        transform(data([[1, 2]]), names)  # type: ignore[arg-type]


def test_lengths_that_are_missing_unused_or_wrong(tmp_path: Path, lengths: str):
    with pytest.raises(DataError, match="tpm needs a table of gene ids and lengths"):
        transform(data([[1, 2]]), "tpm")
    with pytest.raises(ConfigError, match=r"is read by dataset.transform=tpm only"):
        transform(data([[1, 2]]), "cpm", lengths)
    (tmp_path / "symbols.csv").write_text("gene,bp_length\nTP53,1000\n")
    with pytest.raises(DataError, match=r"no gene id of the data is in .*table: 'TP53'"):
        transform(data([[1, 2]]), "tpm", str(tmp_path / "symbols.csv"))
    (tmp_path / "zero.csv").write_text(f"gene,bp_length\n{GENES[0]},0\n")
    with pytest.raises(
        DataError, match="row 1: bp_length is 0; a length is a number of bases above 0"
    ):
        transform(data([[1, 2]]), "tpm", str(tmp_path / "zero.csv"))
    (tmp_path / "two.csv").write_text(f"gene,start,end\n{GENES[0]},1,9\n")
    with pytest.raises(DataError, match="its columns of numbers are: start, end"):
        transform(data([[1, 2]]), "tpm", str(tmp_path / "two.csv"))


def test_real_counts_to_tpm_at_true_width(shared: Path):
    counts = pd.read_csv(
        shared / "data/tcga6_counts/TCGA_CHOL_Counts.exp.gz", sep="\t", index_col=0
    )
    adata = AnnData(
        X=np.ascontiguousarray(counts.to_numpy(np.float32).T), obs=counts.T[[]], var=counts[[]]
    )
    tpm = transform(
        adata, "tpm", str(shared / "data/gene_lengths/gencode_v25_gene_bp_length.csv.gz")
    )
    assert tpm.shape == (36, 56537)
    np.testing.assert_allclose(tpm.X.sum(axis=1, dtype=float), 1e6, rtol=1e-7)
