"""Runs the tests of the library, and writes their number to a file for `make test`.

    test.py [FILE]
"""

import json
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    tests = unittest.TestLoader().discover(str(ROOT / "tests"), top_level_dir=str(ROOT))
    result = unittest.TextTestRunner(stream=sys.stdout, buffer=True).run(tests)
    failures = [
        {"test": str(test), "output": output} for test, output in result.failures + result.errors
    ]
    failed, skipped = len(failures) + len(result.unexpectedSuccesses), len(result.skipped)
    passed = result.testsRun - failed - skipped
    if len(sys.argv) > 1:
        closing = [f"sdk/python: {passed} tests passed, {failed} failed, {skipped} skipped"]
        count = {"passed": passed, "failed": failed, "skipped": skipped}
        file = Path(sys.argv[1])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(count | {"closing": closing, "failures": failures}))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
