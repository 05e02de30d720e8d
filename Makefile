# The whole interface of the project: what a newcomer, a developer and CI type.

.PHONY: run test chaos soak check bench fuzz openapi prepare stack-down

# Brings up the local database stack, and serves with demo data on port 8000.
run:
	scripts/run

# Every test, on a database stack of its own. Installs what is missing.
test:
	scripts/test

# Kills the server, PostgreSQL and the pooler at random moments, many times, while many people chat.
chaos:
	scripts/chaos

# The same for half an hour, with servers that are stopped for a while too; memory has to stay flat.
soak:
	scripts/soak

# Format, lints, the committed query data, licences and bans.
check:
	scripts/check

# The table of aims beside a Fastify peer, ratios against pgbench, latencies on much data, memory; in one run. Parts of it
# with BENCH_ONLY, see scripts/bench.
bench:
	scripts/bench

# A million malformed frames for the sockets; random bytes for the relay, guided by coverage.
fuzz:
	scripts/fuzz

# Writes the snapshots that the tests compare with: the OpenAPI and AsyncAPI documents, and the query data.
openapi:
	UPDATE_SNAPSHOTS=1 cargo test --quiet --test api snapshot

prepare:
	scripts/prepare

stack-down:
	scripts/stack down
