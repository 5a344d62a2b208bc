//! Members: what they are, who changes that, and the owner that an organisation always has.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uni_manager::audit::Actor;
use uni_manager::organisations;

use super::{ask, latest_mail, member, role_of};
use crate::doors::new_key;
use crate::world::{World, text};

#[tokio::test]
async fn nobody_gives_more_than_he_has_and_only_owners_make_and_change_owners() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let admin = member(&world, "adam", home, "admin").await;
    let operator = member(&world, "olga", home, "operator").await;
    let path = |who: &crate::world::Customer| format!("/members/{}", who.user.id);
    let give = async |by, to, role: &str| ask(&world, by, home, "PATCH", &path(to), &json!({ "role": role })).await;

    let listed = ask(&world, &operator, home, "GET", "/members", &Value::Null).await.expect(200);
    let roles: Vec<_> = listed["items"].as_array().unwrap().iter().map(|member| text(member, "/role")).collect();
    assert_eq!(roles, ["owner", "admin", "operator"]);
    assert_eq!(text(&give(&operator, &admin, "viewer").await.problem(403), "/permission"), "member.manage");
    // An admin gives what he has, and neither makes nor changes an owner.
    assert_eq!(text(&give(&admin, &operator, "admin").await.expect(200), "/role"), "admin");
    give(&admin, &operator, "owner").await.problem(403);
    give(&admin, &ann, "viewer").await.problem(403);
    ask(&world, &admin, home, "DELETE", &path(&ann), &json!({})).await.problem(403);
    assert_eq!(role_of(&world, &ann, home).await, "owner");
    // Who looks after members and does nothing else gives nothing that does more.
    let new = json!({ "name": "Reception", "permissions": ["organisation.view", "member.*"] });
    let role = ask(&world, &ann, home, "POST", "/roles", &new).await.expect(201);
    give(&ann, &operator, text(&role, "/role")).await.expect(200);
    let refused = give(&operator, &admin, "viewer").await.problem(403);
    assert!(text(&refused, "/detail").contains("more than you"), "{refused}");
    let invited = json!({ "email": "new@example.org", "role": "viewer" });
    ask(&world, &operator, home, "POST", "/invitations", &invited).await.problem(403);
    // What is no role is none, and somebody else's member is not there.
    assert_eq!(give(&ann, &operator, "king").await.problem_fields(), ["role"]);
    let bob = world.customer("bob", "0").await;
    give(&ann, &bob, "viewer").await.problem(404);
    give(&ann, &operator, "owner").await.expect(200);
    assert_eq!(role_of(&world, &operator, home).await, "owner");
    world.finish().await;
}

#[tokio::test]
async fn the_last_owner_can_neither_leave_nor_be_removed_nor_be_less() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let own = format!("/members/{}", ann.user.id);
    let leave = format!("/organisations/{home}/leave");

    for (method, path, body) in [
        ("PATCH", own.as_str(), json!({ "role": "admin" })),
        ("DELETE", own.as_str(), json!({})),
        ("POST", leave.as_str(), json!({})),
    ] {
        let refused = ask(&world, &ann, home, method, path, &body).await.problem(409);
        assert!(text(&refused, "/detail").contains("at least one owner"), "{method} {path}: {refused}");
    }
    member(&world, "otto", home, "owner").await;
    assert_eq!(ask(&world, &ann, home, "POST", &leave, &json!({})).await.status, 204);
    // She belongs to none now but to one of her own, which was made for her.
    let own = world.get(&ann, "/organisations").await.expect(200);
    assert_eq!(own["items"].as_array().unwrap().len(), 1, "{own}");
    assert_eq!((text(&own, "/items/0/name"), text(&own, "/items/0/role")), ("ann", "owner"));
    ask(&world, &ann, home, "GET", "/vms", &Value::Null).await.problem(404);
    world.get(&ann, "/vms").await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn who_is_suspended_leaves_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let otto = member(&world, "otto", ann.organisation, "admin").await;
    world
        .execute(
            "update users set state = 'suspended', state_reason = 'a test', state_since = now() where name = 'otto'",
        )
        .await;
    let leave = format!("/organisations/{}/leave", ann.organisation);

    let refused = ask(&world, &otto, ann.organisation, "POST", &leave, &json!({})).await.problem(403);

    assert!(text(&refused, "/detail").starts_with("Your account is suspended"), "{refused}");
    assert_eq!(role_of(&world, &otto, ann.organisation).await, "admin");
    world.finish().await;
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_stays() {
    let world = World::new().await;
    for round in 0..4 {
        let one = world.customer(&format!("one-{round}"), "0").await;
        let other = member(&world, &format!("other-{round}"), one.organisation, "owner").await;
        let leaving = [&one, &other].map(|who| {
            let (app, organisation, user) = (world.app.clone(), one.organisation, who.user.id);
            tokio::spawn(async move { organisations::leave(&app, organisation, user, &Actor::system()).await })
        });

        let left = join_all(leaving).await.into_iter().filter(|left| left.as_ref().unwrap().is_ok()).count();

        assert_eq!(left, 1, "round {round}");
    }
    assert_eq!(
        world.count("select count(*) from organisations o where not exists (select from members m where m.organisation_id = o.id and m.role = 'owner') and exists (select from members m where m.organisation_id = o.id)").await,
        0
    );
    world.finish().await;
}

#[tokio::test]
async fn who_is_removed_is_out_at_once_and_so_is_what_he_has_promised() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let admin = member(&world, "adam", home, "admin").await;
    let token = world.token(&admin).await;
    let invited = json!({ "email": "new@example.org", "role": "viewer" });
    ask(&world, &admin, home, "POST", "/invitations", &invited).await.expect(201);
    let invitation = super::token_of(&world, "new@example.org").await;

    let removed = ask(&world, &ann, home, "DELETE", &format!("/members/{}", admin.user.id), &json!({})).await;
    assert_eq!(removed.status, 204, "{}", removed.text);

    let with_old_token = world.request(reqwest::Method::GET, "/api/v1/members").bearer_auth(token);
    let seen = crate::world::send(with_old_token.header("x-organisation", home.to_string())).await;
    seen.problem(404);
    let new = world.customer("new", "0").await;
    world.post(&new, "/invitations/accept", &json!({ "token": invitation })).await.problem(404);
    // He can still log in: he has an organisation of his own, with a wallet.
    assert_eq!(text(&world.get(&admin, "/auth/me").await.expect(200), "/organisation/name"), "adam");
    world.get(&admin, "/wallet").await.expect(200);
    let events = world.events().await;
    assert!(events.contains(&"member.removed".to_owned()) && events.contains(&"organisation.created".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn an_owner_hands_over_and_both_are_told() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let bob = member(&world, "bob", home, "viewer").await;
    let admin = member(&world, "adam", home, "admin").await;
    let to_bob = json!({ "member": bob.user.id });

    ask(&world, &admin, home, "POST", "/organisation/hand-over", &to_bob).await.problem(403);
    // A role that may do everything owns nothing.
    let new = json!({ "name": "Everything", "permissions": ["*"] });
    let everything = ask(&world, &ann, home, "POST", "/roles", &new).await.expect(201);
    let role = json!({ "role": everything["role"] });
    ask(&world, &ann, home, "PATCH", &format!("/members/{}", admin.user.id), &role).await.expect(200);
    ask(&world, &admin, home, "POST", "/organisation/hand-over", &to_bob).await.problem(403);

    let done = ask(&world, &ann, home, "POST", "/organisation/hand-over", &to_bob).await;
    assert_eq!(done.status, 204, "{}", done.text);
    assert_eq!(
        (role_of(&world, &ann, home).await, role_of(&world, &bob, home).await),
        ("admin".into(), "owner".into())
    );
    let to_ann = latest_mail(&world, "ann@example.org").await;
    assert!(
        to_ann.contains("to bob (bob@example.org)") && to_ann.replace('\n', " ").contains("one of its admins"),
        "{to_ann}"
    );
    let to_bob = latest_mail(&world, "bob@example.org").await;
    assert!(to_bob.contains("you are its owner now"), "{to_bob}");
    assert_eq!(world.count("select count(*) from audit_events where event = 'organisation.handed_over'").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn keys_of_a_member_who_was_removed_stay_dead_when_he_comes_back() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let adam = member(&world, "adam", ann.organisation, "admin").await;
    let key = new_key(&world, &adam, &["vm.view"]).await;
    key.asks(&world, "GET", "/api/v1/vms", &json!({})).await.expect(200);

    let path = format!("/members/{}", adam.user.id);
    assert_eq!(ask(&world, &ann, ann.organisation, "DELETE", &path, &json!({})).await.status, 204);
    let invited = json!({ "email": "adam@example.org", "role": "admin" });
    ask(&world, &ann, ann.organisation, "POST", "/invitations", &invited).await.expect(201);
    let token = super::token_of(&world, "adam@example.org").await;
    world.post(&adam, "/invitations/accept", &json!({ "token": token })).await.expect(200);

    key.asks(&world, "GET", "/api/v1/vms", &json!({})).await.problem(401);
    let log = world.get(&ann, "/audit-events?event=api_key.revoked").await.expect(200);
    assert_eq!(text(&log, "/items/0/actor"), "ann@example.org", "{log}");
    world.finish().await;
}

#[tokio::test]
async fn nobody_is_given_more_organisations_than_one_may_own() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let bob = world.customer("bob", "0").await;
    let carl = member(&world, "carl", ann.organisation, "admin").await;
    for number in 1..organisations::OWNED_MAX {
        world.post(&bob, "/organisations", &json!({ "name": format!("Number {number}") })).await.expect(201);
    }
    sqlx::query("insert into members (organisation_id, user_id, role, created_at) values ($1, $2, 'admin', $3)")
        .bind(ann.organisation.uuid())
        .bind(bob.user.id.uuid())
        .bind(world.now())
        .execute(&world.app.pool)
        .await
        .unwrap();

    let hand_over = json!({ "member": bob.user.id });
    let refused = ask(&world, &ann, ann.organisation, "POST", "/organisation/hand-over", &hand_over).await.problem(409);
    assert!(text(&refused, "/detail").contains("nobody owns more than 10"), "{refused}");
    let (path, owner) = (format!("/members/{}", bob.user.id), json!({ "role": "owner" }));
    ask(&world, &ann, ann.organisation, "PATCH", &path, &owner).await.problem(409);
    assert_eq!(role_of(&world, &ann, ann.organisation).await, "owner");
    // Nor when the role that he has is deleted, and he gets that of an owner instead.
    let new = json!({ "name": "Partner", "permissions": ["vm.view"] });
    let role = ask(&world, &ann, ann.organisation, "POST", "/roles", &new).await.expect(201);
    let partner = json!({ "role": text(&role, "/role") });
    ask(&world, &ann, ann.organisation, "PATCH", &path, &partner).await.expect(200);
    let delete = format!("/roles/{}?move_to=owner", text(&role, "/role"));
    let refused = ask(&world, &ann, ann.organisation, "DELETE", &delete, &json!({})).await.problem(409);
    assert!(text(&refused, "/detail").contains("nobody owns more than 10"), "{refused}");
    assert_eq!(role_of(&world, &bob, ann.organisation).await, "Partner");
    let delete = format!("/roles/{}?move_to=admin", text(&role, "/role"));
    assert_eq!(ask(&world, &ann, ann.organisation, "DELETE", &delete, &json!({})).await.status, 204);
    let hand_over = json!({ "member": carl.user.id });
    let done = ask(&world, &ann, ann.organisation, "POST", "/organisation/hand-over", &hand_over).await;
    assert_eq!(done.status, 204, "{}", done.text);
    world.finish().await;
}
