//! What happens at the same time: decisions about one provider, and a registration while the LSM is replaced.

use serde_json::json;
use sqlx::PgConnection;
use testing::world::provider_registration;
use testing::{PATIENCE, execute};

use super::Regions;

/// The rounds of a race.
const ROUNDS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn approving_against_rejecting() {
    let regions = Regions::start().await;
    let id = regions.provider.id;
    regions.world.verified_document(id).await;
    let mut approved = 0;
    for round in 0..ROUNDS {
        regions.world.sql(&format!("update stm.providers set status = 'pending' where id = {id}")).await;
        let (approve, reject) =
            (format!("/lsm/providers/{id}/approve-onboarding"), format!("/lsm/providers/{id}/reject-onboarding"));
        let (body, reason) = (json!({}), json!({"reason": "No licence, no insurance"}));
        let (approval, rejection) = tokio::join!(regions.post(&approve, &body), regions.post(&reject, &reason));
        let expected = match (approval.status.as_u16(), rejection.status.as_u16()) {
            (200, 409) => "active",
            (409, 200) => "rejected",
            answers => panic!("round {round}: {answers:?}"),
        };
        approved += usize::from(expected == "active");
        assert_eq!(regions.status(id).await, expected);
    }
    let sql = "select count(*) filter (where action = 'approve') || ' ' || count(*) from stm.provider_events";
    assert_eq!(regions.world.text(sql).await, format!("{approved} {ROUNDS}"), "one audit row a round");
}

/// Hands the first region over to a new LSM, from its lock on. Ends with an open transaction.
async fn replace(session: &mut PgConnection) {
    execute(
        session,
        "begin;
         select id from stm.local_service_managers where region = 'New York' for no key update;
         update stm.local_service_managers set status = 'inactive' where region = 'New York';
         insert into stm.users (email, first_name, last_name, role) values ('new@example.com', 'Nora', 'New', 'local_service_manager');
         insert into stm.local_service_managers (user_id, region) select id, 'New York' from stm.users where email = 'new@example.com'",
    )
    .await;
    execute(
        session,
        "update stm.providers p set lsm_id = n.id
         from stm.local_service_managers o, stm.local_service_managers n
         where p.lsm_id = o.id and o.region = 'New York' and o.status = 'inactive'
           and n.region = 'New York' and n.status = 'active'",
    )
    .await;
}

/// The number of providers whose LSM serves nobody.
const LEFT_BEHIND: &str = "select count(*) from stm.providers p
     join stm.local_service_managers l on l.id = p.lsm_id where l.status <> 'active'";

/// Waits until so many sessions of the database wait for a lock, or `done`.
async fn blocked(regions: &Regions, sessions: i64, done: impl Fn() -> bool) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let started = std::time::Instant::now();
    while !done() && regions.world.number(sql).await < sessions {
        assert!(started.elapsed() < PATIENCE, "nobody waits");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_waits_for_a_registration() {
    let regions = Regions::start().await;
    let mut gate = regions.world.database.session().await;
    // The registration has its provider, and waits before its commit.
    execute(&mut gate, "begin; lock table stm.notifications in share mode").await;
    let mut session = regions.world.database.session().await;
    let others = async {
        blocked(&regions, 1, || false).await;
        let replacing = tokio::spawn(async move {
            replace(&mut session).await;
            execute(&mut session, "commit").await;
        });
        blocked(&regions, 2, || replacing.is_finished()).await;
        execute(&mut gate, "commit").await;
        replacing.await.expect("replaced");
    };
    let registration = provider_registration("late@example.com");
    let (registered, ()) = tokio::join!(regions.world.post("/auth/register", &registration), others);
    registered.expect(201);
    assert_eq!(regions.world.number(LEFT_BEHIND).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_waits_for_a_replacement() {
    let regions = Regions::start().await;
    let mut session = regions.world.database.session().await;
    replace(&mut session).await;
    let registration = provider_registration("late@example.com");
    let others = async {
        blocked(&regions, 1, || false).await;
        execute(&mut session, "commit").await;
    };
    let (registered, ()) = tokio::join!(regions.world.post("/auth/register", &registration), others);
    registered.expect(201);
    let of_new = "select count(*) from stm.providers p join stm.local_service_managers l on l.id = p.lsm_id
                  join stm.users u on u.id = l.user_id where u.email = 'new@example.com'";
    assert_eq!((regions.world.number(LEFT_BEHIND).await, regions.world.number(of_new).await), (0, 2));
}
