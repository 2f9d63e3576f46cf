"""GTEx (10.1126/science.aaz1776): the portal's matrix of TPM and its annotations, to a prepared store and from it to a run."""

import hashlib
import json
import logging
import shutil
import time
from collections import Counter as Counts
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from pydantic import Field

from beyondlinear.data.checks import named
from beyondlinear.data.download import Mirrors
from beyondlinear.data.downloads import Counter
from beyondlinear.data.gene_lines import DamagedFileError, GeneTable, gct_header
from beyondlinear.data.metadata import read_metadata
from beyondlinear.data.statistics import RunningStatistics, most_variable
from beyondlinear.data.store import COLUMNS, ROWS, Store, StoreWriter, disk, one_writer
from beyondlinear.data.transforms import Transform
from beyondlinear.data.transforms import transform as apply_transform
from beyondlinear.data.whole_store import KEY, over_whole_store
from beyondlinear.errors import DataError, choices

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
        (f"{_BUCKETS}/adult-gtex/bulk-gex/v10/rna-seq", f"{_BUCKETS}/adult-gtex/annotations/v10/metadata-files"),
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
        """The samples that carry the label, transformed; the store is prepared first where it is not.

        :returns: X (n_samples, n_genes) float32; obs: donor, tissue, tissue_detail, sex, age; var: statistics of each gene
        :raises DataError: what the mirrors or files lack
        """
        store = self.prepare()
        obs = store.obs()
        if self.label not in obs:
            raise DataError(f"task.label: '{self.label}' is no label of GTEx. {choices(self.label, obs.columns)}")
        labelled = obs[self.label].notna().to_numpy()
        adata = store.read(samples=None if labelled.all() else np.flatnonzero(labelled))
        log.info("gtex: %s samples × %s genes from %s", f"{adata.n_obs:,}", f"{adata.n_vars:,}", store.path)
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

    def store(self) -> Store:
        """Where the prepared store is, or will be."""
        files = self.files
        parts = [VERSION, self.release, files.matrix, files.samples, files.subjects, self.n_genes, self.mirror]
        key = hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()
        return Store(Path(self.cache).expanduser() / "stores" / f"gtex_{self.release}_{key}.zarr")

    def prepare(self) -> Store:
        """The prepared store; made if it is not there.

        :raises DataError: what the mirrors or files lack; what is downloaded stays
        """
        root, store = Path(self.cache).expanduser(), self.store()
        if not store.exists:
            with disk(root), one_writer(store.path):
                if not store.exists:
                    self._make(store, root)
        return store

    def _make(self, store: Store, root: Path) -> None:
        started, files = time.monotonic(), self.files
        mirrors = Mirrors(files.places, root / "downloads" / "gtex")
        free = shutil.disk_usage(next(p for p in (root, *root.parents) if p.exists())).free
        size = 0 if mirrors.has(files.matrix) else files.matrix_bytes
        log.info("gtex %s: about %.1f GB to download and to keep; in %s", self.release, size / 1e9, root)
        if size > free:
            raise DataError(
                f"dataset.cache: '{root}' has {free / 1e9:.1f} GB free, and about {size / 1e9:.1f} GB are "
                "needed; name a folder on "
                "a larger disk with dataset.cache=…"
            )
        with Counter(f"gtex {self.release}", 3, every=5.0) as counter:
            samples, subjects, matrix = (
                mirrors.fetch(name, counter.received) for name in (files.samples, files.subjects, files.matrix)
            )
        try:
            self._read(store, root, samples, subjects, matrix)
        except DamagedFileError as e:
            if not mirrors.discard(matrix):
                raise
            log.info("%s; it is downloaded again", e)
            self._read(store, root, samples, subjects, mirrors.fetch(files.matrix))
        log.info("gtex: prepared in %.0f s: %s", time.monotonic() - started, store.path)

    def _read(self, store: Store, root: Path, samples: Path, subjects: Path, matrix: Path) -> None:
        stated: list[tuple[int, int]] = []

        def header(file: BinaryIO) -> list[str]:
            cells, dimensions = gct_header(file)
            stated.append(dimensions)
            return cells

        scratch = root / "parts" / f"{store.path.stem}.tmp"
        scratch.parent.mkdir(parents=True, exist_ok=True)
        with GeneTable(matrix, header, id_columns=2) as table:
            obs, dropped = read_samples(table.samples, samples, subjects)
            columns = np.array([table.samples.index(i) for i in obs.index]) if len(obs) < len(table.samples) else None
            ids, statistics = [], []
            width = len(obs)
            with Counter(f"gtex {self.release}", stated[0][0], unit="genes") as counter, scratch.open("wb") as file:
                for lines in table.blocks():
                    values = lines.values if columns is None else lines.values[:, columns]
                    if not np.isfinite(values).all() or (values < 0).any():
                        raise DamagedFileError(
                            f"'{matrix}' has missing or negative values; delete it, so that it is downloaded again"
                        )
                    x = values.astype(np.float32)
                    x.tofile(file)
                    statistics.append(_rows(x))
                    ids += lines.gene_ids()
                    for _ in range(len(x)):
                        counter.file_done()
        genes_and_samples = len(ids), len(table.samples)
        if genes_and_samples != stated[0]:
            text = (
                f"'{matrix}' states {stated[0][0]:,} genes × {stated[0][1]:,} samples and holds {genes_and_samples[0]:,} × "
                f"{genes_and_samples[1]:,}"
            )
            if self.strict:
                scratch.unlink()
                raise DataError(f"{text}; dataset.strict=false takes what is there")
            log.warning("warning: gtex: %s; what is there is taken", text)
        if len(set(ids)) < len(ids):
            raise DataError(f"'{matrix}': {named(pd.Index(ids)[pd.Index(ids).duplicated()], 'gene id')} occur twice")
        var = pd.concat(statistics, ignore_index=True)
        genes = most_variable(var, self.n_genes)
        writer = StoreWriter(store.path, width, [ids[g] for g in genes])
        with scratch.open("rb") as turned:  # read, not mapped: what is mapped counts as memory
            for start in range(0, len(genes), COLUMNS):
                some = np.stack([_row(turned, gene, width) for gene in genes[start : start + COLUMNS]])
                for row in range(0, width, 8 * ROWS):
                    writer.put(row, start, np.ascontiguousarray(some[:, row : row + 8 * ROWS].T))
        said = {
            "source": "gtex",
            "version": VERSION,
            "release": self.release,
            "mirror": list(self.files.places),
            "units": "TPM",
            "genes_measured": len(ids),
            "dropped": dict(dropped),
            "missing": {},
        }
        content = writer.finish(obs, var.iloc[genes], said)
        scratch.unlink()
        log.info("gtex: %s samples × %s genes, content %s", f"{width:,}", f"{len(genes):,}", content)


def _row(file: BinaryIO, gene: int, width: int) -> np.ndarray:
    file.seek(4 * int(gene) * width)
    return np.fromfile(file, np.float32, width)


def _rows(x: np.ndarray) -> pd.DataFrame:
    """Statistics of genes that lie in rows.

    :param x: (n_genes, n_samples) float32
    """
    statistics = RunningStatistics(len(x))
    statistics.update(np.ascontiguousarray(x.T))
    return statistics.table()


def read_samples(ids: list[str], samples: Path, subjects: Path) -> tuple[pd.DataFrame, Counts[str]]:
    """obs of the samples of a matrix, in its order, and how many of them are left out and why.

    The attributes also list samples that have no expression (WES, OMNI). Donor: the first two fields of a sample id.
    :raises DataError: a column that is lacking, or no sample in common
    """
    attributes, phenotypes = (read_metadata(p, f"GTEx's '{p.name}'")[1] for p in (samples, subjects))
    for table, path, columns in (
        (attributes, samples, ("SAMPID", "SMTS", "SMTSD")),
        (phenotypes, subjects, ("SUBJID", "SEX", "AGE")),
    ):
        lacking = [c for c in columns if c not in table]
        if lacking:
            raise DataError(f"'{path}' has no column '{lacking[0]}'; its columns begin {', '.join(table.columns[:6])}")
    attributes = attributes.drop_duplicates("SAMPID").set_index("SAMPID").reindex(ids)
    phenotypes = phenotypes.drop_duplicates("SUBJID").set_index("SUBJID")
    known = attributes["SMTS"].notna().to_numpy()
    if not known.any():
        raise DataError(
            f"no sample of the matrix (e.g. {ids[0]}) is among the {len(attributes):,} of '{samples}'; are they of one release?"
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
    dropped = Counts({"without attributes": int((~known).sum())})
    for why, n in dropped.items():
        if n:
            log.info("gtex: %s samples %s are left out", f"{n:,}", why)
    return obs, Counts({why: n for why, n in dropped.items() if n})
