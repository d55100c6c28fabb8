#!/usr/bin/env bash
# Generates the messages and stubs of the Python library from the protos, and its synchronous client
# from the one for asyncio. protoc and its plugin for gRPC are Debian's: what they generate works with
# Debian's python3-protobuf and python3-grpcio.
#
#   sdk/python/tools/generate.sh          writes into sdk/python/src
#   sdk/python/tools/generate.sh --check  fails if anything there would change
set -euo pipefail
cd "$(dirname "$0")/../../.."
python=${PYTHON:-/usr/bin/python3}
for command in protoc grpc_python_plugin; do
  if ! command -v "$command" >/dev/null; then
    echo "$command is missing: run 'make deps'" >&2
    exit 1
  fi
done

# generate writes into a folder.
generate() {
  .tools/bin/buf generate --template buf.gen.python.yaml -o "$1"
  .tools/bin/buf generate sdk/python/proto --template sdk/python/buf.gen.yaml -o "$1"
}

if [[ "${1:-}" != --check ]]; then
  generate .
  "$python" sdk/python/tools/make_sync.py
  exit
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
generate "$fresh"
package=sdk/python/src/sala
if ! diff -r --exclude __init__.py --exclude __pycache__ "$package/v1" "$fresh/$package/v1" ||
  ! diff "$package/_status_pb2.py" "$fresh/$package/_status_pb2.py" ||
  ! "$python" sdk/python/tools/make_sync.py --check; then
  echo "$package is stale: run 'make generate' and commit it"
  exit 1
fi
