"""The command line: ``python -m fastpool info | explain | bench | demo | build | config``.

Exit codes: 0 all is well, 1 there is a finding (results that disagree), 2 the command cannot be carried out
as given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fastpool import c_flags
from fastpool._version import __version__

OK, FINDING, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; that of the process if left out.

    Returns
    -------
    int
        The exit code, 0, 1 or 2.
    """
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except (ValueError, TypeError, OSError, ModuleNotFoundError, RuntimeError) as error:
        print(f"fastpool {options.command}: {error}", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastpool", description="Pooling of any array, over any axes.")
    parser.add_argument("--version", action="version", version=f"fastpool {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    info = commands.add_parser("info", help="versions, processor, threads, cache and settings")
    info.add_argument("--json", action="store_true", help="print JSON")

    explain = commands.add_parser("explain", help="which kernel runs a problem, and why others do not")
    explain.add_argument("problem", help="as text, such as max2d_fwd_f32_first_mb8ic64_ih112oh56kh3sh2ph1")

    bench = commands.add_parser("bench", help="time real cases beside memory and other libraries, with their errors")
    bench.add_argument("cases", nargs="*", metavar="CASE", help="a name, a part of one, or a problem as text")
    bench.add_argument("--set", dest="chosen", choices=("quick", "judge", "all", "family"), default="quick")
    bench.add_argument("--windows", action="store_true", help="windows of 3 to 101 over one image instead")
    bench.add_argument("--rounds", type=int, help="how often each takes its turn (7, or what half a minute allows)")
    bench.add_argument("--threads", type=int, help="how many each may use (those of fastpool)")
    bench.add_argument("--peers", help="names between commas, none, default, or all (those installed)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw them, as .png, .svg or .pdf")
    bench.add_argument("--markdown", action="store_true", help="print Markdown")

    demo = commands.add_parser("demo", help="pool a photograph, time it, and draw a sheet of the results")
    demo.add_argument("image", nargs="?", type=Path, help="an image file (a photograph of scikit-image)")
    demo.add_argument("--output", type=Path, default=Path("fastpool-demo.png"), help="the sheet (%(default)s)")

    library = commands.add_parser("build", help="build the C library, for use without Python")
    library.add_argument("folder", type=Path, help="where lib and include are made")
    library.add_argument("--cache", type=Path, help="where object files are kept between builds (FOLDER/objects)")
    library.add_argument("--python", action="store_true", help="also build what this package calls it by")
    library.add_argument("--jobs", type=int, default=0, help="processes that compile (one for each processor)")

    flags = commands.add_parser("config", help="what C programs are compiled and linked with")
    for name, about in c_flags.OPTIONS.items():
        flags.add_argument(f"--{name}", dest="asked", action="append_const", const=name, help=about)
    flags.add_argument("--static", action="store_true", help="link the static library, with what it needs")
    return parser


def _info(options: argparse.Namespace) -> int:
    from fastpool.diagnostics import report_text, show_config

    report = show_config("dicts")
    print(json.dumps(report, indent=2) if options.json else report_text(report))
    return OK


def _explain(options: argparse.Namespace) -> int:
    from fastpool.dispatch import explain
    from fastpool.problem import Problem

    print(explain(Problem.parse(options.problem)))
    return OK


def _bench(options: argparse.Namespace) -> int:
    from fastpool.bench.command import run

    right = run(
        options.cases,
        options.chosen,
        options.windows,
        options.rounds,
        options.threads,
        options.peers,
        options.json,
        options.plot,
        options.markdown,
    )
    return OK if right else FINDING


def _demo(options: argparse.Namespace) -> int:
    from fastpool.demo import run

    return OK if run(options.image, options.output) else FINDING


def _build(options: argparse.Namespace) -> int:
    from fastpool.build import build

    print(build(options.folder, options.cache or options.folder / "objects", options.jobs, options.python))
    return OK


def _config(options: argparse.Namespace) -> int:
    print(*c_flags.config(options.asked or (), options.static), sep="\n")
    return OK


COMMANDS = {"info": _info, "explain": _explain, "bench": _bench, "demo": _demo, "build": _build, "config": _config}


if __name__ == "__main__":
    sys.exit(main())
