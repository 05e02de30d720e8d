//! The callers of the access table, and the objects of some of them.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::json;
use testing::token::{JWT_SECRET, sign};
use testing::world::{PASSWORD, Provider, World};

use crate::support::Scene;

/// Everybody who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    Nobody,
    /// With a token that nobody has signed.
    Forged,
    /// With a token of the customer's that has expired.
    Expired,
    Banned,
    /// Of an account that was closed.
    Closed,
    /// Of an account that is gone.
    Deleted,
    /// Whose job it is.
    Customer,
    OtherCustomer,
    /// Whose job it is.
    Provider,
    OtherProvider,
    /// Of the provider's region.
    Lsm,
    OtherLsm,
    Admin,
}

impl Caller {
    pub(super) const ALL: [Self; 13] = [
        Self::Nobody,
        Self::Forged,
        Self::Expired,
        Self::Banned,
        Self::Closed,
        Self::Deleted,
        Self::Customer,
        Self::OtherCustomer,
        Self::Provider,
        Self::OtherProvider,
        Self::Lsm,
        Self::OtherLsm,
        Self::Admin,
    ];

    /// Whether the caller has a token of a live login.
    pub(super) fn is_known(self) -> bool {
        match self {
            Self::Nobody | Self::Forged | Self::Expired | Self::Banned | Self::Closed | Self::Deleted => false,
            Self::Customer
            | Self::OtherCustomer
            | Self::Provider
            | Self::OtherProvider
            | Self::Lsm
            | Self::OtherLsm
            | Self::Admin => true,
        }
    }
}

/// Callers of every kind, and a job between two of them with all that belongs to it.
pub(super) struct Callers {
    pub scene: Scene,
    pub other_provider: Provider,
    pub job: i64,
    pub chat: String,
    pub review: i64,
    pub dispute: i64,
    pub notification: String,
    pub invoice: i64,
    pub service_request: i64,
    pub document: i64,
    pub picture: String,
    /// An object of every kind that admins name in paths, by that name.
    pub seen_by_admins: HashMap<&'static str, i64>,
    tokens: HashMap<Caller, String>,
}

impl Callers {
    pub(super) async fn start() -> Self {
        let scene = Scene::start().await;
        let world = &scene.world;
        let (job, chat) = scene.new_job().await;
        world
            .sql(
                "insert into stm.reviews (job_id, customer_id, provider_id, rating)
                 select id, customer_id, provider_id, 5 from stm.jobs;
                 insert into stm.disputes (job_id, lsm_id, description)
                 select j.id, p.lsm_id, 'It leaks' from stm.jobs j join stm.providers p on p.id = j.provider_id;
                 insert into stm.invoices (job_id, provider_id, amount_cents, status, via_stripe)
                 select id, provider_id, price_cents, 'open', false from stm.jobs;
                 insert into stm.files (id, owner_id, purpose, state, key, name, content_type, bytes, received_bytes, sha256)
                 select gen_random_uuid(), user_id, 'provider_document', 'attached', 'x', 'a.pdf', 'application/pdf', 1, 1, sha256('')
                 from stm.providers;
                 insert into stm.provider_documents (provider_id, file_id, file_name, description)
                 select p.id, f.id, 'a.pdf', '' from stm.providers p, stm.files f;
                 insert into stm.gallery_images (provider_id, file_id, file_name, position)
                 select p.id, f.id, 'a.png', 1 from stm.providers p, stm.files f;
                 insert into stm.users (email, first_name, last_name, role) values ('other-lsm@example.com', 'Lou', 'Local', 'local_service_manager');
                 insert into stm.local_service_managers (user_id, region) select id, 'Ohio' from stm.users where email = 'other-lsm@example.com';",
            )
            .await;
        let notification =
            format!("select id::text from stm.notifications where recipient_id = {} limit 1", scene.provider.user.id);
        let (review, dispute, invoice, notification) = (
            world.number("select id from stm.reviews").await,
            world.number("select id from stm.disputes").await,
            world.number("select id from stm.invoices").await,
            world.text(&notification).await,
        );
        let other_provider = world.provider("Plumbing").await;
        let request = json!({"serviceName": "Roof wash", "category": "Cleaning", "description": "Tiled roofs"});
        let requested =
            world.post_as(&scene.provider.user, "/provider/request-new-service", &request).await.expect(201);
        let service_request = requested["id"].as_i64().expect("an id");
        let document = world.number("select id from stm.provider_documents").await;
        let picture = world.text("select id::text from stm.gallery_images").await;
        let mut seen_by_admins = seen_by_admins(world).await;
        seen_by_admins.insert("documents", scene.provider.id);
        let tokens = tokens(&scene, &other_provider).await;
        Self {
            scene,
            other_provider,
            job,
            chat,
            review,
            dispute,
            notification,
            invoice,
            service_request,
            document,
            picture,
            seen_by_admins,
            tokens,
        }
    }

    /// The caller's token, if there is one.
    pub(super) fn token(&self, caller: Caller) -> Option<&str> {
        self.tokens.get(&caller).map(String::as_str)
    }

    /// A digest of every row of the database, but those of some tables. Of e-mails only that they are there, and of counts
    /// nothing: the worker sends and folds them in the meantime.
    pub(super) async fn rows(&self, without: &[&str]) -> String {
        let without =
            format!("array[{}]::text[]", without.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(","));
        let sql = format!(
            "select md5(string_agg(query_to_xml(format('select %s from stm.%I t order by t::text', case relname when 'emails' then 'id' else 't::text' end, relname), true, false, '')::text, '' order by relname))
             from pg_class where relnamespace = 'stm'::regnamespace and relkind = 'r' and relname <> all ({without})
               and relname not in ('tallies', 'tally_changes')"
        );
        self.scene.world.text(&sql).await
    }
}

/// Objects that admins decide about. None belongs to a caller: some rows ban or delete them.
async fn seen_by_admins(world: &World) -> HashMap<&'static str, i64> {
    let (customer, provider) = (world.customer().await, world.provider("Plumbing").await);
    world
        .sql(&format!(
            "insert into stm.service_requests (requested_by, kind, service_name, description)
                 values ({customer}, 'customer', 'Roofing', 'Tiles');
             insert into stm.ban_requests (provider_id, requested_by, reason)
                 select p.id, l.user_id, 'Fraud' from stm.providers p
                 join stm.local_service_managers l on l.id = p.lsm_id where p.id = {provider};
             insert into stm.users (email, first_name, last_name, role)
                 values ('third-lsm@example.com', 'Lea', 'Local', 'local_service_manager');
             insert into stm.local_service_managers (user_id, region)
                 select id, 'Utah' from stm.users where email = 'third-lsm@example.com';",
            customer = customer.id,
            provider = provider.id,
        ))
        .await;
    let mut ids = HashMap::new();
    for (kind, sql) in [
        ("services", format!("select {}::bigint", provider.service_id)),
        ("service-requests", "select id from stm.service_requests where kind = 'customer'".into()),
        ("ban-requests", "select id from stm.ban_requests".into()),
        ("lsms", "select id from stm.local_service_managers where region = 'Utah'".into()),
        ("providers", format!("select {}::bigint", provider.id)),
        ("customers", format!("select id from stm.customers where user_id = {}", customer.id)),
        ("disputes", "select id from stm.disputes".into()),
        ("reviews", "select id from stm.reviews".into()),
    ] {
        ids.insert(kind, world.number(&sql).await);
    }
    ids
}

async fn tokens(scene: &Scene, other_provider: &Provider) -> HashMap<Caller, String> {
    let Scene { world, customer, provider } = scene;
    let [other_customer, banned, closed, deleted] =
        [world.customer().await, world.customer().await, world.customer().await, world.customer().await];
    let password = json!({"password": PASSWORD});
    world.request(Method::DELETE, "/auth/me", Some(&closed.token), Some(&password)).await.expect(200);
    world
        .sql(&format!(
            "update stm.users set banned_at = now() where id = {};
             delete from stm.customers where user_id = {1};
             delete from stm.users where id = {1}",
            banned.id, deleted.id
        ))
        .await;
    let expired = json!({
        "sub": customer.id, "email": customer.email, "role": "customer", "typ": "access", "iat": 0, "exp": 1
    });
    let other_lsm = world.logged_in("other-lsm@example.com", "local_service_manager").await;
    HashMap::from([
        (Caller::Forged, "a.b.c".to_owned()),
        (Caller::Expired, sign(&expired, JWT_SECRET)),
        (Caller::Banned, banned.token),
        (Caller::Closed, closed.token),
        (Caller::Deleted, deleted.token),
        (Caller::Customer, customer.token.clone()),
        (Caller::OtherCustomer, other_customer.token),
        (Caller::Provider, provider.user.token.clone()),
        (Caller::OtherProvider, other_provider.user.token.clone()),
        (Caller::Lsm, world.lsm().await.token),
        (Caller::OtherLsm, other_lsm.token),
        (Caller::Admin, world.admin().await.token),
    ])
}
