"""The compiled parser of whole numbers: the numbers of the general parser, and every other line is left to that one."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beyondlinear.data import recount3_parts
from beyondlinear.data.coverage_lines import BEFORE, KnownIds
from beyondlinear.data.gene_lines import DamagedFileError


def coverage(ids: list[str], body: str, n: int, first: int = 0):
    known = KnownIds("".join(f"{i}\n" for i in ids).encode())
    genes = np.arange(len(ids))
    out, totals, zeros = np.full((n, len(ids)), -1, np.float32), np.zeros(n), np.zeros(n, np.int64)
    text = bytes(BEFORE) + body.encode()
    lines, at = known.coverage(
        text, first, n, np.arange(n), genes[first:], np.full(len(ids), 2.0)[first:], out, totals, zeros
    )
    return out.T, totals, zeros, lines, text[at:].decode()


def test_coverage_a_base_by_hand():
    body = "g1\t8\t0\t3000000000\nlonger.2\t0\t12345678\t123456789\n"
    out, totals, zeros, lines, rest = coverage(["g1", "longer.2"], body, 3)
    assert out.tolist() == [[4, 0, 1.5e9], [0, 6172839, np.float32(61728394.5)]]
    assert totals.tolist() == [4, 6172839, 1561728394.5]
    assert zeros.tolist() == [1, 1, 0]
    assert (lines, rest) == (2, "")


@given(st.integers(1, 40), st.data())
@settings(max_examples=150, deadline=None)
def test_any_whole_numbers(n, data):
    size = st.integers(1, 16).flatmap(lambda digits: st.integers(0, 10**digits - 1))
    rows = data.draw(st.lists(st.lists(size, min_size=n, max_size=n), min_size=1, max_size=4))
    ids = [f"ENSG{i}" for i in range(len(rows))]
    body = "".join(i + "".join(f"\t{value}" for value in row) + "\n" for i, row in zip(ids, rows, strict=True))
    out, totals, zeros, lines, _ = coverage(ids, body, n)
    exact = np.array(rows, dtype=object)
    assert lines == len(rows)
    assert out.tolist() == (exact.astype(np.float64) / 2).astype(np.float32).tolist()
    assert zeros.tolist() == (exact == 0).sum(0).tolist()
    np.testing.assert_allclose(totals, exact.sum(0).astype(np.float64) / 2, rtol=1e-15)


@pytest.mark.parametrize(
    "line",
    [
        "g2\t1.0\t2\n",
        "g2\t-1\t2\n",
        "g2\t1\t2\r\n",
        "g2\tNA\t2\n",
        "g2\t\t2\n",
        "g2\t1\t2\t3\n",
        "g2\t1\n",
        "g2\t1e3\t2\n",
        "g2\t1\t2x\n",
        "g2\t1\té\n",
        "g2\t1\t12345678901234567\n",
        "g3\t1\t2\n",
        "g22\t1\t2\n",
        "g2 1\t2\n",
        "\n",
    ],
)
def test_any_other_line_is_left(line):
    before, after = "g1\t5\t6\n", "g3\t7\t8\n"
    out, totals, zeros, lines, rest = coverage(["g1", "g2", "g3"], before + line + after, 2)
    assert (lines, rest) == (1, line + after)
    assert totals.tolist() == [2.5, 3]
    assert zeros.tolist() == [0, 0]
    assert out.tolist() == [[2.5, 3], [-1, -1], [-1, -1]]


@pytest.mark.parametrize("text", [64, 1 << 19])
def test_a_study_whose_genes_stand_in_another_order_has_the_same_tpm(tmp_path, monkeypatch, text):
    monkeypatch.setattr(recount3_parts, "_TEXT", text)
    random = np.random.default_rng(0)
    values, lengths = random.integers(0, 3000, (50, 5)), random.integers(100, 900, 50).astype(float)
    tpm = (values / lengths[:, None] / (values / lengths[:, None]).sum(0) * 1e6).T

    def write(name: str, genes: np.ndarray, number: str = "d"):
        lines = "".join(f"g{i}\t" + "\t".join(f"{v:{number}}" for v in values[i]) + "\n" for i in genes)
        path = tmp_path / name
        path.write_bytes(gzip.compress(f"##a\n##b\ngene_id\ta\tb\tc\td\te\n{lines}".encode()))
        return path

    first = write("first.gz", np.arange(50))
    order = recount3_parts.GeneOrder(recount3_parts.pd.Series(lengths, index=[f"g{i}" for i in range(50)]), first)
    swapped = np.arange(50)
    swapped[[20, 30]] = 30, 20
    for name, path in (
        ("P1", first),
        ("P2", write("2.gz", swapped)),
        ("P3", write("3.gz", np.arange(50)[::-1])),
        ("P4", write("4.gz", np.arange(50), ".1f")),
    ):
        (block,) = recount3_parts.make_part(tmp_path, name, path, list("abcde"), order, 0.75).blocks()
        np.testing.assert_allclose(block, tpm, rtol=1e-6)
    with pytest.raises(DamagedFileError, match="has 49 of the 50 genes that other files have"):
        recount3_parts.make_part(tmp_path, "P5", write("5.gz", np.arange(49)), list("abcde"), order, 0.75)
