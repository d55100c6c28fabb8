#!/usr/bin/env bash
# Writes what archives and packages contain beside the binaries into bin/package: completions, the
# manual page, and the systemd unit with the path that packages use. goreleaser runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
out=bin/package
rm -rf "$out"
mkdir -p "$out/completions"

sala=$(mktemp -d)/sala
trap 'rm -rf "${sala%/*}"' EXIT
CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -o "$sala" ./cmd/sala
"$sala" completion bash >"$out/completions/sala.bash"
"$sala" completion fish >"$out/completions/sala.fish"
# zsh reads this file when it first completes "sala", and expects the completions at once.
{
  echo '#compdef sala'
  "$sala" completion zsh
  # shellcheck disable=SC2016 # zsh expands it
  echo '_sala "$@"'
} >"$out/completions/_sala"

"$sala" man >"$out/sala.1"
gzip -9 --no-name --keep "$out/sala.1"

sed 's|/usr/local/bin/sala|/usr/bin/sala|' deploy/systemd/sala.service >"$out/sala.service"
