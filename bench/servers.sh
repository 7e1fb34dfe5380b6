# Real servers for checks and benchmarks, each on its own port and folder below $work, ended by their ids. Sourced by ./check
# and bench/run, which set $work and call stop_servers at their end.

servers=()

stop_servers() {
    for stop in "${servers[@]}"; do eval "$stop" >/dev/null 2>&1 || true; done
    servers=()
}

# need PACKAGES TEST: installs Debian packages when the shell test fails. Nothing that they bring is started as a service.
need() {
    eval "$2" >/dev/null 2>&1 && return
    if ! command -v apt-get >/dev/null; then
        echo "missing: $1 (no apt-get on this machine: install it in its own way, then run this again)" >&2
        exit 1
    fi
    local sudo="" policy=/usr/sbin/policy-rc.d made_policy="" installed=yes
    [ "$(id -u)" = 0 ] || sudo="sudo"
    echo "installing $1"
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null && $sudo chmod +x "$policy" && made_policy=yes
    fi
    [ -n "${apt_updated:-}" ] || { $sudo apt-get update -qq >"$work/apt.log" 2>&1 || true; apt_updated=yes; }
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $1 >>"$work/apt.log" 2>&1 || installed=no
    [ -z "$made_policy" ] || $sudo rm -f "$policy"
    [ "$installed" = yes ] || { cat "$work/apt.log" >&2; echo "missing: $1 could not be installed" >&2; exit 1; }
    eval "$2" >/dev/null 2>&1 || { echo "missing: $1 was installed, but '$2' still fails" >&2; exit 1; }
}

# as_user NAME COMMAND ...: PostgreSQL refuses to run as root.
as_user() {
    local user=$1
    shift
    if [ "$(id -u)" = 0 ]; then su "$user" -s /bin/sh -c "$(printf '%q ' "$@")"; else "$@"; fi
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Starts a PostgreSQL of its own, with the durability that a real one has, and exports its URL as TESSERA_TEST_DATABASE.
start_postgres() {
    need postgresql 'ls -d /usr/lib/postgresql/*/bin/initdb'
    need python3 'command -v python3'
    local bin port data
    bin=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)")
    port=$(free_port)
    chmod 755 "$work"
    mkdir "$work/postgres"
    [ "$(id -u)" != 0 ] || chown postgres "$work/postgres"
    data="$work/postgres/data"
    as_user postgres "$bin/initdb" -D "$data" -A trust -U postgres --no-sync >/dev/null
    servers+=("as_user postgres '$bin/pg_ctl' -D '$data' -m immediate -w stop")
    as_user postgres "$bin/pg_ctl" -D "$data" -w -l "$work/postgres/log" \
        -o "-p $port -k $work/postgres -c listen_addresses=127.0.0.1 -c max_connections=400" start >/dev/null
    export TESSERA_TEST_DATABASE="postgres://postgres@127.0.0.1:$port/postgres"
}
