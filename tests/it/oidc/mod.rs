//! Coming in with an account at an identity provider: the good ways here, what others try in `attacks.rs`, linking and
//! unlinking in `linking.rs`.

mod attacks;
mod linking;
mod provider;

use serde_json::{Value, json};
use uni_manager::oidc::Provider;

use crate::second_factor::browser::Browser;
use crate::second_factor::with_app;
use crate::world::{Answer, PASSWORD, Start, World};
use provider::FakeProvider;

/// A platform whose people may come from this provider.
pub async fn world(provider: &FakeProvider) -> World {
    World::starting(Start { oidc: provider.set(), ..Start::default() }).await
}

/// Ann, as the provider knows her.
pub fn ann() -> Value {
    json!({ "sub": "a-1", "email": "ann@example.org", "email_verified": true, "name": "Ann Example" })
}

/// Goes to the provider and is let in there. Answers with where that leads back.
pub async fn away(world: &World, browser: &mut Browser, provider: &FakeProvider, begin: &str, who: &Value) -> String {
    let leaves = browser.get(world, begin).await;
    assert_eq!(leaves.status, 303, "{}", leaves.text);
    provider.lets_in(&leaves.location, world.now().timestamp(), who, |_| {})
}

/// Goes to the provider, is let in there, and comes back.
pub async fn comes(world: &World, browser: &mut Browser, provider: &FakeProvider, who: &Value) -> Answer {
    let back = away(world, browser, provider, "/login/oidc", who).await;
    browser.get(world, &back).await
}

#[tokio::test]
async fn somebody_new_gets_an_account_and_comes_in_with_it_again() {
    for algorithm in [jsonwebtoken::Algorithm::ES256, jsonwebtoken::Algorithm::RS256] {
        let provider = FakeProvider::signing(algorithm).await;
        let world = world(&provider).await;
        let mut browser = Browser::default();

        let page = browser.get(&world, "/login?next=%2Fwallet").await;
        assert!(page.text.contains("Log in with Example Login") && page.text.contains("/login/oidc?next=%2Fwallet"));
        let back = away(&world, &mut browser, &provider, "/login/oidc?next=/wallet", &ann()).await;
        let arrived = browser.get(&world, &back).await;
        assert_eq!((arrived.status, arrived.location.as_str()), (303, "/wallet"), "{}", arrived.text);
        assert!(browser.is_in(&world).await);
        let sql = "select concat_ws('|', email, name, has_password, email_verified_at is not null) from users";
        assert_eq!(world.text(sql).await, "ann@example.org|Ann Example|f|t");
        assert_eq!(world.text("select name from organisations").await, "Ann Example");
        assert!(
            world
                .events()
                .await
                .ends_with(&["user.registered", "user.identity_linked", "user.logged_in"].map(str::to_owned))
        );
        let way = "select detail ->> 'by' from audit_events where event = 'user.logged_in' order by id desc limit 1";
        assert_eq!(world.text(way).await, "identity_provider");
        assert!(world.mails().await.is_empty(), "the provider has made sure of the address");

        // He is his subject, whatever address he has there later.
        let mut other = Browser::default();
        let mut moved = ann();
        moved["email"] = json!("ann@elsewhere.example");
        assert_eq!(comes(&world, &mut other, &provider, &moved).await.status, 303);
        assert!(other.is_in(&world).await);
        assert_eq!(world.count("select count(*) from users").await, 1);
        assert_eq!(world.count("select count(*) from sessions where address is not null").await, 2);
        assert_eq!(provider.described(), 1, "it is asked once an hour");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_unless_the_provider_is_believed_to_have_asked() {
    let provider = FakeProvider::start().await;
    let believed = Provider::new(uni_manager::oidc::NewProvider {
        factor_proofs: vec!["mfa".into(), "gold".into()],
        ..provider.written()
    })
    .unwrap();
    for (is_believed, oidc) in [(false, provider.set()), (true, Some(believed))] {
        let world = World::starting(Start { oidc, ..Start::default() }).await;
        let customer = world.customer("ann", "0").await;
        let mut browser = Browser::logged_in(&world, &customer).await;
        linking::links(&world, &mut browser, &provider, &ann()).await;
        let (phone, _) = with_app(&world, &customer).await;
        let proofs = [json!({}), json!({ "amr": ["pwd"] }), json!({ "amr": ["pwd", "mfa"] }), json!({ "acr": "gold" })];
        for (number, proof) in proofs.into_iter().enumerate() {
            let (mut browser, mut who) = (Browser::default(), ann());
            for (name, value) in proof.as_object().unwrap() {
                who[name] = value.clone();
            }
            let arrived = comes(&world, &mut browser, &provider, &who).await;
            let asked = !is_believed || number < 2;
            let to = if asked { "/login/code?next=%2F" } else { "/" };
            assert_eq!((arrived.status, arrived.location.as_str()), (303, to), "{who}");
            assert_eq!(browser.is_in(&world).await, !asked, "{who}");
            if asked {
                world.advance(chrono::TimeDelta::seconds(30));
                browser.get(&world, "/login/code").await;
                let code = phone.shows(&world);
                assert_eq!(browser.post(&world, "/login/code", &[("code", &code)]).await.status, 303);
                assert!(browser.is_in(&world).await);
            }
        }
        let after = "select detail ->> 'after' from audit_events where event = 'user.second_factor_asked' limit 1";
        assert_eq!(world.text(after).await, "identity_provider");
        world.finish().await;
    }
}

#[tokio::test]
async fn whose_only_way_in_is_the_provider_confirms_there_and_sets_a_password_by_mail() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    let mut browser = Browser::default();
    comes(&world, &mut browser, &provider, &ann()).await;
    let identity = world.text("select id::text from user_identities").await;
    let unlink = format!("/account/security/oidc/{identity}/unlink");

    browser.get(&world, "/account/security").await;
    let only = browser.post(&world, &unlink, &[]).await;
    assert!(only.status == 409 && only.text.contains("only way in"), "{}", only.text);
    world.advance(chrono::TimeDelta::minutes(11));
    assert!(browser.post(&world, &unlink, &[]).await.location.starts_with("/confirm?back="));
    let page = browser.get(&world, "/confirm?back=%2Faccount%2Fsecurity").await;
    assert!(page.text.contains("Confirm with Example Login") && !page.text.contains("type=\"password\""));

    // Who does not say when he proved it, or proved it long ago, or is somebody else, has confirmed nothing.
    let now = world.now().timestamp();
    let somebody_else = json!({ "sub": "b-2", "auth_time": now });
    let long_ago = json!({ "sub": "a-1", "auth_time": now - 300 });
    for (who, status) in [(ann(), 503), (long_ago, 503), (somebody_else, 409)] {
        let back = away(&world, &mut browser, &provider, "/confirm/oidc?back=/account/security", &who).await;
        assert_eq!(browser.get(&world, &back).await.status, status, "{who}");
        browser.get(&world, "/account/security").await;
        assert!(browser.post(&world, &unlink, &[]).await.location.starts_with("/confirm"), "{who}");
    }
    let leaves = browser.get(&world, "/confirm/oidc?back=/account/security").await;
    assert!(leaves.location.contains("prompt=login") && leaves.location.contains("max_age=0"), "{}", leaves.location);
    let back = provider.lets_in(&leaves.location, now, &json!({ "sub": "a-1", "auth_time": now }), |_| {});
    assert_eq!(browser.get(&world, &back).await.location, "/account/security");
    browser.get(&world, "/account/security").await;
    assert_eq!(browser.post(&world, &unlink, &[]).await.status, 409, "confirmed, and still his only way in");

    let page = browser.get(&world, "/account/password").await;
    assert!(page.text.contains("Send the link") && !page.text.contains("current_password"), "{}", page.text);
    assert_eq!(browser.post(&world, "/account/password/link", &[]).await.status, 303);
    let token = world.link_to("ann@example.org").await;
    let mut reader = Browser::default();
    reader.get(&world, &format!("/reset-password?token={token}")).await;
    let set = reader.post(&world, "/reset-password", &[("token", &token), ("password", PASSWORD)]).await;
    assert_eq!(set.status, 303, "{}", set.text);
    assert_eq!(world.text("select has_password::text from users").await, "true");
    reader.get(&world, "/login").await;
    let form = [("email", "ann@example.org"), ("password", PASSWORD)];
    assert_eq!(reader.post(&world, "/login", &form).await.status, 303);
    reader.get(&world, "/account/security").await;
    assert_eq!(reader.post(&world, &unlink, &[]).await.status, 303, "now he has another way in");
    assert_eq!(reader.get(&world, "/confirm/oidc").await.status, 409, "who has a password confirms with that");
    world.finish().await;
}

#[tokio::test]
async fn who_is_new_comes_in_only_where_he_may() {
    let provider = FakeProvider::start().await;
    let narrow = |change: fn(&mut uni_manager::oidc::NewProvider)| {
        let mut written = provider.written();
        change(&mut written);
        Start { oidc: Some(Provider::new(written).unwrap()), ..Start::default() }
    };
    let closed = Start { registration_open: false, ..narrow(|_| {}) };
    let refused = [
        (closed, ann(), "registration is closed"),
        (narrow(|written| written.may_register = false), ann(), "registration is closed"),
        (narrow(|written| written.email_domains = vec!["Staff.example".into()]), ann(), "Ask the operator"),
        (narrow(|_| {}), json!({ "sub": "a-1", "email": "ann@example.org", "email_verified": false }), "verified"),
        (narrow(|_| {}), json!({ "sub": "a-1", "email": "ann@example.org" }), "verified"),
        (narrow(|_| {}), json!({ "sub": "a-1" }), "verified"),
    ];
    for (start, who, said) in refused {
        let world = World::starting(start).await;
        let mut browser = Browser::default();
        let arrived = comes(&world, &mut browser, &provider, &who).await;
        assert!(arrived.status == 409 && arrived.text.contains(said), "{who}: {} {}", arrived.status, arrived.text);
        assert!(!browser.is_in(&world).await);
        assert_eq!(world.count("select count(*) from users").await, 0);
        world.finish().await;
    }
    let world = World::starting(narrow(|written| written.email_domains = vec!["EXAMPLE.org".into()])).await;
    let register = Browser::default().get(&world, "/register").await;
    assert!(register.text.contains("Continue with Example Login"));
    assert_eq!(comes(&world, &mut Browser::default(), &provider, &ann()).await.status, 303);
    world.finish().await;
}

#[tokio::test]
async fn suspended_people_look_and_banned_people_stay_out() {
    let provider = FakeProvider::start().await;
    let world = world(&provider).await;
    comes(&world, &mut Browser::default(), &provider, &ann()).await;

    world.execute("update users set state = 'suspended', state_reason = 'unpaid', state_since = created_at").await;
    let mut browser = Browser::default();
    assert_eq!(comes(&world, &mut browser, &provider, &ann()).await.status, 303);
    assert!(browser.is_in(&world).await);
    world.execute("update users set state = 'banned'").await;
    let mut browser = Browser::default();
    let arrived = comes(&world, &mut browser, &provider, &ann()).await;
    assert!(arrived.status == 401 && arrived.text.contains("has been closed by the operator"), "{}", arrived.text);
    assert!(!browser.is_in(&world).await);
    world.finish().await;
}

#[tokio::test]
async fn without_a_provider_nothing_leads_there() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let mut browser = Browser::default();
    let pages = [browser.get(&world, "/login").await.text, browser.get(&world, "/register").await.text];
    assert!(pages.iter().all(|page| !page.contains("/login/oidc")));
    assert_eq!(browser.get(&world, "/login/oidc").await.status, 404);
    assert_eq!(browser.get(&world, "/login/oidc/callback?state=x&code=x").await.status, 404);
    let mut browser = Browser::logged_in(&world, &ann).await;
    assert!(!browser.get(&world, "/account/security").await.text.contains("oidc"));
    assert_eq!(browser.get(&world, "/account/security/oidc").await.status, 404);
    world.finish().await;
}
