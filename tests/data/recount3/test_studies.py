"""One study as TPM, by hand, whatever the order of its genes and the form of its numbers."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beyondlinear.data.gene_table import DamagedFileError
from beyondlinear.data.recount3 import studies
from beyondlinear.data.recount3.gene_order import GeneOrder
from beyondlinear.data.recount3.studies import prepare_study, read_prepared_study


def write(path: Path, samples: str, lines: str) -> Path:
    path.write_bytes(gzip.compress(f"##a\n##b\ngene_id\t{samples}\n{lines}".encode()))
    return path


def test_a_constant_of_a_sample_cancels_and_sums_above_int32_are_right(tmp_path):
    def written(name: str, rows: dict[str, int]) -> Path:
        lines = "".join(f"{gene}\t{value}\n" for gene, value in rows.items())
        return write(tmp_path / name, "r", lines)

    lengths = pd.Series({"g1": 1000.0, "g2": 500.0, "g3": 8.0})
    first = written("a.gz", {"g1": 3_000_000_000, "g2": 500_000_000, "g3": 0, "unknown": 7})
    second = written("b.gz", {"g1": 75, "g2": 25 // 2, "g3": 0, "unknown": 7})
    order = GeneOrder(lengths, first)
    assert order.gene_ids.tolist() == ["g1", "g2", "g3"]
    (block,) = prepare_study(tmp_path, "P1", first, ["r"], order, 0.75).blocks()
    # rates 3e6 and 1e6 per base: three quarters and one quarter of a million
    np.testing.assert_allclose(block, [[750_000, 250_000, 0]], rtol=1e-7)
    (block,) = prepare_study(tmp_path, "P2", second, ["r"], order, 0.75).blocks()
    np.testing.assert_allclose(block, [[1e6 * 0.075 / 0.099, 1e6 * 0.024 / 0.099, 0]], rtol=1e-6)


@pytest.mark.parametrize("text", [64, 1 << 19])
def test_a_study_whose_genes_stand_in_another_order_has_the_same_tpm(tmp_path, monkeypatch, text):
    monkeypatch.setattr(studies, "_TEXT", text)
    random = np.random.default_rng(0)
    values, lengths = random.integers(0, 3000, (50, 5)), random.integers(100, 900, 50).astype(float)
    tpm = (values / lengths[:, None] / (values / lengths[:, None]).sum(0) * 1e6).T

    def written(name: str, genes: np.ndarray, number: str = "d") -> Path:
        lines = "".join(
            f"g{i}\t" + "\t".join(f"{v:{number}}" for v in values[i]) + "\n" for i in genes
        )
        return write(tmp_path / name, "a\tb\tc\td\te", lines)

    first = written("first.gz", np.arange(50))
    order = GeneOrder(pd.Series(lengths, index=[f"g{i}" for i in range(50)]), first)
    swapped = np.arange(50)
    swapped[[20, 30]] = 30, 20
    for name, path in (
        ("P1", first),
        ("P2", written("2.gz", swapped)),
        ("P3", written("3.gz", np.arange(50)[::-1])),
        ("P4", written("4.gz", np.arange(50), ".1f")),
    ):
        (block,) = prepare_study(tmp_path, name, path, list("abcde"), order, 0.75).blocks()
        np.testing.assert_allclose(block, tpm, rtol=1e-6)
    with pytest.raises(DamagedFileError, match="has 49 of the 50 genes that other files have"):
        prepare_study(tmp_path, "P5", written("5.gz", np.arange(49)), list("abcde"), order, 0.75)


def test_runs_that_are_dropped_are_counted_and_the_rest_is_read_back(tmp_path):
    lines = "g1\t10\t0\t5\t1\ng2\t30\t0\t0\t1\ng3\t0\t0\t0\t2\n"
    path = write(tmp_path / "a.gz", "good\tempty\tsparse\tnot_wanted", lines)
    order = GeneOrder(pd.Series({"g1": 10.0, "g2": 10.0, "g3": 10.0}), path)
    wanted = ["absent", "good", "empty", "sparse"]
    study = prepare_study(tmp_path, "P1", path, wanted, order, max_zeros=0.5)
    assert study.runs == ["good"]
    assert study.dropped == {
        "not in their study's matrix": 1,
        "with no expression at all": 1,
        "with more than 50% zeros": 1,
    }
    assert read_prepared_study(tmp_path, "P1") is None
    study.save()
    found = read_prepared_study(tmp_path, "P1")
    assert (found.runs, found.dropped) == (study.runs, study.dropped)
    (block,) = found.blocks()
    assert block.tolist() == [[250_000, 750_000, 0]]


def test_a_negative_sum_of_coverage_is_damage(tmp_path):
    path = write(tmp_path / "a.gz", "r", "g1\t-1\n")
    order = GeneOrder(pd.Series({"g1": 10.0}), path)
    with pytest.raises(DamagedFileError, match="negative or missing sums of coverage"):
        prepare_study(tmp_path, "P1", path, ["r"], order, 0.75)
