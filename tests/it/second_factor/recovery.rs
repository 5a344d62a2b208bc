//! Codes on paper: each opens one login, and new ones take the place of the old.

use serde_json::json;

use super::{code, pending, with_app};
use crate::world::World;

#[tokio::test]
async fn a_recovery_code_opens_one_login_and_the_rest_are_counted() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (_, codes) = with_app(&world, &ann).await;
    assert!(codes.len() == 10 && codes.iter().all(|code| code.len() == 19), "{codes:?}");
    let stored = world.text("select string_agg(encode(code_hash, 'escape'), ' ') from recovery_codes").await;
    assert!(!stored.contains(&codes[0]) && !stored.contains(&codes[0].replace('-', "")));

    let token = pending(&world, &ann).await;
    // As somebody types it from paper.
    let typed = codes[0].to_uppercase().replace('-', " ");
    code(&world, &token, &typed).await.expect(200);
    let token = pending(&world, &ann).await;
    assert_eq!(code(&world, &token, &codes[0]).await.problem_fields(), ["code"]);
    code(&world, &token, &codes[1]).await.expect(200);
    let seen = world.get(&ann, "/auth/second-factor").await.expect(200);
    assert_eq!(seen["recovery_codes_left"], 8);
    let used = world.events().await.iter().filter(|event| *event == "user.recovery_code_used").count();
    assert_eq!(used, 2);
    world.finish().await;
}

#[tokio::test]
async fn of_two_who_use_one_recovery_code_at_once_exactly_one_is_let_in() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let (_, codes) = with_app(&world, &ann).await;

    for used in codes.iter().take(4) {
        let (one, two) = (pending(&world, &ann).await, pending(&world, &ann).await);
        let (first, second) = tokio::join!(code(&world, &one, used), code(&world, &two, used));
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422]);
    }
    // The same with one login that waits.
    let token = pending(&world, &ann).await;
    let (first, second) = tokio::join!(code(&world, &token, &codes[5]), code(&world, &token, &codes[6]));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "one login is finished once");
    world.finish().await;
}

#[tokio::test]
async fn new_codes_make_the_old_worthless_and_nobody_elses_open_anything() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let (_, old) = with_app(&world, &ann).await;
    let (_, bobs) = with_app(&world, &bob).await;

    let made = world.post(&ann, "/auth/recovery-codes", &json!({})).await.expect(201);
    let new = made["recovery_codes"][0].as_str().unwrap();
    let token = pending(&world, &ann).await;
    for wrong in [&old[0], &bobs[0]] {
        assert_eq!(code(&world, &token, wrong).await.status, 422);
    }
    code(&world, &token, new).await.expect(200);
    world.finish().await;
}

#[tokio::test]
async fn without_a_factor_there_is_nothing_to_recover() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;

    world.post(&ann, "/auth/recovery-codes", &json!({})).await.problem(409);

    assert_eq!(world.count("select count(*) from recovery_codes").await, 0);
    world.finish().await;
}
