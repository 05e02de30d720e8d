# shellcheck shell=bash disable=SC2015,SC2016,SC2034
# Part of scripts/stack: finding PostgreSQL and PgBouncer, and installing them when missing.

# Sets PG_BINDIR. Existing data needs the major version that created it: DATA_MAJOR.
find_postgres() {
  local dir major
  DATA_MAJOR=$(as_run cat "$PGDATA_DIR/PG_VERSION" 2>/dev/null) || DATA_MAJOR=''
  while IFS= read -r dir; do
    [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/psql" ] || continue
    PG_BINDIR=$dir major=$("$dir/postgres" --version | awk '{print int($3)}')
    if [ "$major" -ge 15 ] && [ "${DATA_MAJOR:-$major}" = "$major" ]; then return 0; fi
  done < <(pg_config --bindir 2>/dev/null || true
    command -v postgres | sed 's|/[^/]*$||'
    printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV 2>/dev/null)
  PG_BINDIR=''
  return 1
}

# Debian's packages create and start servers of their own (a cluster on 5432, a pgbouncer on
# 6432). Two temporary files prevent that, and both are gone afterwards:
# - a createcluster.d drop-in, so that no cluster is made. createcluster.conf itself is left
#   alone: the package manages that one, and writing it first would provoke a conflict;
# - a policy-rc.d, so that no service is started, unless the machine has its own policy. Should
#   this script be killed half-way, the policy notices at its next use and removes itself.
# (pgbouncer's unit stays enabled, as its package wants, and may start on 6432 at the next boot.)
install_packages() (
  command -v apt-get >/dev/null ||
    die "PostgreSQL ${DATA_MAJOR:-15+} (server and psql)${POOLER_TLS:+, openssl} and PgBouncer are needed in PATH; install them with your package manager"
  as_root=''
  if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
    command -v sudo >/dev/null || die "as root, run: apt-get install postgresql pgbouncer${POOLER_TLS:+ openssl}"
  fi
  policy=/usr/sbin/policy-rc.d dropin=/etc/postgresql-common/createcluster.d
  made=() dirs=() installer=$BASHPID
  trap '[ ${#made[@]} -eq 0 ] || $as_root rm -f "${made[@]}"
        [ ${#dirs[@]} -eq 0 ] || $as_root rmdir "${dirs[@]}" 2>/dev/null || true' EXIT
  exec >&2 9>&-                              # 9 is the lock; an installed service must not keep it
  $as_root apt-get -qq update || say "apt-get update failed; trying with the lists at hand"
  packages=()
  if ! find_postgres; then
    server=$(apt-cache pkgnames postgresql- | grep -xE "postgresql-(${DATA_MAJOR:-1[5-9]|[2-9][0-9]})" | sort -V | tail -n 1) ||
      die "apt has no PostgreSQL ${DATA_MAJOR:-15+}; ${DATA_MAJOR:+the data needs it: run \`reset\`, or }add the PostgreSQL project's apt repository"
    packages+=("$server")
    for dir in "${dropin%/*}" "$dropin"; do
      [ -d "$dir" ] || { $as_root mkdir -m 755 "$dir"; dirs=("$dir" "${dirs[@]}"); }
    done
    made+=("$dropin/no-main-cluster.conf")
    printf 'create_main_cluster = false\n' | $as_root tee "$dropin/no-main-cluster.conf" >/dev/null
    $as_root chmod 644 "$dropin/no-main-cluster.conf"
  fi
  found_pooler || packages+=(pgbouncer)
  found_openssl || packages+=(openssl)
  if [ ! -e "$policy" ]; then
    made+=("$policy")
    printf '#!/bin/sh\n[ ! -d /proc/%s ] || exit 101\nrm -f "$0"\n' "$installer" | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
  fi
  say "installing ${packages[*]}"
  $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${packages[@]}"
)
found_pooler() { command -v "$POOLER_PROGRAM" >/dev/null; }
found_openssl() { [ -z "$POOLER_TLS" ] || command -v openssl >/dev/null; }
# 1.21 brought max_prepared_statements; to an older one the setting is an error.
pooler_can_track() {
  "$POOLER_PROGRAM" --version | awk '/^PgBouncer/ { split($2, v, "."); exit !(v[1] > 1 || v[2] >= 21) }'
}
need_programs() {
  found_pooler || [ "$POOLER_PROGRAM" = pgbouncer ] || die "POOLER_PROGRAM=$POOLER_PROGRAM is not a program"
  if ! find_postgres || ! found_pooler || ! found_openssl; then
    install_packages
    hash -r
    find_postgres || die "PostgreSQL ${DATA_MAJOR:-15+} is still missing after installation"
    found_pooler || die "PgBouncer is still missing after installation"
    found_openssl || die "openssl is still missing after installation"
  fi
  if ! id "$RUN_USER" >/dev/null 2>&1; then  # root with a PostgreSQL that came without its user
    useradd --system --no-create-home "$RUN_USER" 2>/dev/null || adduser -S -D -H "$RUN_USER"
  fi
}
