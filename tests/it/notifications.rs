//! Notices: an organisation is told once, in its portal and by mail, and what is no longer true is taken back.

use reqwest::Method;
use serde_json::json;
use uni_manager::notifications::{self, Notice, Severity};

use crate::doors::{browser, new_key};
use crate::organisations::member;
use crate::world::{Customer, World, send, text};

fn notice(key: &str) -> Notice {
    Notice {
        key: key.into(),
        kind: "wallet.runs_out",
        severity: Severity::Urgent,
        title: "Your credit ends\r\nBcc: x@example.org in an hour".into(),
        body: "At what your machines cost now, it ends at 13:00 UTC.\n\nThen <they> are shut down.".into(),
        link: Some("/wallet".into()),
    }
}

/// Tells an organisation something under a key of its own.
pub async fn tell(world: &World, customer: &Customer, key: &str) -> bool {
    let mut transaction = world.app.pool.begin().await.unwrap();
    let told =
        notifications::tell_organisation(&world.app, &mut transaction, customer.organisation, notice(key), world.now());
    let told = told.await.unwrap();
    transaction.commit().await.unwrap();
    told
}

#[tokio::test]
async fn every_member_is_told_once_by_mail_and_the_organisation_in_its_portal() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    world.customer("carol", "0").await;
    world
        .execute(
            "insert into members (organisation_id, user_id, role, created_at)
             select o.id, u.id, 'billing', o.created_at from organisations o, users u where o.name = 'ann''s' and u.name = 'carol'",
        )
        .await;

    assert!(tell(&world, &ann, "ends:1h:").await);
    assert!(!tell(&world, &ann, "ends:1h:").await);
    let mails = world.mails().await;

    let to: Vec<&str> = mails.iter().map(|mail| mail.to_address.as_str()).collect();
    assert_eq!(to, ["ann@example.org", "carol@example.org"]);
    assert_eq!(mails[0].subject, "Your credit ends Bcc: x@example.org in an hour");
    let portal = &world.url;
    assert!(mails[1].body.starts_with("Hello carol,\n\nAt what your machines cost now"), "{}", mails[1].body);
    assert!(mails[0].body.contains(&format!("\n{portal}/wallet\n")) && mails[0].body.contains("“ann's”"));
    assert!(mails[0].body.lines().all(|line| line.chars().count() <= 76), "{}", mails[0].body);
    let mut connection = world.app.pool.acquire().await.unwrap();
    let keys = ["ends:1h:".to_owned(), "ends:".to_owned()];
    let delivered = notifications::delivered(&mut connection, ann.organisation, &keys).await.unwrap();
    assert_eq!(delivered.into_iter().collect::<Vec<_>>(), [("ends:1h:".to_owned(), world.now())]);
    assert!(notifications::delivered(&mut connection, bob.organisation, &keys).await.unwrap().is_empty());
    drop(connection);

    let seen = world.get(&ann, "/notifications").await.expect(200);
    assert_eq!(seen["items"][0]["severity"], "urgent");
    assert_eq!(world.get(&bob, "/notifications").await.expect(200)["items"], json!([]));
    let read = format!("/notifications/{}/read", text(&seen, "/items/0/id"));
    world.post(&bob, &read, &json!({})).await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn the_portal_rings_until_it_is_read() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await.text;
    let post = async |path: String| {
        let form = [("csrf", csrf.as_str())];
        send(world.request(Method::POST, &path).header("cookie", &cookie).form(&form)).await
    };
    assert!(get("/notifications").await.contains("No notices"));
    assert!(!get("/notifications/bell").await.contains("is-ringing"));
    for key in ["a:", "b:", "c:"] {
        tell(&world, &ann, key).await;
    }

    let vms = get("/vms").await;
    assert!(vms.contains("is-ringing") && vms.matches("alert-danger urgent").count() == 3, "{vms}");
    let list = get("/notifications").await;
    assert!(
        list.contains("href=\"/wallet\"") && list.contains("Mark all as read") && !list.contains("<they>"),
        "{list}"
    );
    let newest = world.text("select id::text from notifications order by id desc limit 1").await;
    assert_eq!(post(format!("/notifications/{newest}/read")).await.status, 303);
    assert_eq!(post(format!("/notifications/{newest}/read")).await.status, 303, "twice is no trouble");
    assert_eq!(get("/notifications/urgent").await.matches("alert-danger urgent").count(), 2);
    assert_eq!(post("/notifications/read".into()).await.status, 303);

    assert!(!get("/vms").await.contains("alert-danger urgent"));
    assert!(!get("/notifications/bell").await.contains("is-ringing"));
    assert!(!get("/notifications").await.contains("Mark all as read"));
    let events = world.events().await;
    assert_eq!(events.iter().filter(|event| event.starts_with("notice.")).count(), 2, "{events:?}");
    world.finish().await;
}

#[tokio::test]
async fn what_is_no_longer_true_vanishes_from_the_portal_and_does_not_leave_by_mail() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    for who in [&ann, &bob] {
        tell(&world, who, "ends:1:24h:").await;
        tell(&world, who, "price:1:").await;
    }
    let mut connection = world.app.pool.acquire().await.unwrap();
    let now = world.now();
    assert_eq!(notifications::withdraw_from(&mut connection, ann.organisation, "", now).await.unwrap(), 0);
    assert_eq!(notifications::withdraw_from(&mut connection, ann.organisation, "ends:1:", now).await.unwrap(), 1);
    drop(connection);

    let mut statuses: Vec<String> =
        world.mails().await.into_iter().map(|mail| format!("{} {}", mail.to_address, mail.status)).collect();
    statuses.sort();
    assert_eq!(
        statuses,
        ["ann@example.org sent", "ann@example.org withdrawn", "bob@example.org sent", "bob@example.org sent"]
    );
    let seen = world.get(&ann, "/notifications").await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert!(!tell(&world, &ann, "ends:1:24h:").await, "a cause is told once, also when it was taken back");
    world.finish().await;
}

#[tokio::test]
async fn who_only_looks_takes_no_notice_from_the_others() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let vera = member(&world, "vera", ann.organisation, "viewer").await;
    tell(&world, &ann, "ends:1h:").await;
    let (cookie, csrf) = browser(&world, &vera).await;
    let get = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await.text;
    for page in ["/vms", "/notifications"] {
        let page = get(page).await;
        assert!(
            page.contains("Your credit ends") && !page.contains("Mark as read") && !page.contains("Mark all"),
            "{page}"
        );
    }
    let form = [("csrf", csrf.as_str())];
    let sent = send(world.request(Method::POST, "/notifications/read").header("cookie", &cookie).form(&form)).await;
    assert_eq!(sent.status, 403);
    let key = new_key(&world, &ann, &["*"]).await;
    key.asks(&world, "POST", "/api/v1/notifications/read", &json!({})).await.problem(403);
    assert_eq!(world.count("select count(*) from notifications where read_at is null").await, 1);
    world.post(&ann, "/notifications/read", &json!({})).await.expect(204);
    world.finish().await;
}
