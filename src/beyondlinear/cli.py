"""The `beyondlinear` command: thin verbs, each at home in its own room."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beyondlinear.runtime.errors import UserError, exit_code_of

if TYPE_CHECKING:
    from rich.console import Console

Verb = Callable[[argparse.Namespace], None]
TABLE_FILES = ".csv, .csv.gz or .parquet"


def run(words: Sequence[str]) -> None:
    """Make fits, from any folder; the arguments are those of `python train.py` (`beyondlinear run
    --help`)."""
    from beyondlinear.experiment.command_line import run_from_words

    run_from_words(words)


def test(words: Sequence[str]) -> None:
    """Make the residual-prediction test of a config and no fit (KEY=VALUE …, as for run), or print
    the tests found in run or sweep directories (DIR …)."""
    if words and all(_is_directory(word) for word in words):
        from beyondlinear.evaluation.residual_test.run import gather, print_verdicts

        print_verdicts(gather(words), _console())
    else:
        from beyondlinear.experiment.command_line import test_from_words

        test_from_words(words)


def _is_directory(word: str) -> bool:
    """Whether a word of `beyondlinear test` is one, or was meant to be."""
    return Path(word).is_dir() or not ("=" in word or word.startswith("-"))


# verbs whose words are Hydra's
OF_HYDRA = {"run": run, "test": test}


def results(arguments: argparse.Namespace) -> None:
    """Gather the fits of run or sweep directories into one tidy table."""
    from beyondlinear.records import table as tables

    table = tables.gather(arguments.directories, arguments.store)
    if arguments.csv:
        tables.write(table, arguments.csv)
    console = _console()
    tables.print_cells(table, console)
    if not arguments.means:
        tables.print_fits(table, console)
    _say(console, tables.conclusion(table))
    absent = table.attrs["absent"]
    if absent:
        _say(
            console,
            f"{len(absent):,} planned runs have no fits yet and are not in this table, e.g."
            f" {absent[0]}; `beyondlinear status` says why",
        )
    _say(console, f"Records: {', '.join(table.attrs['stores'])}")
    if arguments.csv:
        _say(console, f"{len(table):,} fits written to {arguments.csv}")


def status(arguments: argparse.Namespace) -> None:
    """How every run and fit stands, why what failed did, and what makes it again. Exit code 0: all
    finished; 1: something is to be made again; 3: still under way."""
    from beyondlinear.experiment.sweeps.status_table import show

    watch = arguments.every if arguments.watch else None
    sys.exit(show(arguments.directories, _console(), watch))


def pack(arguments: argparse.Namespace) -> None:
    """Move the records of finished runs into one file a run: two files a fit are too many for a
    large grid."""
    from beyondlinear.records.gather import pack

    for directory, fits, files in pack(arguments.directories):
        print(f"{directory}: {fits:,} records moved into {files:,} packs")


def paper(arguments: argparse.Namespace) -> None:
    """Run every experiment of the paper, one after another; the same command continues."""
    from beyondlinear.experiment.sweeps.paper import paper

    # argparse gives all words after --only to it
    after_only = arguments.only or []
    names = [word for word in after_only if "=" not in word]
    overrides = [*arguments.overrides, *(word for word in after_only if "=" in word)]
    sys.exit(paper(names, overrides, arguments.pilot))


def excess(arguments: argparse.Namespace) -> None:
    """What each model reaches beyond labels that are linear by construction
    (control=linear_labels), with an interval."""
    from beyondlinear.evaluation.excess import excess, print_excess, reading
    from beyondlinear.records import table as tables
    from beyondlinear.tasks.controls import NO_CONTRAST

    beyond = excess(tables.gather(arguments.directories, arguments.store))
    if arguments.csv:
        tables.write(beyond, arguments.csv)
    console = _console()
    print_excess(beyond, console)
    _say(console, reading(beyond, NO_CONTRAST))


def report(arguments: argparse.Namespace) -> None:
    """Figures (PNG, SVG, PDF), tables (CSV) and one page, index.html, from run or sweep
    directories, with the verdict."""
    from beyondlinear.report.write import write_report

    for verdict in write_report(arguments.directories, arguments.out, arguments.store):
        for sentence in verdict.sentences:
            print(
                f"{sentence.text} [{', '.join(sentence.rows)}]" if sentence.rows else sentence.text
            )


def erase(arguments: argparse.Namespace) -> None:
    """Put new samples through the frozen eraser of a fit (signal_removal=leace, projection or
    quadratic)."""
    from beyondlinear.report.predict import erase

    erased = erase(arguments.record, arguments.expression, arguments.out)
    print(
        f"{erased.n_obs:,} samples × {erased.n_vars:,} genes, erased as in {arguments.record}:"
        f" {arguments.out}"
    )


def predict(arguments: argparse.Namespace) -> None:
    """Score new samples with the stored model of a fit, or the mean of a run's folds
    (results.keep_model=true)."""
    from beyondlinear.report.predict import predict_samples

    table = predict_samples(arguments.fit, arguments.expression, arguments.out)
    counts = ", ".join(f"{c} {n:,}" for c, n in table.predicted.value_counts().items())
    print(
        f"{len(table):,} samples scored by {table.models.max()} models ({counts}): {arguments.out}"
    )


def attribute(arguments: argparse.Namespace) -> None:
    """Which genes a stored model uses: coefficients in the genes' own units, or integrated
    gradients of a network."""
    from beyondlinear.report.predict import attribute

    table = attribute(arguments.fit, arguments.expression, arguments.out)
    first = ", ".join(dict.fromkeys(table.gene.head(20)))
    print(
        f"{table.gene.nunique():,} genes, the most important first ({first}): {arguments.out}, and"
        " a figure beside it"
    )


def prepare(arguments: argparse.Namespace) -> None:
    """Download and prepare a data set without training; the same command continues where it was
    stopped."""
    from beyondlinear.experiment.prepare_data import prepare

    only_check = arguments.check
    print(prepare(arguments.dataset, arguments.overrides, only_check, arguments.config_dir))


def audit(arguments: argparse.Namespace) -> None:
    """Look for leaks in finished fits: which rows each part held and each fitted step saw. Exit
    code 1: a leak; 2: something could not be audited."""
    from beyondlinear.evaluation.audit.checks import clean_line, summarise
    from beyondlinear.evaluation.audit.stored_fits import audit_paths

    try:
        found = audit_paths(arguments.paths, arguments.store)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    for line in summarise([findings for _, findings in found]):
        print(line)
    checked = [
        findings for _, findings in found if not any(f.check == "not audited" for f in findings)
    ]
    if any(f.severity == "leak" for findings in checked for f in findings):
        sys.exit(1)
    print(clean_line(len(checked)) if checked else "audit: no fit could be audited")
    done = sum(record.get("status") not in ("skipped", "failed", "missing") for record, _ in found)
    if not checked or len(checked) < done:
        sys.exit(2)


def main() -> None:
    verb, words = (sys.argv[1:2], sys.argv[2:])
    try:
        if verb and verb[0] in OF_HYDRA:
            OF_HYDRA[verb[0]](words)
        else:
            arguments = _parse()
            arguments.run(arguments)
    except KeyboardInterrupt as e:
        print(
            f"{str(e) or 'interrupted'}; what is finished stays, and the same command continues",
            file=sys.stderr,
        )
        sys.exit(exit_code_of(e))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _parse() -> argparse.Namespace:
    """The words after `beyondlinear`; `run` holds the function of the verb."""
    parser = argparse.ArgumentParser(
        prog="beyondlinear", description="Make fits, and look at what they gave."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, of_hydra in OF_HYDRA.items():  # for the list of verbs; main() calls them itself
        verbs.add_parser(name, help=of_hydra.__doc__)

    def add(name: str, verb: Verb) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=verb.__doc__, description=verb.__doc__)
        added.set_defaults(run=verb)
        return added

    one = add("results", results)
    _add_directories(one, "run or sweep directories, or a store of records")
    one.add_argument("--csv", metavar="FILE", help=f"write one row a fit; {TABLE_FILES}")
    one.add_argument("--means", action="store_true", help="print the means per cell only")
    _add_store(one)

    one = add("status", status)
    _add_directories(one, "sweep or run directories (multirun/…, outputs/runs/…)")
    one.add_argument("--watch", action="store_true", help="look again until nothing is under way")
    one.add_argument(
        "--every", type=float, default=10.0, metavar="SECONDS", help="between two looks (10)"
    )

    one = add("pack", pack)
    _add_directories(one, "run or sweep directories")

    one = add("paper", paper)
    _add_overrides(one, "for every experiment: hydra/launcher=slurm seed=0 …")
    one.add_argument(
        "--pilot",
        action="store_true",
        help="stand-in data, one seed, two fractions, few epochs: minutes",
    )
    one.add_argument(
        "--only", nargs="+", metavar="EXPERIMENT", help="some of them: fig2a … fig4, s1 … s4"
    )

    one = add("excess", excess)
    _add_directories(one, "run or sweep directories, or a store of records")
    one.add_argument("--csv", metavar="FILE", help=f"write one row a cell; {TABLE_FILES}")
    _add_store(one)

    one = add("report", report)
    _add_directories(one, "run or sweep directories, or a store of records")
    one.add_argument(
        "-o", "--out", metavar="DIR", default="report", help="where to write it (default: report)"
    )
    _add_store(one)

    one = add("erase", erase)
    one.add_argument("record", metavar="RECORD", help="the record of a fit (.json)")
    one.add_argument(
        "expression",
        metavar="EXPRESSION",
        help="new samples, in the same units: .h5ad, .parquet, .csv …",
    )
    one.add_argument("--out", metavar="FILE.h5ad", required=True, help="where to write them")

    one = add("predict", predict)
    _add_fit(one)
    one.add_argument(
        "expression", metavar="DATA", help="new samples, in the same units: .h5ad, .parquet, .csv …"
    )
    one.add_argument(
        "--out", metavar="FILE.csv", default="predictions.csv", help="default: predictions.csv"
    )

    one = add("attribute", attribute)
    _add_fit(one)
    one.add_argument(
        "expression", metavar="DATA", nargs="?", help="samples to explain; networks need them"
    )
    one.add_argument(
        "--out", metavar="FILE.csv", default="attributions.csv", help="default: attributions.csv"
    )

    one = add("prepare", prepare)
    one.add_argument("dataset", metavar="DATASET", help="recount3 or gtex")
    _add_overrides(one, "as for train.py: task=sex dataset.mirror=…")
    one.add_argument(
        "--check", action="store_true", help="read the store and compare it with its content hash"
    )
    one.add_argument(
        "--config-dir", metavar="DIR", help="a folder of your own configs, as for train.py"
    )

    one = add("audit", audit)
    one.add_argument(
        "paths",
        nargs="+",
        metavar="DIR|RECORD",
        help="run or sweep directories, a store, or a record (.json)",
    )
    _add_store(one)

    arguments, rest = parser.parse_known_args()
    takes_overrides = hasattr(arguments, "overrides")
    if rest and takes_overrides and not any(word.startswith("-") for word in rest):
        # argparse ends a list at the first option: prepare recount3 --check KEY=VALUE
        arguments.overrides += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


def _add_directories(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("directories", nargs="+", metavar="DIR", help=text)


def _add_overrides(verb: argparse.ArgumentParser, text: str) -> None:
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=text)


def _add_store(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--store", metavar="DIR", help="where the records are now, if they were moved"
    )


def _add_fit(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "fit",
        metavar="FIT|RUN",
        help="the record of a fit (.json), or a run directory: the mean of its folds",
    )


def _console() -> "Console":
    """A file or a pipe gets lines of 200 columns: a narrow table would fold its cells."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


def _say(console: "Console", text: str) -> None:
    """A line as it is, without colours."""
    console.print(text, highlight=False, markup=False)


if __name__ == "__main__":
    main()
