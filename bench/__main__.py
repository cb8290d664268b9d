"""The command: `python -m bench [NAME ...]`; `--help` tells what else it does."""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from bench import _docs, _guard, _profile
from bench._case import FLOOR, Case
from bench._measure import Effort, Result, measure
from bench._packages import RIVAL
from bench._report import conditions, document, markdown, number, results_in, summary, table
from bench.cases import all_cases

QUICK = Effort(rounds=1, seconds=0.02, scale=0.1)

EXAMPLES = """\
examples:
  python -m bench                                  every case, five rounds
  python -m bench 'loop_*' --rounds 9              some cases, more rounds
  python -m bench --quick                          do they run, and about what comes out
  python -m bench --rounds 3 --docs docs           the page of the documentation, with its plots
  python -m bench --load a.json b.json --docs docs the same from what was measured before
  python -m bench loop_1000 --profile              where the time goes, by part
  python -m bench --guard                          has anything become twice as slow?

A result is a ratio: to the same user code in hand-written asyncio ("x floor"), and to LangGraph, where
that is installed. It is taken within a round, in which the contenders run in turn; shown are the median and
the extremes of all rounds. Most cases compare processor time, those that wait for a disk wall time.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    cases = chosen(all_cases(), options.names)
    if options.list:
        print("\n".join(f"{case.name:28} {case.note}".rstrip() for case in cases))
        return 0
    if options.guard or options.record:
        return _guard.run(options.names, record=options.record)
    effort = _effort(options)
    if options.profile:
        print("\n\n".join(_profile.report(case, effort) for case in cases if case.can_run))
        return 0
    if options.docs:
        _docs.check(options.docs)
    outcome = _loaded(options.load, cases) if options.load else _measured(cases, effort)
    _deliver(outcome, options)
    return 1 if outcome.failures else 0


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


class Outcome(NamedTuple):
    """What came of a run of this command."""

    results: list[Result]
    conditions: dict[str, Any]
    failures: list[str]


def _measured(cases: Sequence[Case], effort: Effort) -> Outcome:
    """Measures case by case. One that fails is told of at the end, and does not cost the others' results.

    Ctrl-C ends the measurement; what was measured so far is delivered.
    """
    outcome = Outcome([], conditions(effort), [])
    _say(", ".join(f"{name} {value}" for name, value in outcome.conditions.items()))
    begin = time.perf_counter()
    for place, case in enumerate(cases, 1):
        _say(f"[{place}/{len(cases)}] {time.perf_counter() - begin:4.0f} s  {case.name} ... ", end="")
        if not case.can_run:
            _say(f"left out, as {case.requires} is not installed")
            continue
        try:
            results = measure(case, effort)
        except KeyboardInterrupt:
            outcome.failures.append(f"{case.name} and what follows: interrupted")
            _say("interrupted")
            break
        except Exception:
            outcome.failures.append(f"{case.name}\n{traceback.format_exc()}")
            _say("FAILED")
        else:
            outcome.results.extend(results)
            _say(_in_short(results[0]))
    return outcome


def _in_short(result: Result) -> str:
    ratios = {"x floor": result.ratio(FLOOR), f"of {RIVAL.name}": result.ratio(RIVAL.name)}
    return ", ".join(f"{number(spread.median)} {what}" for what, spread in ratios.items() if spread)


def _loaded(files: Sequence[Path], cases: Sequence[Case]) -> Outcome:
    """What was written with `--json`; where files name the same case, the last one has it."""
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    found = {(each.case.name, each.measure): each for each in documents for each in results_in(each, cases)}
    order = {case.name: place for place, case in enumerate(cases)}
    results = sorted(found.values(), key=lambda result: order[result.case.name])
    return Outcome(results, documents[-1]["conditions"], [])


def _deliver(outcome: Outcome, options: argparse.Namespace) -> None:
    results = outcome.results
    if options.json:
        text = json.dumps(document(results, outcome.conditions), indent=2)
        options.json.write_text(text, encoding="utf-8")
    if results:
        print(markdown(results) if options.markdown else f"{table(results)}\n\n{summary(results)}")
    if options.docs:
        for path in _docs.write(options.docs, results, outcome.conditions):
            _say(f"wrote {path}")
    for failure in outcome.failures:
        _say(f"\nFAILED: {failure}")


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def _effort(options: argparse.Namespace) -> Effort:
    base = QUICK if options.quick else Effort()
    given = {name: getattr(options, name) for name in ("rounds", "seconds", "scale")}
    wanted = {name: value for name, value in given.items() if value is not None}
    return base._replace(**wanted, with_rival=not options.alone)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What aiograph costs, as a ratio to hand-written asyncio and to LangGraph in one run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to run, wildcards allowed: 'loop_*'")
    parser.add_argument("--list", action="store_true", help="name the cases, say what they are, and stop")
    effort = parser.add_argument_group("how much to measure")
    effort.add_argument("--rounds", type=int, help=f"rounds to take the median of ({Effort().rounds})")
    effort.add_argument("--seconds", type=float, help=f"length of one sample ({Effort().seconds})")
    effort.add_argument(
        "--quick", action="store_true", help="one short round, and sizes a tenth of what names say"
    )
    effort.add_argument("--alone", action="store_true", help=f"leave {RIVAL.name} out")
    effort.add_argument("--scale", type=float, help="multiply all sizes; below 1 mostly shows that they run")
    output = parser.add_argument_group("what comes out, beside the table")
    output.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    output.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured there")
    output.add_argument(
        "--load", type=Path, nargs="+", metavar="FILE", help="measure nothing, and take what --json wrote"
    )
    output.add_argument(
        "--docs", type=Path, metavar="DIR", help="fill tables, profiles and plots into DIR/benchmarks.md"
    )
    instead = parser.add_argument_group("instead of all that")
    instead.add_argument("--profile", action="store_true", help="show where the time goes, by part")
    instead.add_argument(
        "--guard", action="store_true", help="fail if a case has become more than twice as slow as recorded"
    )
    instead.add_argument(
        "--record",
        action="store_true",
        help="measure what --guard compares to, and write it to bench/floors.json",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
