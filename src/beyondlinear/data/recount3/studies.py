"""One study of recount3: coverage sums → TPM, samples × genes, in memory that does not grow with
the study.

TPM = (C / length) / Σ (C / length) · 10⁶ over the same genes (Li & Dewey 2011,
10.1186/1471-2105-12-323). C is the sum of the coverage of a gene's bases; any constant of a sample,
such as its read length, cancels.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from beyondlinear.data.gene_table import DamagedFileError, GeneTable, recount_header
from beyondlinear.data.recount3.coverage_rates import CoverageRates, MemoryBudget
from beyondlinear.data.recount3.gene_order import GeneOrder
from beyondlinear.data.store import ROWS

_TEXT = 1 << 19  # bytes of text that are parsed at a time: they fit a processor's cache


@dataclass(frozen=True)
class PreparedStudy:
    """One study as TPM.

    path: of the .npy file, whether it is written or not; runs: ids of the rows; dropped: numbers of
    runs by reason; tpm: (n_runs, n_genes) float32, None: in the file.
    """

    path: Path
    runs: list[str]
    dropped: dict[str, int]
    tpm: np.ndarray | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """(≤ ROWS, n_genes) float32 TPM, in the order of `runs`."""
        if self.tpm is not None:
            for start in range(0, len(self.runs), ROWS):
                yield self.tpm[start : start + ROWS]
        elif self.runs:
            with self.path.open("rb") as file:  # read, not mapped: what is mapped counts as memory
                np.lib.format.read_magic(file)
                (n_runs, n_genes), _, _ = np.lib.format.read_array_header_1_0(file)
                for start in range(0, n_runs, ROWS):
                    n_rows = min(ROWS, n_runs - start)
                    values = np.fromfile(file, np.float32, n_rows * n_genes)
                    yield values.reshape(n_rows, n_genes)

    def save(self) -> None:
        """Onto the disk, where another process finds it."""
        if self.tpm is not None and self.runs:
            temporary = self.path.with_name(self.path.name + ".tmp")
            with temporary.open("wb") as file:
                np.lib.format.write_array(file, self.tpm, (1, 0))
            temporary.replace(self.path)
        description = self.path.with_suffix(".json")
        temporary = description.with_name(description.name + ".tmp")
        temporary.write_text(json.dumps({"runs": self.runs, "dropped": self.dropped}))
        temporary.replace(description)  # last: with it the study is whole


def read_prepared_study(folder: Path, project: str) -> PreparedStudy | None:
    """A study that an earlier process finished; None where there is none."""
    description = folder / f"{project}.json"
    if not description.is_file():
        return None
    fields = json.loads(description.read_text())
    return PreparedStudy(folder / f"{project}.npy", fields["runs"], fields["dropped"])


def prepare_study(
    folder: Path,
    project: str,
    matrix: Path,
    wanted: Sequence[str],
    order: GeneOrder,
    max_zeros: float,
    memory: MemoryBudget | None = None,
) -> PreparedStudy:
    """Read a study's matrix and turn its wanted runs into TPM, on disk where `memory` has no room
    for them.

    Runs that the file lacks, that are all zero, or of which more than `max_zeros` of the file's
    genes are zero are dropped.
    :raises DamagedFileError: truncated, garbage, or genes that other files have are not there
    """
    memory = memory or MemoryBudget()
    with GeneTable(matrix, recount_header) as table:
        # the first where a run occurs twice
        position = {run: i for i, run in reversed(list(enumerate(table.samples)))}
        measured = [run for run in wanted if run in position]
        columns = np.array([position[run] for run in measured], dtype=np.int64)
        scratch = folder / f"{project}.rates.tmp"
        rates = CoverageRates(scratch, len(order.gene_ids), len(measured), memory)
        try:
            totals, zeros, n_genes = _read_rates(table, columns, order, rates)
        except BaseException:
            rates.close()
            raise
    empty = totals == 0
    sparse = ~empty & (zeros > max_zeros * n_genes)
    dropped = {
        "not in their study's matrix": len(wanted) - len(measured),
        "with no expression at all": int(empty.sum()),
        f"with more than {max_zeros:.0%} zeros": int(sparse.sum()),
    }
    used = np.flatnonzero(~empty & ~sparse)
    study = PreparedStudy(
        folder / f"{project}.npy",
        [measured[i] for i in used],
        {reason: n for reason, n in dropped.items() if n},
    )
    per_million = 1e6 / totals[used]
    if rates.array is not None:
        in_memory = replace(study, tpm=rates.tpm(used, per_million))
        if rates.lasting:
            return in_memory
        in_memory.save()
        return study
    if len(used):
        temporary = study.path.with_name(study.path.name + ".tmp")
        rates.write_transposed(temporary, used, per_million)
        temporary.replace(study.path)
    rates.close()
    study.save()
    return study


def _read_rates(
    table: GeneTable, columns: np.ndarray, order: GeneOrder, rates: CoverageRates
) -> tuple[np.ndarray, np.ndarray, int]:
    """Coverage a base of all genes into `rates`.

    :returns: (n_runs,) float64 sums of it; (n_runs,) int64 numbers of genes without coverage; the
        number of genes in the file
    """
    totals = np.zeros(len(columns))
    zeros = np.zeros(len(columns), np.int64)
    n_lines = 0
    n_found = 0
    for lines in table.blocks(_TEXT):
        rows = order.rows(lines)
        if not rates.add(lines.values, columns, rows, order.lengths[rows], totals, zeros):
            raise DamagedFileError(
                f"'{table.path}' has negative or missing sums of coverage; delete it, so that it is"
                " downloaded again"
            )
        n_lines += len(rows)
        n_found += int((rows >= 0).sum())
    if n_found != len(order.gene_ids):
        raise DamagedFileError(
            f"'{table.path}' has {n_found:,} of the {len(order.gene_ids):,} genes that other files"
            " have; it is damaged or of another annotation (dataset.annotation)"
        )
    return totals, zeros, n_lines
