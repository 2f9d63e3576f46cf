"""The file tree of recount3 (Wilks et al. 2021, 10.1186/s13059-021-02533-6): paths, tables of
metadata, exonic lengths."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from beyondlinear.data.download.mirrors import safe_name
from beyondlinear.data.gene_table import DamagedFileError, gunzip_text
from beyondlinear.data.metadata import MISSING

MIRRORS = (
    "https://recount-opendata.s3.amazonaws.com/recount3/release",
    "http://duffel.rail.bio/recount3",
    "https://data.idies.jhu.edu/recount3/data",
)
KEYS = ["rail_id", "external_id", "study"]
SINGLE_CELL = "scrna-seq"
# what the prepared store tells of a run, by file and column; a column that a file lacks is left out
WANTED = {
    "sra": {
        "sample_acc": "biosample",
        "experiment_acc": "experiment",
        "platform_model": "platform",
    },
    "recount_pred": {
        "curated.tissue": "tissue",
        "curated.type": "curated_type",
        "pattern.predict.type": "predicted_type",
        "pred.type": "type",
        "curated.cell_type": "cell_type",
        "curated.cell_line": "cell_line",
    },
    "recount_qc": {
        "aligned_reads%.chrx": "aligned_chrx",
        "aligned_reads%.chry": "aligned_chry",
        "star.average_mapped_length": "mapped_length",
    },
}
NUMBERS = ("aligned_chrx", "aligned_chry", "mapped_length")


@dataclass(frozen=True)
class Tree:
    """Relative paths. organism: human or mouse; annotation: G026, …; source: sra, gtex or tcga."""

    organism: str = "human"
    annotation: str = "G026"
    source: str = "sra"

    @property
    def home(self) -> str:
        return f"{self.organism}/data_sources/{self.source}"

    @property
    def index(self) -> str:
        return f"{self.home}/metadata/{self.source}.recount_project.MD.gz"

    @property
    def genes(self) -> str:
        folder = f"{self.organism}/annotations/gene_sums"
        return f"{folder}/{self.organism}.gene_sums.{self.annotation}.gtf.gz"

    def matrix(self, project: str) -> str:
        folder = self._at("gene_sums", project)
        return f"{folder}/{self.source}.gene_sums.{project}.{self.annotation}.gz"

    def metadata(self, project: str, table: str) -> str:
        return (
            f"{self.home}/metadata/{project[-2:]}/{project}/{self.source}.{table}.{project}.MD.gz"
        )

    def _at(self, kind: str, project: str) -> str:
        return f"{self.home}/{kind}/{project[-2:]}/{project}"


def read_index(path: Path) -> pd.DataFrame:
    """Every run with its project, from recount_project.

    :raises DamagedFileError: unreadable, or without the columns that join it to the rest
    :raises DataError: a project's name that could be a path
    """
    table = read_table(path)
    if "project" not in table:
        raise DamagedFileError(
            f"'{path}' has no column 'project'; delete it, so that it is downloaded again"
        )
    for project in table["project"].unique():
        safe_name(project, f"'{path}', column 'project'")
    return table[[*KEYS, "project"]]


def table_text(path: Path) -> str:
    """A metadata table as text that ends with a newline; every row has as many cells as the header.

    :raises DamagedFileError: unreadable, or rows that are broken
    """
    text = gunzip_text(path)
    lines = text.splitlines()
    broken = next(
        (i for i, line in enumerate(lines) if line.count("\t") != lines[0].count("\t")), None
    )
    if not lines or broken is not None:
        where = (
            f"line {broken + 1} has other cells than the header"
            if broken is not None
            else "it is empty"
        )
        raise DamagedFileError(
            f"'{path}' is no table ({where}); delete it, so that it is downloaded again"
        )
    lacking = [k for k in KEYS if k not in lines[0].lower().split("\t")]
    if lacking:
        raise DamagedFileError(
            f"'{path}' has no column '{lacking[0]}'; its columns begin"
            f" {', '.join(lines[0].split(chr(9))[:5])}. Delete it, so that it is downloaded again"
        )
    return "\n".join(lines) + "\n"


def parse_table(text: str, name: str) -> pd.DataFrame:
    """Every cell as text; there may be no rows.

    :raises DamagedFileError: what is not a table
    """
    try:
        table = pd.read_csv(
            io.StringIO(text), sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as e:
        raise DamagedFileError(f"tables '{name}' cannot be read ({e})") from e
    table.columns = table.columns.str.lower()
    return table


def read_table(path: Path) -> pd.DataFrame:
    """A metadata table, every cell as text; it may have no rows.

    :raises DamagedFileError: unreadable, or without the columns that join it to the rest
    """
    return parse_table(table_text(path), path.name)


def wanted_columns(found: pd.DataFrame, table: str) -> pd.DataFrame:
    """The keys and the WANTED columns of a table, under their names in obs; missing words are
    missing."""
    columns = {old: new for old, new in WANTED[table].items() if old in found}
    wanted = found[KEYS + list(columns)].rename(columns=columns)
    values = wanted[list(columns.values())]
    return wanted.assign(**values.mask(values.isin(MISSING)))


def exonic_lengths(path: Path) -> pd.Series:
    """Summed lengths of exons in bases (column 6 of the annotation), by versioned gene id, in the
    order of the file.

    :raises DamagedFileError: unreadable, or no gene in it
    """
    ids, lengths = [], []
    for line in gunzip_text(path).splitlines():
        cells = line.split("\t")
        if len(cells) > 8 and cells[2] == "gene":
            start = cells[8].find('gene_id "')
            ids.append(cells[8][start + 9 : cells[8].find('"', start + 9)])
            lengths.append(cells[5])
    found = pd.to_numeric(pd.Series(lengths, index=ids, dtype=object), errors="coerce").astype(
        np.float64
    )
    if not (found > 0).any():
        raise DamagedFileError(
            f"'{path}' holds no gene with a length in column 6; delete it, so that it is downloaded"
            " again"
        )
    return found[(found > 0) & ~found.index.duplicated()]
