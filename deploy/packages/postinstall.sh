#!/bin/sh
# Runs after the package is installed or updated: makes secrets if there are none, and restarts the
# service if it runs. It starts and enables nothing.
set -e

secrets=/etc/sala/secrets.env

random() { od -An -vN32 -tx1 /dev/urandom | tr -d ' \n'; }

if [ ! -e "$secrets" ]; then
  umask 077
  {
    echo "# Secrets of the broker, made when the package was installed. Only root can read this file."
    echo "SALA_JWT_SECRET=$(random)"
    echo "SALA_API_KEY=$(random)"
  } >"$secrets.new"
  mv "$secrets.new" "$secrets"
  echo "Sala is installed. Its settings are in /etc/sala; to start it: systemctl enable --now sala"
fi

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart sala.service
fi
