"""Large text tables of genes × samples, streamed: gzip by ISA-L, numbers by one compiled loop,
memory of one block."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numba
import numpy as np
from isal import igzip, igzip_lib

from beyondlinear.runtime.errors import DataError

_READ = 1 << 22  # bytes of text that are parsed at a time, or one line where it is longer
_TAB, _NEWLINE, _RETURN, _MINUS, _POINT, _ZERO, _NINE = 9, 10, 13, 45, 46, 48, 57
_IsalError = cast(type[Exception], igzip_lib.IsalError)
_UNREADABLE = (EOFError, OSError, zlib.error, UnicodeDecodeError, _IsalError)


class DamagedFileError(DataError):
    """A file that is not whole, or not what it should be; a new download may mend it."""


@dataclass(frozen=True)
class GeneLines:
    """Some consecutive lines.

    ids: gene ids, one after another, each ended by a newline; values: (n_lines, n_samples) float64,
    a view that the next block overwrites; first: number of the first of these genes in the file.
    """

    ids: bytes
    values: np.ndarray
    first: int

    def gene_ids(self) -> list[str]:
        return self.ids.decode().splitlines()


class GeneTable:
    """A table of which each line is a gene: id columns, then one number a sample.

    samples: the header's names; `blocks` parses the rest, once. Opening reads the header only.
    """

    def __init__(
        self, path: Path, header: Callable[[BinaryIO], list[str]], id_columns: int = 1
    ) -> None:
        """:param header: reads up to the end of the header line and returns its cells
        :raises DamagedFileError: the header is not there
        """
        self.path = path
        self.id_columns = id_columns
        self._file = _open(path)
        try:
            self.samples = header(self._file)[id_columns:]
        except _UNREADABLE as e:
            self.close()
            raise self._damaged(e) from e

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "GeneTable":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def blocks(self, read_bytes: int | None = None) -> Iterator[GeneLines]:
        """All genes, in the order of the file.

        :param read_bytes: of text that are parsed at a time; None: 4 MiB
        :raises DamagedFileError: a truncated file, a line with more or fewer values than the
            header, a cell that is no number
        """
        size = read_bytes or _READ
        n_samples = len(self.samples)
        # as many lines as `size` bytes hold if a number takes two and an id eight, overwritten by
        # each block
        values = np.empty((max(1, size // (2 * n_samples + 8)), n_samples))
        ids = np.empty(size, np.uint8)
        first = 0
        for text in self._whole_lines(size):
            unparsed = np.frombuffer(text, np.uint8)
            if len(ids) < len(unparsed):
                ids = np.empty(len(unparsed), np.uint8)
            while len(unparsed):
                n_lines, used, n_ids, wrong = parse(unparsed, self.id_columns, values, ids)
                if wrong:
                    line_start = len(text) - len(unparsed) + used
                    raise self._wrong(text, line_start, first + n_lines, wrong)
                yield GeneLines(ids[:n_ids].tobytes(), values[:n_lines], first)
                first += n_lines
                unparsed = unparsed[used:]

    def _whole_lines(self, size: int) -> Iterator[bytes]:
        """The text after the header, each time as many whole lines as `size` bytes hold, or one
        that is longer.

        :raises DamagedFileError: a truncated file
        """
        incomplete = b""  # the line that the last read broke off
        while True:
            try:
                read = self._file.read(size)
            except _UNREADABLE as e:
                raise self._damaged(e) from e
            text = incomplete + read
            if not read:
                if incomplete:
                    yield incomplete + b"\n"
                return
            end = text.rfind(b"\n") + 1
            incomplete = text[end:]
            if end:
                yield text[:end]

    def _wrong(self, text: bytes, start: int, line: int, column: int) -> DamagedFileError:
        """:param start: of the line in the text; line: its number in the file, from 0; column: from
        1"""
        end = text.find(b"\n", start)
        cells = text[start:end].decode(errors="replace").rstrip("\r").split("\t")
        gene = cells[0][:40]
        n = len(self.samples) + self.id_columns
        if len(cells) != n:
            return DamagedFileError(
                f"'{self.path}': gene {line + 1} ('{gene}') has {len(cells):,} cells where the"
                f" header has {n:,}; the file is damaged: delete it, so that it is downloaded again"
            )
        return DamagedFileError(
            f"'{self.path}': gene '{gene}', sample '{self.samples[column - 1]}':"
            f" {cells[self.id_columns + column - 1]!r} is no number; the file is damaged: delete"
            " it, so that it is downloaded again"
        )

    def _damaged(self, error: Exception) -> DamagedFileError:
        return DamagedFileError(
            f"'{self.path}' is truncated or damaged ({error}); delete it, so that it is downloaded"
            " again"
        )


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, igzip.open(path, "rb"))
    return path.open("rb")


@numba.njit(nogil=True, cache=True)
def parse(
    text: np.ndarray, id_columns: int, values: np.ndarray, ids: np.ndarray
) -> tuple[int, int, int, int]:
    """Parse the whole lines of `text` (as uint8) until `values` is full.

    Numbers are digits with an optional sign, point and exponent, or NA, NaN and nothing, which give
    NaN. Whole numbers below 2^53 are exact, others right to 1e-14.
    :returns: lines parsed, bytes used, bytes of ids, and the number (from 1) of a column that is
        wrong in the line after those, or 0
    """
    end, n = len(text), values.shape[1]
    while end > 0 and text[end - 1] != _NEWLINE:
        end -= 1
    at = line = n_ids = 0
    while at < end and line < values.shape[0]:
        start, id_start = at, n_ids
        for column in range(id_columns):
            while text[at] != _TAB and text[at] != _NEWLINE:
                if column == 0:
                    ids[n_ids] = text[at]
                    n_ids += 1
                at += 1
            if text[at] == _NEWLINE:
                return line, start, id_start, 1
            at += 1
        ids[n_ids] = _NEWLINE
        n_ids += 1
        for column in range(n):
            c = text[at]
            negative = c == _MINUS
            if negative:
                at += 1
                c = text[at]
            digits, scale, significant, n_digits, point = 0, 0, 0, 0, False
            while True:
                if _ZERO <= c <= _NINE:
                    n_digits += 1
                    if significant < 18:
                        digits = digits * 10 + (c - _ZERO)
                        scale -= point
                    else:
                        scale += not point
                    significant += digits > 0
                elif c == _POINT and not point:
                    point = True
                else:
                    break
                at += 1
                c = text[at]
            value = float(digits)
            if n_digits and (c == 101 or c == 69):  # e, E
                at += 1
                c = text[at]
                down = c == _MINUS
                if down or c == 43:
                    at += 1
                    c = text[at]
                power, some = 0, False
                while _ZERO <= c <= _NINE:
                    power = min(power * 10 + (c - _ZERO), 9999)
                    some = True
                    at += 1
                    c = text[at]
                if not some:
                    return line, start, id_start, column + 1
                scale += -power if down else power
            if not n_digits:
                # NA, NaN, nan or nothing
                word = at
                while text[at] != _TAB and text[at] != _NEWLINE and text[at] != _RETURN:
                    at += 1
                size = at - word
                missing = size == 0 or (
                    size <= 3
                    and (text[word] | 32) == 110
                    and (text[word + 1] | 32) == 97
                    and (size == 2 or (text[word + 2] | 32) == 110)
                    and size >= 2
                )
                if not missing or negative or point:
                    return line, start, id_start, column + 1
                value = np.nan
                c = text[at]
            else:
                while scale < -300 and value > 0:  # 10^309 is no float64
                    value /= 1e300
                    scale += 300
                value = value / 10.0**-scale if scale < 0 else value * 10.0 ** min(scale, 400)
            if c == _RETURN and text[at + 1] == _NEWLINE:
                at += 1
                c = _NEWLINE
            if c != (_NEWLINE if column == n - 1 else _TAB):
                return line, start, id_start, column + 1
            values[line, column] = -value if negative else value
            at += 1
        line += 1
    return line, at, n_ids, 0


def recount_header(file: BinaryIO) -> list[str]:
    """Cells of the header of a recount3 table, past its lines of comments.

    :raises OSError: no such header
    """
    line = file.readline()
    while line.startswith(b"##"):
        line = file.readline()
    if not line.startswith(b"gene_id\t"):
        raise _no_header(line)
    return _cells(line)


def gct_header(file: BinaryIO) -> tuple[list[str], tuple[int, int]]:
    """Cells of the header of a GCT 1.2 table, and the numbers of genes and samples that it states.

    :raises OSError: no such header
    """
    if not file.readline().startswith(b"#1."):
        raise _no_header(b"no #1.2 line")
    dimensions = file.readline().decode().split()
    line = file.readline()
    if not line.startswith(b"Name\tDescription\t") or len(dimensions) < 2:
        raise _no_header(line)
    return _cells(line), (int(dimensions[0]), int(dimensions[1]))


def _cells(line: bytes) -> list[str]:
    return line.decode().rstrip("\r\n").split("\t")


def _no_header(line: bytes) -> OSError:
    return OSError(f"no header of this format; it has {line[:60]!r}")


def gunzip_text(path: Path) -> str:
    """A small text file, gzip or plain.

    :raises DamagedFileError: it is truncated or damaged
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode()
    except _UNREADABLE as e:
        raise DamagedFileError(
            f"'{path}' is truncated or damaged ({e}); delete it, so that it is downloaded again"
        ) from e
