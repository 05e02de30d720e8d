//! Customers, and their bans.

use reqwest::Method;
use serde_json::json;
use testing::world::PASSWORD;
use tokio::time::timeout;

use super::Office;
use crate::support::{connect, join};

#[tokio::test]
async fn a_ban_ends_jobs_logins_and_sockets_at_once() {
    let office = Office::start().await;
    let (job, chat) = office.new_job().await;
    let second = office.world.provider("House cleaning").await;
    let running = office.world.book(&office.customer, &second).await["job"]["id"].clone();
    office
        .world
        .sql(&format!("update stm.jobs set status = 'in_progress', scheduled_at = now() where id = {running}"))
        .await;
    let id = office.customer_id().await;
    let (socket, mut events) = connect(&office.world.server, &office.customer).await;
    join(&socket, &chat).await;

    let path = format!("/admin/customers/{id}");
    let refused = office.post(&format!("{path}/ban"), &json!({})).await.expect(400);
    assert_eq!(refused["errors"][0]["field"], "reason");
    let banned = office.post(&format!("{path}/ban"), &json!({"reason": "Threats"})).await.expect(200);
    assert_eq!(banned["cancelledJobs"], 2);

    // Refused at once: requests, logins, refreshed tokens; the socket is closed.
    office.world.get_as(&office.customer, "/customer/jobs").await.expect(401);
    let login = json!({"email": office.customer.email, "password": PASSWORD});
    office.world.post("/auth/login", &login).await.expect(403);
    let refresh = json!({"refreshToken": office.customer.refresh_token});
    let refreshed = office.world.post("/auth/refresh", &refresh).await.status.as_u16();
    assert!(matches!(refreshed, 401 | 403), "{refreshed}");
    timeout(testing::PATIENCE, async { while events.recv().await.is_some() {} }).await.expect("the socket is closed");

    // The jobs are cancelled free of charge, in the admin's name, and both sides are notified.
    for job in [json!(job), running] {
        let state = "select status || ' ' || (select count(*) from stm.payments y where y.job_id = j.id) from stm.jobs j where id = ";
        assert_eq!(office.world.text(&format!("{state}{job}")).await, "cancelled 0");
        let event = "select action || ' ' || actor_id from stm.job_events where from_status is not null and job_id = ";
        assert_eq!(office.world.text(&format!("{event}{job}")).await, format!("cancel {}", office.admin.id));
        let told = "select count(distinct recipient_id) from stm.notifications where title = 'Job cancelled' and metadata ->> 'jobId' = ";
        assert_eq!(office.world.number(&format!("{told}'{job}'")).await, 2);
    }
    let secrets = "select count(*) from stm.notifications where message like '%Threats%'";
    assert_eq!(office.world.number(secrets).await, 0, "the reason is for the customer alone");
    let mails = format!("select count(*) from stm.emails where user_id = {}", office.customer.id);
    assert_eq!(office.world.number(&mails).await, 1);

    let seen = office.get(&path).await;
    assert_eq!(
        (&seen["status"], &seen["banReason"], &seen["jobs"]["cancelled"]),
        (&json!("banned"), &json!("Threats"), &json!(2))
    );
    let again = office.post(&format!("{path}/ban"), &json!({"reason": "Again"})).await.expect(409);
    assert!(again["detail"].as_str().is_some_and(|why| why.contains("already banned")), "{again}");

    office.post(&format!("{path}/unban"), &json!({})).await.expect(200);
    office.world.post("/auth/login", &login).await.expect(200);
    office.world.get_as(&office.customer, "/customer/jobs").await.expect(401);
    assert_eq!(office.post(&format!("{path}/unban"), &json!({})).await.expect(409)["code"], "wrong_state");
    assert_eq!(office.actions().await, ["ban_customer", "unban_customer"]);
    for what in ["ban", "unban"] {
        office.post(&format!("/admin/customers/999999/{what}"), &json!({"reason": "x"})).await.expect(404);
    }
}

/// What is done is to be paid for, and whoever has closed an account has no ban to be lifted.
#[tokio::test]
async fn completed_jobs_and_closed_accounts_stay_as_they_are() {
    let office = Office::start().await;
    let (job, _) = office.new_job().await;
    office.world.sql("update stm.jobs set status = 'completed', completed_at = now()").await;
    let id = office.customer_id().await;
    let banned = office.post(&format!("/admin/customers/{id}/ban"), &json!({"reason": "Threats"})).await.expect(200);
    assert_eq!(banned["cancelledJobs"], 0);
    let paid = json!({"action": "mark_payment", "paymentDetails": {"method": "cash"}});
    office.provider_posts(&format!("/provider/jobs/{job}/update-status"), &paid).await.expect(200);

    let leaving = office.world.customer().await;
    let id = office.world.number(&format!("select id from stm.customers where user_id = {}", leaving.id)).await;
    let password = json!({"password": PASSWORD});
    office.world.request(Method::DELETE, "/auth/me", Some(&leaving.token), Some(&password)).await.expect(200);
    assert_eq!(office.get(&format!("/admin/customers/{id}")).await["status"], "closed");
    for what in ["ban", "unban"] {
        let refused = office.post(&format!("/admin/customers/{id}/{what}"), &json!({"reason": "x"})).await.expect(409);
        assert_eq!(refused["code"], "wrong_state");
    }
}

#[tokio::test]
async fn customers_are_found() {
    let office = Office::start().await;
    let other = office.world.customer().await;
    let id = office.world.number(&format!("select id from stm.customers where user_id = {}", other.id)).await;
    office
        .world
        .sql(&format!(
            "update stm.users set first_name = 'Zoë_', banned_at = now() where id = {};
             update stm.customers set region = 'NY' where id = {id}",
            other.id
        ))
        .await;
    let (job, _) = office.new_job().await;
    office.world.sql(&format!("update stm.jobs set status = 'paid' where id = {job}")).await;
    for (query, total) in [
        ("", 2),
        ("search=zo%C3%AB_", 1),
        ("search=ARCHER", 2),
        ("search=%25", 0),
        ("region=new+york", 2),
        ("region=Ohio", 0),
        ("status=banned", 1),
        ("status=active", 1),
        ("status=closed", 0),
        ("limit=1&page=2", 2),
        ("page=9", 2),
    ] {
        assert_eq!(office.get(&format!("/admin/customers?{query}")).await["pagination"]["total"], total, "{query}");
    }
    let seen = office.get("/admin/customers?status=active").await["data"][0].clone();
    assert_eq!(
        (&seen["totalJobs"], &seen["totalSpent"], &seen["status"]),
        (&json!(1), &json!(120.5), &json!("active"))
    );
    for (query, field) in [("status=lost", "status"), ("limit=0", "limit")] {
        assert_eq!(office.answer(&format!("/admin/customers?{query}")).await.expect(400)["errors"][0]["field"], field);
    }
    office.answer("/admin/customers/999999").await.expect(404);
    office.answer("/admin/customers/x").await.expect(400);
}
