//! Pages offer to each member what his role allows, and nothing that it does not.

use reqwest::Method;
use serde_json::json;
use uni_manager::permissions::{Permission, Role};
use uni_manager::web;
use uni_manager::web::doors::Door;

use crate::doors::browser;
use crate::organisations::member;
use crate::world::{Customer, World, send};

/// Every page of the portal without an id in its path that is not only a part of one.
const PAGES: [&str; 17] = [
    "/vms",
    "/vms/new",
    "/ssh-keys",
    "/prices",
    "/wallet",
    "/wallet/ledger",
    "/wallet/charges",
    "/wallet/order",
    "/audit",
    "/notifications",
    "/organisation",
    "/organisation/roles",
    "/organisation/roles/new",
    "/organisation/quotas",
    "/organisation/settings",
    "/organisations",
    "/vms/summary",
];

/// The values of an attribute of elements that begin so.
fn attributes<'a>(page: &'a str, element: &'a str, attribute: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    page.split(element).skip(1).filter_map(move |rest| {
        let tag = rest.split('>').next()?;
        let value = tag.split(attribute).nth(1)?.split('"').nth(1)?;
        Some((tag, value))
    })
}

/// What a page offers: where its links lead and what its forms do.
fn offers(page: &str) -> Vec<(Method, String)> {
    let own = |path: &str| path.starts_with('/') && !path.starts_with("/assets/");
    let links = attributes(page, "<a ", "href=").map(|(_, path)| (Method::GET, path));
    let forms = attributes(page, "<form ", "action=").map(|(tag, path)| {
        let method = if tag.contains("method=\"post\"") { Method::POST } else { Method::GET };
        (method, path)
    });
    links
        .chain(forms)
        .filter(|(_, path)| own(path))
        .map(|(method, path)| (method, path.split(['?', '#']).next().unwrap_or_default().to_owned()))
        .collect()
}

/// The door that a path leads to.
fn door(method: &Method, path: &str) -> Door {
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern.iter().zip(&path).all(|(one, other)| one == other || (one.starts_with('{') && !other.is_empty()))
    };
    let routes = web::routes();
    let exact = routes.iter().find(|route| route.method == *method && route.path == path);
    let found = exact.or_else(|| routes.iter().find(|route| route.method == *method && fits(&route.path)));
    found.unwrap_or_else(|| panic!("{method} {path} leads nowhere")).door
}

async fn page(world: &World, cookie: &str, path: &str) -> (u16, String) {
    let answer = send(world.request(Method::GET, path).header("cookie", cookie)).await;
    (answer.status, answer.text)
}

/// Somebody for each role, the owner first.
async fn crowd(world: &World) -> Vec<(Role, Customer)> {
    let ann = world.customer("ann", "50").await;
    let mut people = vec![(Role::Owner, ann.clone())];
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::Owner) {
        people.push((role, member(world, role.name(), ann.organisation, role.name()).await));
    }
    people
}

#[tokio::test]
async fn no_page_offers_what_its_reader_may_not_do() {
    let world = World::new().await;
    let people = crowd(&world).await;
    let ann = people[0].1.clone();
    let running = world.running_vm(&ann, "web").await;
    let stopped = world.running_vm(&ann, "off").await;
    assert_eq!(world.tell(&ann, &stopped, "shutdown").await.status, 202);
    world.run_due_jobs().await;
    let protect = json!({ "protected": true });
    let request = world.api(&ann, Method::PATCH, &format!("/vms/{stopped}")).await;
    assert_eq!(send(request.json(&protect)).await.status, 202);
    world.run_due_jobs().await;
    world.post(&ann, "/invitations", &json!({ "email": "new@example.org", "role": "viewer" })).await.expect(201);
    let role = json!({ "name": "Night watch", "permissions": ["vm.view", "vm.power"] });
    world.post(&ann, "/roles", &role).await.expect(201);
    world.hours_with_passes(1).await;
    let parts = ["", "/panel", "/status", "/row", "/settings", "/resize", "/rebuild", "/console", "/delete"];
    let machines = [&running, &stopped].map(|vm| parts.map(|part| format!("/vms/{vm}{part}"))).concat();
    let mut tried = 0;

    for (role, who) in &people {
        let (cookie, _) = browser(&world, who).await;
        for path in PAGES.iter().map(|path| (*path).to_owned()).chain(machines.iter().cloned()) {
            let (status, text) = page(&world, &cookie, &path).await;
            let opens = match door(&Method::GET, &path) {
                Door::May(permission) => role.permissions().has(permission),
                Door::Anybody | Door::Account | Door::Member => true,
            };
            assert_eq!(status == 403, !opens, "{role:?} {path}: {status}");
            if status != 200 {
                continue;
            }
            for (method, offered) in offers(&text) {
                if let Door::May(permission) = door(&method, &offered) {
                    let may = role.permissions().has(permission);
                    assert!(may, "{path} offers {method} {offered} to {role:?}, who may not {permission}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried} offers were found");
    world.finish().await;
}

#[tokio::test]
async fn each_role_is_offered_its_part_of_a_machine() {
    let world = World::new().await;
    let people = crowd(&world).await;
    let vm = world.running_vm(&people[0].1, "web").await;
    let offered = [
        (Permission::VmCreate, "/vms".to_owned(), "href=\"/vms/new\"".to_owned()),
        (Permission::VmPower, "/vms".to_owned(), format!("action=\"/vms/{vm}/shutdown\"")),
        (Permission::VmDelete, "/vms".to_owned(), format!("href=\"/vms/{vm}/delete\"")),
        (Permission::VmPower, format!("/vms/{vm}"), format!("action=\"/vms/{vm}/reboot\"")),
        (Permission::VmPower, format!("/vms/{vm}"), format!("action=\"/vms/{vm}/stop\"")),
        (Permission::VmPower, format!("/vms/{vm}"), format!("action=\"/vms/{vm}/suspend\"")),
        (Permission::VmConsole, format!("/vms/{vm}"), format!("href=\"/vms/{vm}/console\"")),
        (Permission::VmConfigure, format!("/vms/{vm}"), format!("href=\"/vms/{vm}/settings\"")),
        (Permission::VmResize, format!("/vms/{vm}"), format!("href=\"/vms/{vm}/resize\"")),
        (Permission::VmRebuild, format!("/vms/{vm}"), format!("href=\"/vms/{vm}/rebuild\"")),
        (Permission::VmDelete, format!("/vms/{vm}"), format!("href=\"/vms/{vm}/delete\"")),
        (Permission::SshKeyManage, "/ssh-keys".to_owned(), "action=\"/ssh-keys\"".to_owned()),
        (Permission::SshKeyManage, "/ssh-keys".to_owned(), "/delete\"".to_owned()),
        (Permission::BillingPay, "/wallet".to_owned(), "action=\"/vouchers/redeem\"".to_owned()),
        (Permission::VmConfigure, "/wallet/order".to_owned(), "action=\"/wallet/order\"".to_owned()),
        (Permission::MemberManage, "/organisation".to_owned(), "action=\"/organisation/invitations\"".to_owned()),
        (Permission::RoleManage, "/organisation/roles".to_owned(), "href=\"/organisation/roles/new\"".to_owned()),
    ];

    for (role, who) in &people {
        let (cookie, _) = browser(&world, who).await;
        for (permission, path, what) in &offered {
            let (status, text) = page(&world, &cookie, path).await;
            if status == 200 {
                assert_eq!(text.contains(what.as_str()), role.permissions().has(*permission), "{role:?} {path} {what}");
            }
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_key_comes_with_an_order_only_of_who_may_add_keys() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let who = member(&world, "max", ann.organisation, "viewer").await;
    let new = json!({ "name": "Orders", "permissions": ["vm.view", "vm.create", "ssh_key.view"] });
    world.post(&ann, "/roles", &new).await.expect(201);
    world.execute("update members set role = null, role_id = (select id from roles) where role = 'viewer'").await;
    let mut order = world.new_vm(&ann, "web").await;
    order["new_key"] = json!({ "name": "mine", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA max@example" });

    let refused = world.post(&who, "/vms", &order).await.problem(403);
    assert_eq!(refused["permission"], "ssh_key.manage");
    order.as_object_mut().unwrap().remove("new_key");
    assert_eq!(world.post(&who, "/vms", &order).await.status, 202);
    world.run_due_jobs().await;
    let (cookie, _) = browser(&world, &who).await;
    assert!(!page(&world, &cookie, "/vms/new").await.1.contains("name=\"new_key\""));
    world.finish().await;
}
