"""One study of recount3: coverage sums → TPM on disk, samples × genes, in memory that does not grow with the study.

TPM = (C / length) / Σ (C / length) · 10⁶ over the same genes (Li & Dewey 2011, 10.1186/1471-2105-12-323). C is the sum of the
coverage of a gene's bases; any constant of a sample, such as its read length, cancels.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import pandas as pd

from beyondlinear.data.gene_lines import DamagedFileError, GeneTable, Lines, recount_header
from beyondlinear.data.store import ROWS

_IN_MEMORY = 1 << 26  # bytes of a study's matrix; a larger one lies in a file while it is turned


class GeneOrder:
    """Which rows of a matrix the genes of a file are: those of the annotation that a first file holds.

    gene_ids: (n_genes,), as the annotation orders them; lengths: (n_genes,) float64 bases.
    """

    def __init__(self, lengths: pd.Series, first: Path) -> None:
        """:raises DamagedFileError: no gene in common"""
        with GeneTable(first, recount_header) as table:
            self.text = b"".join(lines.ids for lines in table.blocks())
        ids = pd.Index(self.text.decode().splitlines())
        known = lengths[lengths.index.isin(ids)]
        self.n_without_length, self.n_absent = int((~ids.isin(lengths.index)).sum()), len(lengths) - len(known)
        if known.empty:
            raise DamagedFileError(
                f"'{first}' and the annotation have no gene in common, e.g. {ids[0]}, {lengths.index[0]}"
            )
        self.gene_ids, self.lengths = known.index.to_numpy(dtype=str), known.to_numpy()
        self._row = dict(zip(known.index, range(len(known)), strict=True))
        self._rows = np.array([self._row.get(i, -1) for i in ids])

    def rows(self, lines: Lines, offset: int) -> np.ndarray:
        """(n_lines,) row of each gene, -1 for one that is not in the matrix.

        :param offset: bytes of ids before these lines in their file
        """
        n = len(lines.values)
        if self.text[offset : offset + len(lines.ids)] == lines.ids:  # files are alike: no id is looked up
            return self._rows[lines.first : lines.first + n]
        return np.array([self._row.get(i, -1) for i in lines.gene_ids()])


@dataclass(frozen=True)
class Part:
    """One study, prepared. runs: ids of the rows; dropped: numbers of runs by reason."""

    path: Path
    runs: list[str]
    dropped: dict[str, int]

    def blocks(self) -> Iterator[np.ndarray]:
        """(≤ ROWS, n_genes) float32 TPM."""
        if not self.runs:
            return
        with self.path.open("rb") as file:  # read, not mapped: what is mapped counts as memory
            np.lib.format.read_magic(file)
            (n, n_genes), _, _ = np.lib.format.read_array_header_1_0(file)
            for start in range(0, n, ROWS):
                rows = min(ROWS, n - start)
                yield np.fromfile(file, np.float32, rows * n_genes).reshape(rows, n_genes)


def read_part(folder: Path, project: str) -> Part | None:
    """A part that an earlier process finished; None where there is none."""
    said = folder / f"{project}.json"
    if not said.is_file():
        return None
    found = json.loads(said.read_text())
    return Part(folder / f"{project}.npy", found["runs"], found["dropped"])


def make_part(
    folder: Path, project: str, matrix: Path, wanted: Sequence[str], order: GeneOrder, max_zeros: float
) -> Part:
    """Read a study's matrix and write its wanted runs as TPM.

    Runs that the file lacks, that are all zero, or of which more than `max_zeros` of the file's genes are zero are dropped.
    :raises DamagedFileError: truncated, garbage, or genes that other files have are not there
    """
    with GeneTable(matrix, recount_header) as table:
        position = {run: i for i, run in reversed(list(enumerate(table.samples)))}
        there = [run for run in wanted if run in position]
        columns = np.array([position[run] for run in there], dtype=np.int64)
        dropped = {"not in their study's matrix": len(wanted) - len(there)}
        rates = _Rates(folder / f"{project}.rates.tmp", len(order.gene_ids), len(there))
        totals, zeros, n_genes = np.zeros(len(there)), np.zeros(len(there), np.int64), 0
        offset = n_found = 0
        for lines in table.blocks():
            rows = order.rows(lines, offset)
            kept = np.flatnonzero(rows >= 0)
            rate = np.empty((len(kept), len(there)), np.float32) if rates.array is None else rates.array
            if not _rate(lines.values, columns, rows, order.lengths, rate, rates.array is None, totals, zeros):
                raise DamagedFileError(
                    f"'{matrix}' has negative or missing sums of coverage; delete it, so that it is downloaded again"
                )
            if rates.array is None:
                rates.put(rows[kept], rate)
            offset += len(lines.ids)
            n_genes += len(rows)
            n_found += len(kept)
    if n_found != len(order.gene_ids):
        raise DamagedFileError(
            f"'{matrix}' has {n_found:,} of the {len(order.gene_ids):,} genes that other files have; it is "
            "damaged or of another "
            "annotation (dataset.annotation)"
        )
    empty, sparse = totals == 0, zeros > max_zeros * n_genes
    dropped["with no expression at all"] = int(empty.sum())
    dropped[f"with more than {max_zeros:.0%} zeros"] = int((sparse & ~empty).sum())
    used = np.flatnonzero(~empty & ~sparse)
    path = folder / f"{project}.npy"
    part = Part(path, [there[i] for i in used], {why: n for why, n in dropped.items() if n})
    if len(used):
        temporary = path.with_name(path.name + ".tmp")
        rates.write_turned(temporary, used, 1e6 / totals[used])
        temporary.replace(path)
    rates.close()
    said = folder / f"{project}.json"
    temporary = said.with_name(said.name + ".tmp")
    temporary.write_text(json.dumps({"runs": part.runs, "dropped": part.dropped}))
    temporary.replace(said)  # last: with it the part is whole
    return part


class _Rates:
    """Rates of all genes and runs; in memory as (n_runs, n_genes), or, where that is large, in a file by genes."""

    def __init__(self, scratch: Path, n_genes: int, n_runs: int) -> None:
        self.scratch, self.shape = scratch, (n_genes, n_runs)
        small = 4 * n_genes * n_runs <= _IN_MEMORY
        self.array = np.empty((n_runs, n_genes), np.float32) if small else None
        self.file = None if small else scratch.open("w+b")

    def put(self, rows: np.ndarray, rate: np.ndarray) -> None:
        """:param rate: (n_rows, n_runs) float32"""
        assert self.file is not None
        starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1)
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
            os.pwrite(self.file.fileno(), rate[start:stop].data, 4 * int(rows[start]) * self.shape[1])

    def write_turned(self, path: Path, used: np.ndarray, scale: np.ndarray) -> None:
        """A .npy file of (n_used, n_genes), each run multiplied by its scale."""
        n_genes, n_runs = self.shape
        with path.open("wb") as file:
            shape = (len(used), n_genes)
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            if self.array is not None:
                for run, factor in zip(used, scale, strict=True):
                    _scale(self.array[run], factor)
                    self.array[run].tofile(file)
                return
            head = file.tell()
            step = max(1, _IN_MEMORY // (4 * n_runs))
            for gene in range(0, n_genes, step):
                some = self._genes(gene, min(gene + step, n_genes))
                for start in range(0, len(used), ROWS):
                    runs = slice(start, start + ROWS)
                    block = (np.take(some, used[runs], axis=1).T * scale[runs, None]).astype(np.float32, order="C")
                    for run, row in enumerate(block, start):
                        os.pwrite(file.fileno(), row.data, head + 4 * (run * n_genes + gene))

    def _genes(self, start: int, stop: int) -> np.ndarray:
        assert self.file is not None
        self.file.seek(4 * start * self.shape[1])
        return np.fromfile(self.file, np.float32, (stop - start) * self.shape[1]).reshape(stop - start, -1)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.scratch.unlink(missing_ok=True)


@numba.njit(nogil=True, cache=True)
def _scale(row: np.ndarray, factor: float) -> None:
    for g in range(len(row)):
        row[g] *= factor  # in float64, rounded once


@numba.njit(nogil=True, cache=True)
def _rate(  # type: ignore[no-untyped-def]
    values, columns, rows, lengths, out, by_genes, totals, zeros
) -> bool:
    """Coverage a base of the wanted runs, into `out` (by genes in the order of the lines, or by runs), with sums and zeros."""
    at = 0
    for i in range(len(rows)):
        row = rows[i]
        for j in range(len(columns)):
            value = values[i, columns[j]]
            if not 0 <= value < np.inf:
                return False
            zeros[j] += value == 0
            if row >= 0:
                rate = value / lengths[row]
                totals[j] += rate
                if by_genes:
                    out[at, j] = rate
                else:
                    out[j, row] = rate
        at += row >= 0
    return True
