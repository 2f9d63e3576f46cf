"""README is executed: every command, with tiny overrides, and every extension as the whole diff that it claims to be."""

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
from conftest import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
TINY = ["trainer.max_epochs=2", "tuning.trials=2"]
TINY_DATA = ["dataset.n_samples=160", "dataset.n_genes=12"]


def call(line: str, directory: Path, root: Path = ROOT) -> subprocess.CompletedProcess:
    """One line of README, in `directory`, as the shell of an activated environment would run it."""
    words = shlex.split(line)
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
    return directory


def test_the_two_commands_are_there_and_are_make_targets():
    assert COMMANDS[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert "\ndemo:" in makefile
    assert "\ntest:" in makefile


def test_every_command_runs(desk):
    """In README's order, since later commands gather what earlier ones made."""
    ran = 0
    for line in COMMANDS:
        if "xor" in line:
            continue  # belongs to the section that extends the code: see below
        if line.startswith("python train.py"):
            few = re.sub(r"seed=0,1(,2)?", "seed=0", line)
            overrides = [*TINY, *([] if "dataset=file" in line else TINY_DATA), "split.fractions=[1.0]"]
            overrides += ["split.folds=4" if "pretrain" in line else "split.folds=2"]
            call(" ".join([few, *overrides]), desk)
        elif line.startswith("beyondlinear"):
            assert ("no leak found" if " audit " in line else "balanced accuracy") in call(line, desk).stdout
        else:
            assert line in {"make demo", "make test", ". .venv/bin/activate"} or line.startswith("python benchmarks/")
            continue
        ran += 1
    assert ran >= 8


def test_benchmarks_run_small(tmp_path):
    benchmarks = [line for line in COMMANDS if line.startswith("python benchmarks/")]
    assert {b.split("/")[1] for b in benchmarks} == {p.name for p in (ROOT / "benchmarks").glob("*.py")}
    more = {"removal": " --classes 3 --repeats 2", "linear": " --penalties 3 --repeats 1"}
    for line in benchmarks:
        small = "--n 300 --p 60" + more.get(line.split("/")[1].split(".")[0], "")
        assert "│" in call(f"{line} {small}", tmp_path).stdout


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
            before = target.read_text() + "\n\n" if target.exists() else ("# README\n" if language == "yaml" else "")
            target.write_text(before + text)
            written.append(target.name)
    assert written == ["networks.py", "one_hidden.yaml", "xor.py", "xor.yaml", "modes.py", "median.yaml"]
    (line,) = [c for c in COMMANDS if "xor" in c]
    assert "one_hidden │ median" in re.sub(" +", " ", call(line, tmp_path, copy).stdout)
