"""recount3 (Wilks et al. 2021, 10.1186/s13059-021-02533-6): from mirrors to a prepared store of
TPM, and from it to a run.

Metadata first, then the matrices of the studies that are needed; each study is prepared by itself,
and all of them become the store. Whatever is finished is not repeated by the same command, but for
up to 512 MB of studies in memory of a process that was killed.
"""

import hashlib
import json
import logging
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from pydantic import Field

from beyondlinear.data.download.mirrors import Mirrors, MissingFileError
from beyondlinear.data.download.parallel import ProgressCounter, as_fetched, worked_on
from beyondlinear.data.gene_table import DamagedFileError
from beyondlinear.data.recount3.coverage_rates import LASTING, MemoryBudget
from beyondlinear.data.recount3.gene_order import GeneOrder
from beyondlinear.data.recount3.runs import OnMissing, Runs, find_runs, read
from beyondlinear.data.recount3.sex_labels import read_sex_labels
from beyondlinear.data.recount3.studies import PreparedStudy, prepare_study, read_prepared_study
from beyondlinear.data.recount3.tree import MIRRORS, Tree, exonic_lengths
from beyondlinear.data.statistics import RunningStatistics, most_variable
from beyondlinear.data.store import ExpressionStore, StoreWriter, disk, one_writer
from beyondlinear.data.store_statistics import KEY, over_whole_store
from beyondlinear.data.transforms import Transform
from beyondlinear.data.transforms import transform as apply_transform
from beyondlinear.runtime.errors import DataError, choices

log = logging.getLogger(__name__)

VERSION = 2  # raised when the same files give another store on purpose
_SAMPLE_BYTES, _FILE_BYTES = 130_000, 280_000  # of a gzipped matrix: each run, and the gene ids


@dataclass(frozen=True)
class Recount3:
    """conf/dataset/recount3.yaml explains the keys."""

    label: str = "tissue"
    scope: Literal["labelled", "all"] = "labelled"
    mirror: str | list[str] | None = None
    cache: str = "~/.cache/beyondlinear"
    organism: Literal["human", "mouse"] = "human"
    annotation: str = "G026"
    sex_labels: str | None = None
    sex_filter: Literal["paper", "flynn"] = "paper"
    transform: Transform | list[Transform] = "log2p1"
    n_genes: Annotated[int, Field(ge=1)] | None = 10000
    max_zeros: Annotated[float, Field(gt=0, le=1)] = 0.75
    on_missing: OnMissing = "error"
    downloads: Annotated[int, Field(ge=1, le=64)] = 8

    def load(self) -> AnnData:
        """The runs that carry the label, transformed; the store is prepared first where it is not.

        :returns: X (n_runs, n_genes) float32; obs: study, biosample, experiment, tissue, sex, …;
            var: statistics of each gene over the whole store, as TPM; uns: with scope=all the same
            on the scale of X, for protocol=paper
        :raises DataError: what the mirrors or files lack
        """
        store = self.prepare()
        labelled = store.obs()[self.label].notna().to_numpy()
        adata = store.read(samples=None if labelled.all() else np.flatnonzero(labelled))
        whole = (
            over_whole_store(adata, self.transform, scaled=False) if self.scope == "all" else None
        )
        log.info(
            "recount3: %s runs × %s genes from %s",
            f"{adata.n_obs:,}",
            f"{adata.n_vars:,}",
            store.path,
        )
        adata = apply_transform(adata, self.transform)
        adata.uns[KEY] = whole
        return adata

    def store(self) -> ExpressionStore:
        """Where the prepared store is, or will be.

        :raises DataError: a label that recount3 has not, or a file of sex labels that does not fit
        """
        return self._store(self._sex())

    def prepare(self) -> ExpressionStore:
        """The prepared store; made if it is not there.

        :raises DataError: what the mirrors or files lack; everything that is finished stays
        """
        sex = self._sex()
        store = self._store(sex)
        if not store.exists:
            root = Path(self.cache).expanduser()
            with disk(root), one_writer(store.path):
                if not store.exists:
                    self._make(store, root, sex)
        for relative in store.provenance()["missing"]:
            log.warning("warning: recount3: the store lacks %s, which no mirror had", relative)
        return store

    def _sex(self) -> pd.Series | None:
        if self.label not in ("tissue", "sex"):
            raise DataError(
                f"task.label: '{self.label}' is no label of recount3."
                f" {choices(self.label, ['tissue', 'sex'])}; for labels of your own prepare the"
                " store, and read it with dataset=file"
            )
        if self.label != "sex" and self.sex_labels is None:
            return None
        return read_sex_labels(self.sex_labels, self.sex_filter, self.organism)

    def _store(self, sex: pd.Series | None) -> ExpressionStore:
        return ExpressionStore(
            Path(self.cache).expanduser() / "stores" / f"recount3_{self._key(sex)}.zarr"
        )

    def _key(self, sex: pd.Series | None) -> str:
        parts: dict[str, str | int | float | None] = {
            "version": VERSION,
            "organism": self.organism,
            "annotation": self.annotation,
            "scope": self.label if self.scope == "labelled" else "all",
            "sex": None if sex is None else hashlib.blake2b(sex.to_csv().encode()).hexdigest(),
            "n_genes": self.n_genes,
            "max_zeros": self.max_zeros,
            "on_missing": self.on_missing,
        }
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=6).hexdigest()

    def _make(self, store: ExpressionStore, root: Path, sex: pd.Series | None) -> None:
        started = time.monotonic()
        places = [self.mirror] if isinstance(self.mirror, str) else self.mirror or MIRRORS
        mirrors = Mirrors(tuple(places), root / "downloads" / "recount3")
        tree = Tree(self.organism, self.annotation)
        label = self.label if self.scope == "labelled" else None
        runs = find_runs(mirrors, tree, label, sex, self.on_missing, self.downloads, log.info)
        lengths = read(mirrors, tree.genes, exonic_lengths)
        folder = root / "parts" / store.path.stem
        folder.mkdir(parents=True, exist_ok=True)
        by_project = runs.obs.groupby("project", sort=True)
        projects = {str(project): list(obs.index) for project, obs in by_project}
        self._announce(runs, projects, lengths, mirrors, tree, folder)
        studies, order = self._studies(mirrors, tree, projects, lengths, folder, runs)
        for study in studies:
            runs.dropped += Counter(study.dropped)
        for reason, n in runs.dropped.items():
            if n:
                log.info("recount3: %s runs %s are left out", f"{n:,}", reason)
        ids = [run for study in studies for run in study.runs]
        if not ids:
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in runs.dropped.items() if n)
            raise DataError(f"recount3: no run is left ({reasons})")
        self._assemble(store, studies, order, runs, ids)
        shutil.rmtree(folder, ignore_errors=True)
        log.info("recount3: prepared in %.0f s: %s", time.monotonic() - started, store.path)

    def _announce(
        self,
        runs: Runs,
        projects: dict[str, list[str]],
        lengths: pd.Series,
        mirrors: Mirrors,
        tree: Tree,
        folder: Path,
    ) -> None:
        """How much will be downloaded and kept; refuses what the disk cannot hold."""
        new = [
            project
            for project in projects
            if read_prepared_study(folder, project) is None
            and not mirrors.has(tree.matrix(project))
        ]
        n_runs = len(runs.obs)
        n_genes = len(lengths)
        if self.n_genes is not None:
            n_genes = min(n_genes, self.n_genes)
        download_bytes = sum(_SAMPLE_BYTES * len(projects[p]) + _FILE_BYTES for p in new)
        study_bytes = max(0, 4 * n_runs * len(lengths) - LASTING)
        store_bytes = 4 * n_runs * n_genes
        cache = mirrors.cache.parent.parent
        log.info(
            "recount3: %s runs in %s studies; at most %.2f GB (%s matrices) to download and to"
            " keep, %.2f GB for a store of about %s genes, and %.2f GB for parts while it is made;"
            " in %s",
            f"{n_runs:,}",
            f"{len(projects):,}",
            download_bytes / 1e9,
            f"{len(new):,}",
            store_bytes / 1e9,
            f"{n_genes:,}",
            study_bytes / 1e9,
            cache,
        )
        free = shutil.disk_usage(folder).free
        needed = download_bytes + store_bytes + study_bytes
        if needed > free:
            raise DataError(
                f"dataset.cache: '{cache}' has {free / 1e9:.1f} GB free, and up to"
                f" {needed / 1e9:.1f} GB are needed; name a folder on a larger disk with"
                " dataset.cache=…"
            )

    def _studies(
        self,
        mirrors: Mirrors,
        tree: Tree,
        projects: dict[str, list[str]],
        lengths: pd.Series,
        folder: Path,
        runs: Runs,
    ) -> tuple[list[PreparedStudy], GeneOrder]:
        """Every study as TPM, in the order of `projects`, and the genes that they share."""
        studies = {}
        for project in projects:
            study = read_prepared_study(folder, project)
            if study is not None:
                studies[project] = study
        project_of = {tree.matrix(project): project for project in projects}
        smallest_first = sorted(project_of, key=lambda path: len(projects[project_of[path]]))
        # the smallest is read for its genes alone
        order = self._gene_order(mirrors, smallest_first, lengths, folder)
        # the largest first, so that none is left when all others are done
        wanted = [path for path in reversed(smallest_first) if project_of[path] not in studies]
        memory = MemoryBudget()

        def prepare(relative: str, path: Path) -> PreparedStudy:
            project = project_of[relative]
            wanted_runs = projects[project]
            try:
                return prepare_study(
                    folder, project, path, wanted_runs, order, self.max_zeros, memory
                )
            except DamagedFileError as e:
                if not mirrors.discard(path):
                    raise
                log.info("%s; it is downloaded again", e)
                path = mirrors.fetch(relative)
                return prepare_study(
                    folder, project, path, wanted_runs, order, self.max_zeros, memory
                )

        with ProgressCounter("recount3", len(projects), len(runs.obs)) as counter:
            for project in studies:
                counter.file_done(len(projects[project]))
            files = as_fetched(mirrors, wanted, self.downloads, counter)
            for relative, study_or_error in worked_on(files, prepare):
                project = project_of[relative]
                if isinstance(study_or_error, PreparedStudy):
                    studies[project] = study_or_error
                else:
                    runs.missing[relative] = str(study_or_error)
                counter.file_done(len(projects[project]))
        if runs.missing:
            self._report_missing(projects, studies, runs)
        return [studies[project] for project in projects if project in studies], order

    def _report_missing(
        self, projects: dict[str, list[str]], studies: dict[str, PreparedStudy], runs: Runs
    ) -> None:
        """:raises MissingFileError: files are missing, unless on_missing is "skip" """
        examples = "\n".join(list(runs.missing.values())[:5])
        text = (
            f"recount3: {len(runs.missing):,} of {len(projects):,} files are missing or"
            f" damaged:\n{examples}"
        )
        if self.on_missing == "error":
            for study in studies.values():
                study.save()
            raise MissingFileError(
                f"{text}\n{len(studies):,} studies are prepared and are kept: the same command"
                " tries the others again, and dataset.on_missing=skip goes on without them"
            )
        log.warning("warning: %s", text)
        n_lost = sum(len(ids) for project, ids in projects.items() if project not in studies)
        runs.dropped["of studies whose matrix is missing"] += n_lost

    def _gene_order(
        self, mirrors: Mirrors, relatives: list[str], lengths: pd.Series, folder: Path
    ) -> GeneOrder:
        """Genes of the first matrix that is found; later ones must have the same, also after an
        interruption.

        :raises MissingFileError: there is no matrix at all
        """
        for relative in relatives:
            try:
                order = read(mirrors, relative, lambda path: GeneOrder(lengths, path))
            except (MissingFileError, DamagedFileError):
                continue
            genes_file = folder / "genes.txt"
            ids = "\n".join(order.gene_ids)
            if genes_file.exists() and genes_file.read_text() != ids:
                shutil.rmtree(folder)  # studies of an annotation that has changed since
                folder.mkdir()
            genes_file.write_text(ids)
            if order.n_without_length or order.n_absent:
                log.info(
                    "recount3: TPM over the %s genes that have a length and expression (%s without"
                    " length, %s without expression)",
                    f"{len(order.gene_ids):,}",
                    f"{order.n_without_length:,}",
                    f"{order.n_absent:,}",
                )
            return order
        raise MissingFileError(
            f"recount3: none of the {len(relatives):,} matrices was found, e.g. {relatives[0]}"
        )

    def _assemble(
        self,
        store: ExpressionStore,
        studies: list[PreparedStudy],
        order: GeneOrder,
        runs: Runs,
        ids: list[str],
    ) -> None:
        """Gene statistics over all runs, then the store of the most variable genes."""
        statistics = RunningStatistics(len(order.gene_ids))
        for study in studies:
            for block in study.blocks():
                statistics.update(block)
        table = statistics.table()
        genes = most_variable(table, self.n_genes)
        writer = StoreWriter(store.path, len(ids), order.gene_ids[genes].tolist())
        writer.put_all(
            np.take(block, genes, axis=1) for study in studies for block in study.blocks()
        )
        var = table.iloc[genes].assign(bp_length=order.lengths[genes])
        provenance = {
            "source": "recount3",
            "version": VERSION,
            "mirror": self.mirror or list(MIRRORS),
            "annotation": self.annotation,
            "scope": self.scope,
            "label": self.label,
            "units": "TPM",
            "genes_measured": len(order.gene_ids),
            "dropped": {reason: n for reason, n in runs.dropped.items() if n},
            "missing": runs.missing,
        }
        content = writer.finish(runs.obs.loc[ids].drop(columns="project"), var, provenance)
        log.info(
            "recount3: %s runs × %s genes, content %s", f"{len(ids):,}", f"{len(genes):,}", content
        )
