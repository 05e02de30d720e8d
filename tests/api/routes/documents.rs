//! The documents of providers: handed in, looked at, verified or rejected, and what an approval makes of them.

use serde_json::{Value, json};

use crate::support::Scene;
use crate::support::files::PDF;

const DOCUMENTS: &str = "/provider-onboarding/documents/upload";

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text"))
}

#[tokio::test]
async fn documents_are_reviewed_by_the_provider_s_lsm() {
    let scene = Scene::start().await;
    let (world, provider) = (&scene.world, &scene.provider.user);
    let fields = [("description", "Business licence")];
    world.sql("update stm.providers set status = 'rejected', rejection_reason = 'No papers'").await;
    let uploaded =
        world.upload(provider, DOCUMENTS, "file", vec![("licence.pdf", PDF.to_vec())], &fields).await.expect(201);
    assert_eq!((&uploaded["status"], &uploaded["description"]), (&json!("pending"), &json!("Business licence")));
    assert_eq!(uploaded["file_size"], PDF.len());
    let profile = world.get_as(provider, "/provider/profile").await.expect(200);
    assert_eq!((&profile["status"]["current"], &profile["documents"]["pending"]), (&json!("pending"), &json!(1)));

    let (lsm, admin) = (world.lsm().await, world.admin().await);
    assert_eq!(scene.notified(&lsm).await.last().map(String::as_str), Some("Provider waits for approval"));
    let path = format!("/providers/{}/documents/{}", scene.provider.id, uploaded["id"]);
    for (who, role) in [(&lsm, "lsm"), (&admin, "admin")] {
        let seen = world.get_as(who, &format!("/{role}{path}")).await.expect(200);
        assert_eq!((&seen["fileName"], &seen["fileType"]), (&json!("licence.pdf"), &json!("application/pdf")));
        assert_eq!(world.open(word(&seen["fileData"])).await.bytes, PDF);
    }
    let path = format!("/lsm{path}");
    world.post_as(&lsm, &path, &json!({"action": "reject"})).await.expect(400);
    world.post_as(&lsm, &path, &json!({"action": "burn"})).await.expect(400);
    let rejected = world.post_as(&lsm, &path, &json!({"action": "reject", "reason": "Not readable"})).await.expect(200);
    assert_eq!(rejected["status"], "rejected");
    world.post_as(&lsm, &path, &json!({"action": "verify"})).await.expect(409);
    assert_eq!(scene.notified(provider).await.last().map(String::as_str), Some("Document rejected"));
    let own = world.get_as(provider, "/provider-onboarding/documents").await.expect(200);
    assert_eq!((&own[0]["status"], &own[0]["reason"]), (&json!("rejected"), &json!("Not readable")));
    let url = word(&own[0]["url"]).to_owned();
    assert_eq!(world.open(&url).await.status, 200);
    world.delete_as(provider, &format!("/provider-onboarding/documents/{}", uploaded["id"])).await.expect(200);
    assert_eq!(world.open(&url).await.status, 404);
}

#[tokio::test]
async fn a_provider_is_approved_when_all_documents_are_verified() {
    let scene = Scene::start().await;
    let (world, provider, id) = (&scene.world, &scene.provider.user, scene.provider.id);
    let (lsm, admin) = (world.lsm().await, world.admin().await);
    world.sql("update stm.providers set status = 'pending'").await;
    let hand_in = async |name: &str, bytes: Vec<u8>| {
        let uploaded = world.upload(provider, DOCUMENTS, "file", vec![(name, bytes)], &[]).await.expect(201);
        format!("/lsm/providers/{id}/documents/{}", uploaded["id"])
    };
    let approve = format!("/lsm/providers/{id}/approve-onboarding");
    let refused = async || {
        let refused = world.post_as(&lsm, &approve, &json!({})).await.expect(409);
        assert_eq!(refused["code"], "documents_not_verified", "{refused}");
        let batch = json!({"ids": [id], "status": "active"});
        let batch = world.post_as(&admin, "/admin/providers/status", &batch).await.expect(200);
        assert_eq!(batch["refused"], 1, "{batch}");
        assert_eq!(world.get_as(&lsm, "/lsm/onboarding/pending").await.expect(200)[0]["readyForActivation"], false);
    };
    refused().await;
    let first = hand_in("licence.pdf", PDF.to_vec()).await;
    let second = hand_in("insurance.pdf", [PDF, b"second"].concat()).await;
    refused().await;
    world.post_as(&lsm, &first, &json!({"action": "verify"})).await.expect(200);
    refused().await;
    world.post_as(&lsm, &second, &json!({"action": "reject", "reason": "It has expired"})).await.expect(200);
    refused().await;

    // Rejected as a whole, the provider replaces what was rejected, and waits again.
    let reason = json!({"reason": "Your insurance has expired"});
    world.post_as(&lsm, &format!("/lsm/providers/{id}/reject-onboarding"), &reason).await.expect(200);
    let own = format!("/provider-onboarding/documents/{}", second.rsplit('/').next().expect("an id"));
    world.delete_as(provider, &own).await.expect(200);
    let second = hand_in("insurance.pdf", [PDF, b"third"].concat()).await;
    let profile = world.get_as(provider, "/provider/profile").await.expect(200);
    assert_eq!(
        (&profile["status"]["current"], &profile["status"]["rejectionReason"]),
        (&json!("pending"), &json!(null))
    );
    world.post_as(&lsm, &second, &json!({"action": "verify"})).await.expect(200);
    let waiting = world.get_as(&lsm, "/lsm/onboarding/pending").await.expect(200);
    assert_eq!((&waiting[0]["readyForActivation"], &waiting[0]["documents"]["verified"]), (&json!(true), &json!(2)));
    world.post_as(&lsm, &approve, &json!({})).await.expect(200);
    let approved = format!("/provider-onboarding/documents/{}", first.rsplit('/').next().expect("an id"));
    assert_eq!(world.delete_as(provider, &approved).await.expect(409)["code"], "document_verified");
    let life = "select string_agg(action || ' ' || to_status, ', ' order by id) from stm.provider_events";
    assert_eq!(world.text(life).await, "reject rejected, hand_in pending, approve active");
    let details = world.get_as(&admin, &format!("/admin/providers/{id}")).await.expect(200);
    let names: Vec<_> =
        details["documents"].as_array().expect("a list").iter().map(|one| word(&one["fileName"])).collect();
    assert_eq!(names, ["licence.pdf", "insurance.pdf"]);
    let dashboard = world.get_as(&lsm, "/lsm/dashboard").await.expect(200);
    assert_eq!(dashboard["recentActivity"]["documentsVerified24h"], 2);
}

#[tokio::test]
async fn a_setting_waives_documents() {
    let scene = Scene::start().await;
    let (world, id) = (&scene.world, scene.provider.id);
    let (lsm, admin) = (world.lsm().await, world.admin().await);
    world.sql("update stm.providers set status = 'pending'").await;
    let settings = world.put_as(&admin, "/admin/settings", &json!({"requireDocuments": false})).await.expect(200);
    assert_eq!(settings["requireDocuments"], false);
    assert_eq!(world.get_as(&lsm, "/lsm/onboarding/pending").await.expect(200)[0]["readyForActivation"], true);
    world.post_as(&lsm, &format!("/lsm/providers/{id}/approve-onboarding"), &json!({})).await.expect(200);
}
