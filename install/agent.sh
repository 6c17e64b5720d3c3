#!/bin/sh
# Makes this host an agent of a Towline control plane: installs the agent, enrols it, starts it, and waits until it is
# online. Safe to run again: what is in place stays as it is. The control plane serves this file at /install.sh with its
# own address and the digests of its agents filled in.
#
#   sh install.sh --token TOKEN [--name NAME] [--release-key KEY] [--install-docker] [--dry-run]
#   sh install.sh --uninstall [--purge]
set -eu

# Filled in by the control plane.
url='@URL@'
version='@VERSION@'
# Lines of an architecture and the SHA-256 of its agent.
digests='@DIGESTS@'
# The public keys of releases that the control plane names, one a line.
served_keys='@RELEASE_KEYS@'

token=${TOWLINE_AGENT_TOKEN:-}
name=${TOWLINE_AGENT_NAME:-}
docker_install=no
docker_from=docker
dry_run=no
action=install
given_key=
purge=no
wait_seconds=60

usage() {
    cat <<'USAGE'
Makes this host an agent of a Towline control plane.

  --token TOKEN      the enrolment token of `towline agents token`; - reads it from standard input
  --name NAME        what the host is called; its host name, unless this says
  --release-key KEY  the public key of your releases (a line of minisign): the agent must be signed by it, and this host
                     becomes no other by an upgrade; without it, the keys that the control plane names
  --install-docker   install Docker Engine and its compose plugin if they are not there
  --docker-from X    from where: docker (Docker's own packages, the default) or distribution
  --dry-run          say what would be done, and do nothing
  --uninstall        stop and remove the agent; containers keep running
  --purge            with --uninstall: remove its state and its policy, too
  --help             this

As root it becomes a service of the system. As another user it needs rootless Docker, and becomes a service of that user.
USAGE
}

say() { printf 'towline: %s\n' "$*"; }
warn() { printf 'towline: warning: %s\n' "$*" >&2; }
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

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --token | --name | --docker-from | --release-key)
                if [ $# -lt 2 ]; then fail "$1 needs a value" "see --help"; fi
                case $1 in
                    --token) token=$2 ;;
                    --name) name=$2 ;;
                    --docker-from) docker_from=$2 ;;
                    --release-key) given_key=$2 ;;
                esac
                shift
                ;;
            --install-docker) docker_install=yes ;;
            --dry-run) dry_run=yes ;;
            --uninstall) action=uninstall ;;
            --purge) purge=yes ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) fail "'$1' is no option of this script" "see --help" ;;
        esac
        shift
    done
    case $docker_from in
        docker | distribution) ;;
        *) fail "--docker-from $docker_from is neither docker nor distribution" "see --help" ;;
    esac
    if [ "$purge" = yes ] && [ "$action" != uninstall ]; then fail "--purge goes with --uninstall" "see --help"; fi
    if [ "$token" = - ]; then
        token=$(cat)
        if [ -z "$token" ]; then fail "no token came on standard input" "pipe it in, or give it as --token TOKEN"; fi
    fi
}

# What machine this is: distribution, family, architecture, init.
look_around() {
    if [ "$(uname -s)" != Linux ]; then fail "this is $(uname -s); agents run on Linux" "run it on the Docker host itself"; fi
    distribution=unknown
    like=
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        distribution=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
        # shellcheck source=/dev/null
        like=$(. /etc/os-release && printf '%s' "${ID_LIKE:-}")
    fi
    family=unknown
    for word in $distribution $like; do
        case $word in
            debian | ubuntu) family=debian ;;
            fedora) family=fedora ;;
            rhel | centos | rocky | almalinux | ol) family=rhel ;;
            alpine) family=alpine ;;
            suse | opensuse* | sles) family=suse ;;
            arch) family=arch ;;
            *) continue ;;
        esac
        break
    done
    case $(uname -m) in
        x86_64 | amd64) architecture=x86_64 ;;
        aarch64 | arm64) architecture=aarch64 ;;
        *) fail "there is no agent for $(uname -m)" "use a host of x86_64 or aarch64" ;;
    esac
    if [ -d /run/systemd/system ]; then
        init=systemd
    elif has openrc-run || [ -x /sbin/openrc-run ]; then
        init=openrc
    else
        init=none
    fi
    if [ "$(id -u)" = 0 ]; then
        privilege=root
        library=/usr/local/lib/towline-agent
        binary=/usr/local/bin/towline-agent
        state=/var/lib/towline-agent
        policy_dir=/etc/towline
        socket=/var/run/docker.sock
        unit=/etc/systemd/system/towline-agent.service
    else
        privilege=user
        library=${HOME:?}/.local/lib/towline-agent
        binary=$HOME/.local/bin/towline-agent
        state=${XDG_STATE_HOME:-$HOME/.local/state}/towline-agent
        policy_dir=${XDG_CONFIG_HOME:-$HOME/.config}/towline
        socket=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/docker.sock
        unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/towline-agent.service
        if [ "$init" = openrc ]; then init=none; fi
    fi
    # In a folder of its own, which the agent may write for its upgrades; the other is the name that people use.
    program=$library/towline-agent
    pinned_keys=$policy_dir/release-keys
    pid_file=$state/agent.pid
    say "$distribution on $architecture, init $init, as $privilege"
}

systemctl_() {
    if [ "$privilege" = root ]; then systemctl "$@"; else systemctl --user "$@"; fi
}

# fetch PATH FILE: takes a file from the control plane. What comes is known by its digest, not by who sent it.
fetch() {
    if has curl; then
        curl --fail --silent --show-error --insecure --location --connect-timeout 20 --retry 3 --output "$2" "$url$1"
    elif has wget; then
        wget --quiet --no-check-certificate --timeout=20 --tries=3 -O "$2" "$url$1"
    else
        fail "neither curl nor wget is here" "install one of them"
    fi
}

digest_of() {
    if has sha256sum; then
        sha256sum "$1" | cut -d' ' -f1
    elif has shasum; then
        shasum -a 256 "$1" | cut -d' ' -f1
    else
        openssl dgst -sha256 "$1" | sed 's/.*= *//'
    fi
}

# --- Docker -----------------------------------------------------------------------------------------------------------

has_engine() { [ -S "$socket" ]; }
has_compose() { has docker && docker compose version >/dev/null 2>&1; }

docker_of_debian() {
    if [ "$docker_from" = distribution ]; then
        run apt-get update -qq
        run env DEBIAN_FRONTEND=noninteractive apt-get install -y docker.io docker-cli docker-compose docker-buildx
        return
    fi
    for package in docker.io docker-doc docker-compose docker-compose-v2 podman-docker containerd runc; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ]; then
            say "$package is in the way of Docker's own packages"
            run env DEBIAN_FRONTEND=noninteractive apt-get remove -y "$package"
        fi
    done
    case $distribution in
        ubuntu | debian) of=$distribution ;;
        *) case $like in *ubuntu*) of=ubuntu ;; *) of=debian ;; esac ;;
    esac
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${UBUNTU_CODENAME:-${VERSION_CODENAME:-}}")
    if [ -z "$codename" ]; then fail "this distribution does not say its code name" "try --docker-from distribution"; fi
    run apt-get update -qq
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y ca-certificates curl
    run install -m 0755 -d /etc/apt/keyrings
    run curl -fsSL "https://download.docker.com/linux/$of/gpg" -o /etc/apt/keyrings/docker.asc
    run chmod a+r /etc/apt/keyrings/docker.asc
    line="deb [arch=$(dpkg --print-architecture) signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/$of $codename stable"
    # shellcheck disable=SC2016 # the inner shell expands these
    run sh -c 'printf "%s\n" "$1" >/etc/apt/sources.list.d/docker.list' sh "$line"
    run apt-get update -qq
    run env DEBIAN_FRONTEND=noninteractive apt-get install -y docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin
}

docker_of_rpm() {
    if [ "$docker_from" = distribution ]; then
        run dnf -y install moby-engine docker-compose
        return
    fi
    for package in docker docker-client docker-common docker-engine podman-docker runc moby-engine; do
        if rpm -q "$package" >/dev/null 2>&1; then
            say "$package is in the way of Docker's own packages"
            run dnf -y remove "$package"
        fi
    done
    run curl -fsSL "https://download.docker.com/linux/$1/docker-ce.repo" -o /etc/yum.repos.d/docker-ce.repo
    run dnf -y install docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin
}

install_docker() {
    if [ "$privilege" != root ]; then
        fail "Docker cannot be installed without root" "install rootless Docker (dockerd-rootless-setuptool.sh install), then run this again"
    fi
    say "installing Docker Engine and its compose plugin"
    case $family in
        debian) docker_of_debian ;;
        fedora) docker_of_rpm fedora ;;
        rhel) if [ "$distribution" = rhel ]; then docker_of_rpm rhel; else docker_of_rpm centos; fi ;;
        alpine) run apk add docker docker-cli-compose docker-cli-buildx ;;
        suse) run zypper --non-interactive install docker docker-compose docker-buildx ;;
        arch) run pacman -S --noconfirm --needed docker docker-compose docker-buildx ;;
        *) fail "this script does not know how Docker comes to $distribution" "install Docker Engine and its compose plugin, then run this again" ;;
    esac
    case $init in
        systemd) run systemctl enable --now docker ;;
        openrc)
            run rc-update add docker default
            run rc-service docker start
            ;;
        none) warn "there is no init system that starts Docker; start dockerd yourself" ;;
    esac
}

need_docker() {
    if has_engine && has_compose; then
        say "Docker is here: $(docker version --format '{{.Server.Version}}' 2>/dev/null || printf 'an engine'), compose $(docker compose version --short 2>/dev/null || printf '?')"
        return
    fi
    if has_engine; then missing="the compose plugin"; else missing="Docker Engine (no socket at $socket)"; fi
    if [ "$docker_install" = yes ]; then
        install_docker
        if [ "$dry_run" = yes ]; then return; fi
        if has_compose; then return; fi
        fail "Docker's compose plugin does not work after its installation" "see what 'docker compose version' says"
    fi
    fail "this host lacks $missing" "run this again with --install-docker, or install it yourself"
}

# --- The agent --------------------------------------------------------------------------------------------------------

install_binary() {
    wanted=$(printf '%s\n' "$digests" | sed -n "s/^$architecture //p")
    if [ -z "$wanted" ]; then
        fail "the control plane has no agent for $architecture" "ask its operator to put towline-agent-$architecture into its --agent-binaries folder"
    fi
    if [ -x "$program" ] && [ "$(digest_of "$program")" = "$wanted" ]; then
        say "$program is in place (version $version)"
        return
    fi
    changed=yes
    if [ "$dry_run" = yes ]; then
        say "would fetch $url/install/agent/$architecture to $program"
        return
    fi
    mkdir -p "$library"
    chmod 755 "$library"
    fresh=$library/.towline-agent.$$
    trap 'rm -f "$fresh" "$fresh.minisig" "$fresh.keys"' EXIT
    trap 'exit 1' INT TERM HUP
    say "fetching the agent for $architecture from $url"
    if ! fetch "/install/agent/$architecture" "$fresh"; then
        fail "the agent could not be fetched from $url" "see whether this host reaches it, perhaps by a proxy (HTTPS_PROXY)"
    fi
    got=$(digest_of "$fresh")
    if [ "$got" != "$wanted" ]; then
        fail "what came is not the agent that the control plane names: its SHA-256 is $got, not $wanted" "try again; if it stays so, somebody is in between"
    fi
    check_signature
    chmod 755 "$fresh"
    if ! "$fresh" version >/dev/null 2>&1; then
        fail "the agent does not run on this host" "see what '$fresh version' says; its C library may be too old"
    fi
    mv -f "$fresh" "$program"
    say "installed $program"
}

# By which keys the agent must be signed: those that this host has already, or the one that was given, or those that the
# control plane names.
expected_keys() {
    if [ -n "$given_key" ]; then
        printf '%s\n' "$given_key"
    elif [ -f "$pinned_keys" ]; then
        cat "$pinned_keys"
    else
        printf '%s\n' "$served_keys"
    fi | sed -n 's/^ *\(RW[A-Za-z0-9+\/=]*\) *$/\1/p'
}

settle_keys() {
    keys=$(expected_keys)
    if [ -n "$given_key" ] && [ "$keys" != "$given_key" ]; then
        fail "--release-key is no public key of minisign" "give the line of the key's file that begins with RW"
    fi
    if [ -n "$given_key" ] && [ -f "$pinned_keys" ] && ! grep -qxF "$given_key" "$pinned_keys"; then
        fail "this host trusts other release keys than the one that was given" "change $pinned_keys yourself, if that is meant"
    fi
}

# The digest says that this is the agent which the command named; the signature says who has made it.
check_signature() {
    if [ -z "$keys" ]; then return; fi
    if ! fetch "/install/agent/$architecture/signature" "$fresh.minisig"; then
        fail "the agent is not signed" "ask the operator of the control plane to sign it (towline pki sign-agent)"
    fi
    if has minisign; then
        for key in $keys; do
            if minisign -Vq -P "$key" -m "$fresh" -x "$fresh.minisig" >/dev/null 2>&1; then
                say "the agent's signature is good (minisign)"
                return
            fi
        done
        refuse_signature
    fi
    # It is the agent that the digest names, in any case.
    printf '%s\n' "$keys" >"$fresh.keys"
    chmod 755 "$fresh"
    if ! "$fresh" verify --release-keys "$fresh.keys" "$fresh" >/dev/null; then refuse_signature; fi
    say "the agent's signature is good, by its own word; where minisign is installed, that says it"
}

refuse_signature() {
    fail "the agent is not signed by a key that this host trusts" "ask the operator of the control plane which release key is theirs"
}

# Which agents this host becomes is its owner's to say, once it is installed: what is there stays.
pin_keys() {
    if [ -z "$keys" ]; then
        say "no release key is known, so that the control plane cannot upgrade this agent (--release-key)"
        return
    fi
    if [ -f "$pinned_keys" ]; then return; fi
    if [ "$dry_run" = yes ]; then
        say "would write $pinned_keys"
        return
    fi
    mkdir -p "$policy_dir"
    printf '%s\n' "$keys" >"$pinned_keys.new"
    chmod 644 "$pinned_keys.new"
    mv -f "$pinned_keys.new" "$pinned_keys"
    say "wrote $pinned_keys: this host becomes agents that are signed by them"
}

# The control plane's own machine has an agent of its own there, which it hands out.
link_binary() {
    if [ "$(readlink "$binary" 2>/dev/null)" = "$program" ]; then return; fi
    if [ -f "$(dirname "$binary")/towline-server" ]; then return; fi
    run mkdir -p "$(dirname "$binary")"
    run ln -sf "$program" "$binary"
}

# field NAME: what `towline-agent status --json` says of it.
field() {
    "$program" status --json --state-dir "$state" 2>/dev/null | sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | head -n 1
}

lacks_token() {
    fail "a token is needed to become an agent" "'towline agents token NAME' makes one; give it as --token TOKEN"
}

enrol() {
    if [ -x "$program" ] && known=$(field agent) && [ -n "$known" ]; then
        theirs=$(field control_plane)
        case $theirs in
            "$url" | "$url/") ;;
            *) fail "this host is an agent of $theirs already" "take that away first: --uninstall --purge" ;;
        esac
        if [ "$(field state)" != revoked ]; then
            say "this host is agent $known already"
            return
        fi
        again=--force
    fi
    if [ -z "$token" ]; then lacks_token; fi
    changed=yes
    if [ "$dry_run" = yes ]; then
        say "would enrol this host"
        return
    fi
    set -- enroll --token - --state-dir "$state"
    if [ -n "$name" ]; then set -- "$@" --name "$name"; fi
    if [ -n "${again:-}" ]; then set -- "$@" "$again"; fi
    if ! printf '%s' "$token" | "$program" "$@"; then
        fail "this host was not enrolled (see above)" "make a new token, which works once and for 15 minutes, and run this again"
    fi
}

# Which settings of this shell the service needs, too.
proxies() {
    for variable in HTTPS_PROXY https_proxy NO_PROXY no_proxy; do
        eval "value=\${$variable:-}"
        if [ -n "$value" ]; then printf '%s=%s\n' "$variable" "$value"; fi
    done
}

systemd_unit() {
    cat <<UNIT
[Unit]
Description=Towline agent
Documentation=$url
Wants=network-online.target docker.service
After=network-online.target docker.service

[Service]
ExecStart=$program run --state-dir $state --docker-host unix://$socket --policy $policy_dir/policy.toml --release-keys $pinned_keys
Restart=always
RestartSec=2
# A deploy that is under way outlives a restart of the agent.
KillMode=process
TimeoutStopSec=15
UMask=0077
NoNewPrivileges=yes
MemoryMax=1G
TasksMax=512
UNIT
    proxies | sed 's/%/%%/g; s/"/\\"/g; s/^\(.*\)$/Environment="\1"/'
    if [ "$privilege" = root ]; then
        cat <<UNIT
# Whoever speaks to Docker's socket can be root by it; what of this host the agent itself can reach is less.
ProtectSystem=strict
# Its own program is there, which it exchanges when it is upgraded.
ReadWritePaths=$state $library -/root/.docker
ProtectHome=read-only
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER
StateDirectory=towline-agent
StateDirectoryMode=0700

[Install]
WantedBy=multi-user.target
UNIT
    else
        printf '\n[Install]\nWantedBy=default.target\n'
    fi
}

openrc_script() {
    cat <<SCRIPT
#!/sbin/openrc-run
description="Towline agent"
supervisor=supervise-daemon
command=$program
command_args="run --state-dir $state --docker-host unix://$socket --policy $policy_dir/policy.toml --release-keys $pinned_keys"
respawn_delay=2
output_log=/var/log/towline-agent.log
error_log=/var/log/towline-agent.log
umask=077
rc_ulimit="-v unlimited"
depend() { need net; after docker firewall; }
SCRIPT
    proxies | sed "s/'/'\\\\''/g; s/^\([^=]*\)=\(.*\)\$/export \1='\2'/"
}

# put FILE MODE: writes standard input to a file, if it holds something else.
put() {
    if [ "$dry_run" = yes ]; then
        cat >/dev/null
        say "would write $1"
        return
    fi
    mkdir -p "$(dirname "$1")"
    cat >"$1.new"
    if [ -f "$1" ] && cmp -s "$1" "$1.new"; then
        rm -f "$1.new"
        return
    fi
    chmod "$2" "$1.new"
    mv -f "$1.new" "$1"
    changed=yes
    say "wrote $1"
}

is_running() { [ "$(field process)" = running ]; }

start_service() {
    case $init in
        systemd)
            systemd_unit | put "$unit" 644
            if [ "$changed" = no ] && is_running; then return; fi
            run systemctl_ daemon-reload
            run systemctl_ enable towline-agent
            run systemctl_ restart towline-agent
            if [ "$privilege" = user ] && has loginctl; then
                run loginctl enable-linger || warn "the agent stops when you log out: ask an administrator for 'loginctl enable-linger $(id -un)'"
            fi
            ;;
        openrc)
            openrc_script | put /etc/init.d/towline-agent 755
            if [ "$changed" = no ] && is_running; then return; fi
            run rc-update add towline-agent default
            run rc-service towline-agent restart
            ;;
        none)
            if [ "$changed" = no ] && is_running; then return; fi
            warn "there is no init system here: the agent runs until the host stops; start it then by: $program run --state-dir $state"
            if [ "$dry_run" = yes ]; then return; fi
            stop_process
            (umask 077 && : >>"$state/agent.log")
            nohup "$program" run --state-dir "$state" --docker-host "unix://$socket" --policy "$policy_dir/policy.toml" \
                --release-keys "$pinned_keys" \
                >>"$state/agent.log" 2>&1 </dev/null &
            printf '%s\n' "$!" >"$pid_file"
            ;;
    esac
}

is_agent() { [ "$(readlink "/proc/$1/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$program" ]; }

# What runs without an init system is known by its file, and stopped only if it is the agent.
stop_process() {
    if [ ! -f "$pid_file" ]; then return; fi
    pid=$(cat "$pid_file")
    if is_agent "$pid"; then
        kill "$pid"
        left=15
        while is_agent "$pid" && [ "$left" -gt 0 ]; do
            sleep 1
            left=$((left - 1))
        done
    fi
    rm -f "$pid_file"
}

wait_until_online() {
    if [ "$dry_run" = yes ]; then return; fi
    left=$wait_seconds
    while [ "$left" -gt 0 ]; do
        if is_running && [ "$(field state)" = up ]; then
            say "online: agent $(field agent) of $url"
            return
        fi
        sleep 1
        left=$((left - 1))
    done
    "$program" status --state-dir "$state" >&2 || true
    case $init in
        systemd) log="journalctl -u towline-agent" ;;
        openrc) log=/var/log/towline-agent.log ;;
        none) log=$state/agent.log ;;
    esac
    fail "the agent is not online after $wait_seconds s" "see its log ($log), and whether this host reaches $(field agent_address)"
}

uninstall() {
    case $init in
        systemd)
            if [ -f "$unit" ]; then
                run systemctl_ disable --now towline-agent
                run rm -f "$unit"
                run systemctl_ daemon-reload
            fi
            ;;
        openrc)
            if [ -f /etc/init.d/towline-agent ]; then
                run rc-service towline-agent stop || true
                run rc-update del towline-agent default || true
                run rm -f /etc/init.d/towline-agent
            fi
            ;;
        none) if [ "$dry_run" = no ]; then stop_process; fi ;;
    esac
    if [ "$(readlink "$binary" 2>/dev/null)" = "$program" ]; then run rm -f "$binary"; fi
    run rm -rf "$library"
    if [ "$purge" = yes ]; then
        run rm -rf "$state"
        run rm -f "$policy_dir/policy.toml" "$pinned_keys"
    fi
    if [ "$dry_run" = yes ]; then return; fi
    say "removed the agent; containers keep running"
    if [ "$purge" = no ]; then say "its state stays in $state, so that it can come back; --purge removes it"; fi
    say "to cut the host off for good: towline agents revoke NAME"
}

main() {
    read_arguments "$@"
    look_around
    if [ "$action" = uninstall ]; then
        uninstall
        return
    fi
    case $url in
        https://*) ;;
        *) fail "this copy of the script was not served by a control plane" "take it from your control plane's address: https://…/install.sh" ;;
    esac
    # Nothing is begun that could not be ended.
    if [ -z "$token" ] && [ ! -d "$state" ]; then lacks_token; fi
    need_docker
    changed=no
    settle_keys
    install_binary
    link_binary
    pin_keys
    enrol
    start_service
    wait_until_online
}

# All of it is read before any of it is done, even when it comes through a pipe that breaks off.
main "$@"
