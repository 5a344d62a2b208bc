//! Every door against every kind of person. What is expected is in `table.rs`; nothing of it is taken from the house.

use serde_json::json;
use uni_manager::users::User;

use super::somebody::{Somebody, is_in, is_refused, is_unknown, permission_in, with_ids_of_nothing};
use super::table::DOORS;
use crate::world::{World, send};

/// Running the machines.
const RUNS: &[&str] = &[
    "vm.view",
    "vm.create",
    "vm.power",
    "vm.configure",
    "vm.resize",
    "vm.rebuild",
    "vm.password",
    "vm.console",
    "vm.delete",
    "ssh_key.view",
    "ssh_key.manage",
];
/// Looking after the people.
const LEADS: &[&str] = &["organisation.configure", "member.manage", "role.manage", "api_key.manage"];
const PAYS: &[&str] = &["billing.view", "billing.pay"];

/// What each role of every organisation may do, in parts.
const ROLES: [(&str, &[&[&str]]); 5] = [
    ("owner", &[&["organisation.view", "organisation.hand_over", "audit.view", "notice.read"], LEADS, RUNS, PAYS]),
    ("admin", &[&["organisation.view", "audit.view", "notice.read"], LEADS, RUNS, PAYS]),
    ("operator", &[&["organisation.view", "audit.view", "notice.read", "billing.view"], RUNS]),
    ("billing", &[&["organisation.view", "notice.read", "vm.view"], PAYS]),
    ("viewer", &[&["organisation.view", "vm.view", "ssh_key.view"]]),
];

/// What the platform's operators and support may do; its admins may do everything.
const OPERATOR: &[&str] = &[
    "platform.customer.view",
    "platform.voucher.view",
    "platform.price.view",
    "platform.money.view",
    "platform.cluster.view",
    "platform.cluster.manage",
    "platform.drift.decide",
    "platform.vm.migrate",
    "platform.vm.console",
    "platform.job.view",
    "platform.job.manage",
    "platform.mail.view",
    "platform.mail.manage",
    "platform.audit.view",
    "platform.settings.view",
];
const SUPPORT: &[&str] = &[
    "platform.customer.view",
    "platform.customer.impersonate",
    "platform.voucher.view",
    "platform.price.view",
    "platform.money.view",
    "platform.cluster.view",
    "platform.job.view",
    "platform.mail.view",
    "platform.audit.view",
];

/// Doors that end the visit of who uses them; what they do is tested where they are.
const LEAVING: [&str; 2] = ["/logout", "/account/sessions/end"];
/// Likewise, by method and path.
const LEAVING_THE_API: (&str, &str) = ("DELETE", "/api/v1/account/sessions");

/// Every door but those that end the visit: who may enter, method, path with ids of nothing.
pub fn doors() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    DOORS
        .iter()
        .filter(|(_, method, path)| !LEAVING.contains(path) && (*method, *path) != LEAVING_THE_API)
        .map(|(who, method, path)| (*who, *method, with_ids_of_nothing(path)))
}

/// Doors of an organisation's things.
pub fn own_doors() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    doors().filter(|(who, ..)| *who != "anybody" && !who.starts_with("platform."))
}

/// Doors of the platform's staff.
pub fn staff_doors() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    doors().filter(|(who, ..)| who.starts_with("platform."))
}

/// Whether anybody who is known may enter.
fn is_for_all(who: &str) -> bool {
    matches!(who, "account" | "member")
}

pub async fn set_state(world: &World, user: &User, state: &str) {
    sqlx::query("update users set state = $2, state_reason = case when $2 = 'active' then null else 'Tests' end, state_since = case when $2 = 'active' then null else $3 end where id = $1")
        .bind(user.id.uuid())
        .bind(state)
        .bind(world.now())
        .execute(&world.app.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_door_opens_to_its_permission_and_to_no_other() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let member = Somebody::joins(&world, "max", ann.organisation).await;
    let all = ROLES[0].1.concat();

    for permission in &all {
        let others: Vec<_> = all.iter().copied().filter(|other| other != permission).collect();
        for (patterns, has_it) in [(others.as_slice(), false), (&[*permission][..], true)] {
            member.may(&world, patterns).await;
            for (_, method, path) in own_doors().filter(|(who, ..)| who == permission) {
                let answer = member.asks(&world, method, &path, &json!({})).await;
                assert_eq!(
                    is_in(&answer),
                    has_it,
                    "{method} {path} with {patterns:?}: {} {}",
                    answer.status,
                    answer.text
                );
                if !has_it {
                    assert!(is_refused(&answer), "{method} {path}: {}", answer.status);
                }
                if !has_it && path.starts_with("/api/") {
                    assert_eq!(permission_in(&answer), *permission, "{method} {path}");
                }
            }
        }
    }
    // What needs no permission is for every member, even one who may do nothing.
    member.may(&world, &["none"]).await;
    for (who, method, path) in own_doors() {
        let answer = member.asks(&world, method, &path, &json!({})).await;
        assert_eq!(is_in(&answer), is_for_all(who), "{method} {path}: {} {}", answer.status, answer.text);
    }
    world.finish().await;
}

#[tokio::test]
async fn each_role_opens_what_it_is_for() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let member = Somebody::joins(&world, "max", ann.organisation).await;

    for (role, may) in ROLES {
        member.has_role(&world, role).await;
        for (who, method, path) in own_doors() {
            let answer = member.asks(&world, method, &path, &json!({})).await;
            let expected = is_for_all(who) || may.iter().any(|part| part.contains(&who));
            assert_eq!(is_in(&answer), expected, "{role}: {method} {path}: {} {}", answer.status, answer.text);
        }
        for (_, method, path) in staff_doors() {
            let answer = member.asks(&world, method, &path, &json!({})).await;
            assert!(is_refused(&answer), "{role}: {method} {path}: {}", answer.status);
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_page_shows_no_wallet_and_leads_nowhere_that_its_reader_may_not_go() {
    let world = World::new().await;
    let ann = world.customer("ann", "123.45").await;
    let member = Somebody::joins(&world, "max", ann.organisation).await;
    let frame = async || member.asks(&world, "GET", "/vms", &json!({})).await.text;

    member.has_role(&world, "viewer").await;
    let seen = frame().await;
    assert!(seen.contains("href=\"/ssh-keys\"") && seen.contains("href=\"/prices\""), "{seen}");
    for hidden in ["123.45", "href=\"/wallet\"", "href=\"/audit\""] {
        assert!(!seen.contains(hidden), "{hidden} is not for a viewer");
    }
    member.has_role(&world, "operator").await;
    let seen = frame().await;
    for shown in ["123.45", "href=\"/wallet\"", "href=\"/audit\""] {
        assert!(seen.contains(shown), "{shown} is for an operator: {seen}");
    }
    world.finish().await;
}

#[tokio::test]
async fn staff_of_each_kind_enter_where_they_work() {
    let world = World::new().await;
    let admin = world.admin().await;
    let somebody = Somebody::enters(&world, &admin.user).await;

    for (role, may) in [("admin", None), ("operator", Some(OPERATOR)), ("support", Some(SUPPORT))] {
        sqlx::query("update users set platform_role = $1 where platform_role is not null")
            .bind(role)
            .execute(&world.app.pool)
            .await
            .unwrap();
        for (who, method, path) in staff_doors() {
            let answer = somebody.asks(&world, method, &path, &json!({})).await;
            let expected = may.is_none_or(|may| may.contains(&who));
            assert_eq!(is_in(&answer), expected, "{role}: {method} {path}: {} {}", answer.status, answer.text);
        }
    }
    // Who is staff no more is out at once, with what he holds in his hands.
    world.execute("update users set platform_role = null").await;
    for (_, method, path) in staff_doors() {
        assert!(is_refused(&somebody.asks(&world, method, &path, &json!({})).await), "{method} {path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn who_is_suspended_looks_and_changes_nothing() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    for user in [&ann.user, &admin.user] {
        let somebody = Somebody::enters(&world, user).await;
        set_state(&world, user, "suspended").await;
        let is_staff = user.platform_role.is_some();
        for (who, method, path) in own_doors().chain(staff_doors().filter(|_| is_staff)) {
            let answer = somebody.asks(&world, method, &path, &json!({})).await;
            // A console is more than a look.
            let expected = who == "account" || (method == "GET" && !who.ends_with("vm.console"));
            assert_eq!(is_in(&answer), expected, "{method} {path}: {} {}", answer.status, answer.text);
        }
        // He may still log in and see.
        assert!(is_in(&Somebody::enters(&world, user).await.asks(&world, "GET", "/vms", &json!({})).await));
    }
    world.finish().await;
}

#[tokio::test]
async fn who_is_banned_is_out_at_once() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    for user in [&ann.user, &admin.user] {
        let somebody = Somebody::enters(&world, user).await;
        set_state(&world, user, "banned").await;
        for (_, method, path) in own_doors().chain(staff_doors()) {
            let answer = somebody.asks(&world, method, &path, &json!({})).await;
            assert!(is_unknown(&answer), "{method} {path}: {} {}", answer.status, answer.text);
        }
        let login = json!({ "email": user.email, "password": crate::world::PASSWORD });
        let refused = send(world.request(reqwest::Method::POST, "/api/v1/auth/login").json(&login)).await.problem(401);
        assert!(refused["detail"].as_str().unwrap().contains("closed"), "{refused}");
        set_state(&world, user, "active").await;
        assert!(is_in(&somebody.asks(&world, "GET", "/vms", &json!({})).await), "it was not for ever");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_has_expired_opens_nothing() {
    let world = World::new().await;
    let admin = world.admin().await;
    let somebody = Somebody::enters(&world, &admin.user).await;
    world.advance(chrono::TimeDelta::days(7));

    for (_, method, path) in own_doors().chain(staff_doors()) {
        let answer = somebody.asks(&world, method, &path, &json!({})).await;
        assert!(is_unknown(&answer), "{method} {path}: {} {}", answer.status, answer.text);
    }
    world.finish().await;
}
