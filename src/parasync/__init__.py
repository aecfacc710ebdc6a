"""ParaSync: parallel delta synchronisation of files and trees.

The public names are here; each is imported when first used, so that
`import parasync` costs nothing a command would notice.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parasync.api import sync
    from parasync.errors import ParaSyncError
    from parasync.model import Report
    from parasync.options import Options

__version__ = "0.1.0"
__all__ = ["Options", "ParaSyncError", "Report", "__version__", "sync"]

_HOMES = {
    "Options": "parasync.options",
    "ParaSyncError": "parasync.errors",
    "Report": "parasync.model",
    "sync": "parasync.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
