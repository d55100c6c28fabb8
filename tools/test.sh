#!/usr/bin/env bash
# Runs every check, also after one has failed, so that one run shows all there
# is to mend; then repeats the test runners' closing lines and adds them up.
set -euo pipefail
cd "$(dirname "$0")/.."
make=(make --no-print-directory)

rm -rf .tools/log
"${make[@]}" deps

failed=()
for target in lint cross vuln check-generated unit bench-check chaos-check e2e; do
  printf '\n== make %s\n' "$target"
  "${make[@]}" "$target" || failed+=("$target")
done

echo
((${#failed[@]} == 0)) || echo "FAILED: ${failed[*]}"
node tools/summary.mjs .tools/log || failed+=(tests)
((${#failed[@]} == 0))
