"""The `beyondlinear` command: thin verbs, each at home in its own room."""

import argparse
import os
import sys

from beyondlinear.errors import UserError, exit_code_of


def results(arguments: argparse.Namespace) -> None:
    """Gather the fits of run or sweep directories into one tidy table."""
    from rich.console import Console

    from beyondlinear import tables

    table = tables.gather(arguments.directories, arguments.store)
    if arguments.csv:
        tables.write(table, arguments.csv)
    console = Console(width=None if sys.stdout.isatty() else 200)
    tables.print_cells(table, console)
    if not arguments.means:
        tables.print_fits(table, console)
    console.print(tables.conclusion(table), highlight=False, markup=False)
    if absent := table.attrs["absent"]:
        text = f"{len(absent):,} planned runs have no fits yet and are not in this table, e.g. {absent[0]}"
        console.print(f"{text}; `beyondlinear status` says why", highlight=False, markup=False)
    console.print(f"Records: {', '.join(table.attrs['stores'])}", highlight=False, markup=False)
    if arguments.csv:
        console.print(f"{len(table):,} fits written to {arguments.csv}", highlight=False, markup=False)


def status(arguments: argparse.Namespace) -> None:
    """How every run and fit stands, why what failed did, and what makes it again. Exit code 0: all finished; 1: something is to
    be made again; 3: still under way."""
    from rich.console import Console

    from beyondlinear.sweeps.status import show

    console = Console(width=None if sys.stdout.isatty() else 200)
    sys.exit(show(arguments.directories, console, arguments.every if arguments.watch else None))


def pack(arguments: argparse.Namespace) -> None:
    """Move the records of finished runs into one file a run: two files a fit are too many for a large grid. A run of fifty fits
    or more does so by itself when it ends (results.pack_from)."""
    from beyondlinear.gathering import pack

    for directory, fits, files in pack(arguments.directories):
        print(f"{directory}: {fits:,} records moved into {files:,} packs")


def paper(arguments: argparse.Namespace) -> None:
    """Run every experiment of the paper, one after another; the same command continues."""
    from beyondlinear.sweeps.paper import paper

    # argparse gives all words after --only to it
    names = [word for word in arguments.only or [] if "=" not in word]
    overrides = [*arguments.overrides, *(word for word in arguments.only or [] if "=" in word)]
    sys.exit(paper(names, overrides, arguments.pilot))


def excess(arguments: argparse.Namespace) -> None:
    """What each model reaches beyond labels that are linear by construction (control=linear_labels), with an interval."""
    from rich.console import Console

    from beyondlinear import tables
    from beyondlinear.controls import NO_CONTRAST
    from beyondlinear.excess import excess, print_excess, reading

    found = excess(tables.gather(arguments.directories, arguments.store))
    if arguments.csv:
        tables.write(found, arguments.csv)
    console = Console(width=None if sys.stdout.isatty() else 200)
    print_excess(found, console)
    console.print(reading(found, NO_CONTRAST), highlight=False, markup=False)


def test(arguments: argparse.Namespace) -> None:
    """Gather the residual-prediction tests that `train.py experiment=residual_test` made, in run or sweep directories."""
    from rich.console import Console

    from beyondlinear.residual_test.run import gather, print_verdicts

    print_verdicts(gather(arguments.directories), Console(width=None if sys.stdout.isatty() else 200))


def report(arguments: argparse.Namespace) -> None:
    """Figures (PNG, SVG, PDF), tables (CSV) and one page, index.html, from run or sweep directories, with the verdict."""
    from beyondlinear.report.write import write_report

    for verdict in write_report(arguments.directories, arguments.out, arguments.store):
        for sentence in verdict.sentences:
            print(f"{sentence.text} [{', '.join(sentence.rows)}]" if sentence.rows else sentence.text)


def erase(arguments: argparse.Namespace) -> None:
    """Put new samples through the frozen eraser of a fit (signal_removal=train, train_projection or quadratic)."""
    from beyondlinear.removal.frozen import erase

    erased = erase(arguments.record, arguments.expression, arguments.out)
    print(f"{erased.n_obs:,} samples × {erased.n_vars:,} genes, erased as in {arguments.record}: {arguments.out}")


def predict(arguments: argparse.Namespace) -> None:
    """Score new samples with the stored model of a fit, or the mean of a run's folds (results.keep_model=true)."""
    from beyondlinear.predict import predict_samples

    table = predict_samples(arguments.fit, arguments.expression, arguments.out)
    counts = ", ".join(f"{c} {n:,}" for c, n in table.predicted.value_counts().items())
    print(f"{len(table):,} samples scored by {table.models.max()} models ({counts}): {arguments.out}")


def attribute(arguments: argparse.Namespace) -> None:
    """Which genes a stored model uses: coefficients in the genes' own units, or integrated gradients of a network."""
    from beyondlinear.predict import attribute

    table = attribute(arguments.fit, arguments.expression, arguments.out)
    first = ", ".join(dict.fromkeys(table.gene.head(20)))
    print(
        f"{table.gene.nunique():,} genes, the most important first ({first}): {arguments.out}, and a figure beside it"
    )


def prepare(arguments: argparse.Namespace) -> None:
    """Download and prepare a data set without training; the same command continues where it was stopped."""
    from beyondlinear.data.preparation import prepare

    print(prepare(arguments.dataset, arguments.overrides, arguments.check))


def neptune_export(arguments: argparse.Namespace) -> None:
    """Make the tidy table of what logger=neptune left offline in run or sweep directories; needs neither client nor server."""
    from beyondlinear import tables
    from beyondlinear.trackers import neptune_offline

    fits = neptune_offline.read(arguments.directories)
    if arguments.losses:
        losses = neptune_offline.losses_table(fits)
        tables.write(losses, arguments.losses)
        print(f"{len(losses):,} epochs written to {arguments.losses}")
    table = neptune_offline.fits_table(fits)
    tables.write(table, arguments.csv)
    unfinished = sum(fit.record is None for fit in fits)
    print(f"{len(table):,} fits written to {arguments.csv}" + (f"; {unfinished} did not end" if unfinished else ""))


def audit(arguments: argparse.Namespace) -> None:
    """Look for leaks in finished fits: which rows each part held and each fitted step saw. Exit code 1: a leak; 2: something
    could not be audited."""
    from beyondlinear.audit import clean_line, summarise
    from beyondlinear.audit_store import audit_paths

    try:
        found = audit_paths(arguments.paths, arguments.store)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    for line in summarise([findings for _, findings in found]):
        print(line)
    checked = [findings for _, findings in found if not any(f.check == "not audited" for f in findings)]
    if any(f.severity == "leak" for findings in checked for f in findings):
        sys.exit(1)
    print(clean_line(len(checked)) if checked else "audit: no fit could be audited")
    done = sum(record.get("status") not in ("skipped", "failed", "missing") for record, _ in found)
    if not checked or len(checked) < done:
        sys.exit(2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="beyondlinear", description="Look at what `python train.py` computed.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("results", help=results.__doc__, description=results.__doc__)
    verb.add_argument("directories", nargs="+", metavar="DIR", help="run or sweep directories, or a store of records")
    verb.add_argument("--csv", metavar="FILE", help="write one row a fit; .csv, .csv.gz or .parquet")
    verb.add_argument("--means", action="store_true", help="print the means per cell only")
    verb.add_argument("--store", metavar="DIR", help="where the records are now, if they were moved")
    verb.set_defaults(run=results)
    verb = verbs.add_parser("status", help=status.__doc__, description=status.__doc__)
    verb.add_argument(
        "directories", nargs="+", metavar="DIR", help="sweep or run directories (multirun/…, outputs/runs/…)"
    )
    verb.add_argument("--watch", action="store_true", help="look again until nothing is under way")
    verb.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two looks (10)")
    verb.set_defaults(run=status)
    verb = verbs.add_parser("pack", help=pack.__doc__, description=pack.__doc__)
    verb.add_argument("directories", nargs="+", metavar="DIR", help="run or sweep directories")
    verb.set_defaults(run=pack)
    verb = verbs.add_parser("paper", help=paper.__doc__, description=paper.__doc__)
    verb.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="for every experiment: hydra/launcher=slurm seed=0 …"
    )
    verb.add_argument(
        "--pilot", action="store_true", help="stand-in data, one seed, two fractions, few epochs: minutes"
    )
    verb.add_argument("--only", nargs="+", metavar="EXPERIMENT", help="some of them: fig2a … fig4, s1 … s4")
    verb.set_defaults(run=paper)
    verb = verbs.add_parser("excess", help=excess.__doc__, description=excess.__doc__)
    verb.add_argument("directories", nargs="+", metavar="DIR", help="run or sweep directories, or a store of records")
    verb.add_argument("--csv", metavar="FILE", help="write one row a cell; .csv, .csv.gz or .parquet")
    verb.add_argument("--store", metavar="DIR", help="where the records are now, if they were moved")
    verb.set_defaults(run=excess)
    verb = verbs.add_parser("test", help=test.__doc__, description=test.__doc__)
    verb.add_argument("directories", nargs="+", metavar="DIR", help="run or sweep directories")
    verb.set_defaults(run=test)
    verb = verbs.add_parser("report", help=report.__doc__, description=report.__doc__)
    verb.add_argument("directories", nargs="+", metavar="DIR", help="run or sweep directories, or a store of records")
    verb.add_argument("-o", "--out", metavar="DIR", default="report", help="where to write it (default: report)")
    verb.add_argument("--store", metavar="DIR", help="where the records are now, if they were moved")
    verb.set_defaults(run=report)
    verb = verbs.add_parser("erase", help=erase.__doc__, description=erase.__doc__)
    verb.add_argument("record", metavar="RECORD", help="the record of a fit (.json)")
    verb.add_argument(
        "expression", metavar="EXPRESSION", help="new samples, in the same units: .h5ad, .parquet, .csv …"
    )
    verb.add_argument("--out", metavar="FILE.h5ad", required=True, help="where to write them")
    verb.set_defaults(run=erase)
    verb = verbs.add_parser("predict", help=predict.__doc__, description=predict.__doc__)
    verb.add_argument(
        "fit", metavar="FIT|RUN", help="the record of a fit (.json), or a run directory: the mean of its folds"
    )
    verb.add_argument("expression", metavar="DATA", help="new samples, in the same units: .h5ad, .parquet, .csv …")
    verb.add_argument("--out", metavar="FILE.csv", default="predictions.csv", help="default: predictions.csv")
    verb.set_defaults(run=predict)
    verb = verbs.add_parser("attribute", help=attribute.__doc__, description=attribute.__doc__)
    verb.add_argument(
        "fit", metavar="FIT|RUN", help="the record of a fit (.json), or a run directory: the mean of its folds"
    )
    verb.add_argument("expression", metavar="DATA", nargs="?", help="samples to explain; networks need them")
    verb.add_argument("--out", metavar="FILE.csv", default="attributions.csv", help="default: attributions.csv")
    verb.set_defaults(run=attribute)
    verb = verbs.add_parser("prepare", help=prepare.__doc__, description=prepare.__doc__)
    verb.add_argument("dataset", metavar="DATASET", help="recount3 or gtex")
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py: task=sex dataset.mirror=…")
    verb.add_argument("--check", action="store_true", help="read the store and compare it with its content hash")
    verb.set_defaults(run=prepare)
    verb = verbs.add_parser("neptune-export", help=neptune_export.__doc__, description=neptune_export.__doc__)
    verb.add_argument("directories", nargs="+", metavar="DIR", help="run or sweep directories")
    verb.add_argument("--csv", metavar="FILE", required=True, help="one row a fit; .csv, .csv.gz or .parquet")
    verb.add_argument("--losses", metavar="FILE", help="one row an epoch; .csv, .csv.gz or .parquet")
    verb.set_defaults(run=neptune_export)
    verb = verbs.add_parser("audit", help=audit.__doc__, description=audit.__doc__)
    verb.add_argument(
        "paths", nargs="+", metavar="DIR|RECORD", help="run or sweep directories, a store, or a record (.json)"
    )
    verb.add_argument("--store", metavar="DIR", help="where the records are now, if they were moved")
    verb.set_defaults(run=audit)
    arguments, rest = parser.parse_known_args()
    if rest and hasattr(arguments, "overrides") and not any(word.startswith("-") for word in rest):
        arguments.overrides += rest  # argparse ends a list at the first option: prepare recount3 --check KEY=VALUE
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        arguments.run(arguments)
    except KeyboardInterrupt as e:
        print(f"{str(e) or 'interrupted'}; what is finished stays, and the same command continues", file=sys.stderr)
        sys.exit(exit_code_of(e))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
