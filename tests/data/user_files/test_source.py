import gzip
import logging
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from beyondlinear.data.user_files import binary_tables, text_tables
from beyondlinear.data.user_files.source import load
from beyondlinear.runtime.errors import DataError

SAMPLES, GENES = ["001", "002", "s-3"], ["TP53", "XIST", "ENSG1.2", "A1BG"]
X = np.array([[0.5, 1, 2, 3], [4, 5.25, 6, 7], [-8, 9, 1e-3, 11]], dtype=np.float32)
EXPRESSION = pd.DataFrame(X, index=SAMPLES, columns=GENES)
METADATA = pd.DataFrame(
    {"sample": SAMPLES, "tissue": ["Brain", "Skin", "Brain"], "age": [61, 7, 30]}
)


@pytest.fixture
def meta(tmp_path: Path) -> str:
    METADATA.to_csv(tmp_path / "meta.csv", index=False)
    return str(tmp_path / "meta.csv")


def write(path: Path, content: str) -> str:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return str(path)


def written(folder: Path, form: str) -> str:
    """EXPRESSION in one of the forms a user may have."""
    path = folder / f"expression.{form.split()[-1]}"
    table = EXPRESSION.T if "genes×samples" in form else EXPRESSION
    if "gct" in form:
        # quotes are not special in GCT: one that stays open must not swallow the rows after it
        descriptions = ["tumor protein", 'a "quote', '"', "NA"]
        lines = ["#1.2", "4\t3", "\t".join(["Name", "Description", *SAMPLES])]
        rows = zip(GENES, descriptions, X.T.tolist(), strict=True)
        lines += [
            "\t".join([gene, description, *map(str, values)]) for gene, description, values in rows
        ]
        return write(path, "\n".join(lines) + "\n")
    if "h5ad" in form:
        adata = ad.AnnData(X.copy(), obs=pd.DataFrame(index=SAMPLES), var=pd.DataFrame(index=GENES))
        if "csr" in form:
            adata.X = sp.csr_matrix(X.astype(np.float64))
        elif "csc" in form:
            adata.X = sp.csc_matrix(X)
        elif "layer" in form:
            adata.layers["raw counts"], adata.X = X.astype(np.float64), np.zeros_like(X)
        adata.write_h5ad(path)
    elif "parquet" in form:
        table = table.rename_axis("id")
        (table if "index" in form else table.reset_index()).to_parquet(path)
    else:
        table.to_csv(path, sep="," if "csv" in form else "\t")
    return str(path)


TEXT = [
    "genes×samples csv",
    "samples×genes csv",
    "genes×samples csv.gz",
    "samples×genes tsv.gz",
    "genes×samples txt",
]
PARQUET = [
    f"{axes} {ids} parquet"
    for axes in ("genes×samples", "samples×genes")
    for ids in ("index", "column")
]
OTHERS = ["dense h5ad", "csr h5ad", "csc h5ad", "layer h5ad", "gct", "gct.gz"]


@pytest.mark.parametrize("form", TEXT + PARQUET + OTHERS)
def test_one_data_set_in_every_form(tmp_path: Path, meta: str, form: str):
    adata = load(written(tmp_path, form), meta, layer="raw counts" if "layer" in form else None)
    np.testing.assert_array_equal(adata.X, X)
    assert adata.X.dtype == np.float32
    assert adata.X.flags.c_contiguous
    pd.testing.assert_frame_equal(adata.obs, METADATA.set_index("sample"))
    assert list(adata.var_names) == GENES


@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "txt", "parquet"])
def test_metadata_in_every_form(tmp_path: Path, form: str):
    path = tmp_path / f"m.{form}"
    METADATA.to_parquet(path) if form == "parquet" else METADATA.to_csv(path, sep="\t", index=False)
    adata = load(written(tmp_path, "samples×genes csv"), str(path))
    pd.testing.assert_frame_equal(adata.obs, METADATA.set_index("sample"))


@pytest.mark.parametrize("orientation", ["genes×samples", "samples×genes"])
def test_samples_without_a_partner_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, orientation: str
):
    METADATA.assign(sample=["s-3", "x", "001"]).to_csv(tmp_path / "m.csv", index=False)
    with caplog.at_level(logging.INFO):
        adata = load(written(tmp_path, f"{orientation} csv"), str(tmp_path / "m.csv"))
    # the order is that of the expression table, and each sample keeps its own row of metadata
    np.testing.assert_array_equal(adata.X, X[[0, 2]])
    assert list(adata.obs_names) == ["001", "s-3"]
    assert list(adata.obs["age"]) == [30, 61]
    axis = "columns" if orientation == "genes×samples" else "rows"
    assert (
        f"expression.csv: {orientation.replace('×', ' × ')}; 2 of 3 {axis} match metadata column"
        " 'sample'" in caplog.text
    )
    assert "1 sample ('002') without metadata are dropped" in caplog.text
    assert "1 rows of metadata without expression are dropped" in caplog.text
    assert not [r for r in caplog.records if r.levelno > logging.INFO]


def test_losing_more_than_half_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    METADATA.assign(sample=["001", "x", "y"]).to_csv(tmp_path / "m.csv", index=False)
    assert load(written(tmp_path, "genes×samples csv"), str(tmp_path / "m.csv")).shape == (1, 4)
    assert "more than half of 3; are the ids right?" in caplog.text


def test_columns_beside_the_samples_are_dropped_and_named(
    tmp_path: Path, meta: str, caplog: pytest.LogCaptureFixture
):
    table = EXPRESSION.T
    table.insert(0, "gene_name", ["p53", "x", "y", "z"])
    table.to_csv(tmp_path / "e.csv")
    with caplog.at_level(logging.INFO):
        np.testing.assert_array_equal(load(str(tmp_path / "e.csv"), meta).X, X)
    assert "3 of 3 columns match" in caplog.text
    assert "1 column ('gene_name') without numbers are dropped" in caplog.text


def test_a_label_among_the_genes_is_not_a_gene(
    tmp_path: Path, meta: str, caplog: pytest.LogCaptureFixture
):
    EXPRESSION.assign(age=[61, 7, 30]).to_csv(tmp_path / "e.csv")
    assert list(load(str(tmp_path / "e.csv"), meta).var_names) == GENES
    assert (
        "1 column ('age') are columns of the metadata too and are not taken as genes" in caplog.text
    )
    with pytest.raises(DataError, match=r"all 2 columns .* none is a gene"):
        load(meta, meta)


def test_row_names_of_r_write_table_byte_order_mark_and_windows_line_ends(
    tmp_path: Path, meta: str
):
    lines = [
        "001\t002\ts-3",
        *("\t".join([g, *map(str, row)]) for g, row in zip(GENES, X.T.tolist(), strict=True)),
    ]
    (tmp_path / "e.tsv").write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n\r\n").encode())
    adata = load(str(tmp_path / "e.tsv"), meta)
    np.testing.assert_array_equal(adata.X, X)
    assert list(adata.var_names) == GENES


def test_missing_and_infinite_values(tmp_path: Path, meta: str):
    path = write(tmp_path / "e.csv", "g,001,002,s-3\nA,1,NA,3\nB,4,-Inf,\nC,7,8,9\nD,nan,1,2\n")
    with pytest.raises(DataError, match="4 values are NaN or infinite"):
        load(path, meta)
    assert list(load(path, meta, on_nan="drop_genes").var_names) == ["C"]


def test_duplicates_across_files(tmp_path: Path, meta: str):
    genes_twice = write(tmp_path / "e.csv", "g,001,002,s-3\nA,1,2,3\nB,4,5,6\nA,7,8,9\n")
    with pytest.raises(DataError, match=r"1 gene id \('A'\) occur more than once"):
        load(genes_twice, meta)
    assert load(genes_twice, meta, on_duplicates="first").X.tolist() == [[1, 4], [2, 5], [3, 6]]
    samples_twice = write(tmp_path / "s.csv", "g,001,002,001,s-3\nA,1,2,3,4\n")
    with pytest.raises(DataError, match=r"1 sample id \('001'\)"):
        load(samples_twice, meta)
    assert load(samples_twice, meta, on_duplicates="first").X.tolist() == [[1], [2], [4]]
    pd.concat([METADATA, METADATA.iloc[[0]].assign(tissue="Liver")]).to_csv(
        tmp_path / "m.csv", index=False
    )
    with pytest.raises(DataError, match=r"1 metadata sample id \('001'\)"):
        load(written(tmp_path, "genes×samples csv"), str(tmp_path / "m.csv"))
    kept = load(
        written(tmp_path, "genes×samples csv"), str(tmp_path / "m.csv"), on_duplicates="first"
    )
    assert list(kept.obs["tissue"]) == ["Brain", "Skin", "Brain"]


def test_h5ad_alone_and_with_metadata(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    obs = pd.DataFrame(
        {"tissue": pd.Categorical(["a", "b", "a"]), "batch": [1, 2, 1]}, index=SAMPLES
    )
    ad.AnnData(X, obs=obs, var=pd.DataFrame(index=GENES)).write_h5ad(tmp_path / "e.h5ad")
    alone = load(str(tmp_path / "e.h5ad"))
    assert alone.obs.to_dict("list") == {"tissue": ["a", "b", "a"], "batch": [1, 2, 1]}
    METADATA.iloc[[2, 0]].to_csv(tmp_path / "m.csv", index=False)
    with caplog.at_level(logging.INFO):
        joined = load(str(tmp_path / "e.h5ad"), str(tmp_path / "m.csv"))
    assert list(joined.obs_names) == ["001", "s-3"]
    assert joined.obs.to_dict("list") == {
        "batch": [1, 1],
        "tissue": ["Brain", "Brain"],
        "age": [61, 30],
    }
    assert "1 column ('tissue') of obs are replaced" in caplog.text
    with pytest.raises(
        DataError, match=r"'sample' is a column of dataset.metadata, and none is given"
    ):
        load(str(tmp_path / "e.h5ad"), id_column="sample")


def test_layers_that_are_not_there(tmp_path: Path, meta: str):
    with pytest.raises(
        DataError, match=r"'raw count' is not a layer of .* did you mean 'raw counts'\?"
    ):
        load(written(tmp_path, "layer h5ad"), meta, layer="raw count")
    with pytest.raises(DataError, match=r"only .h5ad has"):
        load(written(tmp_path, "genes×samples csv"), meta, layer="counts")
    empty = ad.AnnData(
        None, obs=pd.DataFrame(index=SAMPLES), var=pd.DataFrame(index=GENES), layers={"counts": X}
    )
    empty.write_h5ad(tmp_path / "no_x.h5ad")
    with pytest.raises(DataError, match=r"has no X; name a layer instead. .*counts"):
        load(str(tmp_path / "no_x.h5ad"), meta)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "id,TP53,stage\n001,1,2\n002,3,II\ns-3,4,5\n",
            "column 'stage': 'II' in row '002' is not a number",
        ),
        (
            "b.csv",
            "g,001,002,s-3\nA,1,2,3\nB,1,2\n",
            "row 'B': 3 cells, but the header has 4 columns",
        ),
        ("c.csv", "g,001,002,s-3\nA,1,2\n", "the first row has 3 cells and the header 4"),
        (
            "d.csv",
            "g\t001\t002\ns\t1\t2\n",
            "one column only when split at a comma: its header has a tab",
        ),
        (
            "e.tsv",
            "g;001;002\ns;1;2\n",
            "one column only when split at a tab: its header has a semicolon",
        ),
        ("f.csv", "", "is empty"),
        ("g.csv", "g,001,002\n", "a header of 3 columns and no rows"),
        ("h.xlsx", "PK", r"must end in one of .h5ad, .parquet, .csv\[.gz\]"),
        (
            "i.gct",
            "#1.3\n1\t1\t0\t0\nName\tDescription\t001\n",
            "a GCT 1.2 file begins with '#1.2'",
        ),
        ("j.h5ad", "no hdf5", "cannot be read"),
        ("k.parquet", "no parquet", "cannot be read"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, meta: str, name: str, content: str, message: str
):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=message) as e:
        load(path, meta)
    assert path in str(e.value)


def test_a_text_column_of_a_parquet_table(tmp_path: Path, meta: str):
    EXPRESSION.assign(stage=["I", "II", "I"]).to_parquet(tmp_path / "e.parquet")
    with pytest.raises(DataError, match="column 'stage': 'I' in row '001' is not a number"):
        load(str(tmp_path / "e.parquet"), meta)


def test_damaged_and_missing_files(tmp_path: Path, meta: str):
    path = Path(written(tmp_path, "genes×samples csv.gz"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-12])
    with pytest.raises(DataError, match="truncated or damaged gzip"):
        load(str(path), meta)
    path.write_bytes(b"g,001\nA,1\n")
    with pytest.raises(DataError, match="Not a gzipped file"):
        load(str(path), meta)
    (tmp_path / "plain.csv").write_bytes(whole)
    with pytest.raises(DataError, match=r"not UTF-8 text .* name gzip files .gz"):
        load(str(tmp_path / "plain.csv"), meta)
    with pytest.raises(DataError, match=r"no file .*did you mean 'expression.csv.gz'\?"):
        load(str(tmp_path / "expresion.csv.gz"), meta)
    with pytest.raises(DataError, match=r"dataset.metadata: there is no file"):
        load(written(tmp_path, "genes×samples csv"), str(tmp_path / "nothing.csv"))
    with pytest.raises(
        DataError, match=r"holds expression only. Give a table with one row per sample"
    ):
        load(written(tmp_path, "genes×samples csv"))


def test_a_line_break_inside_a_cell_is_refused(tmp_path: Path, meta: str):
    path = write(tmp_path / "e.csv", 'g,note,001,002,s-3\nA,"x",1,2,3\nB,"two\nlines",1,2,3\n')
    with pytest.raises(
        DataError, match="3 lines of ids but 2 or more rows of values; a line break inside a cell"
    ):
        load(path, meta)


def test_a_gct_that_states_other_dimensions_is_read_to_its_end(
    tmp_path: Path, meta: str, caplog: pytest.LogCaptureFixture
):
    path = write(
        tmp_path / "e.gct",
        "#1.2\n56200\t3\nName\tDescription\t001\t002\ts-3\nA\tx\t1\t2\t3\nB\ty\t4\t5\t6\n",
    )
    assert load(path, meta).X.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert "states 56200 genes × 3 samples and holds 2 × 3" in caplog.text


@pytest.mark.parametrize("form", ["csv", "parquet", "h5ad"])
@pytest.mark.parametrize("orientation", ["genes×samples", "samples×genes"])
def test_many_blocks_are_put_together_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, orientation: str
):
    for module in (text_tables, binary_tables):
        monkeypatch.setattr(module, "BLOCK_BYTES", 4096)
    x = np.arange(900 * 40, dtype=np.float32).reshape(900, 40)
    table = pd.DataFrame(
        x, index=[f"s{i}" for i in range(900)], columns=[f"g{j}" for j in range(40)]
    )
    kept = [i for i in range(900) if i % 7]
    pd.DataFrame({"sample": [f"s{i}" for i in kept[::-1]], "y": kept[::-1]}).to_csv(
        tmp_path / "m.csv", index=False
    )
    path = tmp_path / f"e.{form}"
    if form == "h5ad":
        ad.AnnData(x, obs=table[[]], var=table.T[[]]).write_h5ad(path, compression="gzip")
    else:
        oriented = table.T if orientation == "genes×samples" else table
        oriented.to_csv(path) if form == "csv" else oriented.to_parquet(path)
    adata = load(str(path), str(tmp_path / "m.csv"))
    np.testing.assert_array_equal(adata.X, x[kept])
    assert adata.obs["y"].tolist() == kept


def test_transform_comes_after_nan_and_duplicates(tmp_path: Path, meta: str):
    path = write(tmp_path / "e.csv", "g,001,002,s-3\nA,1,1,3\nB,NA,5,6\nC,3,1,0\nA,9,9,9\n")
    adata = load(path, meta, on_nan="drop_genes", on_duplicates="first", transform=["cpm"])
    np.testing.assert_allclose(adata.X, [[250000, 750000], [500000, 500000], [1000000, 0]])


def test_real_tcga(shared: Path):
    folder = shared / "data/tcga11_paired"
    paths = str(folder / "metagsca_tcga11_paired.csv.gz"), str(folder / "metagsca_tcga11_meta.csv")
    with pytest.raises(
        DataError, match=r"944 values .* 215 genes .* 76 samples .* leaves 3,341 of 3,556 genes"
    ):
        load(*paths)
    adata = load(*paths, on_nan="drop_genes")
    assert adata.shape == (1204, 3341)
    assert adata.obs["donor"].nunique() == 602
    assert adata["TCGA.A7.A0CE.01A.11R.A00Z.07", "A1BG"].X.item() == np.float32(5.44)


def test_real_gtex(shared: Path, caplog: pytest.LogCaptureFixture):
    folder = shared / "data/gtex_v8_acmg59"
    adata = load(
        str(folder / "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_reads.acmg_59.gct.gz"),
        str(folder / "gtex_v8_acmg59_sample_labels.csv.gz"),
    )
    assert adata.shape == (17382, 59)
    assert adata["GTEX-1117F-0426-SM-5EGHI", "ENSG00000117118.9"].X.item() == 4989
    assert adata.obs.loc["GTEX-1117F-0426-SM-5EGHI", "SMTS"] == "Muscle"
    assert "states 56200 genes × 17382 samples and holds 59 × 17382" in caplog.text
