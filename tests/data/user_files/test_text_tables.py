"""Text tables: header, ids and blocks of values."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from beyondlinear.data.user_files.text_tables import open_text
from beyondlinear.runtime.errors import DataError


def written(path: Path, text: str) -> Path:
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def values(table, *wanted: int) -> list[list[float]]:
    return np.concatenate(list(table.blocks(np.array(wanted)))).tolist()


@pytest.mark.parametrize("name", ["e.csv", "e.csv.gz"])
def test_ids_and_wanted_columns_in_their_order(tmp_path: Path, name: str):
    path = written(tmp_path / name, 'g,s1,"s,2",note\n"A",1,2.5,x\n\nB,,-4e1,y\n')
    table = open_text(path, ".csv")
    assert table.rows.tolist() == ["A", "B"]
    assert table.columns.tolist() == ["s1", "s,2", "note"]
    assert table.numeric.tolist() == [True, True, False]
    np.testing.assert_array_equal(values(table, 1, 0), [[2.5, 1], [-40, np.nan]])


def test_a_header_without_a_name_for_the_ids(tmp_path: Path):
    table = open_text(written(tmp_path / "e.tsv", "s1\ts2\nA\t1\t2\n"), ".tsv")
    assert table.columns.tolist() == ["s1", "s2"]
    assert values(table, 0, 1) == [[1, 2]]


def test_a_gct_keeps_its_descriptions_as_a_column_without_numbers(tmp_path: Path):
    text = '#1.2\n2\t1\nName\tDescription\ts1\nA\t"open\t1\nB\tb\t2\n'
    table = open_text(written(tmp_path / "e.gct", text), ".gct")
    assert table.rows.tolist() == ["A", "B"]
    assert table.columns.tolist() == ["Description", "s1"]
    assert table.numeric.tolist() == [False, True]
    assert values(table, 1) == [[1], [2]]


def test_a_cell_that_is_no_number_is_found(tmp_path: Path):
    table = open_text(written(tmp_path / "e.csv", "g,s1,s2\nA,1,2\nB,3,high\n"), ".csv")
    assert values(table, 0) == [[1], [3]]  # a column that is not wanted may hold anything
    with pytest.raises(DataError, match="column 's2': 'high' in row 'B' is not a number"):
        values(table, 0, 1)


def test_a_row_of_another_length_is_found(tmp_path: Path):
    table = open_text(written(tmp_path / "e.csv", "g,s1,s2\nA,1,2\nB,3\n"), ".csv")
    with pytest.raises(DataError, match="row 'B': 2 cells, but the header has 3 columns"):
        values(table, 0, 1)
