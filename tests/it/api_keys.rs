//! API keys as people make them and programs use them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::doors::{browser, new_key};
use crate::world::{Answer, World, send, text};

async fn with_key(world: &World, method: Method, path: &str, key: &str) -> Answer {
    send(world.request(method, path).bearer_auth(key)).await
}

/// The key on the page that shows it.
fn on_page(page: &str) -> String {
    let (_, rest) = page.split_once("data-key>").unwrap_or_else(|| panic!("no key: {page}"));
    rest.split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_is_made_on_a_page_shown_once_used_and_revoked() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await;
    let form = get("/api-keys/new").await;
    assert!(
        form.text.contains("value=\"vm.create\"") && !form.text.contains("value=\"member.manage\""),
        "{}",
        form.text
    );

    let typed = [
        ("csrf", csrf.as_str()),
        ("name", "deploy"),
        ("permissions", "vm.view"),
        ("permissions", "vm.create"),
        ("expires_on", "2026-12-31"),
        ("networks", "127.0.0.0/8\r\n2001:db8::/32"),
        ("daily_limit", "2.50"),
    ];
    let page = send(world.request(Method::POST, "/api-keys").header("cookie", &cookie).form(&typed)).await;
    assert_eq!(page.status, 201, "{}", page.text);
    let key = on_page(&page.text);
    assert_eq!((key.len(), key.starts_with("unim_")), (64, true), "{key}");

    assert_eq!(with_key(&world, Method::GET, "/api/v1/vms", &key).await.status, 200);
    assert_eq!(with_key(&world, Method::GET, "/api/v1/wallet", &key).await.status, 403);
    // It is kept nowhere, and nowhere shown again.
    let list = get("/api-keys").await.text;
    assert!(list.contains("deploy") && list.contains(&key[..12]) && !list.contains(&key[12..]), "{list}");
    assert!(list.contains("2001:db8::/32") && list.contains("€2.50"), "{list}");
    let stored = world.text("select row_to_json(k)::text from api_keys k").await;
    let told = world.text("select string_agg(e::text, ' ') from audit_events e").await;
    assert!(!stored.contains(&key[12..]) && !told.contains(&key[12..]));

    let id = world.text("select id::text from api_keys").await;
    let revoke = format!("/api-keys/{id}/revoke");
    let gone = send(world.request(Method::POST, &revoke).header("cookie", &cookie).form(&[("csrf", &csrf)])).await;
    assert_eq!(gone.status, 303, "{}", gone.text);
    with_key(&world, Method::GET, "/api/v1/vms", &key).await.problem(401);
    let events = world.events().await;
    for event in ["api_key.created", "api_key.revoked"] {
        assert_eq!(events.iter().filter(|known| *known == event).count(), 1, "{event}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told_by_its_fields_and_kept() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let wrong = json!({ "name": "", "permissions": ["platform.*"], "networks": ["10.1.2.3/8"], "daily_limit": "0", "expires_at": "2030-01-01T00:00:00Z" });
    let mut fields = world.post(&ann, "/api-keys", &wrong).await.problem_fields();
    fields.sort();
    assert_eq!(fields, ["daily_limit", "expires_at", "name", "networks", "permissions"]);

    let typed = [("csrf", csrf.as_str()), ("name", "deploy"), ("permissions", "vm.view"), ("networks", "10.1.2.3/8")];
    let page = send(world.request(Method::POST, "/api-keys").header("cookie", &cookie).form(&typed)).await;
    assert_eq!(page.status, 422);
    for kept in ["value=\"deploy\"", "10.1.2.3/8", "write 10.0.0.0/8", "value=\"vm.view\" checked"] {
        assert!(page.text.contains(kept), "{kept}: {}", page.text);
    }
    new_key(&world, &ann, &["vm.view"]).await;
    let again = json!({ "name": "KEY 0", "permissions": ["vm.view"] });
    assert_eq!(world.post(&ann, "/api-keys", &again).await.problem_fields(), ["name"]);
    assert_eq!(world.count("select count(*) from api_keys").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_key_acts_for_its_own_organisation_only_and_says_who_it_is() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let key = new_key(&world, &ann, &["vm.*", "ssh_key.*"]).await;
    let asked = |organisation: String| {
        send(world.request(Method::GET, "/api/v1/vms").bearer_auth(&key.text).header("x-organisation", organisation))
    };
    asked(ann.organisation.to_string()).await.expect(200);
    asked(bob.organisation.to_string()).await.problem(404);
    // Also where its maker belongs to both.
    sqlx::query("insert into members (organisation_id, user_id, role, created_at) values ($1, $2, 'owner', $3)")
        .bind(bob.organisation.uuid())
        .bind(ann.user.id.uuid())
        .bind(world.now())
        .execute(&world.app.pool)
        .await
        .unwrap();
    asked(bob.organisation.to_string()).await.problem(404);

    let body = world.new_vm(&ann, "web").await;
    key.asks(&world, "POST", "/api/v1/vms", &body).await.expect(202);
    world.run_due_jobs().await;
    let told = world.text("select row_to_json(e)::text from audit_events e where event = 'vm.ordered'").await;
    assert!(told.contains("ann@example.org") && told.contains("key 0"), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn what_only_looks_like_a_key_opens_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let key = new_key(&world, &ann, &["*"]).await.text;
    let last = if key.ends_with('x') { "y" } else { "x" };
    for wrong in
        [format!("{}{last}", &key[..63]), key[..63].to_owned(), format!("{key}0"), key.to_uppercase(), "unim_".into()]
    {
        let refused = with_key(&world, Method::GET, "/api/v1/vms", &wrong).await.problem(401);
        assert!(!refused.to_string().contains(&wrong), "{refused}");
    }
    // A key is for the API: no page takes one.
    assert_eq!(with_key(&world, Method::GET, "/vms", &key).await.status, 303);
    world.finish().await;
}

#[tokio::test]
async fn when_a_key_was_used_is_written_once_a_minute() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let key = new_key(&world, &ann, &["vm.view"]).await;
    let used = async || world.text("select last_used_at::text || ' ' || last_used_address from api_keys").await;
    let use_it = async || with_key(&world, Method::GET, "/api/v1/vms", &key.text).await.expect(200);
    assert_eq!(used().await, "");
    use_it().await;
    // It is written beside the answer.
    let mut first = String::new();
    for _ in 0..100 {
        first = used().await;
        if !first.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(first.ends_with(" 127.0.0.1"), "{first}");
    world.advance(chrono::TimeDelta::seconds(59));
    use_it().await;
    world.advance(chrono::TimeDelta::seconds(1));
    use_it().await;
    let mut second = first.clone();
    for _ in 0..100 {
        second = used().await;
        if second != first {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(second.contains("12:01:00"), "{first} {second}");
    let listed = world.get(&ann, "/api-keys").await.expect(200);
    assert_eq!(text(&listed, "/items/0/last_used_address"), "127.0.0.1");
    world.finish().await;
}

#[tokio::test]
async fn a_console_that_a_key_opened_ends_with_the_key() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let key = new_key(&world, &ann, &["vm.console", "vm.view"]).await;
    let ticket = async || {
        let asked = key.asks(&world, "POST", &format!("/api/v1/vms/{vm}/console"), &json!({})).await.expect(201);
        text(&asked, "/url").split_once('?').unwrap().1.to_owned()
    };
    let opens = async |ticket: String| {
        let path = format!("/vms/{vm}/console/socket?{ticket}");
        let upgrade = world.request(Method::GET, &path).header("connection", "upgrade").header("upgrade", "websocket");
        let upgrade = upgrade.header("sec-websocket-version", "13");
        upgrade.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.unwrap().status()
    };
    assert_eq!(opens(ticket().await).await, 101, "while the key is good");
    let unused = ticket().await;
    world.delete(&ann, &format!("/api-keys/{}", key.id)).await.expect(204);
    assert_eq!(opens(unused).await, 401);
    world.finish().await;
}

#[tokio::test]
async fn there_are_so_many_keys_and_no_more() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    world
        .execute(
            "insert into api_keys (id, organisation_id, user_id, name, prefix, key_hash, permissions, networks, created_at)
             select gen_random_uuid(), m.organisation_id, m.user_id, 'old ' || n, 'unim_0000000', sha256(n::text::bytea), '{vm.view}', '{}', now()
             from members m, generate_series(1, 100) n",
        )
        .await;
    let one_more: Value = json!({ "name": "one more", "permissions": ["vm.view"] });
    world.post(&ann, "/api-keys", &one_more).await.problem(409);
    world.execute("update api_keys set revoked_at = now() where name = 'old 7'").await;
    world.post(&ann, "/api-keys", &one_more).await.expect(201);
    world.finish().await;
}
