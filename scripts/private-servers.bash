# Finds, starts and awaits the private servers of scripts/with-servers, which sources this file and sets
# `dir` (their data) and `password`.
# shellcheck shell=bash

started=() # "SIGNAL GROUP" of each process; the signal ends it at once

postgres_bin() { # the newest of Debian's installations, else the one in PATH
  local initdb
  initdb=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n1)
  [[ -x $initdb ]] || initdb=$(command -v initdb) || return
  dirname "$initdb"
}

rabbitmq_server() { # Debian's command in PATH requires the user root or rabbitmq; the script behind it does not
  local server=/usr/lib/rabbitmq/bin/rabbitmq-server
  if [[ -x $server ]]; then echo "$server"; else command -v rabbitmq-server; fi
}

connects() { timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }

greets() { # a ready broker answers the AMQP header with a method frame, whose first byte is 1
  timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "AMQP\0\0\11\1" >&3 &&
    [[ $(head -c 1 <&3 | od -An -tu1) == *1 ]]' "$1" 2>/dev/null
}

# Ports are derived from the process id, so that concurrent runs do not collide; ports in use are
# skipped. All are below 32768, where the range of outgoing connections begins.
free_port() { # SLOT, 0 to 3
  local port=$((20000 + ($$ * 4 + $1) % 12000))
  while connects 127.0.0.1 "$port"; do port=$((20000 + (port - 20000 + 4 * 1009) % 12000)); done
  echo "$port"
}

# Sets `as`, a command prefix that gives a clean environment and, when running as root (which Postgres
# rejects), switches to the server's own user, or to the unprivileged system user if that does not exist.
become() { # USER HOME
  local user=$1
  as=(env -i "PATH=$PATH" "HOME=$2" LANG=C.UTF-8)
  ((EUID == 0)) || return 0
  id -u "$user" >/dev/null 2>&1 || user=nobody
  chown -R "$user:" "$2"
  as=(setpriv --reuid "$(id -u "$user")" --regid "$(id -g "$user")" --clear-groups -- "${as[@]}")
}

# Starts a command in the background, in its own process group (so that Ctrl-C ends the tests before their servers);
# the kernel ends it even if this script is killed.
start() { # SIGNAL LOG [NAME=VALUE…] COMMAND…
  (cd "$dir" && exec setsid "${as[@]}" setpriv --pdeathsig "$1" -- env "${@:3}") >"$2" 2>&1 </dev/null &
  started+=("$1 $!")
}

wait_until() { # NAME GROUP LOG COMMAND…: until the command succeeds
  local deadline=$((SECONDS + 90))
  until "${@:4}" >/dev/null 2>&1; do
    if ! kill -0 "$2" 2>/dev/null || ((SECONDS >= deadline)); then
      tail -n 40 "$3" >&2
      fail "$1 did not start; the end of its log is above"
    fi
    sleep 0.1
  done
}

start_postgres() {
  local bin home=$dir/postgres
  bin=$(postgres_bin) postgres_port=$(free_port 0)
  mkdir -m 700 "$home"
  echo "$password" >"$home/password"
  become postgres "$home"
  # Plain-text passwords over loopback: tests connect hundreds of times, and SCRAM's 4096
  # rounds in an unoptimised binary would dominate their run time.
  (cd "$dir" && "${as[@]}" "$bin/initdb" --pgdata="$home/data" --username=vestibule --pwfile="$home/password" \
    --auth="${POSTGRES_AUTH:-password}" --encoding=UTF8 --locale=C.UTF-8 --no-sync) >"$home.log" 2>&1 ||
    { tail -n 40 "$home.log" >&2; fail "initdb failed; its output is above"; }
  # No fsync, as the data is discarded anyway, unless DURABLE=1 asks for a production-like server (for benchmarks).
  # No unix socket, because its path has a length limit.
  # There statements are counted, too.
  local settings=(-c fsync=off -c full_page_writes=off)
  [[ ${DURABLE:-} != 1 ]] || settings=(-c shared_preload_libraries=pg_stat_statements)
  start QUIT "$home.log" "$bin/postgres" -D "$home/data" -c port="$postgres_port" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
    -c timezone=UTC -c log_timezone=UTC "${settings[@]}"
  postgres=$!
}

await_postgres() {
  wait_until Postgres "$postgres" "$dir/postgres.log" \
    "$(postgres_bin)/pg_isready" --host=127.0.0.1 --port="$postgres_port"
  export DATABASE_URL=postgres://vestibule:$password@127.0.0.1:$postgres_port/postgres
  export POSTGRES_LOG=$dir/postgres.log
}

start_rabbitmq() {
  local home=$dir/rabbitmq epmd_port
  rabbitmq_port=$(free_port 1) epmd_port=$(free_port 2)
  mkdir -m 700 "$home"
  printf '%s\n' "listeners.tcp.1 = 127.0.0.1:$rabbitmq_port" 'default_user = vestibule' \
    "default_pass = $password" 'log.console = true' 'log.file = false' >"$home/rabbitmq.conf"
  echo '[].' >"$home/enabled_plugins"
  become rabbitmq "$home"
  # Erlang's port mapper; a node would otherwise start it as a daemon that outlives the node.
  start KILL "$dir/epmd.log" epmd -address 127.0.0.1 -port "$epmd_port"
  wait_until epmd "$!" "$dir/epmd.log" connects 127.0.0.1 "$epmd_port"
  # All paths are set, so that nothing of the installed broker is read or written. RUNNING_UNDER_SYSTEMD makes the start
  # script exec the broker instead of staying its parent.
  start KILL "$home.log" RUNNING_UNDER_SYSTEMD=true ERL_EPMD_PORT="$epmd_port" \
    RABBITMQ_NODENAME="vestibule-$$@localhost" RABBITMQ_DIST_PORT="$(free_port 3)" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}' \
    RABBITMQ_CONF_ENV_FILE="$home/none" RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" \
    RABBITMQ_CONFIG_FILES="$home/none" RABBITMQ_ADVANCED_CONFIG_FILE="$home/none" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" RABBITMQ_LOGS=- RABBITMQ_LOG_BASE="$home/log" \
    RABBITMQ_MNESIA_BASE="$home/mnesia" RABBITMQ_GENERATED_CONFIG_DIR="$home/config" \
    RABBITMQ_SCHEMA_DIR="$home/schema" RABBITMQ_PID_FILE="$home/pid" "$(rabbitmq_server)"
  rabbitmq=$!
}

await_rabbitmq() {
  wait_until RabbitMQ "$rabbitmq" "$dir/rabbitmq.log" greets "$rabbitmq_port"
  export AMQP_URL=amqp://vestibule:$password@127.0.0.1:$rabbitmq_port/%2f
}

stop_servers() { # silent: the shell would report every killed process
  local entry
  for entry in "${started[@]}"; do kill "-${entry% *}" -- "-${entry#* }" || true; done
  wait || true
} 2>/dev/null
