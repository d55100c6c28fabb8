#!/usr/bin/env bash
# Builds the Go tools in versions.txt into .tools/bin. Skips tools that have the right version, so
# only the first run is slow.
#
#   tools/install.sh              all that `make test` needs
#   tools/install.sh buf grpcurl  only these
set -euo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/.tools/bin"
mkdir -p "$bin"

wanted() {
  local name=$1 purpose=$2
  shift 2
  if (($# == 0)); then
    [[ $purpose != release ]]
  else
    [[ " $* " == *" $name "* ]]
  fi
}

installed_version() {
  [[ -x "$bin/$1" ]] || return 0
  go version -m "$bin/$1" 2>/dev/null | awk '$1 == "mod" { print $3 }'
}

while read -r name package version purpose; do
  [[ -z "$name" || "$name" == \#* ]] && continue
  wanted "$name" "$purpose" "$@" || continue
  [[ "$(installed_version "$name")" == "$version" ]] && continue
  echo "tools: building $name $version"
  # Run outside the module, so that nothing here can change a tool's dependencies.
  (cd / && CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOBIN="$bin" go install -trimpath "$package@$version" </dev/null)
done <tools/versions.txt
