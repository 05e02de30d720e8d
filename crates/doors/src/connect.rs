//! Opens both doors, with every check that can be made before the first request.

use crate::diagnose::{connection_failure, first_statement_failure};
use crate::probe::{self, Pooling};
use crate::url::{ConnectionString, Secret};
use crate::{Direct, DirectSettings, Pooler, PoolerSettings};

/// Both doors, open.
#[derive(Debug)]
pub struct Doors {
    /// The transaction pooler.
    pub pooler: Pooler,
    /// The direct connection.
    pub direct: Direct,
    /// Sentences for the operator's log.
    pub warnings: Vec<String>,
}

/// Opens both doors: probes both connection strings at the same time, refuses a transaction pooler in place of a session,
/// and has each door answer a statement.
///
/// # Errors
/// Sentences, a line each: which secret is wrong, in what way, and what to put there. Never a secret.
pub async fn connect(
    database_url: &ConnectionString,
    pooler_settings: &PoolerSettings,
    direct_url: &ConnectionString,
    direct_settings: &DirectSettings,
) -> Result<Doors, String> {
    let (pooler, direct) = tokio::join!(
        probe::pooling(database_url, pooler_settings.application_name),
        probe::pooling(direct_url, direct_settings.application_name)
    );
    let pooler = pooler.map_err(|error| connection_failure(database_url, &error));
    let direct = direct.map_err(|error| connection_failure(direct_url, &error));
    let (pooler, direct) = match (pooler, direct) {
        // Both at once: an operator with two mistakes sees both in one start.
        (Err(first), Err(second)) => return Err(format!("{first}\n{second}")),
        (pooler, direct) => (pooler?, direct?),
    };
    check_direct(direct, pooler)?;
    let mut warnings = Vec::new();
    if pooler == Pooling::Session {
        warnings.push(format!(
            "DATABASE_URL is not a transaction pooler: each of up to {} connections holds a server of its own. {}",
            pooler_settings.max_connections,
            Secret::DatabaseUrl.what_to_put()
        ));
    }
    let pooler = Pooler::new(database_url, pooler_settings)?;
    let direct = Direct::new(direct_url, direct_settings)?;
    pooler.ping().await.map_err(|error| first_statement_failure(database_url, pooler_settings.wire, &error))?;
    // Before the direct door has sessions: sessions of the same role would have to be read too, and cannot be.
    let unseen = pooler.learn_limits().await;
    let ((), direct_answers) = tokio::join!(pooler.learn_limits_of(unseen), direct.ping());
    direct_answers.map_err(|error| connection_failure(direct_url, &error))?;
    Ok(Doors { pooler, direct, warnings })
}

/// A transaction pooler in place of the session is the commonest mistake.
fn check_direct(direct: Pooling, pooler: Pooling) -> Result<(), String> {
    match (direct, pooler) {
        (Pooling::Session, _) => Ok(()),
        (Pooling::Transaction, Pooling::Session) => Err(
            "DATABASE_URL and DIRECT_URL are swapped: DIRECT_URL is a transaction pooler, and DATABASE_URL is not one. Exchange their values."
                .to_owned(),
        ),
        (Pooling::Transaction, Pooling::Transaction) => Err(format!(
            "DIRECT_URL is a transaction pooler, but the direct door needs a session. {}",
            Secret::DirectUrl.what_to_put()
        )),
    }
}
