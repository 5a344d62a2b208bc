//! Things of somebody else look like things that are not there, at every door that takes an id. Staff see everybody's things; what
//! they ask for by two ids is in `nested.rs`.

use serde_json::{Value, json};
use uni_manager::notifications::{self, Notice, Severity};

use super::keys::new_key;
use super::somebody::{Somebody, with_ids_of_nothing};
use super::table::DOORS;
use crate::world::{Answer, Customer, Start, World, at, text};

/// What to send so that the id is what decides.
fn body(path: &str) -> Value {
    let last = path.rsplit('/').next().unwrap_or_default();
    match last {
        "resize" => json!({ "plan": "01a1fbed-31c8-742a-973c-6a7a37dc7ee6" }),
        "rebuild" => json!({ "image": "01a1fbed-31c8-742a-973c-6a7a37dc7ee6", "ssh_keys": [] }),
        "boot" => json!({ "boot": "disk" }),
        "password" => json!({ "user": "root", "password": "a-long-enough-password" }),
        _ if path.contains("/members/") => json!({ "role": "viewer" }),
        _ => json!({}),
    }
}

/// What an answer says, without what differs from request to request.
fn told(answer: &Answer) -> (u16, String, String) {
    let body = match serde_json::from_str::<Value>(&answer.text) {
        Ok(mut json) => {
            if json.is_object() {
                json["request_id"].take();
            }
            json.to_string()
        }
        // A page says the id of its request at its end.
        Err(_) => answer.text.split("Request <span").next().unwrap_or_default().to_owned(),
    };
    (answer.status, answer.location.clone(), body)
}

/// Something that an organisation is told, by its id.
async fn told_of(world: &World, customer: &Customer) -> String {
    let notice = Notice {
        key: "told:".into(),
        kind: "wallet.runs_out",
        severity: Severity::Urgent,
        title: "Your credit ends".into(),
        body: "In an hour.".into(),
        link: None,
    };
    let mut transaction = world.app.pool.begin().await.unwrap();
    let told =
        notifications::tell_organisation(&world.app, &mut transaction, customer.organisation, notice, world.now());
    assert!(told.await.unwrap());
    transaction.commit().await.unwrap();
    text(&world.get(customer, "/notifications").await.expect(200), "/items/0/id").to_owned()
}

/// An account at a provider that is linked with somebody's, by its id.
async fn linked(world: &World, customer: &Customer) -> String {
    let sql = "insert into user_identities (id, user_id, issuer, subject, created_at) values (gen_random_uuid(), $1, 'https://login.example.org', 'one', now()) returning id::text";
    sqlx::query_scalar(sql).bind(customer.user.id.uuid()).fetch_one(&world.app.pool).await.unwrap()
}

#[tokio::test]
async fn what_is_somebody_elses_looks_like_what_is_not_there_at_every_door() {
    // Into the next month, so that there is an invoice.
    let world = World::starting(Start { now: at("2026-11-30T22:00:00Z"), ..Start::default() }).await;
    let (ann, bob) = (world.customer("ann", "50").await, world.customer("bob", "5").await);
    let vm = world.running_vm(&ann, "web").await;
    let job = text(&world.last_job(&ann).await, "/id").to_owned();
    world.hours_with_passes(4).await;
    world.says_who_issues("0").await;
    assert_eq!(world.issue().await.invoices, 1);
    let (invoice, number) =
        (world.text("select id::text from invoices").await, world.text("select number from invoices").await);
    let meter = world.text("select meter_id::text from charges").await;
    let from = world
        .text("select to_char(period_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') from charges")
        .await;
    // She is told that her credit ends.
    let notice = told_of(&world, &ann).await;
    let (member, own) = (ann.user.id.to_string(), ann.organisation.to_string());
    let new = json!({ "name": "Night watch", "permissions": ["vm.view"] });
    let role = text(&world.post(&ann, "/roles", &new).await.expect(201), "/role").to_owned();
    let new = json!({ "email": "new@example.org", "role": "viewer" });
    let invitation = text(&world.post(&ann, "/invitations", &new).await.expect(201), "/id").to_owned();
    let api_key = new_key(&world, &ann, &["vm.view"]).await.id;
    let passkey = world
        .text("insert into passkeys (id, user_id, name, credential_id, credential, created_at) select gen_random_uuid(), user_id, 'laptop', 'x', '{}', now() from members m join organisations o on o.id = m.organisation_id where o.name = 'ann''s' returning id::text")
        .await;
    let stranger = Somebody::enters(&world, &bob.user).await;
    let owner = Somebody::enters(&world, &ann.user).await;
    let session =
        world.text("select s.id::text from sessions s join users u on u.id = s.user_id where u.name = 'ann'").await;
    let identity = linked(&world, &ann).await;
    let mut tried = 0;

    for (who, method, path) in DOORS {
        if !path.contains('{') || who.starts_with("platform.") || *who == "anybody" {
            continue;
        }
        let id = match path.trim_start_matches("/api/v1").split("/{").next().unwrap_or_default() {
            "/vms" => &vm,
            "/jobs" => &job,
            "/account/sessions" => &session,
            "/account/security/oidc" | "/account/identities" => &identity,
            "/api-keys" => &api_key,
            "/ssh-keys" => &ann.key,
            "/notifications" => &notice,
            "/account/security/passkeys" | "/auth/passkeys" => &passkey,
            "/wallet/charges" | "/charges" => &meter,
            "/wallet/invoices" => &number,
            "/invoices" => &invoice,
            "/organisation/members" | "/members" => &member,
            "/organisation/invitations" | "/invitations" => &invitation,
            "/organisation/roles" | "/roles" => &role,
            "/organisations" => &own,
            other => panic!("say here what of {other} belongs to somebody else"),
        };
        let known = path.replace("{id}", id).replace("{number}", id).replace("{meter}", id).replace("{from}", &from);
        let theirs = stranger.asks(&world, method, &known, &body(path)).await;
        let nothing = stranger.asks(&world, method, &with_ids_of_nothing(path), &body(path)).await;
        let nothing_of_id = told(&nothing).2.replace("01a1fbed-31c8-742a-973c-6a7a37dc7ee6", id);
        assert_eq!(told(&theirs), (nothing.status, nothing.location.clone(), nothing_of_id), "{method} {path}");
        assert_eq!(theirs.status, 404, "{method} {path}: {}", theirs.text);
        // It was ordered without user data, so that is not there for its owner either.
        if *method == "GET" && !path.ends_with("/user-data") {
            let own = owner.asks(&world, method, &known, &json!({})).await;
            assert_ne!(own.status, 404, "{method} {path}: its owner sees it: {}", own.text);
        }
        tried += 1;
    }
    assert!(tried > 40, "{tried} doors take an id");
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}
