#!/usr/bin/env bash
# npm-ci.sh DIR: installs the Node packages of a folder, if its lock file has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/../$1"

stamp=node_modules/.sala-lock
cmp -s package-lock.json "$stamp" && exit
echo "npm ci in $1"
npm ci --no-audit --no-fund --loglevel=error </dev/null
cp package-lock.json "$stamp"
