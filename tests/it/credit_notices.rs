//! Before the credit ends: told seven days, three days, a day and an hour before, once each, and taken back when it is no longer
//! true.

use chrono::TimeDelta;

use crate::world::{Customer, World, at, text};

/// The subjects of all mails, oldest first, with those that were taken back in brackets.
async fn subjects(world: &World) -> Vec<String> {
    let of = |mail: crate::world::Sent| match mail.status.as_str() {
        "withdrawn" => format!("({})", mail.subject),
        _ => mail.subject,
    };
    world.mails().await.into_iter().map(of).collect()
}

/// What stands in the portal, newest first.
async fn portal(world: &World, ann: &Customer) -> Vec<String> {
    let seen = world.get(ann, "/notifications").await.expect(200);
    seen["items"].as_array().unwrap().iter().map(|item| text(item, "/title").to_owned()).collect()
}

/// One machine of 0.02 an hour and credit for so many hours.
async fn lasting(hours: i64) -> (World, Customer) {
    let world = World::new().await;
    let ann = world.customer("ann", &billing::Money::from_micros(20_000 * i128::from(hours.max(24))).to_string()).await;
    world.running_vm(&ann, "one").await;
    world.hours_with_passes((24 - hours).max(0)).await;
    (world, ann)
}

/// Lets time pass as the worker does: the passes and the notices that are due.
async fn until(world: &World, instant: &str) {
    // More missed hours than are caught up by themselves would wait for a person.
    while world.now() + TimeDelta::days(1) < at(instant) {
        world.hours(24);
        world.charge().await;
    }
    world.app.clock.set(at(instant));
    world.charge().await;
    world.zero().await;
}

#[tokio::test]
async fn each_notice_is_given_once_at_its_time_and_the_portal_shows_the_last() {
    // It ends on the 18th at noon.
    let (world, ann) = lasting(8 * 24).await;
    let ends = world.wallet(&ann).await.runs_out_at.unwrap();
    assert!(ends - at("2026-11-18T12:00:00Z") < TimeDelta::seconds(1), "{ends}");
    world.advance(TimeDelta::minutes(1));
    assert_eq!(world.zero().await.notified, 0);
    let next = uni_manager::charging::next_zero(&world.app).await.unwrap();
    assert_eq!(next, Some(ends - TimeDelta::days(7)), "the worker sleeps until the first");

    until(&world, "2026-11-11T11:59:00Z").await;
    assert!(subjects(&world).await.is_empty());
    until(&world, "2026-11-11T12:00:01Z").await;
    assert_eq!(subjects(&world).await, ["Your credit ends in 7 days"]);
    for _ in 0..3 {
        assert_eq!(world.zero().await.notified, 0, "once");
    }
    for hour in ["2026-11-12T00:00:00Z", "2026-11-14T12:00:00Z", "2026-11-15T12:00:01Z", "2026-11-17T12:00:01Z"] {
        until(&world, hour).await;
        world.mails().await;
    }
    until(&world, "2026-11-18T11:00:01Z").await;

    let told = [
        "Your credit ends in 7 days",
        "Your credit ends in 3 days",
        "Your credit ends in 24 hours",
        "Your credit ends in 1 hour",
    ];
    assert_eq!(subjects(&world).await, told);
    assert_eq!(portal(&world, &ann).await, ["Your credit ends in 1 hour"]);
    let body = world.mails().await.remove(0).body;
    assert!(body.contains("18 November 2026 at 12:00"), "{body}");

    // When it has ended, that is what is true.
    until(&world, "2026-11-18T12:00:02Z").await;
    world.run_due_jobs().await;
    assert_eq!(portal(&world, &ann).await, ["Your credit has ended: VMs are being shut down"]);
    world.finish().await;
}

#[tokio::test]
async fn a_jump_tells_only_what_is_most_urgent() {
    let (world, ann) = lasting(30 * 24).await;
    let admin = world.admin().await;
    let take = serde_json::json!({ "amount": "14.20", "reason": "Moved" });
    world.post(&admin, &format!("/admin/organisations/{}/debits", ann.organisation), &take).await.expect(201);

    world.zero().await;

    assert_eq!(subjects(&world).await, ["Your credit ends in 10 hours"]);
    world.finish().await;
}

#[tokio::test]
async fn what_is_no_longer_true_is_taken_back_and_told_again_only_after_a_while() {
    let (world, ann) = lasting(20).await;
    world.zero().await;
    // Nobody has carried the mail yet.
    world.credit(&ann, "20").await;
    world.zero().await;

    assert_eq!(subjects(&world).await, ["(Your credit ends in 20 hours)"], "it never leaves");
    assert!(portal(&world, &ann).await.is_empty());

    // It ends again at once: the same is not told a second time within the quarter of a day.
    let admin = world.admin().await;
    let take = serde_json::json!({ "amount": "20", "reason": "Moved" });
    world.post(&admin, &format!("/admin/organisations/{}/debits", ann.organisation), &take).await.expect(201);
    world.zero().await;
    assert_eq!(subjects(&world).await.len(), 1);
    world.advance(TimeDelta::hours(6));
    world.charge().await;
    world.zero().await;
    assert_eq!(subjects(&world).await, ["(Your credit ends in 20 hours)", "Your credit ends in 14 hours"]);
    world.finish().await;
}

#[tokio::test]
async fn two_workers_tell_it_once() {
    let (world, _ann) = lasting(20).await;

    tokio::join!(world.zero(), world.zero(), world.zero());

    assert_eq!(subjects(&world).await, ["Your credit ends in 20 hours"]);
    world.finish().await;
}
