"""The progress bar. Only this module imports rich, and only a sync on a terminal imports this module."""

from __future__ import annotations

import threading
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from parasync.cli.meter import Reading, figures


class Bar:
    """A bar at the bottom of a terminal, from its creation until `stop`."""

    def __init__(self, terminal: TextIO) -> None:
        # The terminal's own lines go through `print`; redirected streams would mix stdout with stderr.
        self._live = Live(
            console=Console(file=terminal, highlight=False),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._lock = threading.Lock()

    def show(self, reading: Reading) -> None:
        with self._lock:
            self._live.update(render(reading), refresh=True)

    def print(self, line: str) -> None:
        """Print `line` above the bar."""
        with self._lock:
            self._live.console.print(Text(line), soft_wrap=True)

    def stop(self) -> None:
        """Erase the bar."""
        with self._lock:
            self._live.stop()


def render(reading: Reading) -> RenderableType:
    """A reading as a bar with its figures, as wide as the terminal."""
    known = reading.fraction is not None
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(no_wrap=True, min_width=4)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    bar = ProgressBar(total=1.0, completed=reading.fraction or 0.0, pulse=not known)
    row.add_row(f"{reading.fraction:4.0%}" if reading.fraction is not None else "scan", bar, figures(reading))
    return row
