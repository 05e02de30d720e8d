//! Encryption on the way to the pooler: what is checked, and how it is said when it is not as it should be.

use doors::PoolerWire;
use doors::{Pooler, sqlstate};

use crate::door;
use testing::proxy::{Cut, Proxy};
use testing::{Database, Stack, lasting_port};

const WIRES: [PoolerWire; 2] = [PoolerWire::Plain, PoolerWire::Pipelined];

/// In every kind of use.
async fn works(url: &str, wire: PoolerWire) {
    let pooler = door(url, 2, wire);
    pooler.ping().await.unwrap_or_else(|error| panic!("{wire:?} {url}: {error:?}"));
    let mut tx = pooler.write().await.expect("a transaction");
    let two: i32 = sqlx::query_scalar("select 1 + $1::int4").bind(1).fetch_one(&mut tx).await.expect("a row");
    assert_eq!(two, 2);
    tx.commit().await.expect("a commit");
}

/// The error, which is reported at once: not after the pool has tried again and again.
async fn fails(url: &str, wire: PoolerWire) -> sqlx::Error {
    let pooler: Pooler = door(url, 2, wire);
    let error = pooler.ping().await.expect_err(url);
    assert!(!matches!(error, sqlx::Error::PoolTimedOut), "{wire:?} {url}: {error:?}");
    let begin = pooler.write().await.expect_err(url);
    assert!(!matches!(begin, sqlx::Error::PoolTimedOut), "{wire:?} {url}: {begin:?}");
    error
}

async fn fails_for_the_certificate(url: &str, wire: PoolerWire) {
    let error = fails(url, wire).await;
    let text = error.to_string();
    assert!(text.contains("certificate"), "{wire:?} {url}: {error:?}");
    if wire == PoolerWire::Pipelined {
        assert_eq!(sqlstate(&error).as_deref(), Some("08001"), "{url}: {text}");
        assert!(text.contains("sslrootcert"), "{url}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_the_certificate_is_checked() {
    let stack = Stack::up_with(&[("POOLER_TLS", "require")]).await;
    let database = stack.database().await;
    let at_127_0_0_1 = database.database_url();
    let at_localhost = at_127_0_0_1.replace("127.0.0.1", "localhost");
    // The certificate does not name this one.
    let elsewhere = Proxy::at([127, 0, 0, 2].into(), &at_127_0_0_1, Cut::Nowhere).await;
    let at_127_0_0_2 = elsewhere.url();
    let roots = |name: &str| format!("sslrootcert={}", stack.path("stack").join(name).display());
    let (ca, other) = (roots("ca.crt"), roots("other-ca.crt"));

    for wire in WIRES {
        for url in [&at_127_0_0_1, &at_localhost] {
            works(url, wire).await;
            works(&format!("{url}?sslmode=require"), wire).await;
            works(&format!("{url}?sslmode=verify-ca&{ca}"), wire).await;
            works(&format!("{url}?sslmode=verify-full&{ca}"), wire).await;
            // As libpq, a root certificate is there to be checked against.
            works(&format!("{url}?sslmode=require&{ca}"), wire).await;
            fails_for_the_certificate(&format!("{url}?sslmode=require&{other}"), wire).await;
            fails_for_the_certificate(&format!("{url}?sslmode=verify-ca&{other}"), wire).await;
            fails_for_the_certificate(&format!("{url}?sslmode=verify-full&{other}"), wire).await;
            // No public authority has signed it.
            fails_for_the_certificate(&format!("{url}?sslmode=verify-full"), wire).await;
            let unencrypted = fails(&format!("{url}?sslmode=disable"), wire).await;
            assert!(unencrypted.as_database_error().is_some(), "{wire:?}: {unencrypted:?}");
        }
        works(&format!("{at_127_0_0_2}?sslmode=require"), wire).await;
        works(&format!("{at_127_0_0_2}?sslmode=verify-ca&{ca}"), wire).await;
        fails_for_the_certificate(&format!("{at_127_0_0_2}?sslmode=verify-full&{ca}"), wire).await;
    }
}

/// A pooler without encryption, of which it is asked.
#[tokio::test]
async fn encryption_that_is_not_offered_is_missed() {
    let database = Database::create().await;
    let url = database.database_url();
    for wire in WIRES {
        works(&url, wire).await;
        works(&format!("{url}?sslmode=prefer"), wire).await;
        works(&format!("{url}?sslmode=disable"), wire).await;
        for mode in ["require", "verify-full"] {
            let error = fails(&format!("{url}?sslmode={mode}"), wire).await;
            if wire == PoolerWire::Pipelined {
                assert_eq!(sqlstate(&error).as_deref(), Some("08001"), "{error:?}");
                assert!(error.to_string().contains("sslmode"), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let database = Database::create().await;
    let url = database.database_url().replace(":stm-local-password@", ":another@");
    assert_ne!(url, database.database_url());
    for wire in WIRES {
        let error = fails(&url, wire).await;
        assert!(error.as_database_error().is_some(), "{wire:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_told_at_once() {
    let database = Database::create().await;
    for wire in WIRES {
        let error = fails(&format!("{}_not", database.database_url()), wire).await;
        assert!(error.as_database_error().is_some(), "{wire:?}: {error:?}");
    }
}

/// The pooler may be starting: that is waited for, as long as for a connection.
#[tokio::test]
async fn a_pooler_that_is_not_there_is_waited_for() {
    let database = Database::create().await;
    let (server, name) =
        database.database_url().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a URL");
    let (host, _) = server.rsplit_once(':').expect("a port");
    let url = format!("{host}:{}/{name}", lasting_port());
    let [plain, pipelined] = WIRES.map(|wire| door(&url, 2, wire));
    let (plain, pipelined) = tokio::join!(plain.ping(), pipelined.ping());
    for error in [plain.expect_err("nobody"), pipelined.expect_err("nobody")] {
        assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error:?}");
    }
}
