"""Opening a table of any form: its ids are known before a value is parsed."""

from pathlib import Path

import pandas as pd
import pytest

from beyondlinear.data.user_files.tables import open_table
from beyondlinear.runtime.errors import DataError

KEY = "dataset.expression"


def test_the_extension_chooses_the_reader(tmp_path: Path):
    table = pd.DataFrame({"A": [1.0, 2.0], "B": [3.0, 4.0]}, index=["s1", "s2"])
    table.to_csv(tmp_path / "e.csv")
    table.to_csv(tmp_path / "e.tsv.gz", sep="\t")
    table.to_parquet(tmp_path / "e.parquet")
    for name in ("e.csv", "e.tsv.gz", "e.parquet"):
        opened = open_table(tmp_path / name, KEY)
        assert opened.path == tmp_path / name
        assert opened.rows.tolist() == ["s1", "s2"]
        assert opened.columns.tolist() == ["A", "B"]
        assert opened.numeric.tolist() == [True, True]
        assert opened.obs is None


def test_only_h5ad_has_layers(tmp_path: Path):
    (tmp_path / "e.csv").write_text("id,A\ns1,1\n")
    with pytest.raises(DataError, match="'counts' is given, but .* only .h5ad has. Leave it null"):
        open_table(tmp_path / "e.csv", KEY, layer="counts")


def test_the_key_that_named_the_file_is_in_the_error(tmp_path: Path):
    with pytest.raises(DataError, match="^expression: there is no file"):
        open_table(tmp_path / "nothing.csv", "expression")
