//! Confirming an address: until then one looks and orders nothing.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use uni_manager::mail::Mailer;

use super::{me, register, say, times};
use crate::doors::browser;
use crate::world::{Customer, MailServer, Mood, Start, World, send, text, token_in};

/// A customer who has not confirmed his address, with credit.
async fn newcomer(world: &World, name: &str) -> (Customer, String) {
    let tokens = register(world, name).await;
    let access = text(&tokens, "/access_token").to_owned();
    let who = me(world, &access).await.expect(200);
    let mut connection = world.app.pool.acquire().await.unwrap();
    let user = uni_manager::users::find(&mut connection, text(&who, "/id").parse().unwrap()).await.unwrap().unwrap();
    drop(connection);
    let customer = Customer {
        user,
        organisation: text(&who, "/organisation/id").parse().unwrap(),
        key: String::new(),
        public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann@example",
    };
    world.credit(&customer, "5").await;
    (customer, access)
}

#[tokio::test]
async fn who_has_not_confirmed_his_address_looks_and_orders_nothing() {
    let world = World::new().await;
    let (ann, _) = newcomer(&world, "ann").await;
    let mut order = world.new_vm(&ann, "web").await;
    order["ssh_keys"] = json!([]);
    order["new_key"] = json!({ "public_key": ann.public_key });

    let refused = world.post(&ann, "/vms", &order).await.problem(403);
    assert!(text(&refused, "/detail").contains("Confirm your e-mail address"), "{refused}");
    world.get(&ann, "/vms").await.expect(200);
    let (cookie, csrf) = browser(&world, &ann).await;
    let page = async |path: &str| send(world.request(Method::GET, path).header("cookie", &cookie)).await.text;
    assert!(page("/vms").await.contains("until then you cannot order VMs"));
    assert!(page("/account").await.contains("Not confirmed"));

    // Opening the link changes nothing; the button behind it does, once.
    let token = world.link_to("ann@example.org").await;
    let opened = send(world.request(Method::GET, &format!("/verify-email?token={token}"))).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    assert!(page("/account").await.contains("Not confirmed"));
    let anonymous = opened.cookie("csrf").unwrap();
    let press = async || {
        let form = [("csrf", anonymous.as_str()), ("token", token.as_str())];
        send(world.request(Method::POST, "/verify-email").header("cookie", format!("csrf={anonymous}")).form(&form))
            .await
    };
    assert_eq!(press().await.status, 303);
    let again = press().await;
    assert_eq!(again.status, 409);
    assert!(again.text.contains("used before"), "{}", again.text);

    assert!(!page("/vms").await.contains("until then you cannot order VMs"));
    world.post(&ann, "/vms", &order).await.expect(202);
    world.settle().await;
    assert_eq!(times(&world, "user.email_verified").await, 1);
    let kept: String =
        sqlx::query_scalar("select string_agg(l::text || ' ' || m::text, ' ') from account_links l, mails m")
            .fetch_one(&world.app.pool)
            .await
            .unwrap();
    assert!(!kept.contains(&token), "neither the link's row nor the mail's tells the token");
    let sent_again = [("csrf", csrf.as_str())];
    let sent =
        send(world.request(Method::POST, "/account/verification").header("cookie", &cookie).form(&sent_again)).await;
    assert_eq!(sent.status, 409, "confirmed already: said, and nothing is sent");
    assert_eq!(world.count("select count(*) from mails where kind = 'account.verify_email'").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_link_is_good_for_a_day_and_three_are_sent_within_an_hour() {
    let world = World::new().await;
    let (ann, _) = newcomer(&world, "ann").await;
    let first = world.link_to("ann@example.org").await;

    for _ in 0..2 {
        world.post(&ann, "/account/verification", &json!({})).await.expect(202);
    }
    let enough = world.post(&ann, "/account/verification", &json!({})).await;
    enough.problem(429);
    world.advance(TimeDelta::minutes(61));
    world.post(&ann, "/account/verification", &json!({})).await.expect(202);
    let last = world.link_to("ann@example.org").await;
    assert_ne!(first, last);
    world.advance(TimeDelta::hours(23) - TimeDelta::minutes(2));
    world.advance(TimeDelta::minutes(2));
    say(&world, "verify-email", &json!({ "token": first })).await.problem(409);
    assert_eq!(say(&world, "verify-email", &json!({ "token": last })).await.status, 204);
    say(&world, "verify-email", &json!({ "token": "nonsense" })).await.problem(409);
    world.finish().await;
}

#[tokio::test]
async fn of_two_who_follow_one_link_at_once_exactly_one_succeeds() {
    let world = World::new().await;
    newcomer(&world, "ann").await;
    let token = json!({ "token": world.link_to("ann@example.org").await });

    let both = tokio::join!(say(&world, "verify-email", &token), say(&world, "verify-email", &token));

    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409]);
    assert_eq!(times(&world, "user.email_verified").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn registering_works_while_the_mail_server_is_away_and_the_mail_goes_later() {
    let port = MailServer::free_port().await;
    let world = World::starting(Start { mailer: MailServer::mailer_to(port), ..Start::default() }).await;
    let admin = world.admin().await;
    register(&world, "ann").await;
    assert_eq!(world.mails().await[0].status, "pending");

    let server = MailServer::start_at(port).await;
    server.set(Mood::Good);
    world.advance(TimeDelta::minutes(20));
    assert_eq!(world.mails().await[0].status, "sent");

    let received = server.received().remove(0);
    // As a reader's program puts long lines together again.
    let token = token_in(&received.text.replace("=\r\n", "").replace("=3D", "=")).unwrap();
    assert_eq!(token.len(), 43, "{}", received.text);
    // Operators see the mail without what only its reader may know, and nothing of it is kept.
    let listed = world.get(&admin, "/admin/mails").await.expect(200);
    let body = text(&listed, "/items/0/body");
    assert!(body.contains("[a link that only the recipient of this mail gets]") && !body.contains(&token), "{body}");
    assert_eq!(world.count("select count(*) from mails where secret_encrypted is not null").await, 0);
    assert_eq!(say(&world, "verify-email", &json!({ "token": token })).await.status, 204);
    world.finish().await;
}

#[tokio::test]
async fn where_no_mail_can_reach_anybody_nobody_must_confirm_an_address() {
    let world = World::starting(Start { mailer: Mailer::None, ..Start::default() }).await;
    let (ann, _) = newcomer(&world, "ann").await;
    let mut order = world.new_vm(&ann, "web").await;
    order["ssh_keys"] = json!([]);
    order["new_key"] = json!({ "public_key": ann.public_key });

    world.post(&ann, "/vms", &order).await.expect(202);

    world.settle().await;
    let (cookie, _) = browser(&world, &ann).await;
    let page = send(world.request(Method::GET, "/vms").header("cookie", cookie)).await;
    assert!(!page.text.contains("Confirm your e-mail address"));
    world.finish().await;
}
