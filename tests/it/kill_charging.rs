//! `kill -9` of a real worker process at every point of a billing pass: each hour is charged once.

use chrono::{TimeDelta, Timelike};

use crate::kill::{die_at, outlive};
use crate::world::{Start, World, machine_time};

const POINTS: [&str; 5] =
    ["charging.claimed", "charging.charged", "charging.posted", "charging.before_commit", "charging.committed"];

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
        assert_eq!(charged, if point == "charging.committed" { 6 } else { 0 }, "{point}: all of a batch or nothing");
        world.check().await;
        world.app.clock.set(hour + TimeDelta::minutes(59));
        world.charge().await;
        world.charge().await;

        for customer in [&ann, &bob] {
            assert_eq!(world.balance(customer).await, "4.940000", "{point}: three hours, once each");
        }
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
