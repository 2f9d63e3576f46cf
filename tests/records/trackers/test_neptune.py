"""The real Neptune client: offline, and against a server on this machine that refuses, hangs and
answers errors."""

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

import pytest
from tracked import FITS, TINY, operations

from beyondlinear.records.trackers.neptune import Neptune, address
from beyondlinear.records.trackers.subject import LogSubject
from beyondlinear.runtime.errors import ConfigError


def token_of(url: str) -> str:
    """A token as Neptune gives it: it names its server."""
    content = {"api_address": url, "api_url": url, "api_key": "k"}
    return base64.b64encode(json.dumps(content).encode()).decode()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT", "NEPTUNE_MODE"):
        monkeypatch.delenv(name, raising=False)


def lines_of(run: Path, name: str) -> dict[str, object]:
    return {"/".join(o["path"]): o.get("value", o.get("values")) for o in operations(run)[name]}


def test_one_neptune_run_a_fit_with_tags(run_here, tmp_path):
    run_here(*TINY, "model=ridge_logistic", "logger=neptune", "logger.neptune.tags=[pilot]")
    assert set(operations(tmp_path / "run0")) == {*FITS, "run"}
    assert sorted(lines_of(tmp_path / "run0", FITS[0])["sys/tags"]) == [
        "dataset=simulated_mixed",
        "model=ridge_logistic",
        "pilot",
        "seed=0",
        "signal_removal=none",
        "task=label",
    ]


def test_one_neptune_run_a_run_holds_what_one_a_fit_does(run_here, tmp_path):
    overrides = [*TINY, "model=logistic_regression", "logger=neptune"]
    run_here(*overrides, "logger.neptune.per=run", store="a")
    run_here(*overrides, store="b")
    (only,) = operations(tmp_path / "run0")
    assert only == "run"
    in_one = lines_of(tmp_path / "run0", "run")
    assert {f"{fit}/record" for fit in FITS} | {"figure"} <= set(in_one)
    for fit in FITS:
        alone = lines_of(tmp_path / "run1", fit)
        assert in_one[f"{fit}/status"] == alone["status"] == "done"
        accuracy = "final/balanced_accuracy"
        assert in_one[f"{fit}/{accuracy}"] == alone[accuracy]
        losses = [
            [(point["step"], point["value"]) for point in values]
            for values in (in_one[f"{fit}/train_loss"], alone["train_loss"])
        ]
        assert losses[0] == losses[1]


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
            for _ in range(4000):
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
        ({"hang": 900.0}, "did not answer within 0.6 s"),
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
        monkeypatch.setenv("NEPTUNE_API_TOKEN", token_of(url))
        monkeypatch.setenv("NEPTUNE_PROJECT", "lab/beyond")
        tracker = Neptune(str(tmp_path / ".neptune"), timeout=0.6)
        started = time.monotonic()
        with caplog.at_level(logging.WARNING):
            loggers = [tracker.logger(LogSubject(name, tmp_path)) for name in ("run", *FITS)]
            for logger in loggers:
                logger.log_metrics({"train_loss": 0.5, "validation_loss": float("nan")}, 0)
                logger.finalize("success")
        assert time.monotonic() - started < 300  # it would hang for 900
    (said,) = [
        r.getMessage() for r in caplog.records if "tracker neptune logs offline" in r.getMessage()
    ]
    assert reason in said
    assert set(operations(tmp_path)) == {"run", *FITS}
    assert lines_of(tmp_path, FITS[0])["train_loss"][0]["value"] == 0.5
    if "refuses" not in behaviour:
        # the token goes there as it is, and the server is asked once a run
        probes = [
            token for path, token in seen if path.startswith("/api/backend/v1/clients/config")
        ]
        assert probes == [token_of(url)]


def test_the_address_is_the_tokens(monkeypatch):
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token_of("https://neptune.lab.example/"))
    assert address() == "https://neptune.lab.example"
    monkeypatch.setenv("NEPTUNE_API_TOKEN", "no token")
    with pytest.raises(ConfigError, match="NEPTUNE_API_TOKEN is no token of Neptune"):
        address()


def test_a_real_run_with_a_dead_server_ends_with_all_its_fits(
    run_here, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token_of(refused()))
    records = run_here(*TINY, "model=ridge_logistic", "logger=neptune")
    assert [r["status"] for r in records] == ["done", "done"]
    assert set(operations(tmp_path / "run0")) == {"run", *FITS}
    assert caplog.text.count("tracker neptune logs offline") == 1
