//! Demo data for a local database, so that a newcomer has somebody to book.

use sqlx::Executor as _;

use doors::Direct;

/// Loads the demo users and services once, and logs their credentials.
pub(crate) async fn load(direct: &Direct) -> sqlx::Result<()> {
    // One simple-protocol message is one transaction.
    direct.session().await?.execute(sqlx::raw_sql(include_str!("demo.sql"))).await?;
    tracing::info!("demo users, all with the password `demo-password`:");
    for line in [
        "customers  ann@demo.example, bob@demo.example, carol@demo.example, dave@demo.example",
        "providers  clean@demo.example (House cleaning) and pipes@demo.example (Plumbing), both serving ZIP code 10001;",
        "           lawn@demo.example (active in New Jersey), paint@demo.example (pending), roof@demo.example (inactive)",
        "LSMs       lsm@demo.example (New York), lsm.nj@demo.example (New Jersey)",
        "admin      admin@demo.example",
    ] {
        tracing::info!("  {line}");
    }
    Ok(())
}
