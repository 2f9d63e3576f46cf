"""Which genes a study's matrix has, and in which order: in nearly all files the same."""

from pathlib import Path

import numpy as np
import pandas as pd

from beyondlinear.data.gene_table import DamagedFileError, GeneLines, GeneTable, recount_header


class GeneOrder:
    """Which rows of a matrix the genes of a file are: those of the annotation that a first file
    holds.

    gene_ids: (n_genes,) str, as the annotation orders them; lengths: (n_genes,) float64, bases;
    n_without_length: genes of the file that the annotation lacks; n_absent: genes of the annotation
    that the file lacks.
    """

    def __init__(self, lengths: pd.Series, first: Path) -> None:
        """
        :param lengths: exonic lengths in bases, by gene id
        :param first: the matrix of any study
        :raises DamagedFileError: no gene in common
        """
        with GeneTable(first, recount_header) as table:
            self._ids_of_file = b"".join(lines.ids for lines in table.blocks())
        ids = pd.Index(self._ids_of_file.decode().splitlines())
        measured = lengths[lengths.index.isin(ids)]
        if measured.empty:
            raise DamagedFileError(
                f"'{first}' and the annotation have no gene in common, e.g. {ids[0]},"
                f" {lengths.index[0]}"
            )
        self.n_without_length = int((~ids.isin(lengths.index)).sum())
        self.n_absent = len(lengths) - len(measured)
        self.gene_ids: np.ndarray = measured.index.to_numpy(dtype=str)
        self.lengths: np.ndarray = measured.to_numpy()
        self._row_of_gene = {gene: row for row, gene in enumerate(measured.index)}
        self._rows_of_file = self._looked_up(list(ids))
        # where the id of each line begins, and where the last one ends
        newlines = np.flatnonzero(np.frombuffer(self._ids_of_file, np.uint8) == ord("\n"))
        self._id_starts = np.concatenate([[0], newlines + 1])

    def rows(self, lines: GeneLines) -> np.ndarray:
        """(n_lines,) int64 row of each gene, -1 for one that is not in the matrix."""
        n_lines = len(lines.values)
        if self._as_in_first_file(lines.ids, lines.first):  # files are alike: no id is looked up
            return self._rows_of_file[lines.first : lines.first + n_lines]
        return self._looked_up(lines.gene_ids())

    def _as_in_first_file(self, ids: bytes, first: int) -> bool:
        """Whether `ids` are those of the first file from its line `first` on."""
        if first >= len(self._id_starts):
            return False
        start = self._id_starts[first]
        return self._ids_of_file[start : start + len(ids)] == ids

    def _looked_up(self, ids: list[str]) -> np.ndarray:
        return np.array([self._row_of_gene.get(gene, -1) for gene in ids], dtype=np.int64)
