"""`fastnn data`: the data sets, where they are, and their licences."""

import os
import sys

from .. import datasets


def add(commands):
    """Add the sub-command's arguments."""
    command = commands.add_parser(
        "data",
        help="the data sets: where they are, their licences",
        description="List the data sets with the place that each would be read from, or tell all about one.",
        epilog="examples:\n  fastnn data\n  fastnn data mnist\n  fastnn data mnist --download",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="a data set")
    command.add_argument(
        "--download", action="store_true", help="download it now, unless it is on this machine, and check it"
    )


def run(args):
    """Run the sub-command."""
    if args.name is None:
        if args.download:
            raise ValueError("--download needs the NAME of a data set")
        for name in datasets.names():
            about = datasets.info(name)
            print(f"{name}\n  {about.title}\n  {about.train:,} + {about.test:,} images, {about.licence} licence")
            print(f"  {where(name)}")
        return
    about = datasets.info(args.name)
    if args.download:
        (x, _), (x_test, _) = load_announced(args.name)
        print(f"{args.name}: {len(x):,} training and {len(x_test):,} test images, read and found in order")
    print(f"{args.name}: {about.title}")
    for label, text in (
        ("images", f"{about.train:,} to train on, {about.test:,} to test, 28 x 28 pixels, uint8"),
        ("classes", ", ".join(about.class_names)),
        ("licence", about.licence),
        ("credit", about.credit),
        ("homepage", about.homepage),
        ("place", where(args.name)),
        ("size", f"{sum(file.size for file in about.files) / 1e6:.1f} MB, compressed"),
        ("mirrors", ("\n" + " " * 11).join(about.mirrors)),
    ):
        if text:
            print(f"  {label:<8} {text}")


def load_announced(name):
    """Load a data set, and say so first where that means a download."""
    location = datasets.locate(name)
    if location.kind == "download":
        print(f"fastnn: downloading {name} to {location.folder}", file=sys.stderr)
    return datasets.load(name)


def where(name):
    """Tell in a line where a data set would be read from."""
    location = datasets.locate(name)
    folder = os.fspath(location.folder)
    return {
        "bundled": f"comes with fastnn ({folder})",
        "download": f"not on this machine: it would be downloaded to {folder}",
        "cache": f"downloaded to {folder}",
    }.get(location.kind, f"found through {location.kind} in {folder}")
