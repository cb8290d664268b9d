"""Benchmarks whose results are ratios, measured side by side in one process.

Every case runs the same user code three times over: in hand-written asyncio (the floor), on aiograph and,
where it is installed, on LangGraph, in turn, round after round. What counts is the ratio of a round;
microseconds stand beside it, since they differ from machine to machine and from minute to minute. What
is written is counted in bytes, in the same way.

- `_case`: what a case is, and what a contender is given to set itself up
- `_packages`: the names that cases use, by package: the same code runs on either
- `_measure`: the runner
- `_report`: results as tables and as JSON, goals as met or missed
- `_profile`: where the time of a case goes, by part
- `_plots`, `_docs`: the page of the documentation
- `_guard`: whether a case has become more than twice as slow as `floors.json` says
- `_savers`: savers that cases can choose from, and how to read what they store
- `_postgres`: a server for the length of the process
- `_tables`: storage as one would write it by hand, for floors
- `cases`: one graph shape per file; a new file there is found by itself
"""
