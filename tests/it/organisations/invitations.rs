//! Invitations: a mail with a token that is good for a week, for one person, once.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::organisations::{OPEN_MAX, SENDS_MAX};

use super::{ask, latest_mail, member, role_of, token_of};
use crate::doors::browser;
use crate::world::{Answer, Customer, PASSWORD, World, send, text};

async fn invite(world: &World, by: &Customer, email: &str, role: &str) -> Answer {
    ask(world, by, by.organisation, "POST", "/invitations", &json!({ "email": email, "role": role })).await
}

async fn accept(world: &World, who: &Customer, token: &str) -> Answer {
    world.post(who, "/invitations/accept", &json!({ "token": token })).await
}

#[tokio::test]
async fn somebody_new_registers_through_an_invitation_and_joins() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let made = invite(&world, &ann, " New@Example.org ", "operator").await.expect(201);
    assert_eq!((text(&made, "/email"), text(&made, "/role")), ("New@Example.org", "operator"));
    let token = token_of(&world, "New@Example.org").await;
    let letter = latest_mail(&world, "New@Example.org").await.replace(&token, "TOKEN").replace(&world.url, "PORTAL");
    assert_eq!(
        letter,
        "Hello,\n\
         \n\
         ann invites you to the organisation “ann's” at PORTAL, with\n\
         the role operator.\n\
         \n\
         To accept, log in or make an account with the address New@Example.org here:\n\
         PORTAL/invitation?token=TOKEN\n\
         \n\
         The link is good for one person and until 17 November 2026, 12:00 UTC. Who\n\
         has it can join in your place, so do not pass it on.\n\
         \n\
         If you do not know what this is about, do nothing.\n\
         \n\
         -- \n\
         You get this mail because ann wrote your address at PORTAL.\n\
         It was written by a program that reads no answers.\n"
    );
    let kept = world.text("select body from mails where kind = 'invitation'").await;
    assert!(!kept.contains(&token), "operators read mails: {kept}");
    // Nothing but the hash is kept.
    assert_eq!(world.count("select count(*) from invitations where octet_length(token_hash) = 32").await, 1);

    let page = send(world.request(Method::GET, &format!("/invitation?token={token}"))).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.text.contains("Join ann&#39;s")
            || page.text.contains("Join ann's")
            || page.text.contains("Join ann&#x27;s"),
        "{}",
        page.text
    );
    let next = page.text.split("/register?next=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = send(world.request(Method::GET, &format!("/register?next={next}"))).await;
    assert!(form.text.contains("value=\"New@Example.org\""), "the address stands there already: {}", form.text);
    let csrf = form.cookie("csrf").unwrap();
    let typed = [("csrf", csrf.as_str()), ("name", "Nina"), ("email", "new@example.org"), ("password", PASSWORD)];
    let request = world.request(Method::POST, &format!("/register?next={next}"));
    let registered = send(request.header("cookie", format!("csrf={csrf}")).form(&typed)).await;
    assert_eq!((registered.status, registered.location.clone()), (303, format!("/invitation?token={token}")));
    let cookie = format!("session={}", registered.cookie("session").unwrap());
    let csrf = uni_manager::sessions::find(&world.app, cookie.trim_start_matches("session="))
        .await
        .unwrap()
        .unwrap()
        .csrf_token;
    let page = send(world.request(Method::GET, &format!("/invitation?token={token}")).header("cookie", &cookie)).await;
    assert!(page.text.contains("action=\"/invitation\""), "{}", page.text);
    let form = [("csrf", csrf.as_str()), ("token", &token)];
    let joined = send(world.request(Method::POST, "/invitation").header("cookie", &cookie).form(&form)).await;
    assert_eq!((joined.status, joined.location.as_str()), (303, "/"), "{}", joined.text);

    // The organisation is open in his browser, with what an operator sees.
    let list = send(world.request(Method::GET, "/vms").header("cookie", &cookie)).await;
    assert!(list.text.contains("href=\"/vms/new\""), "{}", list.text);
    let members = ask(&world, &ann, ann.organisation, "GET", "/members", &Value::Null).await.expect(200);
    assert_eq!((text(&members, "/items/1/name"), text(&members, "/items/1/role")), ("Nina", "operator"));
    assert_eq!(world.count("select count(*) from organisations").await, 2, "he has one of his own as well");
    let waiting = ask(&world, &ann, ann.organisation, "GET", "/invitations", &Value::Null).await.expect(200);
    assert_eq!(waiting["items"], json!([]));
    world.finish().await;
}

#[tokio::test]
async fn of_two_requests_that_redeem_one_invitation_exactly_one_wins() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let bob = world.customer("bob", "0").await;
    for round in 0..4 {
        world.execute("delete from members where role = 'viewer'").await;
        invite(&world, &ann, "bob@example.org", "viewer").await.expect(201);
        let token = token_of(&world, "bob@example.org").await;
        let mut requests = Vec::new();
        for _ in 0..4 {
            let body = json!({ "token": token });
            requests.push(send(world.api(&bob, Method::POST, "/invitations/accept").await.json(&body)));
        }

        let mut statuses: Vec<u16> = join_all(requests).await.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();

        assert_eq!(statuses, [200, 409, 409, 409], "round {round}");
        assert_eq!(role_of(&world, &bob, ann.organisation).await, "viewer");
        assert_eq!(
            world.count("select count(*) from audit_events where event = 'invitation.accepted'").await,
            round + 1
        );
        world.advance(TimeDelta::minutes(1));
    }
    world.finish().await;
}

#[tokio::test]
async fn an_invitation_is_for_its_address_and_for_a_week() {
    let world = World::new().await;
    let (ann, bob, eve) =
        (world.customer("ann", "0").await, world.customer("bob", "0").await, world.customer("eve", "0").await);
    invite(&world, &ann, "BOB@example.org", "admin").await.expect(201);
    let token = token_of(&world, "BOB@example.org").await;

    let refused = accept(&world, &eve, &token).await.problem(403);
    assert!(text(&refused, "/detail").contains("another e-mail address"), "{refused}");
    let (cookie, _) = browser(&world, &eve).await;
    let page = send(world.request(Method::GET, &format!("/invitation?token={token}")).header("cookie", cookie)).await;
    assert!(page.text.contains("You are logged in as") && !page.text.contains("action=\"/invitation\""));
    accept(&world, &bob, "").await.problem(404);
    accept(&world, &bob, &token[1..]).await.problem(404);
    world.advance(TimeDelta::days(7));
    let refused = accept(&world, &bob, &token).await.problem(409);
    assert!(text(&refused, "/detail").contains("expired"), "{refused}");
    assert_eq!(send(world.request(Method::GET, &format!("/invitation?token={token}"))).await.status, 409);

    // Sent again it is good for another week, by its new token only.
    let listed = ask(&world, &ann, ann.organisation, "GET", "/invitations", &Value::Null).await.expect(200);
    assert_eq!(listed["items"][0]["expired"], true);
    let again = format!("/invitations/{}/send", text(&listed, "/items/0/id"));
    let sent = ask(&world, &ann, ann.organisation, "POST", &again, &json!({})).await.expect(200);
    assert_eq!((sent["sends"].as_i64(), &sent["expired"]), (Some(2), &json!(false)));
    let newer = token_of(&world, "BOB@example.org").await;
    accept(&world, &bob, &token).await.problem(404);
    assert_eq!(text(&accept(&world, &bob, &newer).await.expect(200), "/role"), "admin");
    accept(&world, &bob, &newer).await.problem(409);
    world.finish().await;
}

#[tokio::test]
async fn an_invitation_that_was_withdrawn_is_as_if_it_had_never_been() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let made = invite(&world, &ann, "bob@example.org", "viewer").await.expect(201);
    let token = token_of(&world, "bob@example.org").await;
    assert_eq!(invite(&world, &ann, "bob@EXAMPLE.org", "viewer").await.problem_fields(), ["email"]);

    let path = format!("/invitations/{}", text(&made, "/id"));
    ask(&world, &bob, bob.organisation, "DELETE", &path, &json!({})).await.problem(404);
    assert_eq!(ask(&world, &ann, ann.organisation, "DELETE", &path, &json!({})).await.status, 204);

    accept(&world, &bob, &token).await.problem(404);
    ask(&world, &ann, ann.organisation, "DELETE", &path, &json!({})).await.problem(404);
    ask(&world, &ann, ann.organisation, "POST", &format!("{path}/send"), &json!({})).await.problem(404);
    // The mail had not left, and does not any more.
    assert_eq!(world.text("select status from mails where kind = 'invitation'").await, "withdrawn");
    invite(&world, &ann, "bob@example.org", "viewer").await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn an_organisation_does_not_write_to_everybody_all_the_time() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    for wrong in ["", "nobody", "a b@example.org", "ann@example.org"] {
        assert_eq!(invite(&world, &ann, wrong, "viewer").await.problem_fields(), ["email"], "{wrong}");
    }
    let made = invite(&world, &ann, "first@example.org", "viewer").await.expect(201);
    let again = format!("/invitations/{}/send", text(&made, "/id"));
    let send_again = async || ask(&world, &ann, ann.organisation, "POST", &again, &json!({})).await;

    let patience = send_again().await;
    assert!(text(&patience.problem(429), "/detail").contains("a moment ago"));
    for _ in 1..SENDS_MAX {
        world.advance(TimeDelta::minutes(5));
        send_again().await.expect(200);
    }
    world.advance(TimeDelta::minutes(5));
    assert!(text(&send_again().await.problem(409), "/detail").contains("5 times"));
    // So many are open at once, whoever they went to.
    for number in 1..OPEN_MAX {
        invite(&world, &ann, &format!("person-{number}@example.org"), "viewer").await.expect(201);
    }
    let refused = invite(&world, &ann, "one-too-many@example.org", "viewer").await.problem(409);
    assert!(text(&refused, "/detail").contains("are open already"), "{refused}");
    world.execute("update invitations set withdrawn_at = created_at").await;
    invite(&world, &ann, "one-too-many@example.org", "viewer").await.problem(429);
    world.advance(TimeDelta::hours(24));
    invite(&world, &ann, "one-too-many@example.org", "viewer").await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn members_and_invitations_are_kept_on_a_page() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let bob = member(&world, "bob", ann.organisation, "viewer").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let form: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&form)).await
    };
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await.text;

    let refused = post("/organisation/invitations", &[("email", "nobody"), ("role", "viewer")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("not an e-mail address") && refused.text.contains("value=\"nobody\""));
    let invited = post("/organisation/invitations", &[("email", "new@example.org"), ("role", "viewer")]).await;
    assert_eq!((invited.status, invited.location.as_str()), (303, "/organisation"), "{}", invited.text);
    let page = get("/organisation").await;
    assert!(page.contains("new@example.org") && page.contains("bob@example.org"), "{page}");
    let id = world.text("select id::text from invitations").await;
    world.advance(TimeDelta::minutes(5));
    let sent = post(&format!("/organisation/invitations/{id}/send"), &[]).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    let withdrawn = post(&format!("/organisation/invitations/{id}/withdraw"), &[]).await;
    assert_eq!(withdrawn.status, 303, "{}", withdrawn.text);
    let changed = post(&format!("/organisation/members/{}/role", bob.user.id), &[("role", "billing")]).await;
    assert_eq!(changed.status, 303, "{}", changed.text);
    assert_eq!(role_of(&world, &bob, ann.organisation).await, "billing");
    // Who only looks is offered nothing to change.
    let (theirs, _) = browser(&world, &bob).await;
    let seen = send(world.request(Method::GET, "/organisation").header("cookie", theirs)).await.text;
    assert!(seen.contains("ann@example.org"));
    for hidden in ["Invite somebody", "/organisation/members/", "Send again"] {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
    let removed = post(&format!("/organisation/members/{}/remove", bob.user.id), &[]).await;
    assert_eq!(removed.status, 303, "{}", removed.text);
    assert!(!get("/organisation").await.contains("bob@example.org"));
    world.finish().await;
}

#[tokio::test]
async fn an_invitation_promises_no_more_than_who_invited_may_promise_when_it_is_accepted() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let home = ann.organisation;
    let adam = member(&world, "adam", home, "admin").await;
    let (bob, carl) = (world.customer("bob", "0").await, world.customer("carl", "0").await);
    let is_refused = async |who: &Customer, token: &str| {
        let refused = accept(&world, who, token).await.problem(409);
        assert!(text(&refused, "/detail").contains("Who invited you may not"), "{refused}");
    };

    // Who invited is banned.
    let made = invite(&world, &adam, "bob@example.org", "admin").await.expect(201);
    let token = token_of(&world, "bob@example.org").await;
    let standing = format!("/admin/organisations/{home}/people/{}/standing", adam.user.id);
    world.put(&admin, &standing, &json!({ "state": "banned", "reason": "Abuse" })).await.expect(200);
    is_refused(&bob, &token).await;
    assert_eq!(role_of(&world, &bob, home).await, "");
    // It is somebody else's promise once he sends it again.
    world.advance(TimeDelta::minutes(5));
    let again = format!("/invitations/{}/send", text(&made, "/id"));
    ask(&world, &ann, home, "POST", &again, &json!({})).await.expect(200);
    accept(&world, &bob, &token_of(&world, "bob@example.org").await).await.expect(200);
    assert_eq!(role_of(&world, &bob, home).await, "admin");

    // The role that was promised has become wider than who promised it.
    let patterns = |patterns: &[&str]| json!({ "name": "Helper", "permissions": patterns });
    let role = ask(&world, &ann, home, "POST", "/roles", &patterns(&["vm.view"])).await.expect(201);
    let reception = json!({ "name": "Reception", "permissions": ["organisation.view", "member.*", "vm.view"] });
    let reception = ask(&world, &ann, home, "POST", "/roles", &reception).await.expect(201);
    let olga = member(&world, "olga", home, "viewer").await;
    let is_reception = json!({ "role": reception["role"] });
    ask(&world, &ann, home, "PATCH", &format!("/members/{}", olga.user.id), &is_reception).await.expect(200);
    invite(&world, &olga, "carl@example.org", text(&role, "/role")).await.expect(201);
    let token = token_of(&world, "carl@example.org").await;
    let path = format!("/roles/{}", text(&role, "/role"));
    ask(&world, &ann, home, "PUT", &path, &patterns(&["vm.*"])).await.expect(200);
    is_refused(&carl, &token).await;
    ask(&world, &ann, home, "PUT", &path, &patterns(&["vm.view"])).await.expect(200);
    accept(&world, &carl, &token).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn who_has_not_confirmed_his_address_writes_to_nobody_and_makes_no_key() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let made = invite(&world, &ann, "first@example.org", "viewer").await.expect(201);
    assert_eq!(
        world.text("select subject from mails where kind = 'invitation'").await,
        "You are invited to an organisation",
        "nobody's own words"
    );
    world.advance(TimeDelta::minutes(5));
    world.execute("update users set email_verified_at = null where name = 'ann'").await;

    let again = format!("/invitations/{}/send", text(&made, "/id"));
    let key = json!({ "name": "deploy", "permissions": ["vm.view"] });
    for refused in [
        invite(&world, &ann, "second@example.org", "viewer").await,
        ask(&world, &ann, ann.organisation, "POST", &again, &json!({})).await,
        world.post(&ann, "/api-keys", &key).await,
    ] {
        let refused = refused.problem(403);
        assert!(text(&refused, "/detail").contains("Confirm your e-mail address"), "{refused}");
    }
    world.trust("ann@example.org").await;
    invite(&world, &ann, "second@example.org", "viewer").await.expect(201);
    world.post(&ann, "/api-keys", &key).await.expect(201);
    world.finish().await;
}
