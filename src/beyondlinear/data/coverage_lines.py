"""Lines of whole numbers whose gene ids are known: coverage a base straight from text, several times as fast as any number.

Digits are taken eight at a time, as one 64-bit word. A line that is anything else is left to `gene_lines.parse`.
"""

import numba
import numpy as np

BEFORE = 16  # bytes that must stand before the text, since the digits of a number are looked at from its end
_TAB, _NEWLINE, _ZERO = 9, 10, 48
_U = np.uint64
_LOWEST = _U(0x0101010101010101)
_HIGHEST = _U(0x8080808080808080)
_NO_DIGIT = _U(0x7676767676767676)  # added to a byte that is no digit, it sets the highest bit


class KnownIds:
    """Gene ids in the order in which most files have them."""

    def __init__(self, text: bytes) -> None:
        """:param text: ids, each ended by a newline"""
        self.text = text
        self._bytes = np.frombuffer(text, np.uint8)
        self._starts = np.concatenate([[0], np.flatnonzero(self._bytes == _NEWLINE) + 1])

    def same(self, ids: bytes, first: int) -> bool:
        """Whether `ids` are those from number `first` on."""
        if first >= len(self._starts):
            return False
        start = self._starts[first]
        return self.text[start : start + len(ids)] == ids

    def coverage(
        self,
        text: bytes,
        first: int,
        n_samples: int,
        columns: np.ndarray,
        targets: np.ndarray,
        lengths: np.ndarray,
        out: np.ndarray,
        totals: np.ndarray,
        zeros: np.ndarray,
    ) -> tuple[int, int]:
        """Parse whole lines until one that is not as expected.

        :param text: whole lines behind BEFORE other bytes; the first is number `first` of the file
        :param columns: (n_wanted,) which of the `n_samples` values
        :param targets: (n_lines,) where in `out` a gene goes, -1: nowhere
        :param lengths: (n_lines,) bases
        :param out: (n_wanted, …) float32, coverage a base
        :param totals, zeros: (n_wanted,) sums of the coverage a base, numbers of genes without coverage; added to
        :returns: lines parsed, and where in `text` the first other line begins
        """
        raw = np.frombuffer(text, np.uint8)
        words = np.ndarray((len(text) - 7,), np.uint64, text, strides=(1,))  # the eight bytes from any place on
        ids = self._bytes, self._starts
        return _coverage(raw, words, first, n_samples, *ids, columns, targets, lengths, out, totals, zeros)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _coverage(  # type: ignore[no-untyped-def]
    text, words, first, n, ids, starts, columns, targets, lengths, out, totals, zeros
) -> tuple[int, int]:
    ends, values, wanted = np.empty(n, np.int64), np.empty(n), np.empty(len(columns))
    at, end, line = BEFORE, len(text), 0
    while at < end and line < len(targets):
        id_start = starts[first + line]
        size = starts[first + line + 1] - id_start
        cell = at + size
        if cell >= end or text[cell - 1] != _TAB:
            break
        differ = np.uint8(0)
        for i in range(size - 1):
            differ |= text[at + i] ^ ids[id_start + i]
        stop = _ends(text, words, cell, end, ends)
        if differ or stop < 0 or not _whole_numbers(words, cell, ends, values):
            break
        target, length = targets[line], lengths[line]
        for j in range(len(columns)):
            wanted[j] = values[columns[j]]
        for j in range(len(columns)):
            zeros[j] += wanted[j] == 0
        if target >= 0:
            for j in range(len(columns)):
                wanted[j] /= length
                totals[j] += wanted[j]
            for j in range(len(columns)):
                out[j, target] = wanted[j]
        at = stop
        line += 1
    return line, at


@numba.njit(nogil=True, cache=True)
def _ends(text, words, at, end, ends):  # type: ignore[no-untyped-def]
    """Fill in where the cells of a line end; returns where the next line begins, -1 if there are more or fewer cells."""
    n, other = np.int64(0), False
    while n + 8 <= len(ends) and at + 8 <= end:
        # the highest bit of each byte that is less than "0"; three in eight bytes are rarely exceeded
        less = ~(words[at] + _U(0x5050505050505050)) & _HIGHEST
        found = np.int64(((less >> _U(7)) * _LOWEST) >> _U(56))
        for i in range(3):
            ends[n + i] = at + _first_byte(less)
            less &= less - _U(1)
        for i in range(3, found):
            ends[n + i] = at + _first_byte(less)
            less &= less - _U(1)
        n += found
        at += 8
    while n < len(ends) and at < end:
        ends[n] = at
        n += text[at] < _ZERO
        at += 1
    if n < len(ends) or text[at - 1] != _NEWLINE:
        return -1
    for i in range(n - 1):
        other |= text[ends[i]] != _TAB
    return -1 if other else at


@numba.njit(nogil=True, cache=True)
def _first_byte(flags):  # type: ignore[no-untyped-def]
    """Number of the first of eight bytes whose highest bit is set."""
    below = (flags & (~flags + _U(1))) - _U(1)
    return np.int64(((below & _LOWEST) * _LOWEST) >> _U(56)) - 1


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _whole_numbers(words, start, ends, values) -> bool:  # type: ignore[no-untyped-def]
    """Cells of one to 16 digits; False if any is something else."""
    wrong, shortest, longest, first = _U(0), 8, 0, start
    for i in range(len(ends)):
        stop = ends[i]
        size = stop - start
        shortest, longest = min(size, shortest), max(size, longest)
        digits = _digits(words[stop - 8], min(size, 8))
        wrong |= digits + _NO_DIGIT | digits
        values[i] = np.int64(_value(digits))
        start = stop + 1
    if shortest < 1 or longest > 16:
        return False
    if longest > 8:
        start = first
        for i in range(len(ends)):
            size = ends[i] - start
            if size > 8:
                digits = _digits(words[ends[i] - 16], size - 8)
                wrong |= digits + _NO_DIGIT | digits
                values[i] += 1e8 * np.int64(_value(digits))
            start = ends[i] + 1
    return wrong & _HIGHEST == 0


@numba.njit(nogil=True, cache=True)
def _digits(word, size):  # type: ignore[no-untyped-def]
    """The last `size` of eight characters as numbers, a byte each, behind zeros."""
    aside = _U(64 - 8 * size) & _U(63)
    return (word ^ _U(0x3030303030303030)) >> aside << aside


@numba.njit(nogil=True, cache=True)
def _value(digits):  # type: ignore[no-untyped-def]
    """Eight digits, the first in the lowest byte: pairs, then fours, then the number."""
    pairs = digits * _U(10) + (digits >> _U(8))
    low, high = pairs & _U(0x000000FF000000FF), (pairs >> _U(16)) & _U(0x000000FF000000FF)
    return (low * _U(100 + (1_000_000 << 32)) + high * _U(1 + (10_000 << 32))) >> _U(32)
