//! What a person is told when his second factors change.

use serde_json::json;

use super::{code, pending, with_app};
use crate::world::World;

#[tokio::test]
async fn every_change_of_a_factor_is_told_to_its_owner_and_what_did_not_happen_is_not() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let before = world.mails().await.len();

    // An app that was begun and never confirmed, and a wrong code, change nothing.
    world.post(&ann, "/auth/totp", &json!({})).await.expect(201);
    world.post(&ann, "/auth/totp/confirm", &json!({ "code": "000000" })).await.problem(422);
    assert_eq!(world.mails().await.len(), before);

    let (_, codes) = with_app(&world, &ann).await;
    code(&world, &pending(&world, &ann).await, &codes[0]).await.expect(200);
    world.post(&ann, "/auth/recovery-codes", &json!({})).await.expect(201);
    assert_eq!(world.delete(&ann, "/auth/totp").await.status, 204);

    let mails = world.mails().await;
    let told: Vec<_> = mails[before..].iter().map(|mail| (mail.to_address.as_str(), mail.subject.as_str())).collect();
    let to_ann = |subject| (ann.user.email.as_str(), subject);
    assert_eq!(
        told,
        [
            to_ann("An authenticator app was set up for your account"),
            to_ann("A recovery code of your account was used"),
            to_ann("New recovery codes were made for your account"),
            to_ann("The authenticator app of your account was removed"),
        ]
    );
    assert!(mails[before].body.contains("/account/security"), "{}", mails[before].body);
    assert!(!mails.iter().any(|mail| codes.iter().any(|code| mail.body.contains(code))), "no code is in a mail");
    world.finish().await;
}
