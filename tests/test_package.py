"""The package as somebody else has it: a wheel in an environment of its own, without the clone.

Its dependencies are those of this environment, which lie on the path behind it.
"""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from made_up import ROOT

TINY = [
    "dataset.n_samples=60",
    "dataset.n_genes=12",
    "split.folds=2",
    "trainer.max_epochs=2",
    "trainer.threads=1",
    "logger=none",
]
MINE = """# A shorter path of penalties.
defaults: [_certified, _self_]
name: mine
loss: logistic
n_penalties: 5
"""


def run(*command: object, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        env=environment,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.fixture
def own_configs(tmp_path) -> Path:
    """A user's folder with a model beside the shipped ones."""
    folder = tmp_path / "my configs" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(MINE)
    return folder.parent


def test_train_finds_a_users_own_model_from_any_folder(tmp_path, own_configs):
    script = ROOT / "train.py"
    done = run(
        sys.executable, script, "--config-dir", own_configs, "model=mine", *TINY, cwd=tmp_path
    )
    assert "mine, signal removal none, split sample: 2 fits" in done.stdout
    text = run(sys.executable, script, "--config-dir", own_configs, "--help", cwd=tmp_path).stdout
    assert "logistic_regression, mine, random_forest" in text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (
        "src",
        "conf",
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
    ):
        run("cp", "-r", ROOT / name, source, cwd=folder)
    built = run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, source),
        cwd=folder,
    )
    wheels = list(folder.glob("beyondlinear-*.whl"))
    assert len(wheels) == 1, built.stderr
    return wheels[0]


@pytest.mark.slow
def test_a_wheel_carries_every_config(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".yaml")}
    shipped = {path.relative_to(ROOT) for path in (ROOT / "conf").rglob("*.yaml")}
    assert inside == {f"beyondlinear/{path}" for path in shipped}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The `beyondlinear` command of an environment that holds the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=folder)
    packages = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).stdout.strip()
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    place = run(python, "-c", "import beyondlinear; print(beyondlinear.__file__)", cwd=folder)
    assert place.stdout.startswith(packages)
    return folder / "bin" / "beyondlinear"


@pytest.mark.slow
def test_a_run_without_a_clone(installed, tmp_path):
    done = run(installed, "run", "model=ridge_logistic", *TINY, cwd=tmp_path)
    assert "fit 2 of 2" in done.stdout
    assert (
        "lr: ${protocol.learning_rate.net}"
        in run(installed, "run", "--cfg", "job", cwd=tmp_path).stdout
    )
    assert "signal_removal: class_means, " in run(installed, "run", "--help", cwd=tmp_path).stdout
    wrong = run(installed, "run", "modle=five_layer", cwd=tmp_path, expect=1)
    assert "did you mean 'model'" in wrong.stderr
    wrong = run(installed, "prepare", "gtx", cwd=tmp_path, expect=1)
    assert "did you mean 'gtex'" in wrong.stderr


@pytest.mark.slow
def test_a_sweep_in_processes_and_its_status_without_a_clone(installed, tmp_path, own_configs):
    words = [
        *("-m", "--config-dir", own_configs, "model=mine,ridge_svm", "hydra/launcher=local"),
        *("hydra.sweep.dir=m", *TINY),
    ]
    run(installed, "run", *words, cwd=tmp_path)
    text = run(installed, "status", "m", cwd=tmp_path).stdout
    assert "2 runs: 2 finished; fits listed so far: 4 done of 4" in text
    next((tmp_path / "outputs" / "records").glob("??/*.json")).unlink()
    text = run(installed, "status", "m", cwd=tmp_path, expect=1).stdout
    assert "beyondlinear run -m --config-dir" in text


@pytest.mark.slow
def test_the_residual_test_without_a_clone(installed, tmp_path):
    words = ["residual_test.draws=19", "residual_test.statistics=[pairs]", "trainer.threads=1"]
    data = ["dataset=simulated_clusters", "dataset.n_samples=200", "dataset.n_genes=6"]
    done = run(installed, "test", *data, *words, "hydra.run.dir=one", cwd=tmp_path)
    assert "19 bootstrap draws" in done.stdout
    again = run(installed, "test", "one", cwd=tmp_path)
    assert "19 bootstrap draws" in again.stdout
    assert "best of the statistics" in again.stdout
