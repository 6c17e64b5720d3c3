#!/bin/sh
# Makes this machine a Towline control plane: installs the programs, makes a service of the server, starts it, and shows
# the set-up link. Safe to run again: what is in place stays as it is, and newer programs come in the place of older ones.
#
#   sh control-plane.sh --public-url https://towline.example.org:8443 [--from FOLDER] [--dry-run] [-- ARGUMENTS OF serve]
#   sh control-plane.sh --uninstall [--purge]
set -eu

url=
from=$(dirname "$0")
dry_run=no
action=install
purge=no
wait_seconds=60
programs=/usr/local/bin
shared=/usr/local/share/towline
data=/var/lib/towline
unit=/etc/systemd/system/towline-server.service

usage() {
    cat <<'USAGE'
Makes this machine a Towline control plane.

  --public-url URL   how people and hosts reach it, as https://towline.example.org:8443
  --from FOLDER      where the programs are: towline-server, towline and towline-agent, or towline-agent-x86_64 and
                     towline-agent-aarch64; the script's own folder, unless this says
  --dry-run          say what would be done, and do nothing
  --uninstall        stop and remove the server; its data stay
  --purge            with --uninstall: remove its data, its master key and its certificate authority, too
  -- ARGUMENTS       more arguments of `towline-server serve`

It needs root, and systemd for the service; elsewhere it installs the programs and says how to start them.
USAGE
}

say() { printf 'towline: %s\n' "$*"; }
# fail WHAT NEXT: what went wrong, and what to do.
fail() {
    printf 'towline: %s\n' "$1" >&2
    if [ $# -gt 1 ]; then printf 'towline: next: %s\n' "$2" >&2; fi
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# Does something, or says that it would.
run() {
    if [ "$dry_run" = yes ]; then
        printf 'towline: would run: %s\n' "$*"
    else
        "$@"
    fi
}

# An argument as a unit of systemd has it.
for_unit() { printf '%s' "$1" | sed 's/\\/\\\\/g; s/%/%%/g; s/\$/$$/g; s/"/\\"/g; s/^/ "/; s/$/"/'; }

read_arguments() {
    more=
    while [ $# -gt 0 ]; do
        case $1 in
            --public-url | --from)
                if [ $# -lt 2 ]; then fail "$1 needs a value" "see --help"; fi
                if [ "$1" = --from ]; then from=$2; else url=$2; fi
                shift
                ;;
            --dry-run) dry_run=yes ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            --help | -h)
                usage
                exit 0
                ;;
            --)
                shift
                for argument in "$@"; do more=$more$(for_unit "$argument"); done
                break
                ;;
            *) fail "'$1' is no option of this script" "see --help" ;;
        esac
        shift
    done
    if [ "$purge" = yes ] && [ "$action" != uninstall ]; then fail "--purge goes with --uninstall" "see --help"; fi
}

# place FILE NAME: a program in its place, if what is there is another one.
place() {
    if [ -f "$2" ] && cmp -s "$1" "$2"; then
        say "$2 is in place"
        return
    fi
    changed=yes
    run install -m 0755 "$1" "$2.new"
    run mv -f "$2.new" "$2"
    if [ "$dry_run" = no ]; then say "installed $2"; fi
}

install_programs() {
    if [ ! -f "$from/towline-server" ]; then
        fail "there is no towline-server in $from" "build it (cargo build --release --locked --workspace --bins) and name its folder: --from target/release"
    fi
    if ! "$from/towline-server" version >/dev/null 2>&1; then
        fail "$from/towline-server does not run on this machine" "see what '$from/towline-server version' says"
    fi
    run mkdir -p "$programs" "$shared"
    for program in towline-server towline towline-agent; do
        if [ -f "$from/$program" ]; then place "$from/$program" "$programs/$program"; fi
    done
    # What hosts of these architectures fetch.
    for architecture in x86_64 aarch64; do
        if [ -f "$from/towline-agent-$architecture" ]; then
            place "$from/towline-agent-$architecture" "$shared/towline-agent-$architecture"
        fi
    done
}

make_user() {
    if id towline >/dev/null 2>&1; then return; fi
    if has useradd; then
        run useradd --system --no-create-home --home-dir "$data" --shell /usr/sbin/nologin towline
    else
        run adduser -S -D -H -h "$data" -s /sbin/nologin towline
    fi
}

systemd_unit() {
    cat <<UNIT
[Unit]
Description=Towline control plane
Wants=network-online.target
After=network-online.target

[Service]
User=towline
StateDirectory=towline
StateDirectoryMode=0700
ExecStart=$programs/towline-server serve --data-dir $data --public-url$(for_unit "$url")$more
Restart=always
RestartSec=2
TimeoutStopSec=15
UMask=0077
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE

[Install]
WantedBy=multi-user.target
UNIT
}

start_service() {
    if [ ! -d /run/systemd/system ]; then
        say "there is no systemd here; start the server by: $programs/towline-server serve --data-dir $data --public-url $url"
        return
    fi
    fresh=$(systemd_unit)
    if [ ! -f "$unit" ] || [ "$fresh" != "$(cat "$unit")" ]; then
        changed=yes
        if [ "$dry_run" = yes ]; then
            say "would write $unit"
        else
            printf '%s\n' "$fresh" >"$unit.new"
            chmod 644 "$unit.new"
            mv -f "$unit.new" "$unit"
            say "wrote $unit"
        fi
    fi
    if [ "$changed" = no ] && systemctl is-active --quiet towline-server; then
        say "the server runs"
        return
    fi
    run systemctl daemon-reload
    run systemctl enable towline-server
    run systemctl restart towline-server
    wait_until_ready
}

# The server's own answer, whatever its certificate.
is_ready() {
    if has curl; then
        curl --fail --silent --insecure --max-time 5 --output /dev/null "$1"
    else
        wget --quiet --no-check-certificate --timeout=5 -O /dev/null "$1"
    fi
}

wait_until_ready() {
    if [ "$dry_run" = yes ]; then return; fi
    left=$wait_seconds
    while ! is_ready "${url%/}/readyz"; do
        if [ "$left" = 0 ]; then
            fail "the server does not answer at $url after $wait_seconds s" "see 'journalctl -u towline-server', and whether this machine reaches that address"
        fi
        sleep 1
        left=$((left - 1))
    done
    say "it answers at $url"
    link=$(journalctl --unit towline-server --output cat --since -10min 2>/dev/null | sed -n 's/.*\(https:[^ "]*\/setup#[^ "]*\).*/\1/p' | tail -n 1)
    if [ -n "$link" ]; then say "set it up: towline setup '$link' --email you@example.org --name You"; fi
    say "keep a copy of $data/master.key somewhere else than your backups"
}

uninstall() {
    if [ -f "$unit" ]; then
        run systemctl disable --now towline-server
        run rm -f "$unit"
        run systemctl daemon-reload
    fi
    run rm -f "$programs/towline-server" "$programs/towline"
    run rm -rf "$shared"
    if [ "$purge" = yes ]; then run rm -rf "$data"; fi
    if [ "$dry_run" = yes ]; then return; fi
    say "removed the control plane"
    if [ "$purge" = no ]; then say "its data stay in $data; --purge removes them"; fi
}

main() {
    read_arguments "$@"
    if [ "$(id -u)" != 0 ]; then fail "this needs root" "run it as root"; fi
    if [ "$action" = uninstall ]; then
        uninstall
        return
    fi
    case $url in
        https://?*) ;;
        "") fail "how people and hosts reach it is not said" "give --public-url https://NAME:8443" ;;
        *) fail "'$url' is no https:// address" "give it as https://NAME:8443" ;;
    esac
    changed=no
    install_programs
    make_user
    start_service
}

main "$@"
