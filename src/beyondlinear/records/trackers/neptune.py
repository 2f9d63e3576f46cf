"""Neptune: offline files, or a server that you host; the hosted service ended on 2026-03-05."""

import base64
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pytorch_lightning.loggers.logger import Logger

from beyondlinear.records.trackers.server import probe, within
from beyondlinear.records.trackers.subject import RUN, LogSubject, require
from beyondlinear.runtime.errors import ConfigError

if TYPE_CHECKING:
    from neptune import Run

log = logging.getLogger(__name__)

PACKAGE = "neptune==1.14.0.post2"
TOKEN = "NEPTUNE_API_TOKEN"
PROJECT = "NEPTUNE_PROJECT"


@dataclass
class Neptune:
    """mode: auto (online where NEPTUNE_API_TOKEN is set, else offline), online, offline, or debug,
    which keeps nothing.

    directory: of the client's files; per: one Neptune run per fit or per run; tags: besides those
    of the run; timeout: seconds that a server has to answer, and then to be logged in to.
    """

    directory: str
    mode: Literal["auto", "online", "offline", "debug"] = "auto"
    per: Literal["fit", "run"] = "fit"
    tags: list[str] = field(default_factory=list)
    timeout: Annotated[float, Field(gt=0)] = 3.0
    # how runs of the client are begun; known when the first one is
    _client_mode: Literal["async", "offline", "debug"] | None = field(default=None, init=False)
    _shared_run: "Run | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        require("neptune", PACKAGE, "neptune")
        if self.mode == "online" and not os.environ.get(TOKEN):
            raise ConfigError(
                f"logger.neptune.mode=online needs {TOKEN} in the environment; without one use"
                " mode=offline"
            )
        # what the client waits for at most, read when it is imported
        os.environ.setdefault("NEPTUNE_SYNC_AFTER_STOP_TIMEOUT", str(math.ceil(self.timeout)))
        os.environ.setdefault("NEPTUNE_RETRIES_TIMEOUT", str(math.ceil(self.timeout)))

    def logger(self, subject: LogSubject) -> "NeptuneLogger":
        if self._shared_run is not None and subject.name != RUN:
            return NeptuneLogger(self._shared_run, f"{subject.name}/")
        run = self._start(subject)
        if self.per == "run":
            self._shared_run = run
        return NeptuneLogger(run, stop_within=self.timeout)

    def _start(self, subject: LogSubject) -> "Run":
        """A run of the real client, online if that can be, else offline."""
        if self._client_mode is None:
            self._client_mode = self._chosen_mode()
        if self._client_mode == "async":
            try:
                return self._online(subject)
            except Exception as e:  # the client's own kinds of errors are many
                # asked once a run: hundreds of fits must not wait for it each
                self._client_mode = "offline"
                reason = (" ".join(str(e).split()) or type(e).__name__)[:300]
                log.warning(
                    "warning: tracker neptune logs offline, in %s: %s. `neptune sync --path %s`"
                    " sends it later",
                    self.directory,
                    reason,
                    Path(self.directory).parent,
                )
        return self._init(subject)

    def _chosen_mode(self) -> Literal["async", "offline", "debug"]:
        """The client's word for `mode`; says where the logs go if they stay here."""
        if self.mode == "debug":
            return "debug"
        if self.mode == "online" or (self.mode == "auto" and os.environ.get(TOKEN)):
            return "async"
        why = "" if self.mode == "offline" else f", {TOKEN} is not set"
        log.info("tracker neptune logs offline%s: %s", why, self.directory)
        return "offline"

    def _online(self, subject: LogSubject) -> "Run":
        """:raises Exception: the server does not answer, or not as Neptune does"""
        probe(
            f"{address()}/api/backend/v1/clients/config?alpha=true",
            self.timeout,
            {"X-Neptune-Api-Token": os.environ[TOKEN].strip()},
        )
        return within(
            self.timeout,
            lambda: self._init(subject),
            lambda late: late.stop(seconds=0),
            address(),
        )

    def _init(self, subject: LogSubject) -> "Run":
        with _environment(NEPTUNE_DATA_DIRECTORY=self.directory):
            import neptune

            logging.getLogger("neptune").setLevel(logging.ERROR)  # after the import, which sets it
            tags = [f"{name}={value}" for name, value in subject.tags.items()]
            return neptune.init_run(
                mode=self._client_mode,
                project=os.environ.get(PROJECT),
                name=subject.name,
                tags=[*tags, *self.tags],
                source_files=[],
                git_ref=False,
                capture_stdout=False,
                capture_stderr=False,
                capture_traceback=False,
                capture_hardware_metrics=False,
            )


class NeptuneLogger(Logger):
    """A run of the Neptune client as a logger of Lightning.

    prefix: of all names, e.g. "fold0_fraction1.0/"; stop_within: seconds that finalize waits for a
    server before it stops the run; None: the run is somebody else's to stop.
    """

    def __init__(self, run: "Run", prefix: str = "", stop_within: float | None = None) -> None:
        super().__init__()
        self.experiment = run
        self.prefix = prefix
        self.stop_within = stop_within

    @property
    def name(self) -> str:
        return "neptune"

    @property
    def version(self) -> str:
        return str(self.experiment._id)

    def log_hyperparams(  # type: ignore[override]
        self, params: Mapping[str, object], *arguments: object, **keywords: object
    ) -> None:
        for name, value in _flat(params):
            self.experiment[self.prefix + name] = (
                value if isinstance(value, bool | int | float | str) else str(value)
            )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Series; under final/ single values. Neptune stores finite numbers only."""
        for name, value in metrics.items():
            if not math.isfinite(value):
                continue
            if name.startswith("final/"):
                self.experiment[self.prefix + name] = float(value)
            else:
                self.experiment[self.prefix + name].append(float(value), step=step)

    def log_text(self, name: str, text: str) -> None:
        from neptune.types import File

        self.experiment[self.prefix + name].upload(File.from_content(text, extension="json"))

    def log_figure(self, name: str, png: bytes) -> None:
        from neptune.types import File

        self.experiment[self.prefix + name].upload(File.from_content(png, extension="png"))

    def finalize(self, status: str) -> None:
        if status == "failed":
            self.experiment["sys/failed"] = True
        if self.stop_within is not None:
            self.experiment.stop(seconds=self.stop_within)


def _flat(params: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def address() -> str:
    """The server that the token names.

    :raises ConfigError: a token that is none
    """
    try:
        content = json.loads(base64.b64decode(os.environ[TOKEN].strip()))
        return str(content.get("api_url") or content["api_address"]).rstrip("/")
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigError(
            f"{TOKEN} is no token of Neptune: it names no server; ask for a new token"
        ) from e


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
