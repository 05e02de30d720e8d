//! Admins against others, and against each other: answers, rows and records always agree with one order.

use std::time::Duration;

use serde_json::{Value, json};
use testing::world::{PASSWORD, booking, provider_registration, unique_email};

use super::Office;

const ROUNDS: usize = 200;

/// Both at once, now the one a little earlier, now the other.
async fn race<A, B>(round: usize, a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let head_start = |mine: bool| Duration::from_micros(if mine { 0 } else { (round as u64 / 2 % 8) * 500 });
    tokio::join!(
        async {
            tokio::time::sleep(head_start(round.is_multiple_of(2))).await;
            a.await
        },
        async {
            tokio::time::sleep(head_start(!round.is_multiple_of(2))).await;
            b.await
        }
    )
}

impl Office {
    async fn status(&self, path: String, body: Value) -> u16 {
        self.post(&path, &body).await.status.as_u16()
    }

    async fn provider_status(&self, path: String, body: Value) -> u16 {
        self.provider_posts(&path, &body).await.status.as_u16()
    }

    /// Lifts the ban of the customer, whose token is good again.
    async fn unban_customer(&self, path: &str) {
        self.post(&format!("{path}/unban"), &json!({})).await.expect(200);
        self.world.sql("update stm.refresh_tokens set revoked_at = null").await;
    }
}

/// A booking that waited for the ban sees it.
#[tokio::test(flavor = "multi_thread")]
async fn banning_a_customer_who_books() {
    let office = Office::start().await;
    let path = format!("/admin/customers/{}", office.customer_id().await);
    for round in 0..ROUNDS {
        let request = booking(&office.provider);
        let ban = office.status(format!("{path}/ban"), json!({"reason": "Threats"}));
        let (banned, booked) = race(round, ban, office.customer_posts("/customer/booking", &request)).await;
        assert_eq!(banned, 200);
        assert!(matches!(booked.status.as_u16(), 201 | 401 | 403), "{}", booked.body);
        let open = "select count(*) from stm.jobs where status in ('new', 'in_progress')";
        assert_eq!(office.world.number(open).await, 0, "round {round}: {}", booked.body);
        office.unban_customer(&path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn banning_a_customer_whose_job_is_accepted() {
    let office = Office::start().await;
    let path = format!("/admin/customers/{}", office.customer_id().await);
    let mut session = office.world.database.session().await;
    let mut accepted_first = 0;
    for round in 0..ROUNDS {
        let job = office.world.new_job(&mut session, &office.customer, &office.provider).await;
        let accept = office.provider_status(format!("/provider/jobs/{job}/respond"), json!({"action": "accept"}));
        let ban = office.status(format!("{path}/ban"), json!({"reason": "Threats"}));
        let events = match race(round, accept, ban).await {
            (200, 200) => {
                accepted_first += 1;
                "accept cancel"
            }
            (409, 200) => "cancel",
            other => panic!("round {round}: {other:?}"),
        };
        let done = format!("select string_agg(action, ' ' order by id) from stm.job_events where job_id = {job}");
        assert_eq!(office.world.text(&done).await, events);
        assert_eq!(office.world.text(&format!("select status from stm.jobs where id = {job}")).await, "cancelled");
        office.unban_customer(&path).await;
    }
    assert!((1..ROUNDS).contains(&accepted_first), "no race: {accepted_first}");
}

/// A completed job is paid whatever becomes of its customer.
#[tokio::test(flavor = "multi_thread")]
async fn banning_a_customer_whose_job_is_paid() {
    let office = Office::start().await;
    let path = format!("/admin/customers/{}", office.customer_id().await);
    let mut session = office.world.database.session().await;
    for round in 0..ROUNDS {
        let job = office.world.new_job(&mut session, &office.customer, &office.provider).await;
        office.world.sql(&format!("update stm.jobs set status = 'completed' where id = {job}")).await;
        let payment = json!({"action": "mark_payment", "paymentDetails": {"method": "cash"}});
        let pay = office.provider_status(format!("/provider/jobs/{job}/update-status"), payment);
        let ban = office.status(format!("{path}/ban"), json!({"reason": "Threats"}));
        assert_eq!(race(round, pay, ban).await, (200, 200), "round {round}");
        office.unban_customer(&path).await;
    }
    let money = "select total_jobs || ' ' || earnings_cents from stm.providers";
    assert_eq!(office.world.text(money).await, format!("{ROUNDS} {}", ROUNDS * 10_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_on_one_service_request() {
    let office = Office::start().await;
    let mut approved = 0;
    for round in 0..ROUNDS {
        let id = office
            .world
            .number(&format!(
                "with request as (
                     insert into stm.service_requests (requested_by, kind, lsm_id, service_name, category, description, status)
                     select user_id, 'service_provider', lsm_id, 'Service {round}', 'Many', 'One of many', 'lsm_approved'
                     from stm.providers returning id)
                 select id from request"
            ))
            .await;
        let path = format!("/admin/service-requests/{id}");
        let approve = office.status(format!("{path}/approve"), json!({}));
        let reject = office.status(format!("{path}/reject"), json!({"reason": "No"}));
        let status = match race(round, approve, reject).await {
            (200, 409) => {
                approved += 1;
                "approved 1"
            }
            (409, 200) => "rejected 0",
            other => panic!("round {round}: {other:?}"),
        };
        let outcome = format!(
            "select status || ' ' || (select count(*) from stm.services where name = 'Service {round}')
             from stm.service_requests where id = {id}"
        );
        assert_eq!(office.world.text(&outcome).await, status);
    }
    assert!((1..ROUNDS).contains(&approved), "no race: {approved}");
    let records = "select count(*) from stm.admin_events where subject = 'service_request'";
    assert_eq!(office.world.number(records).await, i64::try_from(ROUNDS).expect("few"));
}

/// Whoever registers while the LSM is replaced has an active one.
#[tokio::test(flavor = "multi_thread")]
async fn replacing_an_lsm_while_a_provider_registers() {
    let office = Office::start().await;
    for round in 0..ROUNDS {
        let lsm = office.world.number("select id from stm.local_service_managers where status = 'active'").await;
        let successor = json!({
            "newLsmFirstName": "Nina", "newLsmLastName": "Manager", "newLsmEmail": unique_email("lsm"),
            "newLsmPhoneNumber": "+12125550181", "newLsmPassword": PASSWORD, "oldLsmAction": "deactivate",
        });
        let registration = provider_registration(&unique_email("provider"));
        let replace = office.status(format!("/admin/lsms/{lsm}/replace"), successor);
        let (replaced, registered) = race(round, replace, office.world.post("/auth/register", &registration)).await;
        assert_eq!(replaced, 200, "round {round}");
        registered.expect(201);
        let orphans = "select count(*) from stm.providers p join stm.local_service_managers l on l.id = p.lsm_id
                       where l.status <> 'active'";
        assert_eq!(office.world.number(orphans).await, 0, "round {round}");
    }
}

/// Whatever is asked for at the same time is the new LSM's, and the old one is in no chat.
#[tokio::test(flavor = "multi_thread")]
async fn replacing_an_lsm_who_joins_a_chat_while_others_ask_for_help() {
    const ROUNDS: usize = 60;
    let office = Office::start().await;
    let (job, _) = office.new_job().await;
    let neighbour = office.world.customer().await;
    let other_job = office.world.book(&neighbour, &office.provider).await["job"]["id"].clone();
    office.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
    let mut lsm = office.world.lsm().await;
    for round in 0..ROUNDS {
        office.world.sql(&format!("delete from stm.disputes where job_id = {job}")).await;
        let disputed = json!({"jobId": job, "description": "It leaks"});
        if round == 0 {
            let first = json!({"jobId": other_job, "description": "It drips"});
            office.world.post_as(&neighbour, "/customers/disputes", &first).await.expect(201);
        }
        let open = format!("select id from stm.disputes where job_id = {other_job}");
        let join = format!("/lsm/disputes/{}/join-chat", office.world.number(&open).await);
        let id = office.world.number("select id from stm.local_service_managers where status = 'active'").await;
        let email = unique_email("lsm");
        let successor = json!({
            "newLsmFirstName": "Nina", "newLsmLastName": "Manager", "newLsmEmail": email,
            "newLsmPhoneNumber": "+12125550181", "newLsmPassword": PASSWORD, "oldLsmAction": "deactivate",
        });
        let nothing = json!({});
        let request =
            json!({"serviceName": format!("Service {round}"), "category": "Many", "description": "One of many"});
        let others = async {
            tokio::join!(
                office.world.post_as(&lsm, &join, &nothing),
                office.customer_posts("/customers/disputes", &disputed),
                office.provider_posts("/provider/request-new-service", &request)
            )
        };
        let replace = office.status(format!("/admin/lsms/{id}/replace"), successor);
        let (replaced, (joined, filed, requested)) = Box::pin(race(round, replace, others)).await;
        assert_eq!(replaced, 200, "round {round}");
        assert!(matches!(joined.status.as_u16(), 200 | 404), "{}", joined.body);
        filed.expect(201);
        requested.expect(201);
        let lost = "select (select count(*) from stm.service_requests r join stm.local_service_managers l on l.id = r.lsm_id
                            where r.status = 'pending' and l.status <> 'active')
                         + (select count(*) from stm.disputes d join stm.local_service_managers l on l.id = d.lsm_id
                            where l.status <> 'active')
                         + (select count(*) from stm.chat_members m join stm.local_service_managers l on l.user_id = m.user_id
                            where m.left_at is null and l.status <> 'active')";
        assert_eq!(office.world.number(lost).await, 0, "round {round}");
        lsm = office.world.logged_in(&email, "local_service_manager").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn banning_a_provider_who_is_booked() {
    let office = Office::start().await;
    let path = format!("/admin/providers/{}", office.provider.id);
    let mut banned_first = 0;
    for round in 0..ROUNDS {
        let request = booking(&office.provider);
        let ban = office.status(format!("{path}/ban"), json!({"reason": "Fraud"}));
        let (banned, booked) = race(round, ban, office.customer_posts("/customer/booking", &request)).await;
        match (banned, booked.status.as_u16()) {
            (200, 400 | 404 | 409) => {
                banned_first += 1;
                office.post(&format!("{path}/unban"), &json!({})).await.expect(200);
            }
            (400, 201) => office.world.sql("update stm.jobs set status = 'cancelled'").await,
            other => panic!("round {round}: {other:?} {}", booked.body),
        }
    }
    assert!((1..ROUNDS).contains(&banned_first), "no race: {banned_first}");
}
