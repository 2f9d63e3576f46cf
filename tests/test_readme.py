"""README and the pages of docs/ are executed, in miniature: every command, in README's order, and
every extension as the whole diff that it claims to be.

The quick tests make each command within this process; the slow ones make them as a user does, in
processes of their own. Commands that the quick tests do not run to their end are these:

- `make …` and the activation of the environment: that these targets exist is looked up;
- `python benchmarks/…`: their arguments are parsed; each takes a process or minutes (the slow test
  runs them small);
- the ```sh``` block, which needs a cluster or days: its configs are composed;
- `hydra/launcher=local`: the sweep runs in this process instead of several (tests of
  experiment/sweeps start the real launcher).
"""

import argparse
import contextlib
import gzip
import io
import logging
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra
from made_up import ROOT, composed
from trees import write_gtex, write_tree

from beyondlinear.data.recount3.tree import Tree, read_index

CODE_BLOCK = re.compile(r"```(\w+)\n(.*?)```", flags=re.DOTALL)


def blocks_of(page: str) -> list[tuple[str, str]]:
    """The code blocks of a page: language and text."""
    return CODE_BLOCK.findall((ROOT / page).read_text())


def lines_of(page: str, language: str) -> list[str]:
    return [line for lang, text in blocks_of(page) if lang == language for line in text.split("\n")]


COMMANDS = [line for line in lines_of("README.md", "bash") if line]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
TINY = ["trainer.max_epochs=2", "trainer.threads=1", "tuning.trials=2", "leak_probes.trees=4"]
TINY_DATA = ["dataset.n_samples=160", "dataset.n_genes=12"]
# in a sweep over models only this one has the key
FEW_TREES = "{when: {model: random_forest}, add: ['model.estimator.n_estimators=5']}"
SMALL_FOREST = f'"hydra.sweeper.rules=[{FEW_TREES}]"'
NOT_COMMANDS_OF_OURS = {"make demo", "make test", ". .venv/bin/activate"}

# what each verb prints where it has done its work
PRINTED = {
    "attribute": "the most important first",
    "audit": "no leak found",
    "erase": "erased as in",
    "excess": "linear labels",
    "predict": "samples scored",
    "prepare": "content",
    "report": "this took",
    "results": "balanced accuracy",
    "status": "finished",
    "test": "bootstrap draws",
}

Runner = Callable[[str, Path], str]


def words_of(line: str, directory: Path) -> list[str]:
    """A line as the shell splits it, file patterns expanded."""
    words = []
    for word in shlex.split(line):
        found = sorted(map(str, directory.glob(word))) if "??" in word else [word]
        words.extend(found)
    return words


def in_a_process(line: str, directory: Path, root: Path = ROOT, path: Path | None = None) -> str:
    """What a line prints, made in `directory` as the shell of an activated environment would.

    :param path: a folder besides the package's that Python imports from
    """
    words = words_of(line, directory)
    if words[0] == "python":
        words[:2] = [sys.executable, str(root / words[1])]
    elif words[0] == "beyondlinear":
        words[0] = str(Path(sys.executable).parent / "beyondlinear")
    importable = [str(root / "src"), *([str(path)] if path else [])]
    done = subprocess.run(
        words,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(importable)},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def in_this_process(line: str, directory: Path) -> str:
    """The same, without the seconds that a process needs for its imports."""
    words = [word for word in words_of(line, directory) if word != "hydra/launcher=local"]
    out = io.StringIO()
    exit_code: object = 0
    err = contextlib.redirect_stderr(out)
    with as_if_called(words, directory), contextlib.redirect_stdout(out), err:
        try:
            if words[0] == "python":
                runpy.run_path(str(ROOT / words[1]), run_name="__main__")
            else:
                from beyondlinear.cli import main

                main()
        except SystemExit as e:
            exit_code = e.code
    assert not exit_code, f"{line}\nexit code {exit_code}\n{out.getvalue()}"
    return out.getvalue()


@contextlib.contextmanager
def as_if_called(words: list[str], directory: Path) -> Iterator[None]:
    """Arguments and working directory of a command; Hydra's changes to logging are undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    arguments, here = sys.argv, Path.cwd()
    sys.argv = words[1:] if words[0] == "python" else words
    os.chdir(directory)
    try:
        yield
    finally:
        sys.argv = arguments
        os.chdir(here)
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
        GlobalHydra.instance().clear()


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A directory with the files of a user who follows README."""
    directory = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    ids = [f"s{i}" for i in range(60)]
    tissue = np.where(np.arange(60) % 2, "Brain", "Skin")
    frame = pd.DataFrame(
        {"tissue": tissue, "donor": [f"d{i // 3}" for i in range(60)]},
        index=pd.Index(ids, name="sample"),
    )
    frame.to_csv(directory / "samples.csv")
    values = rng.normal(size=(8, 60)) + 3 * (tissue == "Brain") * (np.arange(8) < 4)[:, None]
    pd.DataFrame(
        values, columns=ids, index=pd.Index([f"g{i}" for i in range(8)], name="gene")
    ).to_csv(directory / "expression.csv.gz")
    # the real files that README names, in miniature
    donors = np.arange(60) // 3
    kinds = {
        "cohort": [f"c{d % 4}" for d in donors],
        "sample_type": tissue,
        "donor": frame.donor.to_numpy(),
    }
    pd.DataFrame(kinds, index=frame.index).to_csv(directory / "metagsca_tcga11_meta.csv")
    shutil.copy(directory / "expression.csv.gz", directory / "metagsca_tcga11_paired.csv.gz")
    labels = {
        "SUBJID": frame.donor.to_numpy(),
        "SMTS": np.where(tissue == "Brain", "Esophagus", "Skin"),
    }
    pd.DataFrame(labels, index=frame.index).to_csv(directory / "gtex_labels.csv.gz")
    lines = [
        ["Name", "Description", *ids],
        *([f"g{i}", f"g{i}", *np.abs(v).round(3)] for i, v in enumerate(values)),
    ]
    with gzip.open(directory / "gtex_acmg59.gct.gz", "wt") as f:
        f.write(
            f"#1.2\n{len(values)}\t{len(ids)}\n"
            + "\n".join("\t".join(map(str, line)) for line in lines)
        )
    genes = [f"clusters_{i:04d}" for i in range(12)]
    pd.DataFrame(values[:1].T @ np.ones((1, 12)), index=ids, columns=genes).to_csv(
        directory / "new_samples.csv"
    )
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


def made_tiny(line: str) -> str:
    """A run, sweep or test of README with overrides that leave seconds of it."""
    line = re.sub(r"seed=0,1(,2)?", "seed=0", line)
    line = re.sub(r"model=(\w+),[\w,]*?(\w+)(?= |$)", r"model=\1,\2", line)  # first and last
    overrides = [*TINY, "split.fractions=[1.0]"]
    overrides.append("split.folds=4" if "pretrain" in line else "split.folds=2")
    if "dataset=recount3" in line:
        overrides += mirror("recount3")
    elif "dataset=gtex" in line:
        overrides += mirror("gtex")
    elif "dataset=file" not in line:
        overrides += TINY_DATA
    if "experiment=artefact" in line:  # 144 runs and more; those that later commands compare stay
        overrides += ["model=ridge_logistic", "signal_removal=class_means", "control.draw=0"]
    if "experiment=fig4" in line:
        overrides += ["model=logistic_regression", "signal_removal=class_means"]
    if "experiment=verdict" in line:
        overrides += ["model=ridge_logistic", "signal_removal=class_means", "control=none"]
        overrides += ["control.draw=0"]
    if "experiment=verdict" in line or line.startswith("beyondlinear test"):
        overrides += ["residual_test.draws=19", "residual_test.statistics=[pairs]"]
    if " -m " in line and "random_forest" in line and "experiment=" not in line:
        overrides.append(SMALL_FOREST)
    return " ".join([line, *overrides])


def is_run(line: str) -> bool:
    """Whether a line composes a config and runs it; `beyondlinear test DIR` does not."""
    composes = ("python train.py", "beyondlinear run", "beyondlinear test dataset=")
    return line.startswith(composes)


def follow(lines: list[str], run_line: Runner, directory: Path) -> None:
    """Make these lines in their order, since later ones gather what earlier ones made."""
    for line in lines:
        wall, processor = time.monotonic(), time.process_time()
        if is_run(line):
            run_line(made_tiny(line), directory)
        elif line.startswith("beyondlinear"):
            places = mirror("recount3")[:2] if " prepare " in line else []
            printed = run_line(" ".join([line, *places]), directory)
            assert PRINTED[line.split()[1]] in printed, f"{line}\n{printed}"
        else:
            assert line in NOT_COMMANDS_OF_OURS or line.startswith("python benchmarks/")
            continue
        seconds = time.monotonic() - wall, time.process_time() - processor
        # pytest -s shows where time goes
        print(f"{seconds[0]:5.1f} s, {seconds[1]:5.1f} s of the processor  {line}")


# the one about xor belongs to README's section that extends the code: see below
FOLLOWED = [line for line in COMMANDS if "xor" not in line]


def test_every_command_of_readme_runs(desk):
    assert sum(map(is_run, FOLLOWED)) >= 30
    follow(FOLLOWED, in_this_process, desk)


@pytest.mark.slow  # a process for each of them: five minutes
def test_every_command_of_readme_runs_as_a_user_types_it(desk):
    follow(FOLLOWED, in_a_process, desk)


class ArgumentsParsed(Exception):
    """The arguments of a command are fine; the rest of it is not wanted."""


def benchmark_lines() -> list[str]:
    lines = [line for page in PAGES for line in lines_of(page, "bash")]
    return [line for line in lines if line.startswith("python benchmarks/")]


@pytest.mark.parametrize("line", benchmark_lines())
def test_arguments_of_benchmarks_are_theirs(line, monkeypatch, tmp_path):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser) -> argparse.Namespace:
        parse(parser)
        raise ArgumentsParsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    words = shlex.split(line)
    with as_if_called(words, tmp_path), pytest.raises(ArgumentsParsed):
        runpy.run_path(str(ROOT / words[1]), run_name="__main__")


def test_every_benchmark_has_its_command_in_readme():
    named = {line.split("/")[1].split()[0] for line in COMMANDS if "benchmarks/" in line}
    programs = [p for p in (ROOT / "benchmarks").glob("*.py") if "__main__" in p.read_text()]
    assert named == {p.name for p in programs}


SMALL = {
    "removal": "--n 300 --p 60 --classes 3 --repeats 2",
    "linear": "--n 300 --p 60 --penalties 3 --repeats 1",
    "memory": "--n 300 --p 60",
    "erasers": "--n 300 --p 60 --classes 3",
    "resistant": (
        "--n 200 --p 6 --folds 2 --trees 5 --data bernoulli counts --candidates none split thinning"
    ),
    "prepare": "--samples 30 --genes 50 --repeats 1",
    "inference": "--sets 4",
    "report": "--fits 240",
    "records": "--fits 20 --repeats 1",
    "sweep": "--runs 3",
    "startup": "--repeats 1",
    "growth": "--shrink 4 --repeats 1",
    "grid": "--n 100 --p 30 --epochs 2 --trials 2 --sample 1 --parts tuning --models linear_svm",
    "fit": "--n 100 --p 40 --rounds 1 --models logistic_regression five_layer --batch 16",
    "path": "--functions",
    "residual_test": "--sets 6 --first 1 --n 60 --p 5 --statistics pairs",
}


@pytest.mark.slow  # a process for each of them: three minutes
def test_benchmarks_run_small(tmp_path):
    cell = {
        "dataset": "simulated_clusters",
        "task": "label",
        "variant": "",
        "direction": "fitted",
        "bayes": 0.8,
        "chance": 0.5,
        "real": 0.9,
        "control": 0.7,
        "control_sd": 0.1,
        "model": "five_layer",
        "signal_removal": "class_means",
    }
    for name in ("artefact.csv", "artefact_real.csv"):  # what `beyondlinear excess` wrote
        pd.DataFrame([cell, cell | {"signal_removal": "none"}]).to_csv(tmp_path / name)
    for line in [line for line in COMMANDS if line.startswith("python benchmarks/")]:
        name = line.split("/")[1].split(".")[0]
        if name == "figures":
            in_a_process(line, tmp_path)
            picture = tmp_path / line.split("--out ")[1]
            assert picture.read_bytes().startswith(b"\x89PNG")
        elif name == "main_jobs":  # this tree against itself
            small = f"--small --repeat 1 --jobs tuning prepare --before {ROOT}"
            printed = in_a_process(line.replace("--before ../before", small), tmp_path)
            assert "after / before" in printed
        else:
            assert "│" in in_a_process(f"{line} {SMALL[name]}", tmp_path), line


def test_commands_for_a_cluster_compose():
    """What takes days or a cluster is composed here; tests/experiment/sweeps runs such commands,
    small, on a SLURM of one node."""
    lines = [line for line in lines_of("README.md", "sh") if line]
    assert len(lines) == 4
    for line in lines:
        if line.startswith("python train.py"):
            launcher = composed(*shlex.split(line)[2:], hydra=True).hydra.launcher
            assert launcher._target_.endswith("SlurmLauncher")
            assert launcher.partition == ("gpu" if "slurm_gpu" in line else "cpu")
        else:
            assert line.startswith("beyondlinear paper")


def test_each_extension_is_the_whole_diff(tmp_path):
    """A copy of the repository plus README's code blocks runs README's command."""
    copy = tmp_path / "copy"
    not_copied = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=not_copied)
    shutil.copy(ROOT / "train.py", copy / "train.py")
    written = []
    for language, block in blocks_of("README.md"):
        path, _, text = block.partition("\n")
        if language not in ("python", "yaml"):
            continue
        target = copy / path.removeprefix("# ")
        before = ""
        if target.exists():
            before = target.read_text() + "\n\n"
        elif language == "yaml" and not text.startswith("# @"):
            before = "# README\n"
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
    printed = in_a_process(f"{line} logger=[csv,lightning]", tmp_path, copy)
    assert "one_hidden │ median" in re.sub(" +", " ", printed)
    for folder in ("csv/fold0_fraction1.0", "lightning/fold0_fraction1.0/version_0"):
        (losses,) = tmp_path.glob(f"outputs/runs/*/{folder}/metrics.csv")
        assert "train_loss" in losses.read_text()


def test_the_how_to_of_a_lightning_module_works_as_it_stands(tmp_path, monkeypatch):
    """The page's two files in an empty folder, and its commands there."""
    page = "docs/own_lightning_module.md"
    for language, block in blocks_of(page):
        path, _, text = block.partition("\n")
        if language in ("python", "yaml"):
            target = tmp_path / path.removeprefix("# ")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)  # what PYTHONPATH=. does in a new process
    lines = [line.removeprefix("PYTHONPATH=. ") for line in lines_of(page, "bash") if line]
    assert len(lines) == 2
    for line in lines:
        printed = in_this_process(made_tiny(line), tmp_path)
        assert "│ mine" in printed
    (losses, *_) = tmp_path.glob("outputs/runs/*/csv/fold0_fraction1.0/metrics.csv")
    assert "validation_loss" in losses.read_text()


def test_the_page_of_rooms_is_what_the_docstrings_say():
    page = runpy.run_path(str(ROOT / "docs/rooms.py"))["page"]()
    written = (ROOT / "docs/rooms.md").read_text()
    assert page == written, "docs/rooms.md is not up to date: python docs/rooms.py"
