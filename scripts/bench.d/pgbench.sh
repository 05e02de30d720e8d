# shellcheck shell=bash disable=SC2001,SC2015,SC2034,SC2154
# Part of scripts/bench: pgbench scripts that do what the service does for a request.
#
# The statements are the service's own, out of `.sqlx`. The limits of db/pooler.rs ride along with BEGIN in
# one flight, here as a pipeline: pgbench does not mix the simple and the extended protocol.

begin() { # read only, or nothing
    cat <<END
\\startpipeline
begin $*;
set local statement_timeout = 5000;
set local lock_timeout = 2000;
set local idle_in_transaction_session_timeout = 10000;
\\endpipeline
END
}

# Prints the one statement that contains PHRASE, with pgbench's variables in place of \$1, \$2, …
statement() { # PHRASE ARGUMENT…
    local files sql number
    files=$(grep -lF -- "$1" .sqlx/query-*.json) && [ "$(wc -l <<<"$files")" = 1 ] ||
        die "not one statement in .sqlx has \"$1\": bring scripts/bench.d/pgbench.sh up to date"
    sql=$(sed -n 's/^  "query": "\(.*\)",$/\1/p' "$files" | sed 's/--[^\\]*\\n/ /g; s/\\n/ /g; s/  */ /g; s/\\"/"/g; s/\\\\/\\/g')
    shift
    for ((number = $#; number > 0; number--)); do
        sql=$(sed "s/\\\$$number\\b/${!number}/g" <<<"$sql")
    done
    [[ -n $sql && $sql != *\$[0-9]* ]] || die "a statement in .sqlx has other parameters: bring scripts/bench.d/pgbench.sh up to date"
    printf '%s;\n' "$sql"
}

write_profile() {
    echo '\set user_id random(1000000, 1000000 + :customers - 1)'
    begin read only
    statement 'where customer_id = c.id' :user_id
    echo 'rollback;'
}

# Each client counts for itself, in steps of the number of clients. The service books with the provider at
# the same place in the other half.
write_booking() {
    cat <<'END'
\set number :number + :clients
\set customer (:first + :number + :client_id) % :customers
\set customer_id 1000000 + :customer
\set provider_id 2000000 + (:customer + (:first + :number + :client_id) / :customers + :providers / 2) % :providers
END
    begin
    statement 'for no key update of c' :customer_id
    statement 'from stm.providers where id = $1 for share' :provider_id
    statement 'as \"has_unpaid_job!\"' :customer_id :service_id :provider_id :zipcode
    statement 'insert into stm.chats (job_id' :customer_id :provider_id :service_id :status :price_cents :price_cents \
        :zipcode :location :answers :images :visit :visit_cents :size_sqft :scheduled_at :deadline \
        :customer_id :provider_id 'array[:customer_id]' :sides :lines
    statement '1 + (select count(*) from stm.notifications n' :provider_id :type :title :message :metadata
    echo 'commit;'
}

# What does not differ between bookings; the same as in load.lua, and as long as what the service writes.
booking_values=(
    -D service_id=1000000 -D status=new -D price_cents=15000 -D zipcode=10001 -D 'location=5 Main Street, Apt 3'
    -D 'answers={"Rooms":"3","Pets":"none"}' -D 'images={https://images.example/1.jpg}' -D visit=true -D visit_cents=2500
    -D size_sqft=900 -D "scheduled_at=$PREFERRED_DATE" -D "deadline=$PREFERRED_DATE" -D 'sides={customer}'
    -D $'lines={"New booking request: Benchmarking\nLocation: 5 Main Street, Apt 3\nPreferred date: 2030-01-01 10:00 UTC\nBudget: $150.00\nPets: none\nRooms: 3"}'
    -D type=job -D 'title=New job request' -D 'message=Ann Archer has requested Benchmarking'
    -D 'metadata={"jobId": 1000000, "chatId": "018f0000-0000-7000-8000-000000000000"}'
)
