#!/usr/bin/env bash
# Installs the packages of dist/ into a clean Debian, which debootstrap makes in a temporary folder,
# and runs the broker there as the systemd unit would: with its command line, its environment file and
# an unprivileged user. Then removes the packages and looks at what stays. systemd itself doesn't run.
# Needs root, debootstrap, rpm and curl; uses the network, and no port that others may have.
set -euo pipefail
cd "$(dirname "$0")/.."

for command in debootstrap rpm curl; do
  if ! command -v "$command" >/dev/null; then
    echo "release-check: $command is missing; on Debian: apt-get install debootstrap rpm curl" >&2
    exit 1
  fi
done
if ((EUID != 0)); then
  echo "release-check: run as root, because debootstrap and chroot need it" >&2
  exit 1
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/sala-release.XXXXXX")
chmod 755 "$root" # the broker's user must get in
broker=
finish() {
  [[ -z $broker ]] || kill -KILL "$broker" 2>/dev/null || true
  umount "$root/proc" "$root/sys" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap finish EXIT

fail() {
  echo "release-check: $*" >&2
  exit 1
}

arch=$(dpkg --print-architecture)
shopt -s nullglob
debs=(dist/*_"$arch".deb) rpms=(dist/*."$(uname -m)".rpm)
((${#debs[@]} == 1 && ${#rpms[@]} == 1)) || fail "dist/ has no package for $arch: run make release-snapshot"

echo "== a clean Debian"
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[[ -z ${proxy:-} ]] || export http_proxy=$proxy
debootstrap --variant=minbase "${SUITE:-bookworm}" "$root" "${MIRROR:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
  { tail "$root.log"; rm -f "$root.log"; fail "debootstrap failed"; }
rm -f "$root.log"

# runs starts the broker as the unit does, asks it, lets it issue a token, and stops it. Then it looks
# for the manual page and the completions; its argument is the folder of those for zsh. No grep has -q:
# it would end at the first match, and pipefail would report the SIGPIPE of what writes to it.
runs() {
  local unit=$root/usr/lib/systemd/system/sala.service line port control
  line=$(sed -n 's/^ExecStart=//p' "$unit")
  [[ $line == "/usr/bin/sala serve --config /etc/sala/sala.yaml" ]] || fail "the unit starts $line"
  [[ $(stat -c '%a %U' "$root/etc/sala/secrets.env") == "600 root" ]] || fail "others can read the secrets"
  # systemd makes the folder of StateDirectory=, and reads EnvironmentFile= before it drops privileges.
  install -d -o 65534 -g 65534 -m 0700 "$root/var/lib/sala"
  port=$((20000 + RANDOM % 10000)) control=$((port + 1))
  (
    set -a
    # shellcheck disable=SC1091
    . "$root/etc/sala/secrets.env"
    export SALA_LISTEN=127.0.0.1:$port SALA_HTTP_LISTEN=127.0.0.1:$control SALA_GRPC_LISTEN=127.0.0.1:$((port + 2))
    # shellcheck disable=SC2086 # the command line has several words
    exec chroot --userspec=65534:65534 "$root" $line
  ) >"$root/sala.log" 2>&1 &
  broker=$!
  curl -sSf --retry 30 --retry-connrefused --retry-delay 1 -o /dev/null "http://127.0.0.1:$control/livez" ||
    { cat "$root/sala.log"; fail "the broker doesn't answer"; }
  local key
  key=$(sed -n 's/^SALA_API_KEY=//p' "$root/etc/sala/secrets.env")
  curl -sSf -H "Authorization: Bearer $key" -d '{"user": "ana"}' "http://127.0.0.1:$control/v1/tokens" | grep '"token"' >/dev/null ||
    fail "REST issues no token"
  local token
  token=$(SALA_API_KEY=$key chroot "$root" /usr/bin/sala token ana --server "127.0.0.1:$((port + 2))")
  [[ $token == *.*.* ]] || fail "the installed command gets no token"
  chroot "$root" /usr/bin/sala connect "http://127.0.0.1:$port" --token "$token" </dev/null 2>&1 | grep 'connected as' >/dev/null ||
    fail "sala connect doesn't connect"
  SALA_HTTP_LISTEN=127.0.0.1:$control chroot "$root" /usr/bin/sala health >/dev/null || fail "sala health fails"
  kill -TERM "$broker"
  wait "$broker" || { cat "$root/sala.log"; fail "the broker ends with an error"; }
  broker=
  chroot "$root" /usr/bin/sala version
  local file
  for file in man/man1/sala.1.gz bash-completion/completions/sala fish/vendor_completions.d/sala.fish; do
    [[ -s $root/usr/share/$file ]] || fail "/usr/share/$file is missing"
  done
  [[ -s $root/usr/share/zsh/$1/_sala ]] || fail "the completions for zsh are missing"
  zcat "$root/usr/share/man/man1/sala.1.gz" | grep '^\.SS "sala serve"' >/dev/null || fail "the manual page lacks a command"
}

echo "== ${debs[0]}"
cp "${debs[0]}" "$root/sala.deb"
chroot "$root" dpkg -i /sala.deb
[[ ! -e $root/etc/systemd/system/multi-user.target.wants/sala.service ]] || fail "the service is enabled"
chroot "$root" dpkg --verify sala
runs vendor-completions
before=$(cat "$root/etc/sala/secrets.env")
echo "# mine" >>"$root/etc/sala/sala.yaml"
chroot "$root" dpkg --force-confold -i /sala.deb >/dev/null
[[ $(cat "$root/etc/sala/secrets.env") == "$before" ]] || fail "an update changes the secrets"
grep -q '^# mine' "$root/etc/sala/sala.yaml" || fail "an update overwrites the settings"
chroot "$root" dpkg -r sala
[[ ! -e $root/usr/bin/sala && ! -e $root/usr/lib/systemd/system/sala.service ]] || fail "removing leaves the program"
[[ -e $root/etc/sala/sala.yaml && -e $root/etc/sala/secrets.env ]] || fail "removing takes the settings along"
chroot "$root" dpkg -P sala
[[ ! -e $root/etc/sala && ! -e $root/var/lib/sala ]] || fail "purging leaves settings, secrets or state"

# Debian's rpm installs into the same system, which runs the package's scripts with its own shell.
echo "== ${rpms[0]}"
rpm -K --nosignature "${rpms[0]}"
mkdir -p "$root/var/lib/rpm"
rpm --root "$root" --initdb
in_root=(rpm --root "$root")
"${in_root[@]}" --nodeps --nosignature -i "${rpms[0]}"
"${in_root[@]}" --nodeps -V sala
[[ $("${in_root[@]}" -q --configfiles sala) == /etc/sala/sala.yaml ]] || fail "the rpm's settings aren't marked as such"
runs site-functions
before=$(cat "$root/etc/sala/secrets.env")
"${in_root[@]}" --nodeps --nosignature -U --force "${rpms[0]}"
[[ $(cat "$root/etc/sala/secrets.env") == "$before" ]] || fail "an update changes the secrets"
"${in_root[@]}" --nodeps -e sala
[[ ! -e $root/usr/bin/sala && ! -e $root/usr/lib/systemd/system/sala.service ]] || fail "removing leaves the program"

echo "== checksums, archives and SBOMs"
(cd dist && sha256sum --check --quiet checksums.txt)
for platform in linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64 windows_arm64; do
  found=(dist/sala_*_"$platform".tar.gz dist/sala_*_"$platform".zip)
  ((${#found[@]} == 1)) || fail "there is no archive for $platform"
  sboms=(dist/sala_*_"$platform".cdx.json dist/sala-connect_*_"$platform".cdx.json)
  list=$(tar tzf "${found[0]}" 2>/dev/null || python3 -m zipfile -l "${found[0]}")
  for file in /sala /sala-connect /man/sala.1 /completions/sala.bash /completions/_sala /completions/sala.fish /LICENSE; do
    grep -Eq "$file(\.exe)?( |$)" <<<"$list" || fail "${found[0]} lacks $file"
  done
  ((${#sboms[@]} == 2)) || fail "there are ${#sboms[@]} SBOMs for $platform"
  grep -q 'pkg:golang/google.golang.org/grpc@' "${sboms[0]}" || fail "the SBOM for $platform has no modules"
done
echo "release-check: the packages install, run and go again"
