//! `kill -9` of a real worker process at every point of a billing pass: each hour is charged once.

use chrono::{TimeDelta, Timelike};

use crate::kill::{die_at, outlive};
use crate::world::{Customer, Start, World, machine_time};

const POINTS: [&str; 7] = [
    "charging.opened",
    "charging.claimed",
    "charging.charged",
    "charging.posted",
    "charging.before_commit",
    "charging.committed",
    "charging.finished",
];

/// What was charged of a customer's one machine, and posted: the beginning of each hour and its amount.
async fn hours_of(world: &World, customer: &Customer) -> Vec<String> {
    sqlx::query_scalar(
        "select to_char(c.period_start at time zone 'UTC', 'HH24:MI') || ' ' || t.amount from charges c
         join wallets w using (organisation_id) join transfers t on t.debit_account = w.account_id and t.amount = c.amount and t.at = c.period_end
         where c.organisation_id = $1 order by c.period_start",
    )
    .bind(customer.organisation.uuid())
    .fetch_all(&world.app.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn an_hour_is_charged_once_wherever_the_worker_is_killed() {
    for point in POINTS {
        // Three full hours ago, so that the process finds them due whatever the machine's clock shows.
        let hour = machine_time().with_minute(0).unwrap().with_second(0).unwrap().with_nanosecond(0).unwrap();
        let world = World::starting(Start { now: hour - TimeDelta::hours(3), ..Start::default() }).await;
        let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
        world.running_vm(&ann, "web").await;
        world.running_vm(&bob, "web").await;

        die_at(&world, point).await;
        let charged = world.count("select count(*) from charges").await;
        let is_written = ["charging.committed", "charging.finished"].contains(&point);
        assert_eq!(charged, if is_written { 6 } else { 0 }, "{point}: all of a batch or nothing");
        world.check().await;
        world.app.clock.set(hour + TimeDelta::minutes(59));
        world.charge().await;
        world.charge().await;

        for customer in [&ann, &bob] {
            assert_eq!(world.balance(customer).await, "4.940000", "{point}: three hours, once each");
        }
        let undisturbed: Vec<_> =
            (1..=3).rev().map(|ago| format!("{} 0.020000", (hour - TimeDelta::hours(ago)).format("%H:%M"))).collect();
        for customer in [&ann, &bob] {
            assert_eq!(hours_of(&world, customer).await, undisturbed, "{point}: as a pass that nothing disturbed");
        }
        assert_eq!(
            world.text("select string_agg(status, ' ') from passes").await,
            "done",
            "{point}: one pass, and it is done"
        );
        world.finish().await;
    }
}

#[tokio::test]
async fn a_run_out_happens_once_wherever_the_worker_is_killed() {
    for point in POINTS {
        let world = World::starting(Start { now: machine_time() - TimeDelta::hours(40), ..Start::default() }).await;
        let ann = world.customer("ann", "0.5").await;
        let vm = world.running_vm(&ann, "web").await;

        die_at(&world, point).await;
        world.check().await;
        outlive(&world);
        world.charge().await;
        world.settle().await;

        let wallet = world.wallet(&ann).await;
        assert_eq!(wallet.balance.to_string(), "0.000000", "{point}");
        assert!(wallet.exhausted_at.is_some(), "{point}");
        assert_eq!(world.state(&ann, &vm).await, "stopped", "{point}");
        assert_eq!(world.count("select count(*) from audit_events where event = 'wallet.ran_out'").await, 1, "{point}");
        assert_eq!(world.count("select count(*) from jobs where kind = 'vm.shutdown'").await, 1, "{point}");
        world.finish().await;
    }
}
