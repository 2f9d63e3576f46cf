"""Files from mirrors: tried in turn, resumed, retried, checked, and in place only when whole."""

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import threading
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import requests

from beyondlinear.runtime.errors import DataError

log = logging.getLogger(__name__)

_CHUNK = 1 << 15  # bytes, of which the last may be lost with a connection
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # a later try may succeed
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_WAIT_AT_MOST = 60.0  # seconds between two tries, whatever the server asks for


class MissingFileError(DataError):
    """No mirror has the file, or none gave it whole."""


class _TryAgainError(Exception):
    """This try failed; the next may not. `after`: seconds that the server asked to wait."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _GiveUpError(Exception):
    """This mirror will not give the file."""


@dataclass(frozen=True)
class Mirrors:
    """One tree of files, at several places.

    places: web addresses or folders, tried in turn; a file of a folder is used where it lies;
    cache: folder for what is downloaded; attempts: tries at each address, `pause` · 2^k seconds
    apart; timeout: seconds without a byte.
    """

    places: tuple[str, ...]
    cache: Path
    attempts: int = 5
    pause: float = 1.0
    timeout: float = 60.0
    sessions: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def fetch(self, relative: str, received: Callable[[int], None] = lambda n: None) -> Path:
        """Path of a whole file; downloaded unless a folder or the cache has it.

        :param relative: path below each place; names that could leave the tree are refused
        :param received: called with numbers of bytes as they come
        :raises MissingFileError: with the reason of every place
        :raises DataError: an unsafe name, or no space left
        """
        check_relative(relative)
        reasons = []
        for place in self.places:
            if not is_address(place):
                path = Path(place).expanduser() / relative
                if not path.is_file():
                    reasons.append(f"{path}: no such file")
                elif reason := _unlike(path, relative):
                    reasons.append(f"{path}: {reason}")
                else:
                    return path
        target = self.cache / relative
        if target.exists():
            return target
        for place in self.places:
            if is_address(place):
                url = f"{place.rstrip('/')}/{quote(relative)}"
                try:
                    self._download(url, target, relative, received)
                    return target
                except _GiveUpError as e:
                    reasons.append(f"{url}: {e}")
                except OSError as e:
                    if e.errno in (errno.ENOSPC, errno.EDQUOT):
                        raise no_space(self.cache, f"while downloading {relative}") from e
                    reasons.append(f"{url}: {e}")
        raise MissingFileError(
            f"'{relative}' was not found:\n" + "\n".join(f"  {reason}" for reason in reasons)
        )

    def has(self, relative: str) -> bool:
        """Whether the file is in a folder or the cache, so that nothing need be downloaded."""
        folders = [Path(place).expanduser() for place in self.places if not is_address(place)]
        return any((folder / relative).is_file() for folder in (*folders, self.cache))

    def discard(self, path: Path) -> bool:
        """Take a damaged file out of the cache, so that it is downloaded again; False where it is
        none of the cache."""
        if not path.is_relative_to(self.cache):
            return False
        path.unlink(missing_ok=True)
        return True

    def _download(
        self, url: str, target: Path, relative: str, received: Callable[[int], None]
    ) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        with part.open("ab") as file:
            # of two processes that want the same file, one downloads and the other finds it
            fcntl.flock(file, fcntl.LOCK_EX)
            if target.exists():
                if os.fstat(file.fileno()).st_nlink and file.tell() == 0:
                    part.unlink(missing_ok=True)
                return
            for attempt in range(self.attempts):
                try:
                    response_hash = self._receive(url, file, received)
                    file.flush()
                    reason = _unlike(part, relative) or _differs(part, response_hash)
                    if reason:
                        file.truncate(0)
                        raise _TryAgainError(reason)
                    os.fsync(file.fileno())
                    part.replace(target)
                    _tag(part).unlink(missing_ok=True)
                    return
                except _TryAgainError as e:
                    reason, after = str(e), e.after
                except requests.RequestException as e:
                    reason, after = f"{type(e).__name__}: {e}", 0.0
                if attempt + 1 < self.attempts:
                    wait = min(_WAIT_AT_MOST, max(after, self.pause * 2**attempt))
                    log.debug("%s: %s; again in %.1f s", url, reason, wait)
                    time.sleep(wait)
            raise _GiveUpError(f"{reason} ({self.attempts} tries)")

    def _receive(self, url: str, file, received: Callable[[int], None]) -> dict[str, str]:  # type: ignore[no-untyped-def]
        """Append what is missing; returns hashes that the server states."""
        file.seek(0, os.SEEK_END)
        have, tag = file.tell(), _tag(Path(file.name))
        validator = tag.read_text() if have and tag.exists() else ""
        if not validator:
            file.truncate(0)
            have = 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": validator}
        with self._session().get(
            url, headers=headers, stream=True, timeout=self.timeout
        ) as response:
            if response.status_code in _AGAIN:
                raise _TryAgainError(_status(response), _retry_after(response))
            if response.status_code == 416:  # more is here than the server has
                file.truncate(0)
                raise _TryAgainError(_status(response))
            if response.status_code not in (200, 206):
                raise _GiveUpError(_status(response))
            if response.status_code == 200 or not response.headers.get(
                "Content-Range", ""
            ).startswith(f"bytes {have}-"):
                if response.status_code == 206:
                    raise _TryAgainError(
                        f"asked for bytes from {have} and got"
                        f" {response.headers.get('Content-Range')}"
                    )
                file.truncate(0)
                have = 0
                validator = (
                    response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
                )
                if validator.startswith("W/"):
                    validator = ""
                tag.write_text(validator)
            length = response.headers.get("Content-Length")
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                received(len(chunk))
            file.flush()
            got = file.tell() - have
            if length is not None and got != int(length):
                raise _TryAgainError(f"the connection ended after {got:,} of {int(length):,} bytes")
            return _stated_hashes(response.headers)

    def _session(self) -> requests.Session:
        if not hasattr(self.sessions, "of_thread"):
            self.sessions.of_thread = requests.Session()
        return self.sessions.of_thread


def is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def check_relative(relative: str) -> None:
    """:raises DataError: a path that is absolute, climbs, or holds signs that no file of the tree
    has"""
    for part in relative.split("/"):
        safe_name(part, f"path '{relative}'")


def safe_name(name: str, where: str) -> str:
    """A name from a remote file, once it is known to be no path.

    :raises DataError: it is one, or holds other signs than letters, digits and _ . + -
    """
    if not _SAFE.fullmatch(name):
        raise DataError(
            f"{where}: the name {name!r} may not be used for a file (allowed: letters, digits, _ ."
            " + -). The mirror's files are damaged or not to be trusted; use another"
            " (dataset.mirror=…)"
        )
    return name


def no_space(folder: Path, when: str) -> DataError:
    """The error for a full disk, naming what is left and what to do."""
    where = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(where).free
    return DataError(
        f"no space left in '{folder}' {when} ({free / 1e9:.2f} GB free). Make room, or name another"
        " folder with dataset.cache=…; nothing whole is lost: the same command continues"
    )


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _status(response: requests.Response) -> str:
    return f"HTTP {response.status_code} {response.reason}"


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0


def _unlike(path: Path, relative: str) -> str:
    """Why this cannot be the file, from its first bytes; "" where it can."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "0 bytes"
    if re.match(rb"\s*(<!doctype html|<html)", start.lower()):
        return "an HTML page, not the file (a login or an error page?)"
    if relative.endswith(".gz") and start[:2] != b"\x1f\x8b":
        return f"no gzip file (it begins {start[:8]!r})"
    return ""


def _stated_hashes(headers: "requests.structures.CaseInsensitiveDict[str]") -> dict[str, str]:
    """MD5 in hex, where the server states one that is known to be of the content: Google's header,
    and S3's tag of a file that was sent in one piece."""
    google = re.search(r"md5=([A-Za-z0-9+/=]+)", headers.get("x-goog-hash", ""))
    if google:
        return {"md5": b64decode(google[1]).hex()}
    tag = headers.get("ETag", "").strip('"')
    if headers.get("Server") == "AmazonS3" and re.fullmatch(r"[0-9a-f]{32}", tag):
        return {"md5": tag}
    return {}


def _differs(path: Path, stated: dict[str, str]) -> str:
    if "md5" not in stated:
        return ""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return "" if found == stated["md5"] else f"MD5 {found} where the server states {stated['md5']}"
