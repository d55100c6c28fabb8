"""Makes the synchronous variants of files in src/sala/aio, so that each call and its documentation
is written once.

    make_sync.py [--check]

With --check it writes nothing and fails if a file would change.
"""

import difflib
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "src" / "sala"
FILES = ["_calls.py", "_event.py"]

# What becomes what, in this order.
REPLACEMENTS = [
    (
        r"(?s)tools/make_sync\.py makes the synchronous variant, sala/\w+\.py, of\s+this\s+file\.",
        "Made from sala/aio by tools/make_sync.py: change that.",
    ),
    (r"Callable\[\[str\], Awaitable\[Any\]\]", "Callable[[str], Any]"),
    (r"import AsyncIterator, Awaitable, Callable, Iterable", "import Callable, Iterable, Iterator"),
    (r"sala\.aio\.", "sala."),
    (r"StopAsyncIteration", "StopIteration"),
    (r"__aiter__", "__iter__"),
    (r"__anext__", "__next__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basync (?=def|for)", ""),
    (r"\bawait ", ""),
]


def make_sync(text: str) -> str:
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    return text


def main() -> int:
    stale = False
    for name in FILES:
        made = make_sync((PACKAGE / "aio" / name).read_text())
        target = PACKAGE / name
        current = target.read_text() if target.exists() else ""
        if "--check" not in sys.argv:
            target.write_text(made)
        elif made != current:
            stale = True
            sys.stdout.writelines(
                difflib.unified_diff(
                    current.splitlines(True), made.splitlines(True), str(target), "made from aio"
                )
            )
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
