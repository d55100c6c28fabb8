#!/usr/bin/env bash
# Installs what `make test` needs and prints what it installs: Debian packages, the Node packages
# of the console, the client library, e2e, the examples and one test, and the Go tools. Go, Node and
# npm must already be there.
set -euo pipefail
cd "$(dirname "$0")/.."

for command in go node npm; do
  if ! command -v "$command" >/dev/null; then
    echo "deps: $command is missing. Install Go 1.26 or later and Node 20 or later first." >&2
    exit 1
  fi
done

# Debian packages: one for each missing command or font.
packages=()
PATH=$PATH:/usr/sbin:/sbin # Debian installs daemons there, which isn't in every PATH
need() { command -v "$1" >/dev/null || packages+=("${@:2}"); }
need gcc gcc libc6-dev # the race detector links C
need curl curl         # e2e runs the commands of the README and of `serve --dev`
need redis-server redis-server # cluster tests start their own
need haproxy haproxy   # e2e runs the proxy configurations of deploy/
need nginx nginx-light
need promtool prometheus # reads the metrics, and checks the alerts and the dashboard
need openssl openssl    # makes the certificates of a test
/usr/bin/python3 -c 'import socketio, redis' 2>/dev/null || packages+=(python3-socketio python3-redis) # publishes on a Redis in tests
/usr/bin/python3 -c 'import socketio, aiohttp, requests, websocket' 2>/dev/null || packages+=(python3-socketio python3-aiohttp python3-requests python3-websocket) # Python's clients
need protoc protobuf-compiler # generates the messages of the Python library
need grpc_python_plugin protobuf-compiler-grpc
need mypy mypy
/usr/bin/python3 -c 'import grpc, google.protobuf, flask' 2>/dev/null || packages+=(python3-grpcio python3-protobuf python3-flask) # the Python library and its examples
/usr/bin/python3 -c 'import ensurepip, pip, setuptools, wheel' 2>/dev/null || packages+=(python3-venv python3-pip python3-setuptools python3-wheel) # makes and installs its wheel
[[ -n "${CHROMIUM:-}" ]] || need chromium chromium
if [[ $(uname) == Linux ]]; then # for the screenshots
  compgen -G '/usr/share/fonts/*/inter/*' >/dev/null || packages+=(fonts-inter)
  compgen -G '/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf' >/dev/null || packages+=(fonts-dejavu-core)
fi

if ((${#packages[@]})) && ! command -v apt-get >/dev/null; then
  echo "deps: this machine has no apt-get. Tests that need one of these Debian packages fail until you install its equivalent: ${packages[*]}" >&2
elif ((${#packages[@]})); then
  sudo=()
  ((EUID == 0)) || sudo=(sudo)
  echo "deps: installing Debian packages: ${packages[*]}"
  # Tests start their own servers, so none of the packages' may start as a service.
  # https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap '"${sudo[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
  fi
  log=$(mktemp)
  if ! {
    "${sudo[@]}" apt-get update -q &&
      "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
  } </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
  fi
  rm -f "$log"
fi

for lock in web/console/package-lock.json sdk/node/package-lock.json e2e/package-lock.json examples/*/package-lock.json broker/cluster/redisemitter/testdata/package-lock.json; do
  tools/npm-ci.sh "$(dirname "$lock")"
done

tools/install.sh
