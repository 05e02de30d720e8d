//! What admins see and do.

mod catalogue;
mod customers;
mod figures;
mod lists;
mod lsms;
mod providers;
mod races;
mod random;
mod settings;

use std::ops::Deref;

use reqwest::Method;
use serde_json::{Value, json};
use testing::world::{Answer, User, World};

use crate::support::{SERVE, Scene};

/// A scene with an admin.
struct Office {
    scene: Scene,
    admin: User,
}

impl Deref for Office {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl Office {
    async fn start() -> Self {
        Self::on(World::start(SERVE).await).await
    }

    /// An office in a world that is there already.
    async fn on(world: World) -> Self {
        let scene = Scene::on(world).await;
        Self { admin: scene.world.admin().await, scene }
    }

    async fn get(&self, path: &str) -> Value {
        self.answer(path).await.expect(200)
    }

    async fn answer(&self, path: &str) -> Answer {
        self.world.get_as(&self.admin, path).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.world.post_as(&self.admin, path, body).await
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.world.put_as(&self.admin, path, body).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.world.delete_as(&self.admin, path).await
    }

    /// The customer's id, which is another one than the user's.
    async fn customer_id(&self) -> i64 {
        self.world.number(&format!("select id from stm.customers where user_id = {}", self.customer.id)).await
    }

    /// The actions of admins, oldest first.
    async fn actions(&self) -> Vec<String> {
        let events = self.get("/admin/events?limit=100").await;
        let events = events["data"].as_array().expect("a list").iter().rev();
        events.map(|event| event["action"].as_str().expect("an action").to_owned()).collect()
    }
}

#[tokio::test]
async fn what_admins_do_is_recorded_and_stays() {
    let office = Office::start().await;
    office.put("/admin/settings", &json!({"warningThreshold": 2})).await.expect(200);
    office.put("/admin/settings", &json!({"warningThreshold": 20})).await.expect(400);
    office.delete("/admin/services/999999").await.expect(404);
    let service = office.provider.service_id;
    office.put(&format!("/admin/services/{service}"), &json!({"category": "Mending"})).await.expect(200);

    let events = office.get("/admin/events").await;
    assert_eq!(events["pagination"]["total"], 2, "what was refused leaves no record");
    let (last, first) = (&events["data"][0], &events["data"][1]);
    assert_eq!(
        (&first["action"], &first["subject"], &first["subjectId"]),
        (&json!("update_settings"), &json!("settings"), &Value::Null)
    );
    assert_eq!((&first["before"]["warningThreshold"], &first["after"]["warningThreshold"]), (&json!(3), &json!(2)));
    assert_eq!(first["actor"], json!({"id": office.admin.id, "name": "Ada Admin", "email": office.admin.email}));
    assert_eq!((&last["subjectId"], &last["before"]["category"]), (&json!(service), &json!("Repairs")));

    for (query, total) in [
        ("action=update_settings", 1),
        ("subject=service", 1),
        (&*format!("subject=service&subjectId={service}"), 1),
        (&*format!("actorId={}", office.admin.id), 2),
        ("actorId=1", 0),
        ("page=9", 2),
    ] {
        assert_eq!(office.get(&format!("/admin/events?{query}")).await["pagination"]["total"], total, "{query}");
    }
    for (query, field) in [("action=lost", "action"), ("page=0", "page"), ("subjectId=x", "subjectId")] {
        let refused = office.answer(&format!("/admin/events?{query}")).await.expect(400);
        assert_eq!(refused["errors"][0]["field"], field);
    }

    let mut session = office.world.database.session().await;
    for change in
        ["update stm.admin_events set action = 'x'", "delete from stm.admin_events", "truncate stm.admin_events"]
    {
        let refused = sqlx::raw_sql(change).execute(&mut session).await.expect_err(change);
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    assert_eq!(office.actions().await, ["update_settings", "update_service"]);
}

#[tokio::test]
async fn admins_are_no_wildcard() {
    let office = Office::start().await;
    for path in ["/customer/jobs", "/provider/dashboard", "/lsm/disputes"] {
        assert_eq!(office.answer(path).await.expect(403)["code"], "wrong_role", "{path}");
    }
    for user in [&office.customer, &office.provider.user, &office.world.lsm().await] {
        let refused = office.world.request(Method::GET, "/admin/dashboard", Some(&user.token), None).await.expect(403);
        assert_eq!(refused["code"], "wrong_role");
    }
}
