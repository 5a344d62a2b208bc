//! Roles of an organisation's own, made of permissions and no wider than their maker.

use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::permissions::Permission;

use super::{ask, member, role_of};
use crate::doors::browser;
use crate::world::{World, send, text};

#[tokio::test]
async fn a_role_of_ones_own_allows_what_it_says_and_a_change_holds_at_once() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let home = ann.organisation;
    let vm = world.running_vm(&ann, "web").await;
    let bob = member(&world, "bob", home, "viewer").await;
    let new = json!({ "name": "Night watch", "permissions": ["vm.view", "vm.power"] });
    let role = ask(&world, &ann, home, "POST", "/roles", &new).await.expect(201);
    assert_eq!(
        (&role["permissions"], &role["own"], &role["members"]),
        (&json!(["vm.view", "vm.power"]), &json!(true), &json!(0))
    );
    let id = text(&role, "/role").to_owned();
    let his = format!("/members/{}", bob.user.id);
    ask(&world, &ann, home, "PATCH", &his, &json!({ "role": id })).await.expect(200);

    assert_eq!(world.tell(&bob, &vm, "shutdown").await.status, 202);
    world.run_due_jobs().await;
    let refused = ask(&world, &bob, home, "POST", &format!("/vms/{vm}/console"), &json!({})).await.problem(403);
    assert_eq!(text(&refused, "/permission"), "vm.console");
    let wider = json!({ "name": "Night watch", "permissions": ["vm.*"] });
    let changed = ask(&world, &ann, home, "PUT", &format!("/roles/{id}"), &wider).await.expect(200);
    assert!(changed["permissions"].as_array().unwrap().contains(&json!("vm.console")), "{changed}");
    assert_eq!(world.tell(&bob, &vm, "start").await.status, 202);
    world.run_due_jobs().await;
    let narrower = json!({ "name": "Night watch", "permissions": ["vm.view"] });
    ask(&world, &ann, home, "PUT", &format!("/roles/{id}"), &narrower).await.expect(200);
    world.tell(&bob, &vm, "shutdown").await.problem(403);

    // It is in use: it goes only when its people get another.
    let path = format!("/roles/{id}");
    let refused = ask(&world, &ann, home, "DELETE", &path, &json!({})).await.problem(409);
    assert!(text(&refused, "/detail").contains("which one they get instead"), "{refused}");
    ask(&world, &ann, home, "DELETE", &format!("{path}?move_to={id}"), &json!({})).await.problem(409);
    assert_eq!(ask(&world, &ann, home, "DELETE", &format!("{path}?move_to=billing"), &json!({})).await.status, 204);
    assert_eq!(role_of(&world, &bob, home).await, "billing");
    ask(&world, &ann, home, "PUT", &path, &narrower).await.problem(404);
    let events = world.events().await;
    for event in ["role.created", "role.changed", "role.deleted"] {
        assert!(events.contains(&event.to_owned()), "{event}");
    }
    world.finish().await;
}

#[tokio::test]
async fn nobody_makes_a_role_that_may_do_more_than_he() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let admin = member(&world, "adam", home, "admin").await;
    let make = async |by, name: &str, permissions: &[&str]| {
        ask(&world, by, home, "POST", "/roles", &json!({ "name": name, "permissions": permissions })).await
    };

    for wide in [&["*"][..], &["organisation.*"], &["organisation.hand_over"], &["vm.view", "organisation.hand_over"]] {
        let refused = make(&admin, "Wide", wide).await;
        assert_eq!(refused.problem_fields(), ["permissions"], "{wide:?}");
        assert!(refused.text.contains("organisation.hand_over"), "{}", refused.text);
    }
    for wrong in [&["platform.*"][..], &["vm"], &["v*"], &[]] {
        assert_eq!(make(&ann, "Wrong", wrong).await.problem_fields(), ["permissions"], "{wrong:?}");
    }
    for name in ["", "Owner", "ADMIN", &"x".repeat(41), "two\nlines"] {
        assert_eq!(make(&ann, name, &["vm.view"]).await.problem_fields(), ["name"], "{name:?}");
    }
    let all = make(&ann, "All", &["*"]).await.expect(201);
    assert_eq!(make(&ann, "aLL", &["vm.view"]).await.problem_fields(), ["name"]);
    // What may do more than he is not his to change, to give or to delete.
    let path = format!("/roles/{}", text(&all, "/role"));
    let narrow = json!({ "name": "All", "permissions": ["vm.view"] });
    ask(&world, &admin, home, "PUT", &path, &narrow).await.problem(403);
    ask(&world, &admin, home, "DELETE", &path, &json!({})).await.problem(403);
    let own = format!("/members/{}", admin.user.id);
    ask(&world, &admin, home, "PATCH", &own, &json!({ "role": all["role"] })).await.problem(403);
    // Another organisation's role is not there.
    let bob = world.customer("bob", "0").await;
    ask(&world, &bob, bob.organisation, "PUT", &path, &narrow).await.problem(404);
    let his = format!("/members/{}", bob.user.id);
    let given = ask(&world, &bob, bob.organisation, "PATCH", &his, &json!({ "role": all["role"] })).await;
    assert_eq!(given.problem_fields(), ["role"]);
    world.finish().await;
}

#[tokio::test]
async fn screens_and_api_say_what_each_permission_is_for() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let page = send(world.request(Method::GET, "/organisation/roles").header("cookie", &cookie)).await.text;
    let form = send(world.request(Method::GET, "/organisation/roles/new").header("cookie", &cookie)).await.text;
    let listed = world.get(&ann, "/permissions").await.expect(200);
    let listed = listed["items"].as_array().unwrap();

    for permission in Permission::ALL {
        let is_shown = !permission.is_platform();
        let words = permission.purpose().replace('\'', "&#39;");
        for seen in [&page, &form] {
            assert_eq!(seen.contains(&format!("<code>{permission}</code>")), is_shown, "{permission}");
            assert_eq!(seen.contains(&words), is_shown, "{permission}: {words}");
        }
        let known = listed.iter().find(|known| known["name"] == permission.name());
        assert_eq!(
            known.map(|known| known["purpose"] == permission.purpose()),
            is_shown.then_some(true),
            "{permission}"
        );
    }
    let admin = world.admin().await;
    assert_eq!(
        world.get(&admin, "/permissions").await.expect(200)["items"].as_array().unwrap().len(),
        Permission::ALL.len()
    );

    // Made, changed and deleted on the page.
    let post = async |path: &str, fields: &[(&str, &str)]| {
        let form: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&form)).await
    };
    let refused = post("/organisation/roles", &[("name", "Keys")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("at least one permission") && refused.text.contains("value=\"Keys\""));
    let fields = [("name", "Keys"), ("permissions", "ssh_key.*"), ("permissions", "vm.view")];
    assert_eq!(post("/organisation/roles", &fields).await.status, 303);
    let id = world.text("select id::text from roles").await;
    let shown = send(world.request(Method::GET, &format!("/organisation/roles/{id}")).header("cookie", &cookie)).await;
    assert!(shown.text.contains("value=\"ssh_key.*\" checked"), "{}", shown.text);
    let fields = [("name", "All keys"), ("permissions", "ssh_key.*")];
    assert_eq!(post(&format!("/organisation/roles/{id}"), &fields).await.status, 303);
    assert_eq!(world.text("select name || array_to_string(permissions, ' ') from roles").await, "All keysssh_key.*");
    assert_eq!(post(&format!("/organisation/roles/{id}/delete"), &[("move_to", "")]).await.status, 303);
    assert_eq!(world.count("select count(*) from roles").await, 0);
    let roles = ask(&world, &ann, ann.organisation, "GET", "/roles", &Value::Null).await.expect(200);
    assert_eq!(roles["items"].as_array().unwrap().len(), 5);
    world.finish().await;
}
