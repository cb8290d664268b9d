"""The command: `python -m bench [NAME ...] [--rounds N] [--json FILE]`."""

import argparse
import json
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from bench._case import Case
from bench._measure import Effort, measure
from bench._packages import RIVAL
from bench._report import conditions, document, markdown, table
from bench.cases import all_cases


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    cases = chosen(all_cases(), options.names)
    if options.list:
        print("\n".join(f"{case.name:24} {case.note}".rstrip() for case in cases))
        return 0
    effort = Effort(options.rounds, options.seconds, options.scale, not options.alone)
    print(", ".join(f"{name} {value}" for name, value in conditions(effort).items()), file=sys.stderr)
    results = []
    for case in cases:
        print(f"  {case.name} ...", file=sys.stderr, flush=True)
        results += measure(case, effort)
    print(markdown(results) if options.markdown else table(results))
    if options.json:
        options.json.write_text(json.dumps(document(results, effort), indent=2), encoding="utf-8")
    return 0


def chosen(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """The cases whose name matches a pattern; all of them when there is none.

    Raises:
        SystemExit: A pattern matches nothing.
    """
    lost = [pattern for pattern in patterns if not any(fnmatch(case.name, pattern) for case in cases)]
    if lost:
        names = ", ".join(case.name for case in cases)
        raise SystemExit(f"there is no case {', '.join(lost)}; there are {names}")
    return [case for case in cases if not patterns or any(fnmatch(case.name, each) for each in patterns)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What aiograph costs, as a ratio to hand-written asyncio and to LangGraph in one run.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to run, wildcards allowed: 'loop_*'")
    parser.add_argument("--rounds", type=int, default=Effort().rounds, help="rounds to take the median of")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--alone", action="store_true", help=f"leave {RIVAL.name} out")
    parser.add_argument("--seconds", type=float, default=Effort().seconds, help="length of one sample")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiply all sizes; below 1 only shows that they run"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
