#!/usr/bin/env bash
# reference.sh DIR: writes the pages of docs/reference into a folder. cmd/sala/internal/docgen says how.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.tools/bin/buf build -o "$work/protos.binpb"
CGO_ENABLED=0 go build -tags grpcnotrace -o "$work/" ./cmd/sala ./cmd/sala/internal/docgen
"$work/docgen" -protos "$work/protos.binpb" -sala "$work/sala" -out "$1"
