"""Tables of samples (or of genes): found, read without loss of ids, and matched to the ids of an
expression table."""

import csv
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from beyondlinear.runtime.errors import DataError, choices

# cells that hold no value; "None" is not among them: it can be a class ("treatment: None")
MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "NULL", "null")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".gct": "\t"}
_DELIMITER_NAMES = {",": "a comma", "\t": "a tab", ";": "a semicolon", " ": "a space"}


def find(path: str | Path, key: str, allowed: Sequence[str]) -> tuple[Path, str]:
    """The file and its extension (without .gz).

    :param key: the config key that named the file, for errors
    :raises DataError: it does not exist, is empty, or has an extension that is not allowed
    """
    path = Path(path).expanduser()
    suffixes = [s.lower() for s in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if zipped else suffixes)[-1:]
    if not kind or kind[0] not in allowed or (zipped and kind[0] not in DELIMITERS):
        shown = ", ".join(f"{s}[.gz]" if s in DELIMITERS else s for s in allowed)
        raise DataError(
            f"{key}: '{path}' must end in one of {shown}; rename the file or convert it"
        )
    if not path.is_file():
        beside = (
            [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
        )
        there = (
            f"In {path.parent.resolve()}: {choices(path.name, beside, limit=5)}"
            if beside
            else "Give the full path"
        )
        raise DataError(f"{key}: there is no file '{path}'. {there}")
    if path.stat().st_size == 0:
        raise DataError(f"{key}: '{path}' is empty (0 bytes); copy or download it again")
    return path, kind[0]


@contextmanager
def readable(path: Path, key: str) -> Iterator[None]:
    """Turn what readers raise on broken files into a DataError that names the file."""
    try:
        yield
    except UnicodeDecodeError as e:
        raise DataError(
            f"{key}: '{path}' is not UTF-8 text ({e.reason}); save it as UTF-8, or name gzip"
            " files .gz"
        ) from e
    except (EOFError, zlib.error) as e:
        raise DataError(
            f"{key}: '{path}' is a truncated or damaged gzip file ({e}); copy or download it again"
        ) from e
    except (
        OSError,
        pa.ArrowException,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        csv.Error,
    ) as e:
        raise DataError(
            f"{key}: '{path}' cannot be read: {e}. Check that the extension fits the content"
        ) from e


def read_metadata(path: str | Path, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table twice: with numbers as numbers, and every cell as its text ("" where missing).

    A text column becomes numbers only where each value is one and none has a leading zero ("001"
    stays "001").

    :raises DataError: no such file, unknown extension, unreadable content, one column only, no rows
    """
    path, kind = find(path, key, (".csv", ".tsv", ".txt", ".parquet"))
    with readable(path, key):
        if kind == ".parquet":
            table = pd.read_parquet(path)
            if not isinstance(table.index, pd.RangeIndex):
                table = table.reset_index()
            table = plain(table)
            text = table.astype(object).where(table.notna(), "").astype(str)
        else:
            sep = DELIMITERS[kind]
            text = pd.read_csv(
                path, sep=sep, dtype=str, keep_default_na=False, encoding="utf-8-sig"
            )
            if isinstance(text.index, pd.MultiIndex):
                raise DataError(
                    f"{key}: rows of '{path}' have more cells than its header; fix the header or"
                    " its quotes"
                )
            if not isinstance(
                text.index, pd.RangeIndex
            ):  # R's write.table names no column of row names
                text = text.rename_axis("Unnamed: 0").reset_index()
            if text.shape[1] == 1 and any(d in text.columns[0] for d in _DELIMITER_NAMES):
                raise one_column(path, key, sep, text.columns[0])
            text = text.mask(text.isin(MISSING), "")
            table = text.apply(_as_numbers)
    table.columns = text.columns = text.columns.astype(str)
    if table.empty:
        raise DataError(f"{key}: '{path}' has a header and no rows; it needs one row per sample")
    return table, text


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """Categories as their values, so that a column is the same whatever file it came from."""
    categorical = [c for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)]
    return table.assign(**{c: table[c].astype(object).infer_objects() for c in categorical})


def _as_numbers(text: pd.Series) -> pd.Series:
    values = text[text != ""]
    if len(values) and values.str.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d*)?([eE][+-]?\d+)?").all():
        return pd.to_numeric(text.mask(text == ""))
    return text.astype(object).mask(text == "", np.nan)


def one_column(path: Path, key: str, sep: str, header: str) -> DataError:
    seen = [name for d, name in _DELIMITER_NAMES.items() if d != sep and d in header]
    found = f"its header has {' and '.join(seen)}, " if seen else ""
    return DataError(
        f"{key}: '{path}' has one column only when split at {_DELIMITER_NAMES[sep]}: {found}and"
        f" begins {header[:60]!r}. .csv is split at commas, .tsv, .txt and .gct at tabs; rename or"
        " convert the file"
    )


@dataclass(frozen=True)
class Match:
    """Which axis of an expression table holds samples.

    positions: (ids on that axis,) row of the metadata for each id, the first where it occurs; -1
    where it does not.
    """

    axis: str
    id_column: str
    positions: np.ndarray

    @property
    def n_matched(self) -> int:
        return int((self.positions >= 0).sum())


def match(
    path: Path, axes: dict[str, np.ndarray], text: pd.DataFrame, id_column: str | None
) -> Match:
    """Find the axis and the metadata column whose ids are the same.

    :param axes: ids of the table by axis, e.g. {"rows": (n_rows,), "columns": (n_columns,)} str
    :param text: metadata as text; id_column: the only column to look at, or None for all
    :raises DataError: no id matches, ids of both axes match, or two columns match equally well with
        different results
    """
    if id_column is not None and id_column not in text.columns:
        raise DataError(
            f"dataset.id_column: '{id_column}' is no column of the metadata."
            f" {choices(id_column, text.columns)}"
        )
    names = list(text.columns) if id_column is None else [id_column]
    found = [
        m
        for axis, ids in axes.items()
        for name in names
        if (m := _match_one(axis, name, ids, text[name])).n_matched
    ]
    if not found:
        raise DataError(
            f"dataset.expression: no id of '{path}' occurs in {_columns(names)} of the metadata.\n"
            f"{_examples(axes, text, names)}{_hint(axes, text, names)}\n"
            "Make the ids equal in both files, or name the metadata column with dataset.id_column=…"
        )
    by_axis = [
        max(ms, key=lambda m: m.n_matched)
        for axis in axes
        if (ms := [m for m in found if m.axis == axis])
    ]
    if len(by_axis) > 1:
        clash = ", ".join(f"{m.n_matched:,} {m.axis} in '{m.id_column}'" for m in by_axis)
        remedy = (
            "Name the column of sample ids with dataset.id_column=…"
            if id_column is None
            else (
                "Rename the samples in both files, e.g. with a prefix, so that no gene has the name"
                " of a sample"
            )
        )
        raise DataError(
            f"dataset.expression: rows and columns of '{path}' both match the metadata ({clash}),"
            " so it is not known which are"
            f" samples.\n{_examples(axes, text, [m.id_column for m in by_axis])}\n{remedy}"
        )
    best = max(found, key=lambda m: m.n_matched)
    rivals = [
        m
        for m in found
        if m.n_matched == best.n_matched and not np.array_equal(m.positions, best.positions)
    ]
    if rivals:
        equal = [best.id_column, *(m.id_column for m in rivals)]
        raise DataError(
            f"dataset.expression: {_columns(equal)} of the metadata match {best.n_matched:,}"
            f" {best.axis} of '{path}' each, with different"
            f" results.\n{_examples(axes, text, equal)}\nName the right one with"
            " dataset.id_column=…"
        )
    return best


def _match_one(axis: str, name: str, ids: np.ndarray, cells: pd.Series) -> Match:
    rows = {cell: i for i, cell in reversed(list(enumerate(cells))) if cell != ""}
    return Match(axis, name, np.fromiter((rows.get(i, -1) for i in ids), np.int64, len(ids)))


def _columns(names: Sequence[str]) -> str:
    return (
        f"column '{names[0]}'" if len(names) == 1 else f"columns {', '.join(map(repr, names[:8]))}"
    )


def _examples(axes: dict[str, np.ndarray], text: pd.DataFrame, names: Sequence[str]) -> str:
    lines = [f"{axis}: {', '.join(map(repr, ids[:3]))}, …" for axis, ids in axes.items()]
    lines += [
        f"metadata '{n}': {', '.join(map(repr, text[n].iloc[:3]))}, …"
        for n in dict.fromkeys(names[:8])
    ]
    return "\n".join(f"  {line}" for line in lines)


def without_version(gene: str) -> str:
    """ENSG00000182378.13 → ENSG00000182378; a PAR_Y copy stays apart: ENSG….13_PAR_Y →
    ENSG…_PAR_Y."""
    return re.sub(r"^(ENS[A-Z]*\d+)\.\d+", r"\1", gene)


def make_names(name: str) -> str:
    """What R's make.names makes of a column name: TCGA-A7 → TCGA.A7, 9a → X9a."""
    dotted = re.sub(r"[^\w.]", ".", name)
    return dotted if re.match(r"[^\W\d_]|\.(?!\d)", dotted) else f"X{dotted}"


_NEAR_MISSES: dict[str, Callable[[str], str]] = {
    "without spaces around them": str.strip,
    "without regard to upper and lower case": str.casefold,
    "after R's make.names, which turns '-' and spaces into '.' and puts X before a digit": (
        make_names
    ),
    "without version numbers (.1, .2, …)": lambda name: re.sub(r"\.\d+$", "", name),
}


def _hint(axes: dict[str, np.ndarray], text: pd.DataFrame, names: Sequence[str]) -> str:
    for how, change in _NEAR_MISSES.items():
        for axis, ids in axes.items():
            changed = {change(i) for i in ids}
            for name in names:
                n = len(changed & {change(cell) for cell in text[name].unique() if cell != ""})
                if n:
                    return f"\nHint: {n:,} {axis} would match '{name}' {how}."
    return ""
