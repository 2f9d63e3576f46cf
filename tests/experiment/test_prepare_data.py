"""`beyondlinear prepare` and the runs that use what it prepared, as a user types them."""

import subprocess
import sys
from pathlib import Path

import pytest
from trees import write_gtex, write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mirror")
    write_tree(folder, 300, 200, seed=5)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def beyondlinear(*arguments: object, expect: int = 0) -> str:
    command = [str(Path(sys.executable).parent / "beyondlinear"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prepare_says_how_much_prepares_and_checks(tree, cache):
    places = (f"dataset.mirror={tree}", f"dataset.cache={cache}")
    assert "there is no prepared store" in beyondlinear(
        "prepare", "recount3", *places, "--check", expect=1
    )
    said = beyondlinear("prepare", "recount3", *places)
    assert "GB (0 matrices) to download and to keep" in said
    assert "runs without tissue are left out" in said
    (content,) = [line for line in said.splitlines() if line.startswith("content ")]
    assert f"is whole: {content}" in beyondlinear("prepare", "recount3", *places, "--check")
    chunk = next(p for p in cache.rglob("X/c/*/*") if p.is_file())
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in beyondlinear("prepare", "recount3", *places, "--check", expect=1)
    chunk.write_bytes(whole)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gtx"], "did you mean 'gtex'"),
        (["simulated_mixed"], "only recount3 and gtex are prepared"),
        (["recount3", "dataset.mirrors=x"], "did you mean 'mirror'"),
        (["recount3", "task=sex"], "figshare"),
        (["recount3", "dataset.mirror=/nowhere"], "was not found"),
        (["recount3", "task.label=age"], "'age' is no label of recount3"),
    ],
)
def test_mistakes_are_said_in_one_screen(tmp_path, arguments, said):
    places = [] if arguments[0].startswith("simulated") else [f"dataset.cache={tmp_path}"]
    out = beyondlinear("prepare", *arguments, *places, expect=1)
    assert said in out
    assert "Traceback" not in out


def test_runs_by_study_of_tissue_and_of_a_pair(run_here, tree, cache):
    places = (
        f"dataset.mirror={tree}",
        f"dataset.cache={cache}",
        "trainer.max_epochs=5",
        "split.folds=3",
    )
    # few classes of this small tree reach ten studies
    records = run_here(
        "dataset=recount3", "model=ridge_logistic", *places, "task.min_groups_per_class=3"
    )
    assert {r["names"]["task"] for r in records} == {"tissue"}
    assert {r["names"]["split"] for r in records} == {"study"}
    assert len(records) == 3
    records = run_here(
        "dataset=recount3",
        "model=ridge_logistic",
        "task=pair",
        "task.classes=[Brain,Blood]",
        "task.min_groups_per_class=null",
        *places,
    )
    assert records[0]["data"]["classes"] == ["Blood", "Brain"]
    assert records[0]["status"] == "done"


def test_gtex_runs_by_donor_of_tissue_and_sex(run_here, tmp_path):
    write_gtex(tmp_path / "mirror")
    places = (f"dataset.mirror={tmp_path / 'mirror'}", f"dataset.cache={tmp_path}", "split.folds=2")
    records = run_here("dataset=gtex", "model=ridge_logistic", *places)
    assert records[0]["data"]["classes"] == ["Blood", "Skin"]
    assert records[0]["names"]["split"] == "donor"
    assert records[0]["data"]["n_groups"] == 10
    records = run_here("dataset=gtex", "task=sex", "model=ridge_logistic", *places)
    assert records[0]["data"]["classes"] == ["female", "male"]
    assert records[0]["status"] == "done"
