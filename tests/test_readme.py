"""README is executed: every command, with tiny overrides, and every extension as the whole diff that it claims to be."""

import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import ROOT
from trees import write_gtex, write_tree

from beyondlinear.data.recount3_tree import Tree, read_index

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
TINY = ["trainer.max_epochs=2", "trainer.threads=1", "tuning.trials=2", "meters.trees=4"]
TINY_DATA = ["dataset.n_samples=160", "dataset.n_genes=12"]


def call(line: str, directory: Path, root: Path = ROOT) -> subprocess.CompletedProcess:
    """One line of README, in `directory`, as the shell of an activated environment would run it."""
    words = [
        w for word in shlex.split(line) for w in (sorted(map(str, directory.glob(word))) if "??" in word else [word])
    ]
    if words[0] == "python":
        words[:2] = [sys.executable, str(root / words[1])]
    elif words[0] == "beyondlinear":
        words[0] = str(Path(sys.executable).parent / "beyondlinear")
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        words, cwd=directory, capture_output=True, text=True, timeout=300, check=False, env=environment
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A directory with the files of a user who follows README."""
    directory = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(60)]
    tissue = np.where(np.arange(60) % 2, "Brain", "Skin")
    frame = pd.DataFrame(
        {"tissue": tissue, "donor": [f"d{i // 3}" for i in range(60)]}, index=pd.Index(ids, name="sample")
    )
    frame.to_csv(directory / "samples.csv")
    values = rng.normal(size=(8, 60)) + 3 * (tissue == "Brain") * (np.arange(8) < 4)[:, None]
    pd.DataFrame(values, columns=ids, index=pd.Index([f"g{i}" for i in range(8)], name="gene")).to_csv(
        directory / "expression.csv.gz"
    )
    # the real files that README names, in miniature
    donors = np.arange(60) // 3
    kinds = {"cohort": [f"c{d % 4}" for d in donors], "sample_type": tissue, "donor": frame.donor.to_numpy()}
    pd.DataFrame(kinds, index=frame.index).to_csv(directory / "metagsca_tcga11_meta.csv")
    shutil.copy(directory / "expression.csv.gz", directory / "metagsca_tcga11_paired.csv.gz")
    labels = {"SUBJID": frame.donor.to_numpy(), "SMTS": np.where(tissue == "Brain", "Esophagus", "Skin")}
    pd.DataFrame(labels, index=frame.index).to_csv(directory / "gtex_labels.csv.gz")
    lines = [["Name", "Description", *ids], *([f"g{i}", f"g{i}", *np.abs(v).round(3)] for i, v in enumerate(values))]
    with gzip.open(directory / "gtex_acmg59.gct.gz", "wt") as f:
        f.write(f"#1.2\n{len(values)}\t{len(ids)}\n" + "\n".join("\t".join(map(str, line)) for line in lines))
    genes = [f"clusters_{i:04d}" for i in range(12)]
    pd.DataFrame(values[:1].T @ np.ones((1, 12)), index=ids, columns=genes).to_csv(directory / "new_samples.csv")
    # mirrors in the true formats, in miniature; labels of sex for some of their runs
    write_tree(directory / "recount3", 200, 60, seed=1)
    write_gtex(directory / "gtex")
    runs = read_index(directory / "recount3" / Tree().index)["external_id"].unique()
    sex = pd.DataFrame({"sample_acc": runs, "organism": "human", "data_type": "rnaseq"})
    sex["metadata_sex"] = np.where(np.arange(len(runs)) % 2, "male", "female")
    sex.to_csv(directory / "combined_human_mouse_meta_v2.csv", index=False)
    return directory


def test_the_two_commands_are_there_and_are_make_targets():
    assert COMMANDS[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert "\ndemo:" in makefile
    assert "\ntest:" in makefile


def mirror(name: str) -> list[str]:
    few = ["task.min_groups_per_class=3"] if name == "recount3" else []
    return [f"dataset.mirror={name}", "dataset.cache=cache", *few]


@pytest.mark.slow  # five minutes
def test_every_command_runs(desk):
    """In README's order, since later commands gather what earlier ones made."""
    ran = 0
    for line in COMMANDS:
        if "xor" in line:
            continue  # belongs to the section that extends the code: see below
        if line.startswith("python train.py"):
            few = re.sub(r"seed=0,1(,2)?", "seed=0", line)
            few = re.sub(r"model=(\w+),[\w,]*?(\w+)(?= |$)", r"model=\1,\2", few)  # the first and the last
            remote = next((name for name in ("recount3", "gtex") if f"dataset={name}" in line), None)
            of_data = [] if "dataset=file" in line else mirror(remote) if remote else TINY_DATA
            overrides = [*TINY, *of_data, "split.fractions=[1.0]"]
            overrides += ["split.folds=4" if "pretrain" in line else "split.folds=2"]
            if "artefact" in line:  # 144 runs and more, narrowed to those that the commands after it compare
                overrides += ["model=ridge_logistic", "signal_removal=split", "control.draw=0"]
            if "multirun/fig4" in line or "experiment=fig4" in line:
                overrides += ["model=logistic_regression", "signal_removal=split"]
            if "experiment=verdict" in line:
                overrides += ["model=ridge_logistic", "signal_removal=split", "control=none", "control.draw=0"]
            if "residual_test" in line or "experiment=verdict" in line:
                overrides += ["test.draws=19", "test.statistics=[pairs]"]
            call(" ".join([few, *overrides]), desk)
        elif line.startswith("beyondlinear"):
            said = {"audit": "no leak found", "results": "balanced accuracy", "excess": "linear labels"}
            said |= {
                "test": "bootstrap draws",
                "erase": "erased as in",
                "prepare": "content",
                "neptune-export": "fits written to",
            }
            said |= {"status": "finished"}
            said |= {"report": "this took", "predict": "samples scored", "attribute": "the most important first"}
            places = mirror("recount3")[:2] if "prepare" in line else []
            assert said[line.split()[1]] in call(" ".join([line, *places]), desk).stdout
        else:
            assert line in {"make demo", "make test", ". .venv/bin/activate"} or line.startswith("python benchmarks/")
            continue
        ran += 1
    assert ran >= 8


SMALL = {
    "removal": "--n 300 --p 60 --classes 3 --repeats 2",
    "linear": "--n 300 --p 60 --penalties 3 --repeats 1",
    "memory": "--n 300 --p 60",
    "erasers": "--n 300 --p 60 --classes 3",
    "resistant": "--n 200 --p 6 --folds 2 --trees 5 --data bernoulli counts --candidates none split thinning",
    "prepare": "--samples 30 --genes 50 --repeats 1",
    "inference": "--sets 4",
    "report": "--fits 240",
    "records": "--fits 20 --repeats 1",
    "sweep": "--runs 3",
    "startup": "--repeats 1",
    "growth": "--shrink 4 --repeats 1",
    "grid": "--n 100 --p 30 --epochs 2 --trials 2 --sample 1 --parts tuning --models logistic_regression",
    "fit": "--n 100 --p 40 --rounds 1 --models logistic_regression five_layer --batch 16",
    "residual_test": "--sets 6 --first 1 --n 60 --p 5 --statistics pairs",
}


@pytest.mark.slow  # a process for each of them: two minutes that `make test` need not wait for
def test_benchmarks_run_small(tmp_path):
    benchmarks = [line for line in COMMANDS if line.startswith("python benchmarks/")]
    assert {b.split("/")[1].split()[0] for b in benchmarks} == {
        p.name for p in (ROOT / "benchmarks").glob("*.py") if "__main__" in p.read_text()
    }
    cell = {
        "dataset": "simulated_clusters",
        "task": "label",
        "variant": "",
        "direction": "fitted",
        "bayes": 0.8,
        "chance": 0.5,
    }
    cell |= {"real": 0.9, "control": 0.7, "control_sd": 0.1, "model": "five_layer", "signal_removal": "split"}
    for name in ("artefact.csv", "artefact_real.csv"):  # what `beyondlinear excess` wrote
        pd.DataFrame([cell, cell | {"signal_removal": "none"}]).to_csv(tmp_path / name)
    for line in benchmarks:
        name = line.split("/")[1].split(".")[0]
        if name == "figures":
            call(line, tmp_path)
            picture = tmp_path / line.split("--out ")[1]
            assert picture.read_bytes().startswith(b"\x89PNG")
        else:
            assert "│" in call(f"{line} {SMALL[name]}", tmp_path).stdout, line


def test_commands_for_a_cluster_compose(desk):
    """What takes days or a cluster is composed here; tests/sweeps runs such commands, small, on a SLURM of one node."""
    lines = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        if line.startswith("python train.py"):
            done = call(f"{line} --cfg hydra", desk)
            assert "beyondlinear_sweeps.SlurmLauncher" in done.stdout
            assert f"partition: {'gpu' if 'slurm_gpu' in line else 'cpu'}" in done.stdout
        else:
            assert line.startswith("beyondlinear paper")


def test_each_extension_is_the_whole_diff(tmp_path):
    """A copy of the repository plus README's code blocks runs README's command."""
    copy = tmp_path / "copy"
    for name in ("src", "conf", "train.py"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, copy / name)
    written = []
    for language, block in BLOCKS:
        path, _, text = block.partition("\n")
        if language in ("python", "yaml"):
            target = copy / path.removeprefix("# ")
            before = (
                target.read_text() + "\n\n"
                if target.exists()
                else ("# README\n" if language == "yaml" and not text.startswith("# @") else "")
            )
            target.write_text(before + text)
            written.append(target.name)
    assert written == [
        "lightning.yaml",
        "networks.py",
        "one_hidden.yaml",
        "xor.py",
        "xor.yaml",
        "modes.py",
        "median.yaml",
    ]
    (line,) = [c for c in COMMANDS if "xor" in c]
    assert "one_hidden │ median" in re.sub(" +", " ", call(f"{line} logger=[csv,lightning]", tmp_path, copy).stdout)
    for folder in ("csv/fold0_fraction1.0", "lightning/fold0_fraction1.0/version_0"):
        (losses,) = tmp_path.glob(f"outputs/runs/*/{folder}/metrics.csv")
        assert "train_loss" in losses.read_text()
