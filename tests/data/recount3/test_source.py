"""recount3 from a mirror in the true format: TPM by hand, groups, drops, faults, and the same store
whatever happened before."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mirror import serve
from omegaconf import OmegaConf
from trees import write_tree

from beyondlinear.data.download.mirrors import MissingFileError
from beyondlinear.data.recount3 import coverage_rates
from beyondlinear.data.recount3.source import Recount3
from beyondlinear.data.recount3.tree import Tree, exonic_lengths, read_index
from beyondlinear.data.store import ExpressionStore
from beyondlinear.experiment.context import RunContext
from beyondlinear.runtime.errors import DataError
from beyondlinear.tasks.splits import Splitter
from beyondlinear.tasks.task import Task

TREE = Tree()
GENES = 400


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """180 runs in the true format, with all that real trees hold."""
    folder = tmp_path_factory.mktemp("mirror")
    write_tree(folder, 180, GENES, seed=3)
    return folder


def recount3(mirror, cache, **more) -> Recount3:
    return Recount3(**({"mirror": str(mirror), "cache": str(cache), "n_genes": None} | more))


def tables(tree: Path, name: str) -> pd.DataFrame:
    paths = sorted((tree / TREE.home / "metadata").rglob(f"sra.{name}.SRP*.gz"))
    return pd.concat([pd.read_csv(p, sep="\t", dtype=str, keep_default_na=False) for p in paths])


def counts(tree: Path) -> dict[str, pd.DataFrame]:
    paths = sorted((tree / TREE.home / "gene_sums").rglob("*.gz"))
    return {p.name.split(".")[2]: pd.read_csv(p, sep="\t", comment="#", index_col=0) for p in paths}


@pytest.fixture(scope="module")
def everything(tree, tmp_path_factory) -> ExpressionStore:
    return recount3(tree, tmp_path_factory.mktemp("cache"), scope="all").prepare()


def test_tpm_by_hand(tree, everything):
    lengths = exonic_lengths(tree / TREE.genes)
    assert len(lengths) == GENES
    adata = everything.read()
    by_study, checked = counts(tree), 0
    for run in adata.obs_names:
        project = next(p for p, table in by_study.items() if run in table)
        rate = by_study[project][run] / lengths
        expected = rate / rate.sum() * 1e6
        np.testing.assert_allclose(adata[run].X.ravel(), expected[adata.var_names], rtol=3e-7)
        checked += 1
    assert checked == adata.n_obs > 150
    np.testing.assert_allclose(adata.X.sum(1), 1e6, rtol=1e-5)


def test_tpm_equals_that_of_the_client(tree, everything, tmp_path, monkeypatch):
    pytest.importorskip("recount3", reason="needs the client recount3")
    pytest.importorskip(
        "summarizedexperiment", reason="needs summarizedexperiment for the client's TPM"
    )
    project = max(counts(tree).items(), key=lambda item: item[1].shape[1])[0]
    with serve(tree) as (url, _):
        monkeypatch.setenv("RECOUNT3_URL", url)
        monkeypatch.setenv("RECOUNT3_CACHE_DIR", str(tmp_path))
        import recount3 as client
        from recount3 import R3GeneOrExonCounts, R3Resource

        config = client.config.default_config()
        about = R3GeneOrExonCounts(
            "count_files_gene_or_exon",
            organism="human",
            data_source="sra",
            genomic_unit="gene",
            project=project,
            annotation_extension="G026",
        )
        raw = R3Resource(description=about, config=config).load()
    lengths = exonic_lengths(tree / TREE.genes)
    from biocframe import BiocFrame
    from genomicranges import GenomicRanges
    from iranges import IRanges
    from summarizedexperiment import RangedSummarizedExperiment

    ones = np.ones(len(raw), dtype=int)
    experiment = RangedSummarizedExperiment(
        assays={"raw_counts": raw.to_numpy(np.float64)},
        row_ranges=GenomicRanges(["chr1"] * len(raw), IRanges(ones, ones)),
        row_data=BiocFrame(
            {"bp_length": lengths.loc[raw.index].tolist()}, row_names=raw.index.tolist()
        ),
        column_data=BiocFrame(
            {"recount_qc.star.average_mapped_length": [74.5] * raw.shape[1]},
            row_names=raw.columns.tolist(),
        ),
        column_names=raw.columns.tolist(),
        row_names=raw.index.tolist(),
    )
    theirs = client.se.compute_tpm(experiment)
    ours = everything.read()
    runs = [r for r in raw.columns if r in ours.obs_names]
    assert len(runs) > 10
    np.testing.assert_allclose(ours[runs].X.T, theirs.loc[ours.var_names, runs], rtol=1e-6)


def test_each_run_that_is_left_out_is_counted(tree, tmp_path):
    index = read_index(tree / TREE.index)
    pred, by_study = tables(tree, "recount_pred"), counts(tree)
    merged = index.merge(pred, on=["rail_id", "external_id", "study"], how="left")
    merged["tissue"] = merged["curated.tissue"].replace("NA", np.nan)
    runs = merged.groupby("external_id").agg(
        {"pred.type": set, "tissue": ["nunique", "count"], "sample_acc": "count"}
    )
    known, labelled = runs["sample_acc", "count"] > 0, runs["tissue", "count"] > 0
    clash = runs["tissue", "nunique"] > 1
    single = runs["pred.type", "set"].map(lambda types: "scrna-seq" in types)
    sparse = {r for table in by_study.values() for r in table if (table[r] == 0).mean() > 0.75}
    store = recount3(tree, tmp_path).prepare()
    said = store.provenance()["dropped"]
    assert (
        said["repeated in another study (kept once, with both as groups)"]
        == len(index) - len(runs)
        > 0
    )
    assert said["without prediction (recount_pred)"] == (~known).sum() > 0
    assert said["without tissue"] == (known & ~labelled).sum() > 0
    assert said["of single cells"] == (labelled & ~clash & single).sum() > 0
    left = set(runs.index[labelled & ~clash & ~single])
    assert said["with more than 75% zeros"] == len(sparse & left) > 0
    assert set(store.obs().index) == left - sparse
    assert store.obs()["tissue"].notna().all()


def test_a_run_in_two_studies_is_one_sample_and_binds_them(tree, everything):
    obs = everything.obs()
    index = read_index(tree / TREE.index)
    twice = (
        index[index["external_id"].duplicated(keep=False)]
        .groupby("external_id")["study"]
        .agg(sorted)
    )
    assert len(twice) > 0
    twice = twice[twice.index.isin(obs.index)]
    assert len(twice) > 0
    for run, studies in twice.items():
        assert obs.loc[run, "study"] == ";".join(studies)
    groups = pd.Series(Splitter("study", folds=2).groups(obs), index=obs.index)
    first, second = twice.iloc[0]
    assert groups[obs["study"].str.contains(first)].nunique() == 1
    assert set(groups[obs["study"] == first]) == set(groups[obs["study"] == second])


def test_studies_that_share_a_biosample_are_one_group(tree, tmp_path):
    other = tmp_path / "mirror"
    subprocess.run(["cp", "-r", tree, other], check=True)
    a, b = sorted((other / TREE.home / "metadata").rglob("sra.sra.SRP*.gz"))[:2]
    first = pd.read_csv(a, sep="\t", dtype=str)
    second = pd.read_csv(b, sep="\t", dtype=str)
    second.loc[1, "sample_acc"] = first.loc[
        1, "sample_acc"
    ]  # the first row may be a run of another study, once more
    second.to_csv(b, sep="\t", index=False)
    obs = recount3(other, tmp_path / "cache", scope="all").prepare().obs()
    both = ";".join(sorted([first["study"][0], second["study"][0]]))
    assert (
        obs.loc[first["external_id"][1], "study"]
        == obs.loc[second["external_id"][1], "study"]
        == both
    )


def test_only_studies_with_the_label_are_read(tree, tmp_path):
    with serve(tree) as (url, server):
        store = recount3(url, tmp_path, downloads=2).prepare()
    asked = {
        path.split(".")[2] for path, _ in server.requests if "gene_sums" in path and "SRP" in path
    }
    kept = {s for study in store.obs()["study"] for s in study.split(";")}
    assert asked <= kept | {p for p in asked if p not in kept and p in counts(tree)}
    unlabelled = (
        tables(tree, "recount_pred")
        .groupby("study")["curated.tissue"]
        .apply(lambda t: (t == "NA").all())
    )
    without = set(read_index(tree / TREE.index)["study"]) - set(unlabelled.index[~unlabelled])
    assert without
    assert not asked & without


class TestSex:
    def test_labels_choose_the_studies(self, tree, tmp_path):
        index = read_index(tree / TREE.index)
        wanted = index[index["study"].isin(index["study"].unique()[:3])].drop_duplicates(
            "external_id"
        )
        sex = ["male", "female"] * len(wanted)
        table = pd.DataFrame(
            {"sample_acc": wanted["external_id"], "organism": "human", "data_type": "rnaseq"}
        )
        table["metadata_sex"] = sex[: len(wanted)]
        table.loc[table.index[0], "metadata_sex"] = "unknown"
        table.to_csv(tmp_path / "flynn.csv", index=False)
        obs = (
            recount3(tree, tmp_path, label="sex", sex_labels=str(tmp_path / "flynn.csv"))
            .prepare()
            .obs()
        )
        known = table.set_index("sample_acc")["metadata_sex"]
        assert len(obs) > 5
        assert obs["sex"].tolist() == known[obs.index].tolist()
        assert set(obs["sex"]) == {"male", "female"}

    def test_without_the_file_it_is_said_where_it_is_published(self, tree, tmp_path):
        with pytest.raises(DataError, match=r"figshare.*sample_acc"):
            recount3(tree, tmp_path, label="sex").prepare()


PATCHES = {
    "metadata": "m = 'beyondlinear.data.recount3.runs.table_text'; at = 3",
    "download": "m = 'beyondlinear.data.download.mirrors._differs'; at = 30",
    "parse": "m = 'beyondlinear.data.recount3.source.prepare_study'; at = 4",
    "statistics": "m = 'beyondlinear.data.recount3.source.most_variable'; at = 1",
    "store": "m = 'beyondlinear.data.store.write_elem'; at = 2",
}


@pytest.mark.parametrize("phase", PATCHES)
def test_killed_in_any_phase_the_same_command_ends_in_the_same_store(
    tree, everything, tmp_path, phase
):
    code = f"""
import os, signal, sys
from unittest.mock import patch
from beyondlinear.data.recount3 import coverage_rates
from beyondlinear.data.recount3.source import Recount3
{PATCHES[phase]}
coverage_rates.LASTING = 60_000
module, name = m.rsplit(".", 1)
real, calls = getattr(sys.modules[module], name), []
def kill(*a, **k):
    calls.append(0)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
with patch(m, kill):
    Recount3(mirror=sys.argv[1], cache=sys.argv[2], n_genes=None, scope="all").prepare()
"""
    with serve(tree) as (url, _):
        killed = subprocess.run(
            [sys.executable, "-c", code, url, str(tmp_path)], capture_output=True, timeout=120
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not list((tmp_path / "stores").glob("*.zarr"))
        assert recount3(url, tmp_path, scope="all").prepare().check() == everything.check()
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list((tmp_path / "parts").iterdir())


def test_two_processes_share_one_preparation(tree, everything, tmp_path):
    code = "import logging, sys; logging.basicConfig(level=20, format='%(message)s')\n"
    code += "from beyondlinear.data.recount3.source import Recount3\n"
    code += (
        "print(Recount3(mirror=sys.argv[1], cache=sys.argv[2], n_genes=None,"
        " scope='all').prepare().check())"
    )
    with serve(tree) as (url, server):
        server.delay = 0.02
        command = [sys.executable, "-c", code, url, str(tmp_path)]
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        outs = [p.communicate(timeout=120) for p in both]
        fetched = [path for path, _ in server.requests]
    assert [p.returncode for p in both] == [0, 0], outs
    assert {out.strip() for out, _ in outs} == {everything.check()}
    assert len(fetched) == len(set(fetched))  # each file once
    assert sum("another process prepares" in err for _, err in outs) == 1


def test_a_matrix_that_came_damaged_is_downloaded_again(tree, everything, tmp_path):
    project = sorted(counts(tree))[2]
    with serve(tree) as (url, server):
        server.of[f"gene_sums.{project}.G026.gz"] = ["truncate"]
        # S3's hash would find it at once; here the parser must
        store = recount3(url, tmp_path, scope="all")
        assert store.prepare().check() == everything.check()
        asked = [path for path, _ in server.requests if f"gene_sums.{project}" in path]
    assert len(asked) == 2


class TestMissing:
    def test_it_is_named_at_the_end_and_nothing_is_lost(self, tree, everything, tmp_path):
        project = sorted(counts(tree))[2]
        with serve(tree) as (url, server):
            server.of[f"gene_sums.{project}.G026.gz"] = [404]
            with pytest.raises(
                MissingFileError,
                match=rf"(?s)1 of \d+ files are missing.*{project}.*HTTP 404.*on_missing=skip",
            ):
                recount3(url, tmp_path, scope="all").prepare()
            before = len(server.requests)
            # the server has it again: only this file is asked for
            assert recount3(url, tmp_path, scope="all").prepare().check() == everything.check()
            assert [p for p, _ in server.requests[before:]] == ["/" + TREE.matrix(project)]

    def test_skipped_it_is_recorded(self, tree, everything, tmp_path, caplog):
        project = sorted(counts(tree))[2]
        with serve(tree) as (url, server):
            server.of[f"gene_sums.{project}.G026.gz"] = [404] * 9
            store = recount3(url, tmp_path, scope="all", on_missing="skip").prepare()
        assert list(store.provenance()["missing"]) == [TREE.matrix(project)]
        assert store.provenance()["dropped"]["of studies whose matrix is missing"] > 0
        assert not (store.obs()["study"] == project).any()
        assert "the store lacks" in caplog.text


def test_names_from_the_mirror_never_become_paths(tree, tmp_path):
    other = tmp_path / "mirror"
    subprocess.run(["cp", "-r", tree, other], check=True)
    path = other / TREE.index
    text = gzip.decompress(path.read_bytes()).decode()
    first = read_index(path)["project"][0]
    path.write_bytes(gzip.compress(text.replace(f"\t{first}\tHomo", "\t../../etc\tHomo").encode()))
    with pytest.raises(DataError, match=r"column 'project': the name '../../etc' may not be used"):
        recount3(other, tmp_path / "cache").prepare()


def test_a_full_disk_loses_nothing(tree, everything, tmp_path):
    small = tmp_path / "cache"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", small], capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with serve(tree) as (url, _):
            with pytest.raises(DataError, match="no space left|GB free"):
                recount3(url, small, scope="all").prepare()
            assert not list(small.glob("stores/*.zarr"))
            subprocess.run(["mount", "-o", "remount,size=50m", small], check=True)
            assert recount3(url, small, scope="all").prepare().check() == everything.check()
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize(
    ("lasting", "in_memory"), [(0, 1 << 26), (0, 4000), (50_000, 1 << 26), (50_000, 4000)]
)
def test_studies_in_memory_and_on_disk_give_the_same_bits(
    tree, everything, tmp_path, monkeypatch, lasting, in_memory
):
    monkeypatch.setattr(coverage_rates, "LASTING", lasting)
    monkeypatch.setattr(coverage_rates, "_IN_MEMORY", in_memory)
    assert recount3(tree, tmp_path, scope="all").prepare().check() == everything.check()


def test_the_genuine_miniature(shared, tmp_path):
    """Three real runs; the miniature's annotation covers 2,000 genes without any coverage, so that
    lengths come from Gencode v25."""
    real = shared / "data/recount3_mirror_mini/recount3"
    with pytest.raises(DataError, match="no run is left.*with no expression at all"):
        recount3(real, tmp_path / "a", scope="all", on_missing="skip").prepare()
    mirror = tmp_path / "mirror"
    subprocess.run(["cp", "-r", real, mirror], check=True)
    subprocess.run(["chmod", "-R", "u+w", mirror], check=True)
    lengths = pd.read_csv(shared / "data/gene_lengths/gencode_v25_gene_bp_length.csv.gz")
    known = dict(zip(lengths.iloc[:, 0].str.split(".").str[0], lengths["bp_length"], strict=True))
    matrix = mirror / TREE.matrix("DRP004088")
    real_counts = pd.read_csv(matrix, sep="\t", comment="#", index_col=0)
    gtf = [
        f'chr1\tx\tgene\t1\t2\t{known[g.split(".")[0]]}\t+\t.\tgene_id "{g}";'
        for g in real_counts.index
        if g.split(".")[0] in known
    ]
    (mirror / TREE.genes).write_bytes(gzip.compress("\n".join(gtf).encode()))
    store = recount3(mirror, tmp_path / "b", scope="all", on_missing="skip").prepare()
    adata = store.read()
    assert sorted(adata.obs_names) == ["DRR057223", "DRR057224", "SRR527082"]
    assert adata.obs.loc["DRR057223", ["biosample", "experiment"]].tolist() == [
        "DRS059740",
        "DRX051855",
    ]
    usable = [g for g in real_counts.index if g.split(".")[0] in known]
    rate = real_counts.loc[usable, "DRR057223"] / [known[g.split(".")[0]] for g in usable]
    np.testing.assert_allclose(
        adata["DRR057223"].X.ravel(), (rate / rate.sum() * 1e6)[adata.var_names], rtol=1e-6
    )
    assert store.provenance()["dropped"]["without metadata"] == 12


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two processors")
def test_the_number_of_threads_does_not_change_the_store(tree, everything, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert recount3(tree, tmp_path, scope="all").prepare().check() == everything.check()


@pytest.mark.parametrize(
    ("protocol", "scope"), [("paper", "all"), ("paper", "labelled"), ("sound", "all")]
)
def test_only_the_paper_with_everything_in_scope_scales_over_the_store(
    protocol, scope, tree, tmp_path
):
    source = recount3(tree, tmp_path, scope=scope, transform="none")
    adata = source.load()
    samples = Task("tissue", ["Blood", "Brain"]).select(adata, np.arange(adata.n_obs))
    cfg = {
        "protocol": {"fit_on": {"name": "all" if protocol == "paper" else "train"}},
        "select": {"top_variance": 50},
        "scale": {"name": "minmax"},
    }
    context = RunContext(OmegaConf.create(cfg), {}, {}, samples, {}, *[None] * 6)
    n = len(samples.codes)
    rows = np.arange(n) if protocol == "paper" else np.arange(0, n, 2)
    ready = context.fit_preparation(rows)
    everything = source.store().read().X if scope == "all" else samples.x
    over = (
        everything.astype(np.float64)
        if protocol == "paper" and scope == "all"
        else samples.x[rows].astype(np.float64)
    )
    expected = np.sort(np.argsort(-over.var(0), kind="stable")[:50])
    assert ready.genes.tolist() == expected.tolist()
    low, high = over.min(0)[expected], over.max(0)[expected]
    np.testing.assert_allclose(ready.shift, low, rtol=1e-6)
    np.testing.assert_allclose(ready.factor, 1 / (high - low), rtol=1e-6)


def test_a_cache_that_cannot_be_written_is_named(tree, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        DataError,
        match=r"dataset.cache: '.*file' cannot be used \(Not a directory.*dataset.cache=…",
    ):
        recount3(tree, tmp_path / "file").prepare()
