"""The real Neptune client: offline, and against a server on this machine that refuses, hangs and answers errors."""

import base64
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from test_tracking import FITS, TINY, operations

from beyondlinear.errors import ConfigError, ResultsError
from beyondlinear.trackers import neptune_offline
from beyondlinear.trackers.neptune import Neptune, address
from beyondlinear.trackers.tracking import Place

TOKEN = base64.b64encode(json.dumps({"api_address": "http://127.0.0.1:9", "api_key": "k"}).encode()).decode()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT", "NEPTUNE_CUSTOM_URL", "NEPTUNE_MODE"):
        monkeypatch.delenv(name, raising=False)


def lines_of(run: Path, name: str) -> dict[str, object]:
    return {"/".join(o["path"]): o.get("value", o.get("values")) for o in operations(run)[name]}


def test_one_neptune_run_a_fit_with_tags(run_here, tmp_path):
    run_here(*TINY, "model=ridge_logistic", "logger=neptune", "logger.neptune.tags=[pilot]")
    assert set(operations(tmp_path / "run0")) == {*FITS, "run"}
    assert sorted(lines_of(tmp_path / "run0", FITS[0])["sys/tags"]) == [
        "dataset=simulated_mixed", "model=ridge_logistic", "pilot", "seed=0", "signal_removal=none", "task=label",
    ]  # fmt: skip


def test_one_neptune_run_a_run_and_both_give_the_same_tables(run_here, tmp_path):
    overrides = [*TINY, "model=logistic_regression", "logger=neptune"]
    run_here(*overrides, "logger.neptune.per=run", store="a")
    run_here(*overrides, store="b")
    (only,) = operations(tmp_path / "run0")
    assert only == "run"
    lines = lines_of(tmp_path / "run0", "run")
    assert {f"{fit}/record" for fit in FITS} | {"figure"} <= set(lines)
    assert lines[f"{FITS[1]}/status"] == "done"
    per_run, per_fit = (neptune_offline.read([tmp_path / r]) for r in ("run0", "run1"))
    together = [t.drop(columns="seconds") for t in map(neptune_offline.fits_table, (per_run, per_fit))]
    pd.testing.assert_frame_equal(*together)
    assert together[0].balanced_accuracy.notna().all()
    losses = [
        neptune_offline.losses_table(fits).drop(columns="folder").sort_values(["fit", "epoch"], ignore_index=True)
        for fits in (per_run, per_fit)
    ]
    pd.testing.assert_frame_equal(*losses)
    assert losses[0][["fit", "epoch"]].to_numpy().tolist() == [[fit, epoch] for fit in FITS for epoch in (0, 1)]


def test_a_fit_that_was_killed_leaves_its_losses_and_a_torn_line(tmp_path):
    folder = tmp_path / ".neptune" / "offline" / "run__1__2__x"
    folder.mkdir(parents=True)
    loss = {"type": "LogFloats", "path": ["train_loss"], "values": [{"value": 0.5, "step": 0, "ts": 1}]}
    name = {"type": "AssignString", "path": ["sys", "name"], "value": FITS[0]}
    lines = [json.dumps({"obj": o, "version": i}) for i, o in enumerate([name, loss, loss])]
    (folder / "data-1.log").write_text("\n".join(lines)[:-30])
    fits = neptune_offline.read([tmp_path])
    assert neptune_offline.losses_table(fits)[["fit", "epoch", "train_loss"]].to_numpy().tolist() == [[FITS[0], 0, 0.5]]
    with pytest.raises(ResultsError, match="none of 1 fits in these offline data ended"):
        neptune_offline.fits_table(fits)
    with pytest.raises(ResultsError, match="nowhere holds no offline data of Neptune"):
        neptune_offline.read([tmp_path / "nowhere"])


def test_debug_keeps_nothing_and_online_needs_a_token(run_here, tmp_path):
    run_here(*TINY, "model=ridge_logistic", "logger=neptune", "logger.neptune.mode=debug")
    assert operations(tmp_path / "run0") == {}
    with pytest.raises(ConfigError, match="mode=online needs NEPTUNE_API_TOKEN"):
        Neptune("x", mode="online")


class Handler(BaseHTTPRequestHandler):
    status, hang, drip = 500, 0.0, False
    seen: list[tuple[str, str | None]] = []  # noqa: RUF012

    def do_GET(self):
        self.seen.append((self.path, self.headers.get("X-Neptune-Api-Token")))
        time.sleep(self.hang)
        self.send_response(self.status)
        self.end_headers()
        if self.drip:  # a byte now and then: no time-out between two bytes ends this
            for _ in range(40):
                self.wfile.write(b" ")
                time.sleep(0.25)
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@contextmanager
def server(**behaviour) -> Iterator[tuple[str, list]]:
    handler = type("Handler", (Handler,), behaviour | {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", handler.seen
        running.shutdown()


def refused() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"refuses": True}, "cannot be reached (ConnectionError)"),
        ({"hang": 30.0}, "did not answer within 0.6 s"),
        ({"status": 200, "drip": True}, "did not answer within 0.6 s"),
        ({"status": 503}, "answered 503 Service Unavailable"),
        ({"status": 401}, "answered 401 Unauthorized"),
        ({"status": 200}, ""),  # answers, but is no Neptune: the client itself fails
    ],
    ids=["refuses", "hangs", "drips", "errors", "wrong token", "no neptune"],
)
def test_a_server_that_does_not_serve_delays_a_run_by_seconds_and_loses_nothing(
    run_here, tmp_path, monkeypatch, caplog, behaviour, reason
):
    import neptune  # noqa: F401  (two seconds that are not the server's)

    with server(**{k: v for k, v in behaviour.items() if k != "refuses"}) as (url, seen):
        url = refused() if "refuses" in behaviour else url
        monkeypatch.setenv("NEPTUNE_API_TOKEN", TOKEN)
        monkeypatch.setenv("NEPTUNE_CUSTOM_URL", url)
        monkeypatch.setenv("NEPTUNE_PROJECT", "lab/beyond")
        tracker = Neptune(str(tmp_path / ".neptune"), timeout=0.6)
        started = time.monotonic()
        with caplog.at_level(logging.WARNING):
            loggers = [tracker.logger(Place(name, tmp_path)) for name in ("run", *FITS)]
            for logger in loggers:
                logger.log_metrics({"train_loss": 0.5, "tune_loss": float("nan")}, 0)
                logger.finalize("success")
        assert time.monotonic() - started < 2.5
    (said,) = [r.getMessage() for r in caplog.records if "tracker neptune logs offline" in r.getMessage()]
    assert reason in said
    assert set(operations(tmp_path)) == {"run", *FITS}
    assert lines_of(tmp_path, FITS[0])["train_loss"][0]["value"] == 0.5
    if (
        "refuses" not in behaviour
    ):  # the address is ours, the token goes there as it is, and the server is asked once a run
        probes = [token for path, token in seen if path.startswith("/api/backend/v1/clients/config")]
        assert probes == [TOKEN]


def test_the_address_is_the_custom_one_else_the_tokens(monkeypatch):
    monkeypatch.setenv("NEPTUNE_API_TOKEN", TOKEN)
    assert address() == "http://127.0.0.1:9"
    monkeypatch.setenv("NEPTUNE_CUSTOM_URL", "https://neptune.lab.example/")
    assert address() == "https://neptune.lab.example"
    monkeypatch.delenv("NEPTUNE_CUSTOM_URL")
    monkeypatch.setenv("NEPTUNE_API_TOKEN", "no token")
    with pytest.raises(ConfigError, match="NEPTUNE_API_TOKEN is no token of Neptune"):
        address()


def test_a_real_run_with_a_dead_server_ends_with_all_its_fits(run_here, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NEPTUNE_API_TOKEN", TOKEN)
    monkeypatch.setenv("NEPTUNE_CUSTOM_URL", refused())
    records = run_here(*TINY, "model=ridge_logistic", "logger=neptune")
    assert [r["status"] for r in records] == ["done", "done"]
    assert set(operations(tmp_path / "run0")) == {"run", *FITS}
    assert caplog.text.count("tracker neptune logs offline") == 1
