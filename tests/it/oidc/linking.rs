//! Linking an account at the provider with one's own, and unlinking it.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uni_manager::users::{self, User};

use super::provider::FakeProvider;
use super::{ann, away, comes, world};
use crate::second_factor::browser::Browser;
use crate::world::World;

/// Links somebody at the provider with whoever is logged in.
pub async fn links(world: &World, browser: &mut Browser, provider: &FakeProvider, who: &Value) {
    let back = away(world, browser, provider, "/account/security/oidc", who).await;
    assert_eq!(browser.get(world, &back).await.location, "/account/security/oidc/link");
    let page = browser.get(world, "/account/security/oidc/link").await;
    assert!(page.text.contains("Link them"), "{}", page.text);
    let linked = browser.post(world, "/account/security/oidc/link", &[]).await;
    assert_eq!((linked.status, linked.location.as_str()), (303, "/account/security"), "{}", linked.text);
}

#[tokio::test]
async fn the_same_address_is_not_the_same_person_until_he_says_so_here() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let customer = world.customer("ann", "0").await;

    // Whoever has the address at the provider does not get the account.
    let mut stranger = Browser::default();
    let arrived = comes(&world, &mut stranger, &provider, &ann()).await;
    assert!(arrived.status == 409 && arrived.text.contains("an account with your e-mail address already"));
    assert!(!stranger.is_in(&world).await);
    assert_eq!(world.count("select count(*) from user_identities").await, 0);

    let mut browser = Browser::logged_in(&world, &customer).await;
    links(&world, &mut browser, &provider, &ann()).await;
    let page = browser.get(&world, "/account/security").await;
    assert!(page.text.contains("ann@example.org") && page.text.contains("/unlink"), "{}", page.text);
    let again = browser.post(&world, "/account/security/oidc/link", &[]).await;
    assert_eq!(again.status, 409, "what was shown is used up");
    let mut browser = Browser::default();
    assert_eq!(comes(&world, &mut browser, &provider, &ann()).await.location, "/");
    assert!(browser.is_in(&world).await);

    let listed = world.get(&customer, "/account/identities").await.expect(200);
    assert_eq!(listed["items"][0]["email"], "ann@example.org");
    let id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, &format!("/account/security/oidc/{id}/unlink"), &[]).await.status, 303);
    assert_eq!(comes(&world, &mut Browser::default(), &provider, &ann()).await.status, 409, "a stranger again");
    links(&world, &mut browser, &provider, &ann()).await;
    let listed = world.get(&customer, "/account/identities").await.expect(200);
    let path = format!("/account/identities/{}", listed["items"][0]["id"].as_str().unwrap());
    world.delete(&customer, &path).await.expect(204);
    world.delete(&customer, &path).await.problem(404);
    let events = world.events().await;
    let times = |name: &str| events.iter().filter(|event| *event == name).count();
    assert_eq!((times("user.identity_linked"), times("user.identity_unlinked")), (2, 2));
    let told =
        "select count(*) from mails where to_address = 'ann@example.org' and subject like 'An account elsewhere %'";
    assert_eq!(world.count(told).await, 4, "he learns of each by mail");
    world.finish().await;
}

#[tokio::test]
async fn coming_back_links_nothing_by_itself_nor_in_another_login() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let (customer, other) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let mut browser = Browser::logged_in(&world, &customer).await;

    let back = away(&world, &mut browser, &provider, "/account/security/oidc", &ann()).await;
    browser.get(&world, &back).await;
    assert_eq!(world.count("select count(*) from user_identities").await, 0, "only a form of ours links");
    // In the same browser somebody else logs in: what was shown is not his.
    browser.get(&world, "/account").await;
    browser.post(&world, "/logout", &[]).await;
    assert_eq!(browser.gives_password(&world, &other).await, "/");
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, "/account/security/oidc/link", &[]).await.status, 409);
    // Nor does what was begun in one login come back in another.
    let mut again = Browser::logged_in(&world, &customer).await;
    let back = away(&world, &mut again, &provider, "/account/security/oidc", &ann()).await;
    again.steals("session", browser.cookie("session").unwrap());
    assert_eq!(again.get(&world, &back).await.status, 401);
    // Nor after ten minutes.
    let mut browser = Browser::logged_in(&world, &customer).await;
    let back = away(&world, &mut browser, &provider, "/account/security/oidc", &ann()).await;
    browser.get(&world, &back).await;
    browser.get(&world, "/account/security/oidc/link").await;
    world.advance(TimeDelta::minutes(10));
    let late = browser.post(&world, "/account/security/oidc/link", &[]).await;
    assert!(late.location.starts_with("/confirm"), "{} {}", late.status, late.text);
    assert!(browser.get(&world, "/account/security/oidc").await.location.starts_with("/confirm"));
    assert_eq!(world.count("select count(*) from user_identities").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn one_account_there_is_one_person_here() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let (customer, other) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let mut browser = Browser::logged_in(&world, &customer).await;
    links(&world, &mut browser, &provider, &ann()).await;

    let mut second = Browser::logged_in(&world, &other).await;
    let back = away(&world, &mut second, &provider, "/account/security/oidc", &ann()).await;
    second.get(&world, &back).await;
    second.get(&world, "/account/security/oidc/link").await;
    let taken = second.post(&world, "/account/security/oidc/link", &[]).await;
    assert!(taken.status == 409 && taken.text.contains("linked with an account here already"), "{}", taken.text);
    // Bob may have one without an address, and logs in as himself.
    links(&world, &mut second, &provider, &json!({ "sub": "b-2" })).await;
    let mut browser = Browser::default();
    assert_eq!(comes(&world, &mut browser, &provider, &json!({ "sub": "b-2" })).await.status, 303);
    assert!(browser.get(&world, "/account").await.text.contains("bob@example.org"));
    world.finish().await;
}

#[tokio::test]
async fn who_opened_an_account_for_anothers_address_does_not_come_back_by_the_provider() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let customer = world.customer("ann", "0").await;
    world.execute("update users set email_verified_at = null").await;
    let mut browser = Browser::logged_in(&world, &customer).await;
    links(&world, &mut browser, &provider, &json!({ "sub": "the other one" })).await;

    let mut owner = Browser::default();
    owner.get(&world, "/forgot-password").await;
    owner.post(&world, "/forgot-password", &[("email", "ann@example.org")]).await;
    let token = world.link_to("ann@example.org").await;
    owner.get(&world, &format!("/reset-password?token={token}")).await;
    let set = owner.post(&world, "/reset-password", &[("token", &token), ("password", "staple battery horse")]).await;
    assert_eq!(set.status, 303, "{}", set.text);
    assert_eq!(world.count("select count(*) from user_identities").await, 0);
    assert_eq!(comes(&world, &mut browser, &provider, &json!({ "sub": "the other one" })).await.status, 409);
    world.finish().await;
}

#[tokio::test]
async fn who_looks_as_a_customer_links_nothing_for_him() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let (admin, customer) = (world.admin().await, world.customer("ann", "0").await);
    let mut browser = Browser::logged_in(&world, &admin).await;
    let back = away(&world, &mut browser, &provider, "/account/security/oidc", &ann()).await;
    browser.get(&world, "/account").await;
    let as_him = format!("/admin/customers/{}/people/{}/impersonate", customer.organisation, customer.user.id);
    let began = browser.post(&world, &as_him, &[("reason", "He asked for help with his machine")]).await;
    assert_eq!(began.status, 303, "{}", began.text);

    let arrived = browser.get(&world, &back).await;
    assert_eq!(arrived.status, 401);
    // What she would see of her own account is not for him.
    assert!(
        !arrived.text.contains("/account/security/") && arrived.text.contains("name=\"password\""),
        "{}",
        arrived.text
    );
    assert_eq!(browser.get(&world, "/account/security/oidc").await.status, 403);
    assert_eq!(world.count("select count(*) from user_identities").await, 0);
    world.finish().await;
}

/// A person by his address.
pub async fn person(world: &World, email: &str) -> User {
    let mut connection = world.app.pool.acquire().await.unwrap();
    let id: uuid::Uuid = sqlx::query_scalar("select id from users where email = $1")
        .bind(email)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    users::find(&mut connection, id.into()).await.unwrap().unwrap()
}
