//! Demo data for a local database, so that a newcomer has somebody to book.

use sqlx::Executor as _;

use doors::Direct;

/// Loads the demo users and services once, and logs their credentials.
pub(crate) async fn load(direct: &Direct) -> sqlx::Result<()> {
    // One simple-protocol message is one transaction.
    direct.session().await?.execute(sqlx::raw_sql(include_str!("demo.sql"))).await?;
    tracing::info!("demo users, all with the password `demo-password`:");
    tracing::info!("  customers  ann@demo.example, bob@demo.example");
    tracing::info!(
        "  providers  clean@demo.example (House cleaning), pipes@demo.example (Plumbing), both serving ZIP code 10001"
    );
    tracing::info!("  LSM        lsm@demo.example (region New York)");
    Ok(())
}
