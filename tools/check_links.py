"""Check that every relative link in the project's Markdown files leads to a file: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#")


def broken_links(page: Path) -> list[str]:
    """One line for each link of `page` whose file is not there."""
    lines = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        for target in LINK.findall(line):
            path = target.split("#", 1)[0]
            if not ELSEWHERE.match(target) and not (page.parent / path).exists():
                lines.append(f"{page.relative_to(ROOT)}:{number}: {target} is not there")
    return lines


def main() -> int:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [line for page in sorted(pages) for line in broken_links(page)]
    for line in broken:
        print(line, file=sys.stderr)
    print(f"{len(pages)} pages, {len(broken)} broken links")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
