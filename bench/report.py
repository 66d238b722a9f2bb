"""Turns results into the tables of the README, and into a picture.

``python -m bench.report bench.json peers.json --readme README.md --picture peers.png`` takes what
``pytest bench --benchmark-json=bench.json`` and ``python -m bench.peers --json peers.json`` have written, either or
both. Without ``--readme`` the tables go to the terminal.
"""

import argparse
import json
import sys
from pathlib import Path

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
REFERENCE = "numpy"


def significant(value):
    """Write a number with three digits, or two if it is small: 0.012, 1.23, 12.3, 1,234."""
    if 0 < value < 0.1:
        return f"{value:.2g}"
    rounded = float(f"{value:.3g}")
    digits = 0 if rounded >= 100 or value == 0 else 1 if rounded >= 10 else 2 if rounded >= 1 else 3
    return f"{value:,.{digits}f}"


def markdown(head, rows):
    """Write a table, the first column to the left and the others to the right."""
    cells = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def header(machine, more=()):
    """Say in one line what the numbers were measured on."""
    commit = (machine["commit"] or "unknown")[:10] + (" with changes" if machine["dirty"] else "")
    isa = f" ({machine['instruction_set']})" if machine.get("instruction_set") else ""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        f"{machine['cpu']}{isa}, {machine['threads']} threads, {machine['system']}",
        f"measured peak {significant(machine['peak_gflops'])} GFLOP/s, cache {significant(machine['cache_gbs'])} GB/s, "
        f"memory {significant(machine['memory_gbs'])} GB/s",
        f"Python {machine['python']}, {versions}",
        f"commit {commit}, {machine['date']}",
        *(["a quick run, whose times say little"] if machine.get("quick") else []),
        *more,
    ]
    return "; ".join(lines) + "."


def _by_case(benchmarks, kind):
    """Group the results of a kind: case -> backend -> result, both in the order in which they first appear."""
    cases = {}
    for result in benchmarks:
        info = result["extra_info"]
        if info.get("kind") == kind:
            cases.setdefault(info["case"], {})[info["backend"]] = result
    return cases


def _backends(cases, last=()):
    names = list(dict.fromkeys(name for case in cases.values() for name in case))
    return sorted(names, key=lambda name: last.index(name) if name in last else -1)


def _cell(result):
    """Milliseconds a step, rows a second, and times the reference's speed, which itself needs none."""
    info = result["extra_info"]
    seconds = result["stats"]["median"] / info["steps"]
    speedup = "" if info["backend"] == REFERENCE else f", {significant(info['speedup'])}x"
    return f"{significant(seconds * 1e3)} ({significant(info['batch'] / seconds)}/s{speedup})"


def training_table(benchmarks, machine):
    """Write the table of training through `fit`: a line for each workload, a column for each backend.

    Parameters
    ----------
    benchmarks : list of dict
        pytest-benchmark's results.
    machine : dict
        What `bench.machine.describe` returned.

    Returns
    -------
    str
        Empty if there are no such results.
    """
    cases = _by_case(benchmarks, "fit")
    names = _backends(cases, last=(REFERENCE,))
    rows = []
    for case in cases.values():
        info = next(iter(case.values()))["extra_info"]
        ideal = info["flops_step"] / machine["peak_gflops"] + info["bytes_step"] / machine["cache_gbs"]
        cells = [_cell(case[name]) if name in case else "-" for name in names]
        rows.append([info["title"], significant(ideal / 1e6), *cells])
    return markdown(["training step, ms (rows/s, speed-up)", "ideal", *names], rows) if rows else ""


def gemm_table(benchmarks):
    """Write the table of matrix products: GFLOP/s, a column for each backend."""
    cases = _by_case(benchmarks, "gemm")
    names = _backends(cases, last=(REFERENCE, "blas"))
    rows = []
    for label, case in cases.items():
        m, n, k = next(iter(case.values()))["extra_info"]["shape"]
        speeds = [significant(case[name]["extra_info"]["gflops"]) if name in case else "-" for name in names]
        rows.append([label, f"{m}x{n}x{k}", *speeds])
    return markdown(["matrix product, GFLOP/s", "m x n x k", *names], rows) if rows else ""


def bench_section(results):
    """Write what the README shows of a pytest-benchmark file."""
    machine, benchmarks = results["machine_info"]["fastnn"], results["benchmarks"]
    training, gemm = training_table(benchmarks, machine), gemm_table(benchmarks)
    parts = [f"Backends: {header(machine)}"]
    if training:
        note = (
            "Milliseconds a step of `fit`, median of the rounds; in brackets the rows a second and the speed-up over "
            "the NumPy reference (one thread), whose rounds alternate with the backend's. Ideal: the products at the "
            "measured peak, then one pass over parameters and optimizer state at the cache's bandwidth."
        )
        parts += [training, note]
    if gemm:
        note = "Factors are packed on every call, unlike in training. `blas`: NumPy's product on all its threads."
        parts += ["<details><summary>Matrix products</summary>", gemm, note, "</details>"]
    return "\n\n".join(parts)


def peers_table(results):
    """Write the comparison with other libraries: a line for each workload, ms a step and how many times as long."""
    names = list(dict.fromkeys(row["peer"] for row in results["results"]))
    ours = f"fastnn ({results['settings']['backend']})"
    lines = {}
    for row in results["results"]:
        line = lines.setdefault(row["title"], {ours: significant(row["fastnn_ms"])})
        line[row["peer"]] = f"{significant(row['peer_ms'])} ({significant(row['ratio'])}x)"
    rows = [[title, *(line.get(name, "-") for name in (ours, *names))] for title, line in lines.items()]
    return markdown(["training step, ms", ours, *names], rows)


def peers_section(results):
    """Write what the README shows of a file of `bench.peers`."""
    settings = results["settings"]
    missing = [f"not installed: {', '.join(results['missing'])}"] if results["missing"] else []
    note = (
        f"Median of {settings['rounds']} rounds, which alternate between the libraries; in brackets the median of the "
        "rounds' ratios to fastnn. All start from the same weights and reach the same loss. -: cannot be expressed, or "
        "did not reach it."
    )
    return "\n\n".join([f"Peers: {header(results['machine'], missing)}", peers_table(results), note])


def section(files):
    """Write the whole section from results of either kind."""
    return "\n\n".join(peers_section(f) if "settings" in f else bench_section(f) for f in files)


def insert(text, new):
    """Put `new` between the two markers in `text`.

    Parameters
    ----------
    text, new : str

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the markers are not there exactly once and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the text needs the lines {BEGIN} and {END}, once each and in this order")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{new}\n{END}{rest.split(END)[1]}"


def picture(results, path):
    """Draw the ratios of a file of `bench.peers` as bars from 1, slower to the right; matplotlib goes by the suffix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = results["results"]
    titles = list(dict.fromkeys(row["title"] for row in rows))
    names = list(dict.fromkeys(row["peer"] for row in rows))
    figure = Figure(figsize=(9, 1.5 + 0.15 * len(titles) * (len(names) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_prop_cycle(color=["#00375f", "#c8500a", "#56b4e9", "#e9dca0"])  # told apart in grey, too
    height = 0.8 / len(names)
    for k, name in enumerate(names):
        own = [row for row in rows if row["peer"] == name]
        places = [titles.index(row["title"]) + (k + 0.5) * height - 0.4 for row in own]
        bars = axes.barh(places, [row["ratio"] - 1 for row in own], height, left=1, label=name)
        axes.bar_label(bars, [f"{significant(row['ratio'])}x" for row in own], padding=3, fontsize=8)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15, y=0.02)
    machine = results["machine"]
    axes.set_xlabel(f"time of a training step, fastnn = 1 ({machine['cpu']}, {machine['threads']} threads)")
    axes.legend()
    figure.savefig(path, dpi=150)


def load(path):
    """Read a file of results.

    Raises
    ------
    ValueError
        If it is not what `pytest bench --benchmark-json` or `bench.peers --json` writes.
    """
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    if not ("settings" in results or "fastnn" in results.get("machine_info", {})):
        raise ValueError(f"{path} was written neither by pytest bench --benchmark-json nor by bench.peers --json")
    return results


def main(arguments=None):
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="Write tables from results.")
    parser.add_argument("results", nargs="+", type=Path, help="files of pytest bench and of bench.peers")
    parser.add_argument("--readme", type=Path, help=f"file to write into, between {BEGIN} and {END}")
    parser.add_argument("--picture", type=Path, help="picture of the peers to write, such as peers.png")
    options = parser.parse_args(arguments)
    try:
        files = [load(path) for path in options.results]
        peers = [f for f in files if "settings" in f]
        if options.picture and not peers:
            raise ValueError("--picture needs results of bench.peers")
        text = section(files)
        if options.readme:
            options.readme.write_text(insert(options.readme.read_text(encoding="utf-8"), text), encoding="utf-8")
        else:
            print(text)
        if options.picture:
            picture(peers[0], options.picture)
    except (OSError, ValueError) as error:
        print(f"bench.report: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
