#!/bin/sh
# Runs after the package is removed. With "purge", which only dpkg has, secrets and state go too.
set -e

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi

if [ "$1" = purge ]; then
  rm -f /etc/sala/secrets.env
  rm -rf /var/lib/private/sala /var/lib/sala
  rmdir --ignore-fail-on-non-empty /etc/sala 2>/dev/null || true
fi
