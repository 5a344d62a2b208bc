//! Several organisations of one person: making another, turning to it, giving it a name.

use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::organisations::OWNED_MAX;
use uni_manager::sessions;

use super::{ask, member};
use crate::doors::browser;
use crate::second_factor::browser::Browser;
use crate::world::{World, send, text};

#[tokio::test]
async fn a_browser_turns_from_one_organisation_to_another() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let vm = world.running_vm(&ann, "web").await;
    let (cookie, _) = browser(&world, &ann).await;
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await;
    let post = async |path: &str, fields: &[(&str, &str)]| {
        // Each organisation's pages have a token of their own.
        let token = cookie.trim_start_matches("session=");
        let csrf = sessions::find(&world.app, token).await.unwrap().unwrap().csrf_token;
        let form: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&form)).await
    };
    assert_eq!(get(&format!("/vms/{vm}")).await.status, 200);

    assert_eq!(post("/organisations", &[("name", "  ")]).await.status, 422);
    let made = post("/organisations", &[("name", "Side project")]).await;
    assert_eq!((made.status, made.location.as_str()), (303, "/organisation"), "{}", made.text);

    // The new one is open, has nothing, and leads back.
    assert_eq!(get(&format!("/vms/{vm}")).await.status, 404);
    let page = get("/vms").await.text;
    assert!(page.contains("Side project") && !page.contains("50.00"), "{page}");
    let back = format!("/organisations/{}/enter", ann.organisation);
    assert!(page.contains(&format!("action=\"{back}\"")), "{page}");
    assert_eq!(
        send(world.request(Method::POST, &back).header("cookie", &cookie).form(&[("csrf", "no")])).await.status,
        403
    );
    assert_eq!(post(&back, &[]).await.status, 303);
    assert_eq!(get(&format!("/vms/{vm}")).await.status, 200);
    // Somebody else's is not there.
    let bob = world.customer("bob", "0").await;
    assert_eq!(post(&format!("/organisations/{}/enter", bob.organisation), &[]).await.status, 404);
    assert_eq!(post(&format!("/organisations/{}/leave", bob.organisation), &[]).await.status, 404);
    let listed = get("/organisations").await.text;
    assert!(listed.contains("Side project") && !listed.contains("bob's"));
    let entered = world.count("select count(*) from audit_events where event = 'organisation.entered'").await;
    assert_eq!(entered, 2);
    world.finish().await;
}

#[tokio::test]
async fn programs_name_the_organisation_that_they_mean() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    world.running_vm(&ann, "web").await;
    let other = world.post(&ann, "/organisations", &json!({ "name": "Other" })).await.expect(201);
    let other = text(&other, "/id").parse().unwrap();

    let count = async |of| {
        let answer = ask(&world, &ann, of, "GET", "/vms", &json!(null)).await.expect(200);
        answer["items"].as_array().unwrap().len()
    };
    assert_eq!((count(ann.organisation).await, count(other).await), (1, 0));
    let renamed = ask(&world, &ann, other, "PATCH", "/organisation", &json!({ "name": " Another " })).await.expect(200);
    assert_eq!(text(&renamed, "/name"), "Another");
    let wrong = ask(&world, &ann, other, "PATCH", "/organisation", &json!({ "name": "x".repeat(81) })).await;
    assert_eq!(wrong.problem_fields(), ["name"]);
    let viewer = member(&world, "vera", other, "viewer").await;
    ask(&world, &viewer, other, "PATCH", "/organisation", &json!({ "name": "Mine" })).await.problem(403);
    // Nobody owns any number of them: each could have credit to sign up with, and quotas of its own.
    for number in 2..OWNED_MAX {
        world.post(&ann, "/organisations", &json!({ "name": format!("Number {number}") })).await.expect(201);
    }
    world.post(&ann, "/organisations", &json!({ "name": "One too many" })).await.problem(409);
    assert_eq!(world.count("select count(*) from wallets where balance > 0").await, 1, "they start without credit");
    world.finish().await;
}

#[tokio::test]
async fn an_organisation_is_renamed_handed_over_and_left_on_its_pages() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let bob = member(&world, "bob", ann.organisation, "admin").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await;
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let form: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&form)).await
    };

    let refused = post("/organisation/settings", &[("name", "")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("Give it a name."), "{}", refused.text);
    assert_eq!(post("/organisation/settings", &[("name", "Ann & Bob")]).await.status, 303);
    let page = get("/organisation/settings").await.text;
    assert!(page.contains("bob (bob@example.org)") && page.contains("action=\"/organisation/hand-over\""), "{page}");
    let leave = format!("/organisations/{}/leave", ann.organisation);
    let refused = post(&leave, &[]).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains("at least one owner"), "{}", refused.text);
    let handed = post("/organisation/hand-over", &[("member", &bob.user.id.to_string())]).await;
    assert_eq!((handed.status, handed.location.as_str()), (303, "/organisation/settings"), "{}", handed.text);
    assert!(!get("/organisation/settings").await.text.contains("/organisation/hand-over"));
    let left = post(&leave, &[]).await;
    assert_eq!((left.status, left.location.as_str()), (303, "/organisations"), "{}", left.text);
    // Her browser shows the organisation that was made for her.
    let page = get("/organisations").await.text;
    assert!(!page.contains("Ann &#38; Bob") && !page.contains("Ann &amp; Bob"), "{page}");
    assert_eq!(get("/vms").await.status, 200);
    world.finish().await;
}

#[tokio::test]
async fn a_page_of_one_organisation_changes_nothing_in_another() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let bob = world.customer("bob", "0").await;
    sqlx::query("insert into members (organisation_id, user_id, role, created_at) values ($1, $2, 'admin', now())")
        .bind(ann.organisation.uuid())
        .bind(bob.user.id.uuid())
        .execute(&world.app.pool)
        .await
        .unwrap();
    let mut browser = Browser::logged_in(&world, &bob).await;
    let invite = [("email", "friend@example.org"), ("role", "viewer")];
    assert_eq!(browser.get(&world, "/organisation").await.status, 200);

    // She takes him out while her members' page is open in his browser.
    ask(&world, &ann, ann.organisation, "DELETE", &format!("/members/{}", bob.user.id), &Value::Null).await.expect(204);
    let stale = browser.post(&world, "/organisation/invitations", &invite).await;
    assert_eq!(stale.status, 403, "{}", stale.text);
    assert_eq!(world.count("select count(*) from invitations").await, 0);
    assert_eq!(browser.get(&world, "/organisation").await.status, 200, "now it shows his own");
    assert_eq!(browser.post(&world, "/organisation/invitations", &invite).await.status, 303);
    world.finish().await;
}
