#!/usr/bin/env bash
# simulate.sh SEED N: simulates N seeds from SEED, in one process for each processor. A process has
# one processor, so that a seed takes the same course as often as possible.
set -euo pipefail
cd "$(dirname "$0")/.."
first=$1 n=$2 workers=$(getconf _NPROCESSORS_ONLN)
((n < workers)) && workers=$n
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go test -c -o "$work/simulation.test" ./simulation

pids=()
for ((i = 0; i < workers; i++)); do
  from=$((first + n * i / workers)) to=$((first + n * (i + 1) / workers))
  (cd simulation && GOMAXPROCS=1 SIMULATE_SEED=$from SIMULATE_N=$((to - from)) \
    exec "$work/simulation.test" -test.run '^TestSimulate$' -test.timeout 0 >"$work/$i.log" 2>&1) &
  pids+=($!)
done
failed=0
for i in "${!pids[@]}"; do
  wait "${pids[$i]}" || { failed=1; grep -v '^PASS' "$work/$i.log" || true; }
done
((failed == 0)) && echo "$n seeds from $first: nothing is lost, doubled or out of order"
exit $failed
