# shellcheck shell=bash disable=SC2015,SC2016,SC2154
# Part of scripts/stack: configuring, starting and stopping the two servers.

# TLS is asked of the pooler's configuration: POOLER_TLS may have changed since it started.
ask() { # SECONDS PORT DATABASE, SQL on stdin
  local sslmode=disable
  if [ "$2" = "$POOLER_PORT" ] && grep -q '^client_tls_sslmode' "$INI"; then sslmode=verify-ca; fi
  PGPASSWORD=$PASSWORD PGCONNECT_TIMEOUT=2 PGSSLROOTCERT=$STACK_DIR/ca.crt ${TIMEOUT:+"$TIMEOUT" "$1"} \
    "$PG_BINDIR/psql" -XAtq -v ON_ERROR_STOP=1 "host=127.0.0.1 port=$2 user=stm dbname=$3 sslmode=$sslmode"
}
failed() { # MESSAGE LOG
  as_run tail -n 20 "$2" >&2 || true
  die "$1; the end of $2 is above"
}
# The pooler is asked for `postgres`, not `stm`: up must not queue behind tests that hold all
# of stm's few server connections.
wait_for() { # SERVER PORT LOG
  local deadline=$((SECONDS + 30))
  until running "$1" && ask 5 "$2" postgres <<<'select 1' >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || failed "$1 does not answer on port $2 after 30 s" "$3"
    sleep 0.1
  done
}
# Both servers append to one plain file each; every start (or repeated up) cuts what has grown
# beyond 10 MB. They open it with O_APPEND, so truncating under a running server is safe.
trim_log() {
  if [ -f "$1" ] && [ "$(wc -c <"$1")" -gt 10000000 ]; then
    as_run sh -c 'tail -c 1000000 "$1" >"$1.old" && : >"$1"' sh "$1"
  fi
}

# Both servers detach themselves (fork, setsid, output to their logs) but keep what else is
# open: the lock, and pipes that make, bats or a CI runner handed down and wait on. So nothing
# above 2 is passed on. The file limit is for 1000 pooler clients; runuser resets it, hence here.
daemon() (
  for fd in /dev/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || eval "exec $fd>&-"
  done
  as_run sh -c 'ulimit -Sn 4096 2>/dev/null || :; exec "$@"' sh "$@"
)

# Made under another name and renamed when complete: a killed initdb must not pass for data.
init_postgres() {
  local new=$PGDATA_DIR.new
  as_run rm -rf "$new"
  put "$STORE/pwfile" <<<"$PASSWORD"
  as_run "$PG_BINDIR/initdb" -D "$new" -U stm --pwfile="$STORE/pwfile" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  as_run rm "$STORE/pwfile"
  put "$new/pg_hba.conf" <<<$'host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256'
  as_run sh -c 'echo "include '"'stack.conf'"'" >>"$1"' sh "$new/postgresql.conf"
  as_run mv "$new" "$PGDATA_DIR"
}
start_postgres() {
  local pid deadline=$((SECONDS + 30)) out why passing='pre-existing shared memory block|Address already in use'
  trim_log "$PG_LOG"
  if ! running postgres; then
    [ -d "$PGDATA_DIR" ] || init_postgres
    # fsync stays on: crash tests against a server that may lose commits would prove nothing.
    put "$PGDATA_DIR/stack.conf" <<EOF
listen_addresses = '127.0.0.1'
port = $PG_PORT
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
fsync = on
timezone = 'UTC'
log_timezone = 'UTC'
EOF
    # PostgreSQL overrides the pid file of a dead postmaster by itself, but refuses when the pid
    # now belongs to another process (or a zombie). pid_of has just told that it is not ours.
    pid=$(as_run head -n 1 "$PGDATA_DIR/postmaster.pid" 2>/dev/null) || pid=''
    if [[ $pid =~ ^[0-9]+$ ]] && kill -0 "$pid" 2>/dev/null; then as_run rm -f "$PGDATA_DIR/postmaster.pid"; fi
    # After a SIGKILL the old backends live on until they next wait for something: a moment, or
    # the rest of a long query. Until then PostgreSQL refuses to start. They have no pid file, so
    # they are waited for, not killed. A port that nobody listens on may be the near end of some
    # program's connection: that passes too.
    until out=$(daemon "$PG_BINDIR/pg_ctl" start -D "$PGDATA_DIR" -l "$PG_LOG" -w -t 30 -s 2>&1); do
      why=$(as_run tail -n 6 "$PG_LOG" | grep -oE "$passing" | tail -n 1) || failed "postgres did not start: $out" "$PG_LOG"
      [ "$SECONDS" -lt "$deadline" ] ||
        die "postgres cannot start yet ($why): run \`up\` again when no query of a killed server runs and nothing uses port $PG_PORT"
      sleep 0.3
    done
  fi
  wait_for postgres "$PG_PORT" "$PG_LOG"
  # The first three exist on Supabase; migrations revoke from two of them. The last is for the service's
  # requests, as in docs/supabase.md: its defaults are the service's time limits. Its other rights are those of `stm`.
  ask 60 "$PG_PORT" postgres <<EOF
select format('create role %I nologin', r) from unnest(array['anon', 'authenticated', 'service_role']) r
 where not exists (select from pg_roles where rolname = r) \gexec
select format('create role stm_service login in role stm password %L', '$PASSWORD')
 where not exists (select from pg_roles where rolname = 'stm_service') \gexec
select format('alter role stm_service set %I = %L', name, value)
  from (values ('statement_timeout', '5s'), ('lock_timeout', '2s'), ('idle_in_transaction_session_timeout', '10s')) s (name, value)
 where not exists (select from pg_db_role_setting d, pg_roles r, unnest(d.setconfig) c
                    where r.oid = d.setrole and d.setdatabase = 0 and r.rolname = 'stm_service' and c = name || '=' || value) \gexec
select 'create database stm' where not exists (select from pg_database where datname = 'stm') \gexec
EOF
}
# Made once per stack, and renamed when complete: a client may hold on to a copy of ca.crt.
# Nothing else is ever signed, so the keys of the CAs are not kept.
make_certificates() {
  local new=$TLS_DIR.new name out
  if [ ! -d "$TLS_DIR" ]; then
    as_run rm -rf "$new"
    as_run mkdir "$new"
    put "$new/openssl.cnf" <<EOF
[req]
prompt = no
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
authorityKeyIdentifier = keyid
EOF
    out=$(as_run sh -euc 'cd "$1"
      for name in ca other-ca server; do openssl ecparam -name prime256v1 -genkey -noout -out $name.key; done
      for ca in ca other-ca; do
        openssl req -x509 -new -config openssl.cnf -extensions ca -days 1825 -subj "/CN=stm stack $ca" -key $ca.key -out $ca.crt
      done
      openssl req -new -config openssl.cnf -subj /CN=localhost -key server.key -out server.csr
      openssl x509 -req -in server.csr -extfile openssl.cnf -extensions server -days 1825 \
        -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt
      rm ca.key other-ca.key' sh "$new" 2>&1) || die "openssl made no certificates: $out"
    as_run mv "$new" "$TLS_DIR"
  fi
  for name in ca.crt other-ca.crt; do        # clients may run as another user
    as_run cat "$TLS_DIR/$name" >"$STACK_DIR/$name"
    chmod 644 "$STACK_DIR/$name"
  done
}
# Deliberately the least forgiving pooler: transaction mode, no ignore_startup_parameters, no
# prepared statements unless asked for, few server connections. What works here works behind a hosted pooler.
start_pooler() {
  local program=$POOLER_PROGRAM prepared='' tls='' deadline=$((SECONDS + 30)) out
  trim_log "$POOLER_LOG"
  if ! running pooler; then
    # Said also when 0: 1.24 turned it on by default.
    ! pooler_can_track || prepared="max_prepared_statements = $MAX_PREPARED"
    if [ -n "$POOLER_TLS" ]; then
      make_certificates
      printf -v tls '%s\n' "client_tls_sslmode = $POOLER_TLS" \
        "client_tls_key_file = $TLS_DIR/server.key" "client_tls_cert_file = $TLS_DIR/server.crt"
    fi
    # In a home that the server user cannot enter; its own directory it can.
    if [[ $program == /* ]] && ! as_run test -x "$program"; then
      program=$STORE/pgbouncer
      as_run rm -f "$program"
      put "$program" <"$POOLER_PROGRAM"
      as_run chmod 700 "$program"
    fi
    # The timeouts let go of databases that tests have created and dropped.
    put "$INI" <<EOF
[databases]
* = host=127.0.0.1 port=$PG_PORT
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $POOLER_PORT
unix_socket_dir =
pool_mode = transaction
default_pool_size = $POOL_SIZE
max_client_conn = 1000
$prepared
${tls}server_login_retry = 1
server_idle_timeout = 30
autodb_idle_timeout = 60
auth_type = scram-sha-256
auth_file = $STORE/userlist.txt
admin_users = stm
stats_users = stm
logfile = $POOLER_LOG
pidfile = $STORE/pgbouncer.pid
log_connections = 0
log_disconnections = 0
log_stats = 0
EOF
    # Plain: it must log in to the server too.
    put "$STORE/userlist.txt" <<<"\"stm\" \"$PASSWORD\""$'\n'"\"stm_service\" \"$PASSWORD\""
    as_run rm -f "$STORE/pgbouncer.pid"                   # stale, or it would not have come here
    # As with PostgreSQL, the port may be in use for a moment; PgBouncer finds that out after it has detached itself.
    while out=$(daemon "$program" -d "$INI" 2>&1) || failed "pooler did not start: $out" "$POOLER_LOG"; do
      sleep 0.2
      ! running pooler && [ "$SECONDS" -lt "$deadline" ] && as_run tail -n 1 "$POOLER_LOG" | grep -q 'nowhere to listen' || break
    done
  fi
  wait_for pooler "$POOLER_PORT" "$POOLER_LOG"
}
stop_postgres() {
  running postgres || return 0
  find_postgres || die "pg_ctl is not installed any more"
  as_run "$PG_BINDIR/pg_ctl" stop -D "$PGDATA_DIR" -m fast -w -t 60 -s || failed "postgres did not stop" "$PG_LOG"
}
# What INT and TERM wait for differs between PgBouncer releases, so each gets a bounded chance.
stop_pooler() {
  local pid sig
  pid=$(pid_of pooler) || return 0
  for sig in INT TERM KILL; do
    kill "-$sig" "$pid" 2>/dev/null || true
    ! gone pooler 5 || return 0
  done
  die "pooler (pid $pid) did not stop"
}
kill_server() {
  local pid
  pid=$(pid_of "$1") || die "$1 is not running"
  kill -KILL "$pid"
  gone "$1" 10 || die "$1 (pid $pid) survived SIGKILL"
}
