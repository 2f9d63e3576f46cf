"""One study of recount3: coverage sums → TPM, samples × genes, in memory that does not grow with the study.

TPM = (C / length) / Σ (C / length) · 10⁶ over the same genes (Li & Dewey 2011, 10.1186/1471-2105-12-323). C is the sum of the
coverage of a gene's bases; any constant of a sample, such as its read length, cancels.
"""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numba
import numpy as np
import pandas as pd

from beyondlinear.data.coverage_lines import BEFORE, KnownIds
from beyondlinear.data.gene_lines import DamagedFileError, GeneTable, Lines, recount_header
from beyondlinear.data.store import ROWS

LASTING = 1 << 29  # bytes of finished parts that stay in memory: 2,000 runs; a process that is killed loses no more
_IN_MEMORY = 1 << 26  # bytes of a further study's matrix; a larger one lies in a file while it is turned
_TEXT = 1 << 19  # bytes of text that are parsed at a time: they fit a processor's cache


class GeneOrder:
    """Which rows of a matrix the genes of a file are: those of the annotation that a first file holds.

    gene_ids: (n_genes,), as the annotation orders them; lengths: (n_genes,) float64 bases.
    """

    def __init__(self, lengths: pd.Series, first: Path) -> None:
        """:raises DamagedFileError: no gene in common"""
        with GeneTable(first, recount_header) as table:
            self.known = KnownIds(b"".join(lines.ids for lines in table.blocks()))
        ids = pd.Index(self.known.text.decode().splitlines())
        known = lengths[lengths.index.isin(ids)]
        self.n_without_length, self.n_absent = int((~ids.isin(lengths.index)).sum()), len(lengths) - len(known)
        if known.empty:
            raise DamagedFileError(
                f"'{first}' and the annotation have no gene in common, e.g. {ids[0]}, {lengths.index[0]}"
            )
        self.gene_ids, self.lengths = known.index.to_numpy(dtype=str), known.to_numpy()
        self._row = dict(zip(known.index, range(len(known)), strict=True))
        self.rows_of_file = np.array([self._row.get(i, -1) for i in ids])
        self.lengths_of_file = np.where(self.rows_of_file >= 0, self.lengths[self.rows_of_file], 1.0)

    def rows(self, lines: Lines) -> np.ndarray:
        """(n_lines,) row of each gene, -1 for one that is not in the matrix."""
        if self.known.same(lines.ids, lines.first):  # files are alike: no id is looked up
            return self.rows_of_file[lines.first : lines.first + len(lines.values)]
        return np.array([self._row.get(i, -1) for i in lines.gene_ids()])


class Memory:
    """How many bytes of finished parts may stay in memory; all further ones lie on disk."""

    def __init__(self) -> None:
        self.left, self._lock = LASTING, threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there was so much left."""
        with self._lock:
            enough = size <= self.left
            self.left -= size * enough
        return enough


@dataclass(frozen=True)
class Part:
    """One study, prepared. runs: ids of the rows; dropped: numbers of runs by reason; tpm: (n_runs, n_genes) float32, None: in
    the file `path`."""

    path: Path
    runs: list[str]
    dropped: dict[str, int]
    tpm: np.ndarray | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """(≤ ROWS, n_genes) float32 TPM."""
        if self.tpm is not None:
            for start in range(0, len(self.runs), ROWS):
                yield self.tpm[start : start + ROWS]
        elif self.runs:
            with self.path.open("rb") as file:  # read, not mapped: what is mapped counts as memory
                np.lib.format.read_magic(file)
                (n, n_genes), _, _ = np.lib.format.read_array_header_1_0(file)
                for start in range(0, n, ROWS):
                    rows = min(ROWS, n - start)
                    yield np.fromfile(file, np.float32, rows * n_genes).reshape(rows, n_genes)

    def save(self) -> None:
        """Onto the disk, where another process finds it."""
        if self.tpm is not None and self.runs:
            temporary = self.path.with_name(self.path.name + ".tmp")
            with temporary.open("wb") as file:
                _npy_header(file, self.tpm.shape)
                self.tpm.tofile(file)
            temporary.replace(self.path)
        said = self.path.with_suffix(".json")
        temporary = said.with_name(said.name + ".tmp")
        temporary.write_text(json.dumps({"runs": self.runs, "dropped": self.dropped}))
        temporary.replace(said)  # last: with it the part is whole


def read_part(folder: Path, project: str) -> Part | None:
    """A part that an earlier process finished; None where there is none."""
    said = folder / f"{project}.json"
    if not said.is_file():
        return None
    found = json.loads(said.read_text())
    return Part(folder / f"{project}.npy", found["runs"], found["dropped"])


def make_part(
    folder: Path,
    project: str,
    matrix: Path,
    wanted: Sequence[str],
    order: GeneOrder,
    max_zeros: float,
    memory: Memory | None = None,
) -> Part:
    """Read a study's matrix and turn its wanted runs into TPM, on disk where `memory` has no room for them.

    Runs that the file lacks, that are all zero, or of which more than `max_zeros` of the file's genes are zero are dropped.
    :raises DamagedFileError: truncated, garbage, or genes that other files have are not there
    """
    with GeneTable(matrix, recount_header) as table:
        position = {run: i for i, run in reversed(list(enumerate(table.samples)))}
        there = [run for run in wanted if run in position]
        columns = np.array([position[run] for run in there], dtype=np.int64)
        rates = _Rates(folder / f"{project}.rates.tmp", len(order.gene_ids), len(there), memory or Memory())
        try:
            totals, zeros, n_genes = _read_rates(table, columns, order, rates)
        except BaseException:
            rates.close()
            raise
    empty, sparse = totals == 0, zeros > max_zeros * n_genes
    dropped = {
        "not in their study's matrix": len(wanted) - len(there),
        "with no expression at all": int(empty.sum()),
        f"with more than {max_zeros:.0%} zeros": int((sparse & ~empty).sum()),
    }
    used = np.flatnonzero(~empty & ~sparse)
    part = Part(folder / f"{project}.npy", [there[i] for i in used], {why: n for why, n in dropped.items() if n})
    scale = 1e6 / totals[used]
    if rates.array is not None:
        whole = replace(part, tpm=rates.tpm(used, scale))
        if rates.lasting:
            return whole
        whole.save()
        return part
    if len(used):
        temporary = part.path.with_name(part.path.name + ".tmp")
        rates.write_turned(temporary, used, scale)
        temporary.replace(part.path)
    rates.close()
    part.save()
    return part


def _read_rates(
    table: GeneTable, columns: np.ndarray, order: GeneOrder, rates: "_Rates"
) -> tuple[np.ndarray, np.ndarray, int]:
    """Coverage a base of all genes into `rates`; sums of it, zeros of each run, and the number of genes in the file."""
    sums = np.zeros(len(columns)), np.zeros(len(columns), np.int64)
    first = n_found = 0
    damaged = f"'{table.path}' has negative or missing sums of coverage; delete it, so that it is downloaded again"
    for text in table.texts(_TEXT, BEFORE):
        here = slice(first, first + text.count(b"\n"))
        rows, lengths = order.rows_of_file[here], order.lengths_of_file[here]
        out, targets = rates.space(rows)
        n, at = order.known.coverage(text, first, len(table.samples), columns, targets, lengths, out, *sums)
        n_found += rates.put(rows[:n], out)
        first += n
        for lines in table.lines(text, at, first):  # those that are not as in most files
            rows = order.rows(lines)
            out, targets = rates.space(rows)
            if not _rate(lines.values, columns, targets, order.lengths[rows], out, *sums):
                raise DamagedFileError(damaged)
            n_found += rates.put(rows, out)
            first += len(rows)
    if n_found != len(order.gene_ids):
        raise DamagedFileError(
            f"'{table.path}' has {n_found:,} of the {len(order.gene_ids):,} genes that other files have; it is damaged or of "
            "another annotation (dataset.annotation)"
        )
    return *sums, first


class _Rates:
    """Coverage a base of all genes and runs; in memory as (n_runs, n_genes), or, where that is large, in a file by genes."""

    def __init__(self, scratch: Path, n_genes: int, n_runs: int, memory: Memory) -> None:
        self.scratch, self.shape, self.memory = scratch, (n_genes, n_runs), memory
        self.size = 4 * n_genes * n_runs
        self.lasting = memory.take(self.size)
        small = self.lasting or self.size <= _IN_MEMORY
        self.array = np.empty((n_runs, n_genes), np.float32) if small else None
        self.file = None if small else scratch.open("w+b")

    def space(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where values of genes go.

        :param rows: (n,) of the genes, -1: of none
        :returns: (n_runs, …) float32, and (n,) the genes' places in it or -1
        """
        if self.array is not None:
            return self.array, rows
        kept = rows >= 0
        return np.empty((int(kept.sum()), self.shape[1]), np.float32).T, np.where(kept, np.cumsum(kept) - 1, -1)

    def put(self, rows: np.ndarray, out: np.ndarray) -> int:
        """Keep what was filled in for `rows`; returns how many of them are genes of the matrix."""
        rows = rows[rows >= 0]
        if self.file is not None:
            starts = np.flatnonzero(np.diff(rows, prepend=rows[:1] - 2) != 1)
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
                os.pwrite(self.file.fileno(), out.T[start:stop].data, 4 * int(rows[start]) * self.shape[1])
        return len(rows)

    def tpm(self, used: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """(n_used, n_genes), each run multiplied by its scale, in the place of the rates."""
        assert self.array is not None
        for at, (run, factor) in enumerate(zip(used, scale, strict=True)):
            _scale(self.array[run], factor, self.array[at])
        return self.array[: len(used)]

    def write_turned(self, path: Path, used: np.ndarray, scale: np.ndarray) -> None:
        """A .npy file of (n_used, n_genes), each run multiplied by its scale."""
        n_genes, n_runs = self.shape
        with path.open("wb") as file:
            head = _npy_header(file, (len(used), n_genes))
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
        """Of rates that are not needed any more."""
        if self.lasting:
            self.memory.take(-self.size)
        if self.file is not None:
            self.file.close()
            self.scratch.unlink(missing_ok=True)


def _npy_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.tell()


@numba.njit(nogil=True, cache=True)
def _scale(row: np.ndarray, factor: float, out: np.ndarray) -> None:
    for g in range(len(row)):
        out[g] = row[g] * factor  # in float64, rounded once


@numba.njit(nogil=True, cache=True)
def _rate(  # type: ignore[no-untyped-def]
    values, columns, targets, lengths, out, totals, zeros
) -> bool:
    """As `KnownIds.coverage`, of numbers that may be any; False where one is negative or missing."""
    for i in range(len(targets)):
        target = targets[i]
        for j in range(len(columns)):
            value = values[i, columns[j]]
            if not 0 <= value < np.inf:
                return False
            zeros[j] += value == 0
            if target >= 0:
                rate = value / lengths[i]
                totals[j] += rate
                out[j, target] = rate
    return True
