"""GTEx (10.1126/science.aaz1776): the portal's matrix of TPM and its annotations, to a prepared
store and from it to a run."""

import hashlib
import json
import logging
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from pydantic import Field

from beyondlinear.data.checks import named
from beyondlinear.data.download.mirrors import Mirrors
from beyondlinear.data.download.parallel import ProgressCounter
from beyondlinear.data.gene_table import DamagedFileError, GeneTable, gct_header
from beyondlinear.data.metadata import read_metadata
from beyondlinear.data.statistics import RunningStatistics, most_variable
from beyondlinear.data.store import COLUMNS, ROWS, ExpressionStore, StoreWriter, disk, one_writer
from beyondlinear.data.store_statistics import KEY, over_whole_store
from beyondlinear.data.transforms import Transform
from beyondlinear.data.transforms import transform as apply_transform
from beyondlinear.runtime.errors import DataError, choices

log = logging.getLogger(__name__)

VERSION = 2  # raised when the same files give another store on purpose
_BUCKETS = "https://storage.googleapis.com"
_OLD = f"{_BUCKETS}/gtex_analysis_v8"


@dataclass(frozen=True)
class Release:
    """Each file with the folders that hold it, in turn; `matrix_bytes`: about, gzipped."""

    matrix: str
    samples: str
    subjects: str
    places: tuple[str, ...]
    matrix_bytes: int


RELEASES = {
    "v8": Release(
        "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz",
        "GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt",
        "GTEx_Analysis_v8_Annotations_SubjectPhenotypesDS.txt",
        (
            f"{_BUCKETS}/adult-gtex/bulk-gex/v8/rna-seq",
            f"{_BUCKETS}/adult-gtex/annotations/v8/metadata-files",
            f"{_OLD}/rna_seq_data",
            f"{_OLD}/annotations",
        ),
        1_500_000_000,
    ),
    "v10": Release(
        "GTEx_Analysis_v10_RNASeQCv2.4.2_gene_tpm.gct.gz",
        "GTEx_Analysis_v10_Annotations_SampleAttributesDS.txt",
        "GTEx_Analysis_v10_Annotations_SubjectPhenotypesDS.txt",
        (
            f"{_BUCKETS}/adult-gtex/bulk-gex/v10/rna-seq",
            f"{_BUCKETS}/adult-gtex/annotations/v10/metadata-files",
        ),
        1_900_000_000,
    ),
}
SEX = {"1": "male", "2": "female"}


@dataclass(frozen=True)
class Gtex:
    """conf/dataset/gtex.yaml explains the keys."""

    label: str = "tissue"
    release: Literal["v8", "v10"] = "v8"
    mirror: str | list[str] | None = None
    cache: str = "~/.cache/beyondlinear"
    matrix: str | None = None
    sample_attributes: str | None = None
    subject_phenotypes: str | None = None
    transform: Transform | list[Transform] = "log2p1"
    n_genes: Annotated[int, Field(ge=1)] | None = 10000
    strict: bool = False

    def load(self) -> AnnData:
        """The samples that carry the label, transformed; the store is prepared first where it is
        not.

        :returns: X (n_samples, n_genes) float32; obs: donor, tissue, tissue_detail, sex, age; var:
            statistics of each gene
        :raises DataError: what the mirrors or files lack
        """
        store = self.prepare()
        obs = store.obs()
        if self.label not in obs:
            raise DataError(
                f"task.label: '{self.label}' is no label of GTEx."
                f" {choices(self.label, obs.columns)}"
            )
        labelled = obs[self.label].notna().to_numpy()
        adata = store.read(samples=None if labelled.all() else np.flatnonzero(labelled))
        log.info(
            "gtex: %s samples × %s genes from %s",
            f"{adata.n_obs:,}",
            f"{adata.n_vars:,}",
            store.path,
        )
        whole = over_whole_store(adata, self.transform, scaled=True)
        adata = apply_transform(adata, self.transform)
        adata.uns[KEY] = whole
        return adata

    @property
    def files(self) -> Release:
        known = RELEASES[self.release]
        places = [self.mirror] if isinstance(self.mirror, str) else self.mirror or known.places
        return Release(
            self.matrix or known.matrix,
            self.sample_attributes or known.samples,
            self.subject_phenotypes or known.subjects,
            tuple(places),
            known.matrix_bytes,
        )

    def store(self) -> ExpressionStore:
        """Where the prepared store is, or will be."""
        files = self.files
        parts = [
            VERSION,
            self.release,
            files.matrix,
            files.samples,
            files.subjects,
            self.n_genes,
            self.mirror,
        ]
        key = hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()
        return ExpressionStore(
            Path(self.cache).expanduser() / "stores" / f"gtex_{self.release}_{key}.zarr"
        )

    def prepare(self) -> ExpressionStore:
        """The prepared store; made if it is not there.

        :raises DataError: what the mirrors or files lack; what is downloaded stays
        """
        root = Path(self.cache).expanduser()
        store = self.store()
        if not store.exists:
            with disk(root), one_writer(store.path):
                if not store.exists:
                    self._make(store, root)
        return store

    def _make(self, store: ExpressionStore, root: Path) -> None:
        started = time.monotonic()
        files = self.files
        mirrors = Mirrors(files.places, root / "downloads" / "gtex")
        existing = next(p for p in (root, *root.parents) if p.exists())
        free = shutil.disk_usage(existing).free
        size = 0 if mirrors.has(files.matrix) else files.matrix_bytes
        log.info(
            "gtex %s: about %.1f GB to download and to keep; in %s", self.release, size / 1e9, root
        )
        if size > free:
            raise DataError(
                f"dataset.cache: '{root}' has {free / 1e9:.1f} GB free, and about {size / 1e9:.1f}"
                " GB are needed; name a folder on a larger disk with dataset.cache=…"
            )
        with ProgressCounter(f"gtex {self.release}", 3, every=5.0) as counter:
            samples = mirrors.fetch(files.samples, counter.received)
            subjects = mirrors.fetch(files.subjects, counter.received)
            matrix = mirrors.fetch(files.matrix, counter.received)
        try:
            self._read(store, root, samples, subjects, matrix)
        except DamagedFileError as e:
            if not mirrors.discard(matrix):
                raise
            log.info("%s; it is downloaded again", e)
            self._read(store, root, samples, subjects, mirrors.fetch(files.matrix))
        log.info("gtex: prepared in %.0f s: %s", time.monotonic() - started, store.path)

    def _read(
        self, store: ExpressionStore, root: Path, samples: Path, subjects: Path, matrix: Path
    ) -> None:
        """Make the store in two passes: all genes into a scratch file, the most variable ones from
        it.

        :raises DamagedFileError: a matrix that is truncated or has missing or negative values
        :raises DataError: gene ids that occur twice, or other sizes than stated where `strict`
        """
        stated: list[tuple[int, int]] = []

        def header(file: BinaryIO) -> list[str]:
            cells, dimensions = gct_header(file)
            stated.append(dimensions)
            return cells

        scratch = root / "parts" / f"{store.path.stem}.tmp"
        scratch.parent.mkdir(parents=True, exist_ok=True)
        with GeneTable(matrix, header, id_columns=2) as table:
            obs, dropped = read_samples(table.samples, samples, subjects)
            ids, statistics = self._all_genes(table, obs.index, stated[0][0], scratch)
            n_samples_in_file = len(table.samples)
        if (len(ids), n_samples_in_file) != stated[0]:
            text = (
                f"'{matrix}' states {stated[0][0]:,} genes × {stated[0][1]:,} samples and holds"
                f" {len(ids):,} × {n_samples_in_file:,}"
            )
            if self.strict:
                scratch.unlink()
                raise DataError(f"{text}; dataset.strict=false takes what is there")
            log.warning("warning: gtex: %s; what is there is taken", text)
        if len(set(ids)) < len(ids):
            repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
            raise DataError(f"'{matrix}': {named(repeated, 'gene id')} occur twice")
        genes = most_variable(statistics, self.n_genes)
        writer = StoreWriter(store.path, len(obs), [ids[g] for g in genes])
        with scratch.open("rb") as by_gene:  # read, not mapped: what is mapped counts as memory
            for start in range(0, len(genes), COLUMNS):
                chunk = genes[start : start + COLUMNS]
                values = np.stack([_read_gene(by_gene, gene, len(obs)) for gene in chunk])
                for row in range(0, len(obs), 8 * ROWS):
                    block = values[:, row : row + 8 * ROWS].T
                    writer.put(row, start, np.ascontiguousarray(block))
        provenance = {
            "source": "gtex",
            "version": VERSION,
            "release": self.release,
            "mirror": list(self.files.places),
            "units": "TPM",
            "genes_measured": len(ids),
            "dropped": dict(dropped),
            "missing": {},
        }
        content = writer.finish(obs, statistics.iloc[genes], provenance)
        scratch.unlink()
        log.info(
            "gtex: %s samples × %s genes, content %s", f"{len(obs):,}", f"{len(genes):,}", content
        )

    def _all_genes(
        self, table: GeneTable, sample_ids: pd.Index, n_stated: int, scratch: Path
    ) -> tuple[list[str], pd.DataFrame]:
        """All genes into the file `scratch`, (n_genes, n_samples) float32.

        :returns: their ids, and a row of statistics for each
        """
        columns = None
        if len(sample_ids) < len(table.samples):
            columns = np.array([table.samples.index(i) for i in sample_ids])
        ids: list[str] = []
        statistics = []
        counter = ProgressCounter(f"gtex {self.release}", n_stated, unit="genes")
        with counter, scratch.open("wb") as file:
            for lines in table.blocks():
                values = lines.values if columns is None else lines.values[:, columns]
                if not np.isfinite(values).all() or (values < 0).any():
                    raise DamagedFileError(
                        f"'{table.path}' has missing or negative values; delete it, so that it is"
                        " downloaded again"
                    )
                x = values.astype(np.float32)
                x.tofile(file)
                statistics.append(_gene_statistics(x))
                ids += lines.gene_ids()
                for _ in range(len(x)):
                    counter.file_done()
        return ids, pd.concat(statistics, ignore_index=True)


def _read_gene(file: BinaryIO, gene: int, n_samples: int) -> np.ndarray:
    """(n_samples,) float32"""
    file.seek(4 * int(gene) * n_samples)
    return np.fromfile(file, np.float32, n_samples)


def _gene_statistics(x: np.ndarray) -> pd.DataFrame:
    """One row a gene.

    :param x: (n_genes, n_samples) float32, TPM
    """
    statistics = RunningStatistics(len(x))
    statistics.update(np.ascontiguousarray(x.T))
    return statistics.table()


def read_samples(
    ids: list[str], samples: Path, subjects: Path
) -> tuple[pd.DataFrame, Counter[str]]:
    """obs of the samples of a matrix, in its order, and how many of them are left out and why.

    The attributes also list samples that have no expression (WES, OMNI). Donor: the first two
    fields of a sample id.
    :raises DataError: a column that is lacking, or no sample in common
    """
    attributes = _read_annotation(samples, ("SAMPID", "SMTS", "SMTSD"))
    phenotypes = _read_annotation(subjects, ("SUBJID", "SEX", "AGE"))
    attributes = attributes.drop_duplicates("SAMPID").set_index("SAMPID").reindex(ids)
    phenotypes = phenotypes.drop_duplicates("SUBJID").set_index("SUBJID")
    known = attributes["SMTS"].notna().to_numpy()
    if not known.any():
        raise DataError(
            f"no sample of the matrix (e.g. {ids[0]}) is among the {len(attributes):,} of"
            f" '{samples}'; are they of one release?"
        )
    obs = pd.DataFrame(
        {
            "donor": ["-".join(i.split("-")[:2]) for i in ids],
            "tissue": attributes["SMTS"].to_numpy(),
            "tissue_detail": attributes["SMTSD"].to_numpy(),
        },
        index=pd.Index(ids, name="sample", dtype=object),
    )
    obs["sex"] = obs["donor"].map(phenotypes["SEX"]).map(SEX)
    obs["age"] = obs["donor"].map(phenotypes["AGE"])
    obs = obs.mask(obs == "")[known]
    dropped = Counter[str]()
    n_unknown = int((~known).sum())
    if n_unknown:
        dropped["without attributes"] = n_unknown
        log.info("gtex: %s samples without attributes are left out", f"{n_unknown:,}")
    return obs, dropped


def _read_annotation(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table of the portal, every cell as text.

    :raises DataError: a column that is lacking
    """
    table = read_metadata(path, f"GTEx's '{path.name}'")[1]
    lacking = [c for c in columns if c not in table]
    if lacking:
        raise DataError(
            f"'{path}' has no column '{lacking[0]}'; its columns begin"
            f" {', '.join(table.columns[:6])}"
        )
    return table
