//! Every door of the API against API keys of every kind. What is expected is in `table.rs` and here; nothing of it is taken
//! from the house.

use reqwest::Method;
use serde_json::{Value, json};

use super::roles::{own_doors, set_state, staff_doors};
use super::somebody::{Somebody, is_in, is_refused, is_unknown, permission_in};
use crate::world::{Answer, Customer, World, send, text};

/// What no key may do, whatever it was given.
const FOR_PEOPLE: [&str; 6] = [
    "organisation.configure",
    "organisation.hand_over",
    "member.manage",
    "role.manage",
    "api_key.manage",
    "notice.read",
];

/// A key as its program has it.
pub struct Key {
    pub id: String,
    pub text: String,
}

/// Has a customer make a key with these patterns.
pub async fn new_key(world: &World, maker: &Customer, patterns: &[&str]) -> Key {
    let count = world.count("select count(*) from api_keys").await;
    made(world, maker, &json!({ "name": format!("key {count}"), "permissions": patterns })).await
}

/// Has a customer make a key.
pub async fn made(world: &World, maker: &Customer, body: &Value) -> Key {
    let made = world.post(maker, "/api-keys", body).await.expect(201);
    Key { id: text(&made, "/id").to_owned(), text: text(&made, "/key").to_owned() }
}

impl Key {
    /// Asks at a door of the API.
    pub async fn asks(&self, world: &World, method: &str, path: &str, body: &Value) -> Answer {
        let method: Method = method.parse().unwrap();
        let request = world.request(method.clone(), path).bearer_auth(&self.text);
        send(if method == Method::GET { request } else { request.json(body) }).await
    }

    async fn may(&self, world: &World, patterns: &[&str]) {
        sqlx::query("update api_keys set permissions = $2 where id = $1::uuid")
            .bind(&self.id)
            .bind(patterns)
            .execute(&world.app.pool)
            .await
            .unwrap();
    }
}

/// The doors of programs: an organisation's things, and then those of the platform.
fn api_doors() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    own_doors().chain(staff_doors()).filter(|(_, _, path)| path.starts_with("/api/"))
}

/// Whether a door is one that some key opens.
fn is_for_keys(who: &str) -> bool {
    who != "account" && !who.starts_with("platform.") && !FOR_PEOPLE.contains(&who)
}

#[tokio::test]
async fn a_key_opens_what_it_was_given_and_nothing_else() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let key = new_key(&world, &ann, &["*"]).await;
    let mut permissions: Vec<_> =
        api_doors().map(|(who, ..)| who).filter(|who| is_for_keys(who) && *who != "member").collect();
    permissions.sort_unstable();
    permissions.dedup();
    assert!(permissions.len() > 10, "{permissions:?}");

    for permission in &permissions {
        let others: Vec<_> = permissions.iter().copied().filter(|other| other != permission).collect();
        for (patterns, has_it) in [(others.as_slice(), false), (&[*permission][..], true)] {
            key.may(&world, patterns).await;
            for (_, method, path) in api_doors().filter(|(who, ..)| who == permission) {
                let answer = key.asks(&world, method, &path, &json!({})).await;
                assert_eq!(is_in(&answer), has_it, "{method} {path} with {patterns:?}: {}", answer.text);
                if !has_it {
                    assert_eq!(permission_in(&answer), *permission, "{method} {path}");
                }
            }
        }
    }
    // With everything that can be given, people's own doors and those of staff stay shut.
    key.may(&world, &["*"]).await;
    for (who, method, path) in api_doors() {
        let answer = key.asks(&world, method, &path, &json!({})).await;
        assert_eq!(is_in(&answer), is_for_keys(who), "{method} {path}: {} {}", answer.status, answer.text);
        assert!(is_in(&answer) || is_refused(&answer), "{method} {path}: {}", answer.status);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_of_staff_opens_nothing_of_the_platform() {
    let world = World::new().await;
    let admin = world.admin().await;
    let key = new_key(&world, &admin, &["*"]).await;
    // Also when somebody wrote such patterns into the database.
    key.may(&world, &["platform.*", "*"]).await;
    for (_, method, path) in staff_doors().filter(|(_, _, path)| path.starts_with("/api/")) {
        let answer = key.asks(&world, method, &path, &json!({})).await;
        assert!(is_refused(&answer), "{method} {path}: {} {}", answer.status, answer.text);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_can_do_no_more_than_its_maker_can_now() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let member = Somebody::joins(&world, "max", ann.organisation).await;
    member.has_role(&world, "admin").await;
    let max = Customer { user: member.user.clone(), ..ann.clone() };
    let key = new_key(&world, &max, &["*"]).await;

    for (role, sees, orders) in
        [("admin", true, true), ("operator", true, true), ("viewer", true, false), ("billing", true, false)]
    {
        member.has_role(&world, role).await;
        assert_eq!(is_in(&key.asks(&world, "GET", "/api/v1/vms", &json!({})).await), sees, "{role}");
        assert_eq!(is_in(&key.asks(&world, "POST", "/api/v1/vms", &json!({})).await), orders, "{role}");
    }
    world.execute("delete from members where role = 'billing'").await;
    for (_, method, path) in api_doors() {
        let answer = key.asks(&world, method, &path, &json!({})).await;
        assert!(is_unknown(&answer), "{method} {path} of who is gone: {} {}", answer.status, answer.text);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_from_the_wrong_network_opens_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let networks = json!(["203.0.113.0/24", "2001:db8::/32"]);
    let key = made(&world, &ann, &json!({ "name": "far", "permissions": ["*"], "networks": networks })).await;

    for (_, method, path) in api_doors() {
        let answer = key.asks(&world, method, &path, &json!({})).await;
        assert_eq!(text(&answer.problem(403), "/code"), "api_key_wrong_network", "{method} {path}");
    }
    assert_eq!(
        world.count("select count(*) from audit_events where event = 'api_key.refused'").await,
        1,
        "it is told once an hour"
    );
    world.hours(1);
    key.asks(&world, "GET", "/api/v1/vms", &json!({})).await.problem(403);
    assert_eq!(world.count("select count(*) from audit_events where event = 'api_key.refused'").await, 2);
    world.hours(2);
    key.asks(&world, "GET", "/api/v1/vms", &json!({})).await.problem(403);
    assert_eq!(world.count("select count(*) from audit_events where event = 'api_key.refused'").await, 3);
    let near = json!({ "name": "near", "permissions": ["vm.view"], "networks": ["127.0.0.0/8", "::1"] });
    let near = made(&world, &ann, &near).await;
    near.asks(&world, "GET", "/api/v1/vms", &json!({})).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn a_key_of_who_is_suspended_looks_and_changes_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let key = new_key(&world, &ann, &["*"]).await;
    set_state(&world, &ann.user, "suspended").await;
    for (who, method, path) in api_doors() {
        let answer = key.asks(&world, method, &path, &json!({})).await;
        let expected = is_for_keys(who) && method == "GET" && !who.ends_with("vm.console");
        assert_eq!(is_in(&answer), expected, "{method} {path}: {} {}", answer.status, answer.text);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_that_is_over_opens_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let [of_banned, revoked, expired] = [
        new_key(&world, &ann, &["*"]).await,
        new_key(&world, &ann, &["*"]).await,
        made(
            &world,
            &ann,
            &json!({ "name": "short", "permissions": ["*"], "expires_at": world.now() + chrono::TimeDelta::hours(1) }),
        )
        .await,
    ];
    for key in [&of_banned, &revoked, &expired] {
        key.asks(&world, "GET", "/api/v1/vms", &json!({})).await.expect(200);
    }
    world.delete(&ann, &format!("/api-keys/{}", revoked.id)).await.expect(204);
    world.hours(1);
    for key in [&revoked, &expired] {
        for (_, method, path) in api_doors() {
            let answer = key.asks(&world, method, &path, &json!({})).await;
            assert!(is_unknown(&answer), "{method} {path}: {} {}", answer.status, answer.text);
        }
    }
    set_state(&world, &ann.user, "banned").await;
    for (_, method, path) in api_doors() {
        let answer = of_banned.asks(&world, method, &path, &json!({})).await;
        assert!(is_unknown(&answer), "{method} {path}: {} {}", answer.status, answer.text);
    }
    set_state(&world, &ann.user, "active").await;
    of_banned.asks(&world, "GET", "/api/v1/vms", &json!({})).await.expect(200);
    world.finish().await;
}
