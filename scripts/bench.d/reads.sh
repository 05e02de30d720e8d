# shellcheck shell=bash disable=SC2015,SC2046,SC2154
# Part of scripts/bench: the ten most used reads on a marketplace of 10,000 providers, 100,000 jobs and 1,000,000 messages:
# latencies, requests per second beside the same SQL in pgbench through the same pooler, and how much slower the median is
# than on a hundredth of that data.

reads=(search offers provider_page dashboard customers_jobs customers_job providers_jobs chats messages notifications)
reads_rounds="${BENCH_READS_ROUNDS:-2}" reads_s="${BENCH_READS_S:-2}" small=100 large=10000

# The read's statement as the service sends it, for a random one of those who ask.
write_read() { # READ
    cat <<'END'
\set n random(0, 999) * 97 % :customers
\set customer 4000000 + :n
\set job 5000000 + :n + :customers * random(0, 4)
\set p random(0, 999) * 97 % (:customers / 2)
\set provider 3000000 + :p
\set service 3000000 + :p % 200
\set zip 20000 + :p * 7 % :zip_codes
END
    begin read only
    case $1 in
    search) statement 'limit $7 offset $8' "'roof'" "'roof:*'" null null null :zip 20 0 ;;
    offers) statement "when \$3 = 'price' then o.min_price_cents" :service :zip "'rating'" 100 ;;
    provider_page) statement 'as \"review_count!\"' :provider 5 ;;
    dashboard) statement 'as \"pending_feedback!\"' :customer ;;
    customers_jobs) statement 's.name as service_name, s.category as service_category' :customer 100 0 ;;
    customers_job) statement 'case when jsonb_typeof(j.answers)' :job :customer ;;
    providers_jobs) statement 'n.created_at >= $3' :provider null null null 20 0 ;;
    chats) statement 'coalesce(last.created_at, chat.created_at) as active_at' :customer "'customer'" 100 0 ;;
    messages) statement 'm.seq > $3 and ($4::bigint is null' "('019a0000-0000-7000-8000-' || lpad(:job::bigint::text, 12, '0'))::uuid" :customer null null 100 ;;
    notifications) statement 'page.metadata as \"metadata?\"' :customer null null null 20 0 ;;
    esac
    echo 'rollback;'
}

# Sets rate, p50 and p99 in microseconds.
ask_read() { # READ CONNECTIONS PROVIDERS
    local requests elapsed_s errors
    load "$scratch/wrk" wrk -t1 -c"$2" -d"${reads_s}s" --timeout 5s -s scripts/bench.d/reads.lua "http://127.0.0.1:$PORT" -- \
        "$1" "$scratch/people.$3" "$3"
    read -r _ requests elapsed_s errors p50 p99 < <(grep '^bench: ' "$scratch/wrk") || die "wrk gave no result"
    [ "$errors" = 0 ] && ((requests > 0)) || { cat "$scratch/wrk" >&2; die "$1: not every request was answered with success"; }
    rate=$(awk "BEGIN { printf \"%.1f\", $requests / $elapsed_s }")
}

ask_read_pgbench() { # READ URL
    load "$scratch/pgbench" "$pgbench" -n -M extended -c "$POOLER_MAX_CONNECTIONS" -j 1 -T "$reads_s" -f "$scratch/$1.pgbench" \
        -D customers=$((2 * large)) -D zip_codes=$((large / 10)) "$2"
    grep -q '^number of failed transactions: 0 ' "$scratch/pgbench" || { cat "$scratch/pgbench" >&2; die "pgbench: transactions failed"; }
    rate=$(awk '/^tps = / { printf "%.1f", $3 }' "$scratch/pgbench")
}

compare_reads() {
    local size read round rate p50 p99 read_rate p50_small
    local -A url
    for size in $small $large; do
        psql "$DIRECT_URL" -c "create database bench_reads_$size"
        url[$size]="${DATABASE_URL%/*}/bench_reads_$size"
        DATABASE_URL="${url[$size]}" DIRECT_URL="${DIRECT_URL%/*}/bench_reads_$size" start_serve
        stop_serve
        say "a marketplace of $size providers, $((10 * size)) jobs and $((100 * size)) messages"
        psql -c "set stm_seed.providers = $size" -f scripts/bench.d/marketplace.sql "${DIRECT_URL%/*}/bench_reads_$size" >/dev/null
        psql -v secret="$JWT_SECRET" -f scripts/bench.d/reads.sql "${DIRECT_URL%/*}/bench_reads_$size" >"$scratch/people.$size"
        [ "$(grep -c '^provider ' "$scratch/people.$size")" -ge 50 ] || die "the tokens could not be made"
    done
    for read in "${reads[@]}"; do write_read "$read" >"$scratch/$read.pgbench"; done
    for ((round = 0; round <= reads_rounds; round++)); do # the first one warms up
        for size in $small $large; do
            DATABASE_URL="${url[$size]}" DIRECT_URL="${DIRECT_URL%/*}/bench_reads_$size" start_serve
            for read in "${reads[@]}"; do
                ask_read "$read" 4 "$size"
                echo "$p50 $p99" >"$scratch/$read.$size"
                [ "$size" = "$large" ] || continue
                ask_read "$read" "$connections" "$size"
                read_rate=$rate
                ask_read_pgbench "$read" "${url[$size]}"
                read -r p50_small _ <"$scratch/$read.$small"
                ((round == 0)) || echo "$read_rate $rate $(<"$scratch/$read.$large") $p50_small" >>"$scratch/read.$read.rounds"
            done
            stop_serve
        done
        say "reads, round $round"
    done

    printf '\n%-20s %10s %10s %12s %14s %14s %8s\n' 'read (median)' 'p50 ms' 'p99 ms' 'requests/s' 'of pgbench' 'p50 growth' aim
    for read in "${reads[@]}"; do
        of_read() { awk "{ print $1 }" "$scratch/read.$read.rounds" | spread | cut -d' ' -f1; }
        # shellcheck disable=SC2016 # awk's fields
        awk -v read="$read" -v p50="$(of_read '$3')" -v p99="$(of_read '$4')" -v rate="$(of_read '$1')" \
            -v share="$(of_read '100 * $1 / $2')" -v growth="$(of_read '$3 / $5')" 'BEGIN {
            printf "%-20s %10.2f %10.2f %12.0f %12.0f %% %14.2f %8s\n", read, p50 / 1000, p99 / 1000, rate, share, growth,
                growth <= 2 ? "<=2 met" : "<=2 missed" }'
    done
    printf '\np50 and p99: 4 connections. Requests/s: %s connections; pgbench: %s clients. Growth: against a hundredth of the data.\n' \
        "$connections" "$POOLER_MAX_CONNECTIONS"
}
