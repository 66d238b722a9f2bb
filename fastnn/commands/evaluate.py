"""`fastnn evaluate`: loss, metrics, a table of the classes, and a report with pictures."""

from pathlib import Path

from .. import report
from ..autoencoder import Autoencoder
from ..diagnostics import counted, engine, threads
from . import pictures, sources
from .arguments import MODEL_HELP, add_device, note
from .files import open_model

_ABOUT = """\
Compute loss and metrics of a model, on the rows that `fastnn train` kept to test with or on others; for every class:
  rows         how many there are
  recall       share of them that were recognised
  precision    share of those taken for the class that belong to it
  taken for    the class that they are most often mistaken for
The pictures are bound into a report, one HTML file that needs nothing else: evaluation.html beside the model, unless
--report names another place. They need matplotlib: pip install -e ".[plot]".
"""
_EXAMPLES = """\
examples:
  fastnn evaluate runs/NAME
  fastnn evaluate runs/NAME --split train --no-report
  fastnn evaluate runs/NAME --data others.csv
  fastnn evaluate model.safetensors --data fashion-mnist --report fashion.html
"""


def add(commands):
    """Add the sub-command's arguments."""
    command = commands.add_parser(
        "evaluate", help="loss, metrics, a table of the classes and a report", description=_ABOUT, epilog=_EXAMPLES
    )
    command.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    command.add_argument("--data", metavar="NAME", help="a data set or a file (default: what it was trained on)")
    command.add_argument("--target", metavar="COLUMN", help="the target in a file (default: as in training)")
    command.add_argument("--split", choices=("test", "train"), help="which rows of a training's data (default: test)")
    command.add_argument(
        "--uint8", action="store_true", help="the numbers of a file are bytes from 0 to 255: scale them"
    )
    command.add_argument("--report", metavar="FILE", help="where to write the report")
    command.add_argument("--no-report", action="store_true", help="write none")
    add_device(command)


def run(args):
    """Run the sub-command."""
    model = open_model(args)
    source, x, y, words = sources.of_model(args, model)
    print(f"{args.model}, {engine(model.backend)}, {counted(threads(args.threads)[0], 'thread')}")
    print(f"{words}\n")
    reproduces = isinstance(model, Autoencoder)
    results = model.evaluate(*((x,) if reproduces else (x, y)), verbose=0, return_dict=True)
    for key, value in results.items():
        print(f"{key:<10} {value:.4f}")
    rows = []
    if not reproduces and source.task == "classification" and model.output_shape[1] in (1, len(source.class_names)):
        rows = pictures.class_rows(y, model.predict_classes(x), source.class_names)
        print()
        for line in class_table(rows):
            print(line)
    if not args.no_report:
        path = Path(args.report) if args.report else _beside(args.model)
        _write_report(args, path, model, source, (x, y), words, results, rows)
        print(f"\nreport     {path}")


def _beside(model):
    path = Path(model)
    return (path if path.is_dir() else path.parent) / "evaluation.html"


def _write_report(args, path, model, source, data, words, results, rows):
    missing = pictures.missing()
    if missing:
        note(missing)
    parts = []
    if rows or isinstance(model, Autoencoder) or source.task == "regression":
        parts = [report.picture(png, caption) for _, png, caption in pictures.draw(model, source, *data)]
    facts = {"data": f"{source.name} ({source.place})", "SHA-256 of the data": source.digest()}
    pictures.write_report(
        path,
        f"Evaluation of {args.model}",
        [
            report.paragraph(f"{args.model} on {words}"),
            *pictures.opening(results, rows, parts),
            report.heading("Data"),
            report.facts(facts),
            *pictures.closing(model, args.threads),
        ],
    )


def class_table(rows):
    """List the lines of a table of what `class_rows` returned."""
    width = max(len(row[0]) for row in rows) + 2
    lines = [f"{'class':<{width}}   rows  recall  precision  taken for"]
    for name, count, recall, precision, worst in rows:
        recall, precision = (value if isinstance(value, str) else f"{value:.3f}" for value in (recall, precision))
        lines.append(f"{name:<{width}} {count:>6,}  {recall:>6}  {precision:>9}  {worst}".rstrip())
    return lines
