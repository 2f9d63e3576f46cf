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
from typing import Annotated, Any, Literal

from pydantic import Field
from pytorch_lightning.loggers.logger import Logger

from beyondlinear.errors import ConfigError
from beyondlinear.trackers.server import probe, within
from beyondlinear.trackers.tracking import RUN, Place, require

log = logging.getLogger(__name__)

PACKAGE = "neptune==1.14.0.post2"
TOKEN, PROJECT, URL = "NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT", "NEPTUNE_CUSTOM_URL"


@dataclass
class Neptune:
    """mode: auto (online where NEPTUNE_API_TOKEN is set, else offline), online, offline, or debug, which keeps nothing.

    directory: of the client's files; per: one Neptune run per fit or per run; tags: besides those of the run;
    timeout: seconds that a server has to answer, and then to be logged in to.
    """

    directory: str
    mode: Literal["auto", "online", "offline", "debug"] = "auto"
    per: Literal["fit", "run"] = "fit"
    tags: list[str] = field(default_factory=list)
    timeout: Annotated[float, Field(gt=0)] = 3.0
    _now: Literal["async", "offline", "debug"] | None = field(default=None, init=False)
    _run: Any = field(default=None, init=False)

    def __post_init__(self) -> None:
        require("neptune", PACKAGE, "neptune")
        if self.mode == "online" and not os.environ.get(TOKEN):
            raise ConfigError(
                f"logger.neptune.mode=online needs {TOKEN} in the environment; without one use mode=offline"
            )
        # what the client waits for at most, read when it is imported
        os.environ.setdefault("NEPTUNE_SYNC_AFTER_STOP_TIMEOUT", str(math.ceil(self.timeout)))
        os.environ.setdefault("NEPTUNE_RETRIES_TIMEOUT", str(math.ceil(self.timeout)))

    def logger(self, place: Place) -> "NeptuneLogger":
        if self.per == "run" and place.name != RUN and self._run is not None:
            return NeptuneLogger(self._run, f"{place.name}/")
        run = self._start(place)
        if self.per == "run":
            self._run = run
        return NeptuneLogger(run, stop_within=self.timeout)

    def _start(self, place: Place) -> Any:
        """A run of the real client, online if that can be, else offline."""
        if self._now is None:
            offline = self.mode == "offline" or (self.mode == "auto" and not os.environ.get(TOKEN))
            self._now = "offline" if offline else "debug" if self.mode == "debug" else "async"
            if offline:
                why = "" if self.mode == "offline" else f", {TOKEN} is not set"
                log.info("tracker neptune logs offline%s: %s", why, self.directory)
        if self._now == "async":
            try:
                probe(f"{address()}/api/backend/v1/clients/config?alpha=true", self.timeout, _credentials())
                made = within(self.timeout, lambda: self._init(place), lambda late: late.stop(seconds=0), address())
            except Exception as e:  # the client's own kinds of errors are many
                self._now = "offline"  # asked once a run: hundreds of fits must not wait for it each
                reason = (" ".join(str(e).split()) or type(e).__name__)[:300]
                log.warning(
                    "warning: tracker neptune logs offline, in %s: %s. `neptune sync --path %s` sends it later, `beyondlinear "
                    "neptune-export` makes it a table",
                    *(self.directory, reason, Path(self.directory).parent),
                )
            else:
                return made
        return self._init(place)

    def _init(self, place: Place) -> Any:
        with _environment(NEPTUNE_DATA_DIRECTORY=self.directory):
            import neptune

            logging.getLogger("neptune").setLevel(logging.ERROR)  # after the import, which sets it
            with custom_address():
                return neptune.init_run(
                    mode=self._now,
                    project=os.environ.get(PROJECT),
                    name=place.name,
                    tags=[*(f"{k}={v}" for k, v in place.tags.items()), *self.tags],
                    source_files=[],
                    git_ref=False,
                    capture_stdout=False,
                    capture_stderr=False,
                    capture_traceback=False,
                    capture_hardware_metrics=False,
                )


class NeptuneLogger(Logger):
    """A run of the Neptune client as a logger of Lightning.

    prefix: of all names, e.g. "fold0_fraction1.0/"; stop_within: seconds that finalize waits for a server before it stops the
    run; None: the run is somebody else's to stop.
    """

    def __init__(self, run: Any, prefix: str = "", stop_within: float | None = None) -> None:
        super().__init__()
        self.experiment, self.prefix, self.stop_within = run, prefix, stop_within

    @property
    def name(self) -> str:
        return "neptune"

    @property
    def version(self) -> str:
        return str(self.experiment._id)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        for name, value in _flat(dict(params)):
            self.experiment[self.prefix + name] = value if isinstance(value, bool | int | float | str) else str(value)

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


def _flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value


def address() -> str:
    """The server: NEPTUNE_CUSTOM_URL, else the one that the token names.

    :raises ConfigError: a token that is none
    """
    if os.environ.get(URL):
        return os.environ[URL].rstrip("/")
    try:
        held = json.loads(base64.b64decode(os.environ[TOKEN].strip()))
        return str(held.get("api_url") or held["api_address"]).rstrip("/")
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigError(
            f"{TOKEN} is no token of Neptune: it names no server; set {URL}, or ask for a new token"
        ) from e


def _credentials() -> dict[str, str]:
    return {"X-Neptune-Api-Token": os.environ[TOKEN].strip()}


@contextmanager
def custom_address() -> Iterator[None]:
    """The client at NEPTUNE_CUSTOM_URL: it knows no such setting, only the address inside the token."""
    if not os.environ.get(URL):
        yield
        return
    from neptune.internal.credentials import Credentials

    original = Credentials.__dict__["from_token"]
    token, url = os.environ.get(TOKEN, "").strip(), address()
    setattr(Credentials, "from_token", lambda api_token=None: Credentials(token, url, url))  # noqa: B010
    try:
        yield
    finally:
        setattr(Credentials, "from_token", original)  # noqa: B010


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
