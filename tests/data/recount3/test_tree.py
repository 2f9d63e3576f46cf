"""Paths and tables of recount3's file tree."""

import gzip

import pandas as pd
import pytest

from beyondlinear.data.gene_table import DamagedFileError
from beyondlinear.data.recount3.tree import (
    Tree,
    exonic_lengths,
    parse_table,
    read_index,
    read_table,
    table_text,
    wanted_columns,
)
from beyondlinear.runtime.errors import DataError

KEYS = "rail_id\texternal_id\tstudy"


def written(tmp_path, text: str):
    path = tmp_path / "x.MD.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_paths():
    tree = Tree()
    home = "human/data_sources/sra"
    assert tree.index == f"{home}/metadata/sra.recount_project.MD.gz"
    assert tree.genes == "human/annotations/gene_sums/human.gene_sums.G026.gtf.gz"
    assert tree.matrix("SRP107565") == (
        f"{home}/gene_sums/65/SRP107565/sra.gene_sums.SRP107565.G026.gz"
    )
    assert tree.metadata("SRP107565", "recount_qc") == (
        f"{home}/metadata/65/SRP107565/sra.recount_qc.SRP107565.MD.gz"
    )
    assert Tree("mouse", "M023", "gtex").home == "mouse/data_sources/gtex"


def test_lengths_are_those_of_genes_with_one_in_the_order_of_the_file(tmp_path):
    def line(kind: str, length: str, gene: str) -> str:
        return f'chr1\tx\t{kind}\t1\t9\t{length}\t+\t.\tgene_id "{gene}"; gene_type "x";'

    lines = [
        "##a comment",
        line("gene", "300", "G2.1"),
        line("exon", "10", "G2.1"),
        line("gene", "200", "G1.4"),
        line("gene", ".", "G3.1"),
        line("gene", "0", "G4.1"),
        line("gene", "7", "G1.4"),
    ]
    found = exonic_lengths(written(tmp_path, "\n".join(lines)))
    assert found.to_dict() == {"G2.1": 300.0, "G1.4": 200.0}
    assert list(found.index) == ["G2.1", "G1.4"]
    with pytest.raises(DamagedFileError, match="no gene with a length in column 6"):
        exonic_lengths(written(tmp_path, line("exon", "10", "G2.1")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        (f"{KEYS}\n1\tr\n", "line 2 has other cells than the header"),
        ("a\tb\n1\t2\n", "has no column 'rail_id'; its columns begin a, b"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, text, message):
    with pytest.raises(DamagedFileError, match=message):
        table_text(written(tmp_path, text))


def test_every_cell_is_text_and_a_lone_quote_is_a_letter(tmp_path):
    table = read_table(written(tmp_path, f'{KEYS}\tTitle\n01\tr1\tS\ta "title\n'))
    assert table.to_dict("list") == {
        "rail_id": ["01"],
        "external_id": ["r1"],
        "study": ["S"],
        "title": ['a "title'],
    }


def test_wanted_columns_have_our_names_and_missing_words_are_missing():
    text = f"{KEYS}\tcurated.tissue\tother\n1\tr1\tS\tBlood\tx\n2\tr2\tS\tNA\tx\n"
    table = wanted_columns(parse_table(text, "recount_pred"), "recount_pred")
    assert list(table) == ["rail_id", "external_id", "study", "tissue"]
    assert table["tissue"][0] == "Blood"
    assert pd.isna(table["tissue"][1])


def test_the_index_needs_projects_that_are_no_paths(tmp_path):
    path = written(tmp_path, f"{KEYS}\tproject\n1\tr1\tS\tSRP1\n")
    assert read_index(path)["project"].tolist() == ["SRP1"]
    with pytest.raises(DataError, match="may not be used for a file"):
        read_index(written(tmp_path, f"{KEYS}\tproject\n1\tr1\tS\t..\n"))
    with pytest.raises(DamagedFileError, match="no column 'project'"):
        read_index(written(tmp_path, f"{KEYS}\n1\tr1\tS\n"))
