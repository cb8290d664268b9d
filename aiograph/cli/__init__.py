"""The command line: `aiograph run`, `resume`, `history`, `state`, `draw`.

- `_app`: the commands, their options and their help
- `_load`: from `MODULE_OR_FILE:NAME` to a graph
- `_given`: what is typed as input
- `_session`: a thread, and whether to start on it, to go on, or to leave it alone
- `_draw`: a drawing of a graph, and where it goes
- `_progress`: what is known of a run while it runs
- `_display`: that, on a terminal or as plain lines
- `_show`: values, tables and errors for human eyes; values as JSON for programs

Standard output gets results only. What nodes print, progress and messages go to standard error.
"""

import sys

from aiograph.errors import MissingExtraError

__all__ = ["main"]


def main() -> None:
    """The console script `aiograph`."""
    try:
        from aiograph.cli._app import app
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("typer", "rich"):
            raise
        sys.exit(f"error: {MissingExtraError('the command line', 'cli')}")
    app(prog_name="aiograph")
