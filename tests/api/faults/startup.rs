//! How the process starts, and what it reports to its operator when it cannot.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use doors::probe::{self, Pooling};
use doors::url::{ConnectionString, Secret};
use serde_json::json;
use testing::scripted_pooler::{Script, ScriptedPooler};
use testing::server::{Server, environment};
use testing::world::World;
use testing::{Database, PATIENCE, Stack, execute};

use crate::support::{PASSWORD_OF_THE_STACK, SERVE, Scene, get, refuses};

#[tokio::test]
async fn says_what_is_ready_in_order() {
    let world = World::start_with(SERVE, &[]).await;
    let output = world.server.output();
    let at = |line: &str| output.find(line).unwrap_or_else(|| panic!("`{line}` is missing: {output}"));
    let pooler = at("✅ Connected to transaction pooler (REST API)");
    let direct = at("✅ Connected to direct connection (Real-time/Socket.IO)");
    let running = at(&format!("STM Backend running at port {}", world.server.port));
    assert!(pooler < direct && direct < running, "{output}");
    assert!(!output.contains("WARN"), "{output}");
    world.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn names_every_missing_secret() {
    let database = Database::create().await;
    refuses(&database, &[("DATABASE_URL", "")], &["DATABASE_URL is missing", ":6543/postgres"]);
    refuses(&database, &[("DIRECT_URL", "")], &["DIRECT_URL is missing", ":5432/postgres"]);
    let all = [("DATABASE_URL", ""), ("DIRECT_URL", ""), ("JWT_SECRET", " ")];
    refuses(&database, &all, &["DATABASE_URL is missing", "DIRECT_URL is missing", "JWT_SECRET is missing"]);
}

#[tokio::test]
async fn names_a_malformed_secret() {
    let database = Database::create().await;
    for secret in ["DATABASE_URL", "DIRECT_URL"] {
        for (value, expected) in [
            ("localhost:5432", "must begin with postgres://"),
            ("postgres://stm:hunter2#@127.0.0.1:5432/stm", "percent-encoded"),
            ("postgres://stm:7?hunter2@127.0.0.1:5432/stm", "percent-encoded"),
            ("postgres://stm:hunter2@127.0.0.1:5432", "no database name"),
            ("postgres://stm:[YOUR-PASSWORD]@127.0.0.1:5432/stm", "placeholder"),
            ("postgres://stm:hunter2@db.example.com:5432/stm?sslmode=disable", "sslmode"),
            ("postgres://postgres:hunter2@aws-0-us-east-1.pooler.supabase.com:5432/postgres", "postgres.<project-ref>"),
        ] {
            refuses(&database, &[(secret, value)], &[secret, expected]);
        }
    }
    refuses(&database, &[("PORT", "eighty")], &["PORT"]);
    refuses(&database, &[("HOST", "localhost")], &["HOST"]);
}

#[tokio::test]
async fn names_swapped_urls() {
    let database = Database::create().await;
    let (pooled, direct) = (database.database_url(), database.direct_url());
    refuses(&database, &[("DATABASE_URL", &direct), ("DIRECT_URL", &pooled)], &["swapped", "Exchange"]);
}

#[tokio::test]
async fn refuses_a_transaction_pooler_as_direct_url() {
    let database = Database::create().await;
    let pooled = database.database_url();
    for url in [pooled.replace("127.0.0.1", "localhost"), pooled] {
        refuses(&database, &[("DIRECT_URL", &url)], &["DIRECT_URL is a transaction pooler", ":5432/postgres"]);
    }
}

/// One PostgreSQL and no pooler serves both doors, by one name or by two.
#[tokio::test]
async fn warns_when_database_url_is_no_transaction_pooler() {
    let database = Database::create().await;
    let direct = database.direct_url();
    for url in [direct.replace("127.0.0.1", "localhost"), direct] {
        let server = Server::start(SERVE, &environment(&database, &[("DATABASE_URL", &url)]));
        assert!(server.output().contains("WARN DATABASE_URL is not a transaction pooler"), "{}", server.output());
        get(&server, "/services").await.expect(200);
    }
}

#[tokio::test]
async fn warns_of_parameters_that_only_prisma_reads() {
    let database = Database::create().await;
    let url = format!("{}?pgbouncer=true&connection_limit=1&pool_timeout=0&schema=public", database.database_url());
    let server = Server::start(SERVE, &environment(&database, &[("DATABASE_URL", &url)]));
    let output = server.output();
    assert!(output.contains("DATABASE_URL has URL parameters that are ignored"), "{output}");
    assert!(output.contains("pgbouncer, connection_limit, pool_timeout, schema"), "{output}");
}

#[tokio::test]
async fn says_how_statements_travel_and_what_is_gone() {
    let database = Database::create().await;
    for (wire, expected) in [("", "pipelined"), ("pipelined", "pipelined"), ("plain", "plain")] {
        let more = [("POOLER_WIRE", wire), ("POOLER_STATEMENTS", "named")];
        let server = Server::start(SERVE, &environment(&database, &more));
        let output = server.output();
        assert!(output.contains(&format!("transaction pooler {expected} (POOLER_WIRE)")), "{output}");
        assert!(output.contains("WARN POOLER_STATEMENTS is gone"), "{output}");
    }
}

/// The last line of the log about time limits, once it is this one: `/readyz` has the role asked.
async fn until_limits(server: &Server, expected: &str) {
    let started = Instant::now();
    loop {
        get(server, "/readyz").await.expect(200);
        let output = server.output();
        let line = output.lines().rev().find(|line| line.contains("time limits")).unwrap_or_default();
        if line.contains(expected) {
            return;
        }
        assert!(started.elapsed() < 3 * PATIENCE, "{line}, not {expected}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn says_where_time_limits_come_from_and_when_that_changes() {
    let database = Database::create().await;
    let server = Server::start(SERVE, &environment(&database, &[]));
    until_limits(&server, "time limits ride with each statement: statement_timeout, lock_timeout, idle").await;

    let server = Server::start(SERVE, &environment(&database, &[("DATABASE_URL", &database.service_url())]));
    until_limits(&server, "time limits of statements come from the defaults of the role").await;
    let name = database.direct_url().rsplit_once('/').expect("a database").1.to_owned();
    let mut session = database.session().await;
    execute(&mut session, &format!("alter role stm_service in database {name} set lock_timeout = 0")).await;
    until_limits(&server, "time limits ride with each statement: lock_timeout (the role has the others)").await;
    get(&server, "/services").await.expect(200);
}

/// Messages and faults of poolers that `PgBouncer` does not have: advice for each.
#[tokio::test(flavor = "multi_thread")]
async fn advises_by_what_a_pooler_does() {
    let database = Database::create().await;
    for (message, expected) in [
        (
            "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
            "has no session left",
        ),
        ("(EMAXCONN) max client connections reached, limit: 200", "no connection left"),
        (
            "(ECHECKOUTTIMEOUT) Pool checkout timeout. Request was dropped after 60000ms in Session mode",
            "no server free in time",
        ),
        ("(EDBHANDLEREXITED) connection to database closed. Check logs for more information", "paused or restarting"),
        (
            "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
            "too many failed logins",
        ),
        ("(EBANNED) tenant is banned: postgres.abcdefgh", "EBANNED"),
        ("(ENOTFOUND) tenant/user postgres.abcdefgh not found", "postgres.<project-ref>"),
        ("(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname required)", "which project"),
        ("(ESSLREQUIRED) SSL connection is required", "sslmode=require"),
    ] {
        let pooler = ScriptedPooler::before(&database.direct_url(), 2, Script::Refuses(message)).await;
        for secret in ["DATABASE_URL", "DIRECT_URL"] {
            let output = refuses(&database, &[(secret, &pooler.url())], &[&format!("{secret}: "), expected]);
            assert!(!output.contains("abcdefgh"), "{output}");
        }
    }
    for (script, wire, expected) in [
        (Script::IsSilent, "pipelined", ["did not answer a statement", "put POOLER_WIRE=plain"]),
        (Script::BreaksTheProtocol, "pipelined", ["broke the protocol", "put POOLER_WIRE=plain"]),
        (Script::BreaksTheProtocol, "plain", ["broke the protocol", "put POOLER_WIRE=pipelined"]),
        (Script::RefusesBegin, "plain", ["refused a statement (42601", "put POOLER_WIRE=pipelined"]),
    ] {
        let pooler = ScriptedPooler::before(&database.direct_url(), 2, script).await;
        refuses(&database, &[("DATABASE_URL", &pooler.url()), ("POOLER_WIRE", wire)], &expected);
    }
    let pooler = ScriptedPooler::before(&database.direct_url(), 2, Script::RefusesBegin).await;
    drop(Server::start(
        SERVE,
        &environment(&database, &[("DATABASE_URL", &pooler.url()), ("POOLER_WIRE", "pipelined")]),
    ));
}

/// A session pooler that has two sessions: enough for the probe, which returns them.
#[tokio::test]
async fn the_probe_needs_two_sessions() {
    let database = Database::create().await;
    let pooler = ScriptedPooler::before(&database.direct_url(), 2, Script::Session).await;
    let url = ConnectionString::parse(Secret::DirectUrl, &pooler.url()).expect("a URL");
    for _ in 0..5 {
        assert_eq!(probe::pooling(&url, "probe").await.expect("an answer"), Pooling::Session);
    }
    assert_eq!(pooler.clients(), 10);
    for script in [Script::FreesEarly, Script::FreesWhenAnswered] {
        for servers in [1, 2, 4] {
            let pooler = ScriptedPooler::before(&database.direct_url(), servers, script).await;
            let url = ConnectionString::parse(Secret::DatabaseUrl, &pooler.url()).expect("a URL");
            assert_eq!(probe::pooling(&url, "probe").await.expect("an answer"), Pooling::Transaction);
        }
    }
}

#[tokio::test]
async fn names_a_server_that_cannot_be_reached() {
    let database = Database::create().await;
    // Bound but not listening any more: nothing answers there.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let hangs_up = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hangs_up_at = hangs_up.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for connection in hangs_up.incoming().map_while(Result::ok) {
            let _first_bytes = (&connection).read(&mut [0; 64]);
        }
    });
    for secret in ["DATABASE_URL", "DIRECT_URL"] {
        let at = |port: u16| format!("postgres://stm:hunter2@127.0.0.1:{port}/stm");
        refuses(&database, &[(secret, &at(closed))], &[secret, &format!("nothing listens at 127.0.0.1:{closed}")]);
        refuses(
            &database,
            &[(secret, &at(hangs_up_at))],
            &[secret, &format!("the server at 127.0.0.1:{hangs_up_at}"), "check host and port"],
        );
    }
    let both = [
        ("DATABASE_URL", format!("postgres://stm:hunter2@127.0.0.1:{closed}/stm")),
        ("DIRECT_URL", format!("postgres://stm:hunter2@localhost:{closed}/stm")),
    ];
    let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    refuses(&database, &both, &["DATABASE_URL: nothing listens", "DIRECT_URL: nothing listens"]);
}

#[tokio::test]
async fn names_a_server_that_does_not_answer() {
    let database = Database::create().await;
    // The kernel accepts; nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://stm:hunter2@{}/stm", silent.local_addr().expect("an address"));
    refuses(&database, &[("DIRECT_URL", &url)], &["DIRECT_URL", "did not answer in time"]);
}

#[tokio::test]
async fn names_what_a_server_refuses() {
    let database = Database::create().await;
    for secret in ["DATABASE_URL", "DIRECT_URL"] {
        let good = if secret == "DATABASE_URL" { database.database_url() } else { database.direct_url() };
        let wrong_password = good.replace(PASSWORD_OF_THE_STACK, "hunter2");
        refuses(&database, &[(secret, &wrong_password)], &[secret, "refused the password"]);
        let emoji = good.replace(PASSWORD_OF_THE_STACK, "hunter2%F0%9F%A6%80");
        let output = refuses(&database, &[(secret, &emoji)], &[secret, "the password has a character"]);
        assert!(!output.contains('🦀'), "{output}");
        let (server, _) = good.rsplit_once('/').expect("a URL");
        refuses(&database, &[(secret, &format!("{server}/no_such_database"))], &[secret, "no database of that name"]);
        refuses(&database, &[(secret, &format!("{good}?sslmode=require"))], &[secret, "sslmode"]);
    }
}

/// The probe, both doors and the requests: all of them check.
#[tokio::test]
async fn checks_the_certificate_of_the_pooler() {
    let stack = Stack::up_with(&[("POOLER_TLS", "require")]).await;
    let database = stack.database().await;
    let url = |mode: &str, authority: &str| {
        let file = stack.path("stack").join(authority);
        format!("{}?sslmode={mode}&sslrootcert={}", database.database_url(), file.display())
    };
    for mode in ["require", "verify-ca", "verify-full"] {
        let server = Server::start(SERVE, &environment(&database, &[("DATABASE_URL", &url(mode, "ca.crt"))]));
        drop(server);
        let other = url(mode, "other-ca.crt");
        refuses(&database, &[("DATABASE_URL", &other)], &["DATABASE_URL", "certificate", "sslrootcert"]);
    }
    std::fs::write(stack.path("stack").join("none.crt"), "no certificate").expect("a file");
    let none = url("verify-ca", "none.crt");
    refuses(&database, &[("DATABASE_URL", &none)], &["DATABASE_URL: the file of sslrootcert", "PEM"]);
    let unencrypted = format!("{}?sslmode=disable", database.database_url());
    refuses(&database, &[("DATABASE_URL", &unencrypted)], &["DATABASE_URL", "encrypted", "sslmode"]);
}

#[tokio::test]
async fn refuses_two_different_databases() {
    let (one, other) = (Database::create().await, Database::create().await);
    let elsewhere = other.database_url();
    let expected = "DATABASE_URL leads to another database than DIRECT_URL";
    refuses(&one, &[("DATABASE_URL", &elsewhere)], &[expected]);
    drop(Server::start(SERVE, &environment(&other, &[])));
    refuses(&one, &[("DATABASE_URL", &elsewhere)], &["DATABASE_URL and DIRECT_URL lead to different databases"]);
}

#[tokio::test]
async fn reads_secrets_from_a_file() {
    let database = Database::create().await;
    let directory = tempfile::tempdir().expect("a directory");
    let lines: Vec<_> = environment(&database, &[("PORT", " 0 "), ("HOST", "127.0.0.1 ")])
        .into_iter()
        .map(|(name, value)| format!("{name} = {value:?}\n"))
        .collect();
    std::fs::write(directory.path().join("Secrets.toml"), lines.concat()).expect("a file");
    let server = Server::start_in(SERVE, &directory);
    get(&server, "/readyz").await.expect(200);

    std::fs::write(directory.path().join("Secrets.dev.toml"), "DATABASE_URL = \"postgres://stm:hunter2\n")
        .expect("a file");
    let (status, output) = Server::run_in_to_exit(SERVE, &directory);
    assert_eq!(status.code(), Some(1));
    assert!(output.contains("Secrets.dev.toml is not a table of strings") && !output.contains("hunter2"), "{output}");
}

/// On SIGTERM, accepted messages are stored and acknowledged, sockets are closed so that clients reconnect, and the
/// process ends with success although connections are open.
#[tokio::test(flavor = "multi_thread")]
async fn drains_on_sigterm() {
    for signal in ["-TERM", "-INT"] {
        let mut scene = Scene::booked().await;
        let arguments = json!({"token": scene.customer.token, "chatId": scene.chat, "pid": scene.world.server.pid(), "signal": signal});
        let report = scene.world.client("drain.mjs", &arguments).await;
        let status = scene.world.server.wait();
        assert_eq!(status.code(), Some(0), "{}", scene.world.server.output());
        let output = scene.world.server.output();
        assert!(output.contains("stopped") && !output.contains("ERROR"), "{output}");
        let stored = scene.world.number("select count(*) from stm.messages where client_message_id is not null").await;
        let acked = report["acked"].as_i64().expect("a number");
        assert!(acked > 0 && stored >= acked, "{acked} acknowledged, {stored} stored");
        assert_eq!(report["reason"], "transport close", "so that the client reconnects");
    }
}

#[tokio::test]
async fn names_a_port_that_is_taken() {
    let database = Database::create().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    refuses(&database, &[("PORT", &port)], &["HOST and PORT", &port]);
}

/// Looking for what is stale disturbs nobody: the log is for what is wrong.
#[tokio::test]
async fn a_door_that_opens_elsewhere_is_not_worth_a_log_line() {
    let database = Database::create().await;
    let wire = [("POOLER_WIRE", "pipelined")];
    let server = Server::start(SERVE, &environment(&database, &wire));
    // A second process, which has looked by the time it listens.
    drop(Server::start(SERVE, &environment(&database, &wire)));
    let output = server.output();
    assert!(!output.contains("another process"), "{output}");
}
