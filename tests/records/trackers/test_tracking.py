"""All trackers hold the same of every model, and none of them changes or costs a fit."""

import csv
import json
import logging
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.logger import Logger
from tracked import FITS, TINY, operations, records_of

from beyondlinear.records.store import RecordStore
from beyondlinear.records.trackers.tracking import Trackers
from beyondlinear.runtime.errors import ConfigError

ALL = ["csv", "mlflow", "neptune", "tensorboard"]
MODELS = [
    *("logistic_regression", "ridge_logistic"),
    *(
        pytest.param(model, marks=pytest.mark.slow)
        for model in ("three_layer", "random_forest", "rbf_svm")
    ),
]


def names_of(params: dict, prefix: str = "") -> dict[str, str]:
    flat = {}
    for k, v in params.items():
        flat |= (
            names_of(v, f"{prefix}{k}/") if isinstance(v, dict) and v else {f"{prefix}{k}": str(v)}
        )
    return flat


def from_csv(run: Path) -> dict:
    held = {}
    for fit in FITS:
        with open(run / "csv" / fit / "metrics.csv", newline="") as f:
            rows = list(csv.DictReader(f))
        metrics = {
            (k, int(r["step"])): float(v) for r in rows for k, v in r.items() if k != "step" and v
        }
        params = names_of(yaml.safe_load((run / "csv" / fit / "hparams.yaml").read_text()))
        held[fit] = metrics, params, json.loads((run / "csv" / fit / "record.json").read_text())
    return held


def from_mlflow(database: Path) -> tuple[dict, dict]:
    """What the fits hold, and the MLflow runs by name."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("beyondlinear")
    runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
    held = {}
    for fit in FITS:
        run = runs[fit]
        metrics = {
            (k, m.step): m.value
            for k in run.data.metrics
            for m in client.get_metric_history(run.info.run_id, k)
        }
        text = Path(client.download_artifacts(run.info.run_id, "record.json")).read_text()
        held[fit] = metrics, run.data.params, json.loads(text)
    figure = Path(client.download_artifacts(runs["run"].info.run_id, "figure.png"))
    assert figure.read_bytes().startswith(b"\x89PNG")
    return held, runs


def from_tensorboard(run: Path) -> dict:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    held = {}
    for fit in FITS:
        events = EventAccumulator(str(run / "tensorboard" / fit))
        events.Reload()
        metrics = {
            (k, e.step): e.value for k in events.Tags()["scalars"] for e in events.Scalars(k)
        }
        text = events.Tensors("record/text_summary")[0].tensor_proto.string_val[0].decode()
        params = names_of(yaml.safe_load((run / "tensorboard" / fit / "hparams.yaml").read_text()))
        held[fit] = (
            metrics,
            params,
            json.loads(text.removeprefix("```json\n").removesuffix("\n```")),
        )
    events = EventAccumulator(str(run / "tensorboard" / "run"))
    events.Reload()
    assert events.Tags()["images"] == ["figure"]
    return held


def from_neptune(run: Path) -> dict:
    logged = records_of(run)
    held = {}
    for fit, lines in operations(run).items():
        if fit not in FITS:
            assert any(o["type"] == "UploadFile" and o["path"] == ["figure"] for o in lines)
            continue
        ours = [o for o in lines if o["path"][0] not in ("sys", "source_code", "record")]
        metrics = {
            ("/".join(o["path"]), v["step"]): v["value"] for o in ours for v in o.get("values", [])
        }
        single = {"/".join(o["path"]): o["value"] for o in ours if "value" in o}
        n = len({step for _, step in metrics})
        metrics |= {(k, n): float(v) for k, v in single.items() if k.startswith("final/")}
        held[fit] = (
            metrics,
            {k: v for k, v in single.items() if not k.startswith("final/")},
            logged[fit],
        )
    return held


@pytest.mark.parametrize("model", MODELS)
def test_every_tracker_holds_the_same_of_every_model(run_here, tmp_path, monkeypatch, model):
    monkeypatch.delenv("NEPTUNE_API_TOKEN", raising=False)
    database = tmp_path / "ml" / "mlflow.db"
    validation = ["tuning=random", "tuning.trials=2", "tuning.inner_folds=2"]
    more = ["+model.estimator.max_depth=3"] if model == "random_forest" else []
    records = run_here(
        *TINY,
        *validation,
        *more,
        f"model={model}",
        f"logger=[{','.join(ALL)}]",
        f"logger.mlflow.uri=sqlite:///{database}",
    )
    plain = run_here(*TINY, *validation, *more, f"model={model}", "logger=none", store="plain")
    run = tmp_path / "run0"
    in_mlflow, runs = from_mlflow(database)
    held = {
        "csv": from_csv(run),
        "mlflow": in_mlflow,
        "tensorboard": from_tensorboard(run),
        "neptune": from_neptune(run),
    }
    for tracker, fits in held.items():
        for fit, record in zip(FITS, records, strict=True):
            metrics, params, logged = fits[fit]
            assert logged == record, tracker
            history = record["training"].get("history", [])
            assert len(history) == (2 if model in ("logistic_regression", "three_layer") else 0)
            expected = {
                (k, row["epoch"]): row[k]
                for row in history
                for k in ("train_loss", "validation_loss")
            }
            expected |= {
                (f"final/{k}", len(history)): v
                for k, v in record["metrics"].items()
                if v is not None
            }
            assert {k: v for k, v in metrics.items() if k != ("hp_metric", 0)} == pytest.approx(
                expected, rel=1e-5
            ), tracker
            assert params["config/dataset/n_genes"] in ("12", 12)
            assert (params["key"], params["status"], params["model"]) == (
                record["key"],
                "done",
                model,
            )
            chosen = {k.removeprefix("chosen/") for k in params if k.startswith("chosen/")}
            assert chosen == set(record["tuning"].get("chosen", {})), tracker
            assert {
                k.removeprefix("hyperparameters/")
                for k in params
                if k.startswith("hyperparameters/")
            } >= set(record["hyperparameters"]), tracker
    assert runs[FITS[0]].data.tags["mlflow.parentRunId"] == runs["run"].info.run_id
    assert (run / "csv" / "run" / "figure.png").read_bytes().startswith(b"\x89PNG")
    # and no tracker touches a fit: same key, same bits
    for with_trackers, without in zip(records, plain, strict=True):
        assert with_trackers["key"] == without["key"]
        paths = [
            RecordStore(tmp_path / s).path(without["key"]).with_suffix(".npz")
            for s in ("records", "plain")
        ]
        assert paths[0].read_bytes() == paths[1].read_bytes()


class Raising(Logger):
    """Fails in the method named `when`."""

    name, version = "raising", ""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.when = when
        self._fail("logger")

    def _fail(self, method: str) -> None:
        if method == self.when:
            raise OSError(28, f"no space left for {method}")

    def log_metrics(self, metrics, step=None):
        self._fail("log_metrics")

    def log_hyperparams(self, params):
        self._fail("log_hyperparams")

    def log_text(self, name, text):
        self._fail("log_text")

    def log_figure(self, name, png):
        self._fail("log_figure")

    def save(self):
        self._fail("save")

    def finalize(self, status):
        self._fail("finalize")


@pytest.mark.parametrize(
    "method",
    ["logger", "log_metrics", "log_hyperparams", "log_text", "log_figure", "save", "finalize"],
)
def test_a_tracker_that_fails_costs_no_fit_and_is_named_once(
    run_here, tmp_path, caplog, monkeypatch, method
):
    import beyondlinear.records.trackers.tracking as tracking

    real = tracking.build
    monkeypatch.setattr(
        tracking,
        "build",
        lambda node: (lambda name: Raising(node.when)) if "when" in node else real(node),
    )
    monkeypatch.setattr("beyondlinear.runtime.config.check_target", lambda node, path: None)
    with caplog.at_level(logging.WARNING):
        records = run_here(*TINY, "model=logistic_regression", f"+logger.mine.when={method}")
    assert [r["status"] for r in records] == ["done", "done"]
    said = [r.getMessage() for r in caplog.records if "tracker mine failed" in r.getMessage()]
    assert len(said) == 1
    assert f"no space left for {method}" in said[0]
    # the other tracker goes on
    assert set(from_csv(tmp_path / "run0")) == set(FITS)


def test_a_missing_package_is_named_before_anything_is_computed(run_here, tmp_path, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    missing = {"mlflow", "neptune", "tensorboard"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in missing else real(name, *a)
    )
    for tracker, install in (
        ("mlflow", r"beyondlinear\[mlflow\]"),
        ("neptune", "neptune==1.14.0.post2"),
        ("tensorboard", r"beyondlinear\[tensorboard\]"),
    ):
        with pytest.raises(Exception, match=f"pip install '{install}'") as raised:
            run_here(*TINY, f"logger={tracker}")
        assert isinstance(raised.value, ConfigError) or isinstance(
            raised.value.__cause__, ConfigError
        )
    assert not (tmp_path / "records").exists()


def test_trackers_stand_side_by_side_and_a_wrong_key_is_named(compose_config, run_here):
    from beyondlinear.runtime.config import check

    cfg = compose_config("logger=[csv,mlflow]", "logger.mlflow.experiment=mine")
    assert (sorted(cfg.logger), cfg.logger.mlflow.experiment) == (["csv", "mlflow"], "mine")
    assert list(compose_config("logger=[]").logger) == []
    with pytest.raises(
        ConfigError,
        match=r"'x.Y' is no tracker; the YAML of a tracker begins with .* # @package logger.NAME",
    ):
        Trackers(OmegaConf.create({"_target_": "x.Y"}), Path())
    with pytest.raises(ConfigError, match=r"logger.csv.folder: no such key. .*Allowed: directory"):
        check(compose_config("logger=csv", "logger.csv.directory=x", "+logger.csv.folder=here"))
    with pytest.raises(
        ConfigError, match=r"logger.neptune.per: 'fold' is not allowed; Allowed: fit, run"
    ):
        check(
            OmegaConf.merge(
                compose_config("logger=neptune"),
                {"logger": {"neptune": {"per": "fold", "directory": "x"}}},
            )
        )


@pytest.mark.slow  # a process that imports torch
def test_trackers_that_are_not_chosen_are_not_imported(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, beyondlinear.experiment.run, beyondlinear.records.trackers.tracking\n"
        "print([m for m in ('mlflow', 'neptune', 'tensorboard') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"


def test_a_run_that_is_interrupted_closes_its_logs_as_failed(run_here, tmp_path, monkeypatch):
    from beyondlinear.models.network_model import NetworkModel

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(NetworkModel, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_here(*TINY, "model=three_layer", "logger=neptune", "logger.neptune.mode=offline")
    ended = {
        name: [o["value"] for o in lines if o["path"] == ["sys", "failed"]]
        for name, lines in operations(tmp_path / "run0").items()
    }
    assert ended == {"run": [False, True], FITS[0]: [False, True]}


MINE = {"_target_": "pytorch_lightning.loggers.CSVLogger"}


def lightning_trackers(directory: Path, **more) -> Trackers:
    node = MINE | {"save_dir": str(directory / "mine")} | more
    return Trackers(OmegaConf.create({"mine": node}), directory)


def test_a_logger_of_lightning_goes_to_the_trainer_as_it_is(tmp_path):
    trackers = lightning_trackers(tmp_path)
    loggers = trackers.begin(FITS[0])
    assert [type(logger).__name__ for logger in loggers] == ["CSVLogger", "TrackerLog"]
    assert type(loggers[0]) is CSVLogger
    assert loggers[0].name == FITS[0]
    assert trackers.begin(FITS[1])[0].name == FITS[1]
    assert lightning_trackers(tmp_path, name="all").begin(FITS[0])[0].name == "all"
    assert not isinstance(Trackers(OmegaConf.create({}), tmp_path).begin(FITS[0]), list)


@pytest.mark.parametrize("model", ["three_layer", "ridge_logistic"])
def test_a_users_yaml_names_a_logger_of_lightning(run_here, tmp_path, model):
    """Beside it another one, which a function makes."""
    records = run_here(
        *TINY,
        f"model={model}",
        f"+logger.mine._target_={MINE['_target_']}",
        f"+logger.mine.save_dir={tmp_path / 'mine'}",
        f"+logger.partial._target_={MINE['_target_']}",
        "+logger.partial._partial_=true",
        f"+logger.partial.save_dir={tmp_path / 'partial'}",
    )
    for folder in ("mine", "partial"):
        for fit, record in zip(FITS, records, strict=True):
            with open(tmp_path / folder / fit / "version_0" / "metrics.csv", newline="") as f:
                rows = list(csv.DictReader(f))
            history = record["training"].get("history", [])
            losses = [float(row["train_loss"]) for row in rows if row.get("train_loss")]
            assert losses == pytest.approx([epoch["train_loss"] for epoch in history], rel=1e-5)
            final = [row["final/balanced_accuracy"] for row in rows][-1]
            assert float(final) == pytest.approx(record["metrics"]["balanced_accuracy"])
            hparams = yaml.safe_load(
                (tmp_path / folder / fit / "version_0" / "hparams.yaml").read_text()
            )
            assert hparams["key"] == record["key"]
