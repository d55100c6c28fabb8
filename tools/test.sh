#!/usr/bin/env bash
# Runs every check even if one fails, so that one run shows every problem. Then repeats the last
# lines of the test runners and adds up their results.
set -euo pipefail
cd "$(dirname "$0")/.."
make=(make --no-print-directory)
# unit counts its tests and never runs without the race detector.
export CGO_ENABLED=1
counted=(GOTEST='@node tools/gotest.mjs .tools/log/unit.json' RACE=-race)

rm -rf .tools/log
"${make[@]}" deps

failed=()
for target in lint cross vuln check-generated unit bench-check chaos-check sdk-go sdk-node sdk-python e2e; do
  printf '\n== make %s\n' "$target"
  "${make[@]}" "$target" "${counted[@]}" || failed+=("$target")
done

echo
((${#failed[@]} == 0)) || echo "FAILED: ${failed[*]}"
node tools/summary.mjs .tools/log || failed+=(tests)
((${#failed[@]} == 0))
