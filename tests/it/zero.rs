//! Zero: charged to the instant, shut down, nothing charged while stopped for credit, resumed in order by any credit.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use uni_manager::worker;

use crate::world::{Customer, World, at, text};

/// Two machines of plan S, 0.04 an hour, and what carries them for so many hours.
async fn two_machines(hours: i64) -> (World, Customer, [String; 2]) {
    let world = World::new().await;
    let ann = world.customer("ann", "0.96").await;
    let machines = [world.running_vm(&ann, "one").await, world.running_vm(&ann, "two").await];
    // 0.96 carries both for 24 hours.
    world.hours_with_passes(24 - hours).await;
    (world, ann, machines)
}

#[tokio::test]
async fn at_zero_the_wallet_is_charged_to_the_instant_and_everything_is_shut_down() {
    let (world, ann, machines) = two_machines(2).await;
    // A third of an hour's burn more: it ends in the middle of an hour.
    world.credit(&ann, "0.013").await;
    let end = world.wallet(&ann).await.runs_out_at.unwrap();
    assert!((end - at("2026-11-11T12:19:30Z")).abs() < TimeDelta::seconds(1), "{end}");
    assert_eq!(world.charge().await.wallets, 0, "nothing is due before");

    world.app.clock.set(end);
    let pass = world.charge().await;

    // What rounding leaves lasts less than a second; the engine looks again.
    let ran_out = if pass.ran_out == 1 {
        true
    } else {
        world.advance(TimeDelta::seconds(2));
        world.charge().await.ran_out == 1
    };
    assert!(ran_out, "{pass:?} {}", world.balance(&ann).await);
    let wallet = world.wallet(&ann).await;
    assert!(wallet.balance <= "0.000001".parse().unwrap() && !wallet.balance.is_negative(), "{}", wallet.balance);
    assert!(wallet.exhausted_at.is_some());
    assert!(wallet.burn_per_hour.is_zero() && wallet.due_at.is_none());
    world.run_due_jobs().await;
    for vm in &machines {
        let shown = world.vm(&ann, vm).await;
        assert_eq!((text(&shown, "/state"), shown["stopped_for_credit"].as_bool()), ("stopped", Some(true)));
        assert!(world.guest(vm).unwrap().process.is_none());
        assert_eq!(text(&shown, "/price_per_hour"), "0");
    }
    let left = world.balance(&ann).await;
    world.hours(500);
    world.charge().await;
    world.look().await;
    assert_eq!(world.balance(&ann).await, left, "nothing is charged while stopped for credit");
    let events = world.events().await;
    assert_eq!(events.iter().filter(|event| *event == "wallet.ran_out").count(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_pass_that_is_late_charges_no_more_than_there_was() {
    let (world, ann, machines) = two_machines(2).await;
    // The engine slept for a day.
    world.hours(24);
    world.charge().await;
    world.run_due_jobs().await;

    let wallet = world.wallet(&ann).await;
    assert_eq!(wallet.balance.to_string(), "0.000000");
    assert!((wallet.exhausted_at.unwrap() - at("2026-11-11T12:00:00Z")).abs() < TimeDelta::seconds(1));
    assert!(!wallet.balance.is_negative());
    for vm in &machines {
        assert_eq!(world.state(&ann, vm).await, "stopped");
    }
    world.finish().await;
}

#[tokio::test]
async fn credit_starts_again_what_was_stopped_as_far_as_it_carries_a_day() {
    let (world, ann, [one, two]) = two_machines(0).await;
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.run_due_jobs().await;
    assert!(world.wallet(&ann).await.exhausted_at.is_some());
    world.tell(&ann, &one, "start").await.problem(402);

    // A day of one machine, not of two.
    world.hours(3);
    world.credit(&ann, "0.70").await;
    world.run_due_jobs().await;
    assert_eq!(
        (world.state(&ann, &one).await, world.state(&ann, &two).await),
        ("running".into(), "stopped".into()),
        "in the order they were made"
    );
    let before = world.balance(&ann).await;
    assert!(before.starts_with("0.70000"), "the time between was not charged: {before}");
    world.hours_with_passes(1).await;
    world.credit(&ann, "1").await;
    world.run_due_jobs().await;

    assert_eq!(world.state(&ann, &two).await, "running");
    assert_eq!(world.wallet(&ann).await.burn_per_hour, "0.04".parse().unwrap());
    assert_eq!(world.count("select count(*) from vms where stopped_for_credit_at is not null").await, 0);
    assert!(world.events().await.contains(&"wallet.resumed".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn what_its_owner_had_stopped_stays_stopped_when_credit_arrives() {
    let (world, ann, [one, two]) = two_machines(10).await;
    world.tell(&ann, &one, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(30).await;
    world.run_due_jobs().await;
    assert!(world.wallet(&ann).await.exhausted_at.is_some());

    world.credit(&ann, "5").await;
    world.run_due_jobs().await;

    assert_eq!((world.state(&ann, &one).await, world.state(&ann, &two).await), ("stopped".into(), "running".into()));
    world.hours_with_passes(1).await;
    let spent = "5".parse::<billing::Money>().unwrap() - world.wallet(&ann).await.balance;
    assert!(
        spent <= "0.025".parse().unwrap() && spent >= "0.024990".parse().unwrap(),
        "0.02 running and 0.005 stopped: {spent}"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_guest_that_ignores_its_power_button_is_forced_off_at_zero() {
    let (world, ann, [one, two]) = two_machines(0).await;
    world.simulator.ignore_power_button(world.vmid(&one), true);
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.settle().await;

    for vm in [&one, &two] {
        assert_eq!(world.state(&ann, vm).await, "stopped");
        assert!(world.guest(vm).unwrap().process.is_none());
    }
    world.finish().await;
}

#[tokio::test]
async fn credit_that_arrives_before_the_shutdown_ends_in_a_running_machine() {
    let (world, ann, [one, two]) = two_machines(0).await;
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.shutdown' and status = 'pending'").await, 2);

    world.credit(&ann, "5").await;
    world.settle().await;

    for vm in [&one, &two] {
        assert_eq!(world.state(&ann, vm).await, "running");
        assert!(world.guest(vm).unwrap().process.is_some());
    }
    world.hours_with_passes(1).await;
    assert_eq!(world.wallet(&ann).await.burn_per_hour, "0.04".parse().unwrap());
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_comes_up_on_an_empty_wallet_is_shut_down_again() {
    let (world, ann, machines) = two_machines(0).await;
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.run_due_jobs().await;
    // Somebody at the console of the cluster starts it.
    let guest = world.guest(&machines[0]).unwrap();
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    client.start(&guest.node, guest.vmid).await.unwrap();
    // Longer than the listing may lag behind the shutdown that has just ended.
    world.advance(TimeDelta::seconds(20));

    world.look().await;
    world.settle().await;

    assert_eq!(world.state(&ann, &machines[0]).await, "stopped");
    assert!(world.guest(&machines[0]).unwrap().process.is_none());
    world.finish().await;
}

#[tokio::test]
async fn deleting_everything_is_possible_on_an_empty_wallet() {
    let (world, ann, machines) = two_machines(0).await;
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.run_due_jobs().await;

    for vm in &machines {
        world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    }
    world.run_due_jobs().await;

    assert!(world.our_guests().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn the_engine_wakes_at_the_second_the_credit_ends_and_the_machine_is_off_within_a_minute() {
    let (world, ann, machines) = two_machines(1).await;
    let end = world.wallet(&ann).await.runs_out_at.unwrap();
    world.app.clock.set(end - TimeDelta::seconds(3));
    // The workers as in production, and a clock that goes on by itself.
    let engine = Arc::clone(&world.app);
    let engine = tokio::spawn(async move { worker::run_billing_clock(&engine).await });
    let jobs = tokio::spawn(worker::run_jobs(Arc::clone(&world.app)));
    let clock = world.app.clock.clone();
    let ticking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            clock.advance(TimeDelta::milliseconds(50));
        }
    });
    let is_off = || machines.iter().all(|vm| world.guest(vm).unwrap().process.is_none());

    while !is_off() && world.now() < end + TimeDelta::seconds(60) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert!(is_off(), "off within a minute of {end}");
    let early =
        "select count(*) from jobs where kind = 'vm.shutdown' and created_at < (select min(at) from exhaustions)";
    assert_eq!(world.count(early).await, 0, "and not before");
    assert!(world.now() - end < TimeDelta::seconds(60));
    for task in [engine, jobs, ticking] {
        task.abort();
        let _ = task.await;
    }
    assert!(world.wallet(&ann).await.exhausted_at.unwrap() - end < TimeDelta::seconds(2));
    // Jobs that were cut off are gone on with.
    world.advance(TimeDelta::minutes(5));
    world.settle().await;
    world.finish().await;
}
