"""Coverage a base of all genes and runs of one study, in memory or, where that is large, in a
file."""

import os
import threading
from pathlib import Path
from typing import BinaryIO

import numba
import numpy as np

from beyondlinear.data.store import ROWS

# bytes of finished studies that stay in memory, about 2,000 runs; a process that is killed loses
# no more than these
LASTING = 1 << 29
# bytes of a further study's matrix; a larger one lies in a file while it is transposed
_IN_MEMORY = 1 << 26


class MemoryBudget:
    """How many bytes of finished studies may stay in memory; all further ones lie on disk."""

    def __init__(self) -> None:
        self.left = LASTING
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether so many bytes were left, which are then taken; a negative size gives back."""
        with self._lock:
            enough = size <= self.left
            if enough:
                self.left -= size
        return enough


class CoverageRates:
    """Coverage a base, filled by genes and read by runs.

    array: (n_runs, n_genes) float32 in memory, or None where a file holds (n_genes, n_runs);
    lasting: whether the array may stay in memory when the study is finished.
    """

    def __init__(self, scratch: Path, n_genes: int, n_runs: int, memory: MemoryBudget) -> None:
        """:param scratch: the file's path, if one is needed"""
        self.scratch = scratch
        self.n_genes = n_genes
        self.n_runs = n_runs
        self.memory = memory
        self.size = 4 * n_genes * n_runs  # bytes
        self.lasting = memory.take(self.size)
        self.array: np.ndarray | None = None
        self.file: BinaryIO | None = None
        if self.lasting or self.size <= _IN_MEMORY:
            self.array = np.empty((n_runs, n_genes), np.float32)
        else:
            self.file = scratch.open("w+b")

    def add(
        self,
        values: np.ndarray,
        columns: np.ndarray,
        rows: np.ndarray,
        lengths: np.ndarray,
        totals: np.ndarray,
        zeros: np.ndarray,
    ) -> bool:
        """Take in some lines of a matrix; False where a sum of coverage is negative or missing.

        :param values: (n_lines, n_samples) float64, sums of coverage
        :param columns: (n_runs,) which of the samples are wanted
        :param rows: (n_lines,) the gene of each line, -1: none of the matrix
        :param lengths: (n_lines,) bases
        :param totals: (n_runs,) float64 sums of the coverage a base, added to
        :param zeros: (n_runs,) int64 numbers of lines without coverage, added to
        """
        if self.array is not None:
            return _coverage_a_base(values, columns, rows, lengths, self.array, totals, zeros)
        in_matrix = rows >= 0
        n_genes = int(in_matrix.sum())
        block = np.empty((n_genes, self.n_runs), np.float32)
        places = np.where(in_matrix, np.cumsum(in_matrix) - 1, -1)
        valid = _coverage_a_base(values, columns, places, lengths, block.T, totals, zeros)
        if valid:
            self._write(rows[in_matrix], block)
        return valid

    def _write(self, genes: np.ndarray, block: np.ndarray) -> None:
        """Genes that follow one another are written at once."""
        assert self.file is not None
        if len(genes) == 0:
            return
        starts = np.flatnonzero(np.diff(genes, prepend=genes[:1] - 2) != 1)
        for start, stop in zip(starts, [*starts[1:], len(genes)], strict=True):
            offset = 4 * int(genes[start]) * self.n_runs
            os.pwrite(self.file.fileno(), block[start:stop].data, offset)

    def tpm(self, runs: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """(n_used, n_genes) float32, each of the given runs times its scale, in the place of the
        rates."""
        assert self.array is not None
        for place, (run, scale) in enumerate(zip(runs, scales, strict=True)):
            _scale(self.array[run], scale, self.array[place])
        return self.array[: len(runs)]

    def write_transposed(self, path: Path, used: np.ndarray, scales: np.ndarray) -> None:
        """A .npy file of (n_used, n_genes) float32, each of the `used` runs times its scale."""
        with path.open("wb") as file:
            shape = (len(used), self.n_genes)
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            header_bytes = file.tell()
            step = max(1, _IN_MEMORY // (4 * self.n_runs))
            for gene in range(0, self.n_genes, step):
                rates = self._read(gene, min(gene + step, self.n_genes))
                for start in range(0, len(used), ROWS):
                    runs = slice(start, start + ROWS)
                    scaled = np.take(rates, used[runs], axis=1).T * scales[runs, None]
                    block = scaled.astype(np.float32, order="C")
                    for run, row in enumerate(block, start):
                        offset = header_bytes + 4 * (run * self.n_genes + gene)
                        os.pwrite(file.fileno(), row.data, offset)

    def _read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, n_runs) float32, some genes of the file."""
        assert self.file is not None
        self.file.seek(4 * start * self.n_runs)
        values = np.fromfile(self.file, np.float32, (stop - start) * self.n_runs)
        return values.reshape(stop - start, self.n_runs)

    def close(self) -> None:
        """Of rates that are not needed any more."""
        if self.lasting:
            self.memory.take(-self.size)
        if self.file is not None:
            self.file.close()
            self.scratch.unlink(missing_ok=True)


@numba.njit(nogil=True, cache=True)
def _scale(row: np.ndarray, factor: float, out: np.ndarray) -> None:
    for g in range(len(row)):
        out[g] = row[g] * factor  # in float64, rounded once


@numba.njit(nogil=True, cache=True)
def _coverage_a_base(
    values: np.ndarray,
    columns: np.ndarray,
    places: np.ndarray,
    lengths: np.ndarray,
    out: np.ndarray,
    totals: np.ndarray,
    zeros: np.ndarray,
) -> bool:
    """As `CoverageRates.add`; `places`: (n_lines,) columns of `out`, (n_runs, …) float32, or -1."""
    for i in range(len(places)):
        place = places[i]
        for j in range(len(columns)):
            value = values[i, columns[j]]
            if not 0 <= value < np.inf:
                return False
            zeros[j] += value == 0
            if place >= 0:
                rate = value / lengths[i]
                totals[j] += rate
                out[j, place] = rate
    return True
