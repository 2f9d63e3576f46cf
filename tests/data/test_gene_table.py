"""The compiled parser: the same numbers as pandas, and no line that is silently wrong."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beyondlinear.data import gene_table as gene_lines
from beyondlinear.data.gene_table import DamagedFileError, GeneTable, gct_header, recount_header

HEAD = "##annotation=G026\n##date\ngene_id\ta\tb\n"


def read(path):
    ids, rows = [], []
    with GeneTable(path, recount_header) as table:
        for lines in table.blocks():
            assert lines.first == len(ids)
            ids += lines.gene_ids()
            rows += lines.values.tolist()
    return ids, np.array(rows)


def written(tmp_path, body: str):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress((HEAD + body).encode()))
    return path


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("g1\t1\t2\ng2\t3000000000\t9007199254740992\n", [[1, 2], [3e9, 2**53]]),
        ("g1\t0.1\t12.5e-3\r\ng2\t-4E+2\t.5\n", [[0.1, 0.0125], [-400, 0.5]]),
        ("g1\tNA\t\ng2\tnan\tNaN", [[np.nan, np.nan]] * 2),
        (
            "g1\t123456789012345678901234\t0.00000000000000000000125\n",
            [[123456789012345678901234.0, 1.25e-21]],
        ),
        ("", []),
    ],
)
def test_numbers(tmp_path, body, values):
    ids, found = read(written(tmp_path, body))
    assert ids == [f"g{i + 1}" for i in range(len(values))]
    np.testing.assert_allclose(found, np.array(values), rtol=5e-16)


@given(
    st.lists(
        st.floats(min_value=-1e30, max_value=1e30, allow_subnormal=False), min_size=2, max_size=2
    )
)
@settings(max_examples=200, deadline=None)
def test_any_number_that_python_writes(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "numbers.tsv"
    path.write_text(HEAD + "g\t" + "\t".join(map(repr, values)) + "\n")
    np.testing.assert_allclose(read(path)[1][0], values, rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("g1\t1\t2\ng2\t1\n", r"gene 2 \('g2'\) has 2 cells where the header has 3"),
        ("g1\t1\t2\t3\n", r"has 4 cells"),
        ("g1\tx\t2\n", "gene 'g1', sample 'a': 'x' is no number"),
        ("g1\t1\t2x\n", "sample 'b': '2x' is no number"),
        ("g1\t1e\t2\n", "'1e' is no number"),
        ("g1\t1 \t2\n", "'1 ' is no number"),
        ("g1\t-\t2\n", "'-' is no number"),
        ("\n", "has 1 cells"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, body, said):
    with pytest.raises(DamagedFileError, match=said):
        read(written(tmp_path, body))


@pytest.mark.parametrize("broken", ["truncated", "garbage inside", "no gzip", "no header", "empty"])
def test_a_file_that_is_not_whole_is_named(tmp_path, broken):
    path = written(tmp_path, "".join(f"g{i}\t{i * i}\t{7 * i}\n" for i in range(5000)))
    raw = path.read_bytes()
    path.write_bytes(
        {
            "truncated": raw[: len(raw) // 2],
            "garbage inside": raw[:2000] + b"\0" * 50 + raw[2050:],
            "no gzip": b"hello" * 100,
            "no header": gzip.compress(b"gene\ta\n"),
            "empty": b"",
        }[broken]
    )
    with pytest.raises(DamagedFileError, match=r"x.gz' is truncated or damaged.*delete it"):
        read(path)


@pytest.mark.parametrize("step", [64, 1000, 1 << 22])
def test_the_size_of_a_block_does_not_matter(tmp_path, monkeypatch, step):
    path = written(tmp_path, "".join(f"g{i}\t{i * i}\t{7 * i}\n" for i in range(1000)))
    monkeypatch.setattr(gene_lines, "_READ", step)
    ids, values = read(path)
    assert ids == [f"g{i}" for i in range(1000)]
    assert values[:, 0].tolist() == [float(i * i) for i in range(1000)]


def test_gct(tmp_path):
    path = tmp_path / "x.gct"
    path.write_text("#1.2\n7\t2\nName\tDescription\ts1\ts2\nENSG1.1\tA gene\t1.5\t2\n")
    stated = []

    def header(file):
        cells, dimensions = gct_header(file)
        stated.append(dimensions)
        return cells

    with GeneTable(path, header, id_columns=2) as table:
        assert table.samples == ["s1", "s2"]
        (lines,) = table.blocks()
    assert stated == [(7, 2)]
    assert lines.gene_ids() == ["ENSG1.1"]
    assert lines.values.tolist() == [[1.5, 2.0]]
