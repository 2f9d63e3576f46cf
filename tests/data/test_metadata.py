from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beyondlinear.data.metadata import make_names, match, read_metadata, without_version
from beyondlinear.runtime.errors import DataError

PATH = Path("expression.csv")


def ids(*names: str) -> np.ndarray:
    return np.array(names, dtype=object)


def axes(rows: str = "g1 g2", columns: str = "a b c") -> dict[str, np.ndarray]:
    return {"rows": ids(*rows.split()), "columns": ids(*columns.split())}


def table(**columns: str) -> pd.DataFrame:
    return pd.DataFrame({name: cells.split() for name, cells in columns.items()})


def test_the_axis_and_column_with_most_matches_are_found():
    found = match(PATH, axes(), table(donor="d1 d2 d2", sample="c x a"), None)
    assert (found.axis, found.id_column, found.n_matched) == ("columns", "sample", 2)
    assert found.positions.tolist() == [2, -1, 0]


def test_two_columns_with_one_result_are_no_ambiguity():
    assert match(PATH, axes(), table(run="a b c", sample="a b c"), None).id_column == "run"


def test_two_columns_with_different_results_need_a_name():
    metadata = table(tumor="a b c", normal="c b a")
    with pytest.raises(
        DataError,
        match=r"columns 'tumor', 'normal' of the metadata match 3 columns .* different results",
    ):
        match(PATH, axes(), metadata, None)
    assert match(PATH, axes(), metadata, "normal").positions.tolist() == [2, 1, 0]


def test_both_axes_that_match_are_an_error_with_examples():
    metadata = table(sample="a b c", mutated="g1 g9 g9")
    with pytest.raises(DataError) as e:
        match(PATH, axes(), metadata, None)
    assert "both match the metadata (1 rows in 'mutated', 3 columns in 'sample')" in str(e.value)
    assert "rows: 'g1', 'g2'" in str(e.value)
    assert "metadata 'mutated': 'g1', 'g9', 'g9'" in str(e.value)
    assert "dataset.id_column=…" in str(e.value)
    assert match(PATH, axes(), metadata, "sample").axis == "columns"


def test_samples_and_genes_of_one_name_are_an_error_even_with_the_column_named():
    with pytest.raises(DataError, match="Rename the samples in both files"):
        match(PATH, axes(rows="1 2", columns="1 2"), table(sample="1 2"), "sample")


@pytest.mark.parametrize(
    ("in_table", "in_metadata", "hint"),
    [
        ("TCGA.A7.A0CE", "TCGA-A7-A0CE", "2 columns would match 'sample' after R's make.names"),
        ("X10k", "10k", "make.names"),
        ("s1", "S1", "without regard to upper and lower case"),
        ("s1.1", "s1", "without version numbers"),
        (" s1", "s1", "without spaces"),
    ],
)
def test_ids_that_nearly_match_are_a_hint(in_table: str, in_metadata: str, hint: str):
    names = {"rows": ids("g1"), "columns": ids(in_table, in_table.replace("1", "2"))}
    metadata = pd.DataFrame({"sample": [in_metadata, in_metadata.replace("1", "2")]})
    if "TCGA" in in_table:
        names["columns"] = ids(in_table, "TCGA.XX")
        metadata = pd.DataFrame({"sample": [in_metadata, "TCGA-XX"]})
    with pytest.raises(DataError, match=hint):
        match(PATH, names, metadata, None)


def test_an_unknown_id_column_gets_the_closest_name():
    with pytest.raises(
        DataError, match=r"'smaple' is no column of the metadata. did you mean 'sample'\?"
    ):
        match(PATH, axes(), table(sample="a b c"), "smaple")


def test_an_empty_cell_is_no_id():
    metadata = pd.DataFrame({"sample": ["a", "", ""], "note": ["", "", ""]})
    assert match(PATH, {"rows": ids(""), "columns": ids("a")}, metadata, None).axis == "columns"


def test_numbers_and_text_of_a_table(tmp_path: Path):
    (tmp_path / "m.csv").write_text(
        'sample,age,batch,dose,treatment,stage\n001,61,1,0.5,None,"II,'
        ' b"\n002,NA,2,1e-3,drug,\n003,70,1,2,None,I\n'
    )
    numbers, text = read_metadata(tmp_path / "m.csv", "dataset.metadata")
    assert numbers["sample"].tolist() == ["001", "002", "003"]
    assert numbers["batch"].tolist() == [1, 2, 1]
    assert numbers["batch"].dtype == np.int64
    assert numbers["dose"].tolist() == [0.5, 0.001, 2]
    assert numbers["age"].isna().tolist() == [False, True, False]
    assert numbers["treatment"].tolist() == ["None", "drug", "None"]
    assert numbers["stage"].tolist()[0] == "II, b"
    assert numbers["stage"].isna().tolist() == [False, True, False]
    assert text["age"].tolist() == ["61", "", "70"]


def test_row_names_of_r_write_table(tmp_path: Path):
    (tmp_path / "m.txt").write_text('"tissue"\t"age"\n"s1"\t"Brain"\t3\n"s2"\t"Skin"\t4\n')
    numbers, _ = read_metadata(tmp_path / "m.txt", "dataset.metadata")
    assert numbers.iloc[:, 0].tolist() == ["s1", "s2"]
    assert numbers["tissue"].tolist() == ["Brain", "Skin"]


def test_names_of_r_and_ensembl():
    assert [make_names(n) for n in ("TCGA-A7", "9a", "a b", "_x", ".1", "é1")] == [
        "TCGA.A7",
        "X9a",
        "a.b",
        "X_x",
        "X.1",
        "é1",
    ]
    assert without_version("ENSG00000182378.13") == "ENSG00000182378"
    assert without_version("ENSG00000182378.13_PAR_Y") == "ENSG00000182378_PAR_Y"
    assert without_version("RP11-34P13.7") == "RP11-34P13.7"
