#!/bin/sh
# Runs before the package is removed or updated: stops the service, but not for an update.
set -e

# dpkg passes "remove" or "upgrade", rpm the number of versions that stay.
case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now sala.service
  fi
  ;;
esac
