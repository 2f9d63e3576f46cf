"""Which runs are used: by hand, from a small tree of metadata."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from beyondlinear.data.download.mirrors import Mirrors, MissingFileError
from beyondlinear.data.gene_table import DamagedFileError
from beyondlinear.data.recount3.runs import find_runs, read
from beyondlinear.data.recount3.tree import Tree
from beyondlinear.runtime.errors import DataError

TREE = Tree()
KEYS = "rail_id\texternal_id\tstudy"
# study → run: tissue, type, biosample; r3 stands in both studies
STUDIES = {
    "SRP1": {
        "r1": ("Blood", "rna-seq", "b1"),
        "r2": ("NA", "rna-seq", "b2"),
        "r3": ("Skin", "rna-seq", "b3"),
    },
    "SRP2": {
        "r3": ("Skin", "rna-seq", "b3"),
        "r4": ("Skin", "scRNA-seq", "b4"),
        "r5": ("Brain", "rna-seq", "b5"),
    },
    "SRP3": {"r6": ("NA", "rna-seq", "b6")},
}


def write(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))


@pytest.fixture
def mirrors(tmp_path) -> Mirrors:
    folder = tmp_path / "mirror"
    index = []
    for study, runs in STUDIES.items():
        keys = {run: f"{run[1:]}\t{run}\t{study}" for run in runs}
        index += [f"{key}\t{study}" for key in keys.values()]
        tables = {
            "recount_pred": (
                "curated.tissue\tpred.type",
                [f"{keys[run]}\t{tissue}\t{kind}" for run, (tissue, kind, _) in runs.items()],
            ),
            "sra": ("sample_acc", [f"{keys[run]}\t{runs[run][2]}" for run in runs]),
            "recount_qc": ("star.average_mapped_length", [f"{keys[run]}\t74.5" for run in runs]),
        }
        for name, (columns, rows) in tables.items():
            write(folder / TREE.metadata(study, name), f"{KEYS}\t{columns}", rows)
    write(folder / TREE.index, f"{KEYS}\tproject", index)
    return Mirrors((str(folder),), tmp_path / "cache")


def find(mirrors: Mirrors, label: str | None, sex: pd.Series | None = None, on_missing="error"):
    return find_runs(mirrors, TREE, label, sex, on_missing, 2, lambda line: None)


def counted(runs) -> dict[str, int]:
    return {reason: n for reason, n in runs.dropped.items() if n}


REPEATED = "repeated in another study (kept once, with both as groups)"


def test_with_a_tissue_asked_for(mirrors):
    runs = find(mirrors, "tissue")
    assert runs.obs["tissue"].to_dict() == {"r1": "Blood", "r3": "Skin", "r5": "Brain"}
    assert runs.obs["study"].to_dict() == {"r1": "SRP1", "r3": "SRP1;SRP2", "r5": "SRP2"}
    assert runs.obs["project"].to_dict() == {"r1": "SRP1", "r3": "SRP1", "r5": "SRP2"}
    assert counted(runs) == {REPEATED: 1, "without tissue": 2, "of single cells": 1}
    assert runs.obs["mapped_length"].tolist() == [74.5] * 3


def test_without_a_label_all_but_single_cells(mirrors):
    runs = find(mirrors, None)
    assert sorted(runs.obs.index) == ["r1", "r2", "r3", "r5", "r6"]
    assert counted(runs) == {REPEATED: 1, "of single cells": 1}


def test_with_sex_asked_for(mirrors):
    runs = find(mirrors, "sex", pd.Series({"r1": "male", "r6": "female"}))
    assert runs.obs["sex"].to_dict() == {"r1": "male", "r6": "female"}
    assert counted(runs) == {"without sex": 5}
    with pytest.raises(DataError, match="no run is left.*dataset.scope=all"):
        find(mirrors, "sex", pd.Series({"other": "male"}))


def test_studies_that_share_a_biosample_become_one_group(mirrors):
    path = Path(mirrors.places[0]) / TREE.metadata("SRP3", "sra")
    write(path, f"{KEYS}\tsample_acc", ["6\tr6\tSRP3\tb1"])
    study = find(mirrors, None).obs["study"]
    assert study["r1"] == study["r6"] == "SRP1;SRP3"
    assert study["r2"] == "SRP1"


def test_a_study_without_metadata(mirrors):
    relative = TREE.metadata("SRP2", "sra")
    (Path(mirrors.places[0]) / relative).unlink()
    with pytest.raises(MissingFileError, match=r"(?s)1 files were not found.*on_missing=skip"):
        find(mirrors, "tissue")
    runs = find(mirrors, "tissue", on_missing="skip")
    assert list(runs.missing) == [relative]
    assert sorted(runs.obs.index) == ["r1", "r3"]
    assert counted(runs)["without metadata"] == 1


def test_a_damaged_file_of_the_user_s_own_is_not_downloaded_again(mirrors):
    def reader(path: Path) -> None:
        raise DamagedFileError(f"{path.name} is damaged")

    with pytest.raises(DamagedFileError, match="recount_project.MD.gz is damaged"):
        read(mirrors, TREE.index, reader)
    assert (Path(mirrors.places[0]) / TREE.index).exists()
