//! A second factor that is lost with every recovery code: the operator takes it, and everybody concerned hears of it.

use serde_json::{Value, json};

use super::{password, pending, with_app};
use crate::doors::{Somebody, is_refused, is_unknown};
use crate::world::{Answer, Customer, World, text};

async fn recover(world: &World, by: &Customer, of: &Customer, body: &Value) -> Answer {
    let path = format!("/admin/organisations/{}/people/{}/second-factor/reset", of.organisation, of.user.id);
    world.post(by, &path, body).await
}

#[tokio::test]
async fn the_operator_takes_a_lost_factor_and_the_person_logs_in_and_sets_up_another() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let (_, codes) = with_app(&world, &ann).await;
    let browser = Somebody::enters(&world, &world.known(&ann).await).await;
    let waiting = pending(&world, &ann).await;

    assert_eq!(recover(&world, &admin, &ann, &json!({ "reason": " " })).await.problem_fields(), ["reason"]);
    let person = recover(&world, &admin, &ann, &json!({ "reason": "Her phone was stolen" })).await.expect(200);

    assert_eq!((text(&person, "/email"), &person["has_second_factor"]), ("ann@example.org", &json!(false)));
    assert!(is_unknown(&browser.asks(&world, "GET", "/vms", &json!({})).await), "every login has ended");
    super::code(&world, &waiting, &codes[0]).await.problem(401);
    password(&world, &ann).await.expect(200);
    let mails = world.mails().await;
    let mail = mails.iter().find(|mail| mail.subject == "The operator took the second factor of your account").unwrap();
    assert!(
        mail.to_address == "ann@example.org" && mail.body.contains("reason: Her phone was stolen"),
        "{}",
        mail.body
    );
    let log = world.get(&ann, "/audit-events?event=user.second_factor_reset").await.expect(200);
    assert_eq!(text(&log, "/items/0/actor"), "Operator");
    assert_eq!(text(&log, "/items/0/detail/reason"), "Her phone was stolen");

    // A second time there is nothing to take, and she sets up another one as if it were her first.
    recover(&world, &admin, &ann, &json!({ "reason": "Again" })).await.problem(409);
    let (_, anew) = with_app(&world, &ann).await;
    assert!(anew.len() == 10 && anew != codes);
    pending(&world, &ann).await;
    world.finish().await;
}

#[tokio::test]
async fn a_page_asks_why_and_takes_it() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let operator = Somebody::enters(&world, &admin.user).await;
    let page = format!("/admin/customers/{}/people/{}", ann.organisation, ann.user.id);
    let none = operator.asks(&world, "GET", &page, &json!({})).await.text;
    assert!(!none.contains("Lost second factor") && none.contains("<dt>Second factor</dt><dd>none"), "{none}");
    with_app(&world, &ann).await;
    let path = format!("{page}/second-factor/reset");

    let refused = operator.asks(&world, "POST", &path, &json!({ "reason": "" })).await;
    assert!(refused.status == 422 && refused.text.contains(r#"id="factor_reason-problem""#), "{}", refused.text);
    let done = operator.asks(&world, "POST", &path, &json!({ "reason": "Lost" })).await;

    assert_eq!(done.status, 303, "{}", done.text);
    password(&world, &ann).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn it_is_for_few_and_for_nobodys_own() {
    let world = World::new().await;
    let (ann, bob, admin) = (world.customer("ann", "0").await, world.customer("bob", "0").await, world.admin().await);
    let helper = world.customer("helper", "0").await;
    with_app(&world, &ann).await;
    let why = json!({ "reason": "Tests" });
    for role in ["support", "operator"] {
        world.post(&admin, "/admin/staff", &json!({ "email": "helper@example.org", "role": role })).await.expect(201);
        assert!(is_refused(&recover(&world, &helper, &ann, &why).await), "{role}");
    }

    recover(&world, &admin, &admin, &why).await.problem(409);
    let elsewhere = Customer { organisation: bob.organisation, ..ann.clone() };
    recover(&world, &admin, &elsewhere, &why).await.problem(404);
    pending(&world, &ann).await;
    // Who manages the staff may do it for them.
    with_app(&world, &helper).await;
    recover(&world, &admin, &helper, &why).await.expect(200);
    world.finish().await;
}
