"""Why a benchmark could not be run; one line each, printed without a traceback."""

from __future__ import annotations

import click


class BenchmarkError(click.ClickException):
    """Nothing could be measured, or what was measured cannot be right."""
