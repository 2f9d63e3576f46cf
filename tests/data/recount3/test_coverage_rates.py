"""Coverage a base of some genes and runs, by hand, in memory and in a file."""

import numpy as np
import pytest

from beyondlinear.data.recount3 import coverage_rates
from beyondlinear.data.recount3.coverage_rates import CoverageRates, MemoryBudget

# sums of coverage: 3 lines × 3 samples; the second line is no gene of the matrix
VALUES = np.array([[8.0, 0, 3e9], [5, 5, 5], [0, 9, 6]])
LENGTHS = np.array([2.0, 1.0, 3.0])


@pytest.mark.parametrize("in_memory", [True, False])
def test_rates_totals_and_zeros_by_hand(tmp_path, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(coverage_rates, "LASTING", 0)
        monkeypatch.setattr(coverage_rates, "_IN_MEMORY", 8)
    rates = CoverageRates(tmp_path / "scratch", n_genes=2, n_runs=2, memory=MemoryBudget())
    assert (rates.array is not None) == in_memory
    totals, zeros = np.zeros(2), np.zeros(2, np.int64)
    columns, rows = np.array([2, 0]), np.array([1, -1, 0])
    assert rates.add(VALUES, columns, rows, LENGTHS, totals, zeros)
    assert totals.tolist() == [1.5e9 + 2, 4]
    assert zeros.tolist() == [0, 1]
    used, scales = np.array([1]), np.array([10.0])
    if in_memory:
        found = rates.tpm(used, scales)
    else:
        rates.write_transposed(tmp_path / "x.npy", used, scales)
        found = np.load(tmp_path / "x.npy")
    assert found.tolist() == [[0, 40]]
    rates.close()
    assert not (tmp_path / "scratch").exists()


def test_a_block_without_a_gene_of_the_matrix_changes_nothing_but_the_zeros(tmp_path, monkeypatch):
    monkeypatch.setattr(coverage_rates, "LASTING", 0)
    monkeypatch.setattr(coverage_rates, "_IN_MEMORY", 8)
    rates = CoverageRates(tmp_path / "scratch", n_genes=2, n_runs=2, memory=MemoryBudget())
    totals, zeros = np.zeros(2), np.zeros(2, np.int64)
    assert rates.add(VALUES, np.array([0, 1]), np.full(3, -1), LENGTHS, totals, zeros)
    assert totals.tolist() == [0, 0]
    assert zeros.tolist() == [1, 1]


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_sum_that_is_negative_or_missing_is_reported(tmp_path, bad):
    rates = CoverageRates(tmp_path / "scratch", n_genes=1, n_runs=1, memory=MemoryBudget())
    zero, one = np.zeros(1, np.int64), np.ones(1)
    assert not rates.add(np.array([[bad]]), zero, zero, one, np.zeros(1), zero.copy())


def test_the_budget_is_given_back(monkeypatch):
    monkeypatch.setattr(coverage_rates, "LASTING", 100)
    budget = MemoryBudget()
    assert budget.take(60)
    assert not budget.take(60)
    budget.take(-60)
    assert budget.take(100)
