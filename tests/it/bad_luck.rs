//! A cluster that is away while somebody wants something of it: the job says so and waits, and nothing is lost.

use chrono::TimeDelta;
use proxmox_simulator::{Fault, FaultKind};

use crate::world::{World, text};

#[tokio::test]
async fn an_order_waits_for_an_unreachable_cluster_and_says_so() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    world.simulator.set_away(true);

    // Far longer than any number of attempts at something that is refused.
    for _ in 0..30 {
        world.run_due_jobs().await;
        world.advance(TimeDelta::minutes(2));
    }
    let job = world.last_job(&ann).await;
    assert!(job["finished_at"].is_null(), "{job}");
    assert_eq!(text(&job, "/waiting_for"), "the cluster does not answer");
    assert_eq!(world.state(&ann, &vm).await, "provisioning");
    assert_eq!(world.wallet(&ann).await.held.to_string(), "0.480000", "its credit is still set aside");
    world.simulator.set_away(false);
    world.advance(TimeDelta::minutes(2));
    world.run_due_jobs().await;

    assert_eq!(world.state(&ann, &vm).await, "running");
    assert_eq!(world.our_guests().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_long_outage_uses_up_no_attempts_at_what_comes_after_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    // The node is out of reach just when it is to clone: at every other step the count would begin anew.
    world.simulator.faults().inject(Fault { times: 12, ..Fault::once("POST", "/clone", FaultKind::Proxy595) });
    let message = "can't lock file '/var/lock/qemu-server/lock-10000.conf' - got timeout".into();
    let busy = FaultKind::Refuse { status: 500, message };
    world.simulator.faults().inject(Fault { times: 3, ..Fault::once("POST", "/clone", busy) });

    for _ in 0..20 {
        world.run_due_jobs().await;
        world.advance(TimeDelta::minutes(2));
    }

    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn every_kind_of_job_waits_out_a_cluster_that_is_away() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    for (what, state) in [("reboot", "running"), ("shutdown", "stopped"), ("start", "running"), ("stop", "stopped")] {
        world.simulator.set_away(true);
        world.tell(&ann, &vm, what).await.expect(202);
        for _ in 0..10 {
            world.run_due_jobs().await;
            world.advance(TimeDelta::minutes(2));
        }
        assert_eq!(text(&world.last_job(&ann).await, "/waiting_for"), "the cluster does not answer", "{what}");
        world.simulator.set_away(false);
        world.advance(TimeDelta::minutes(2));
        world.run_due_jobs().await;

        assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed", "{what}");
        assert_eq!(world.state(&ann, &vm).await, state, "{what}");
    }
    world.finish().await;
}

#[tokio::test]
async fn new_orders_are_refused_while_nothing_can_be_reached() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.simulator.set_away(true);
    world.look().await;

    let body = world.new_vm(&ann, "web").await;
    let refused = world.post(&ann, "/vms", &body).await.problem(503);

    assert!(text(&refused, "/detail").contains("few minutes"), "{refused}");
    assert_eq!(world.count("select count(*) from vms").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_token_that_was_taken_away_is_an_operators_problem_and_not_the_orders() {
    use proxmox_simulator::{Fault, FaultKind};
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    for (status, message) in [(401, "invalid token value!"), (403, "Permission check failed (/vms/9000, VM.Clone)")] {
        world.simulator.faults().inject(Fault {
            times: 5,
            ..Fault::once("POST", "/clone", FaultKind::Refuse { status, message: message.into() })
        });
    }

    let vm = world.order(&ann, "web").await;
    world.run_due_jobs().await;
    assert_eq!(text(&world.last_job(&ann).await, "/waiting_for"), "the cluster does not answer");
    world.settle().await;

    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn a_guest_that_does_not_report_its_address_is_handed_over_all_the_same() {
    let world = World::starting(crate::world::Start {
        timing: proxmox_simulator::Timing {
            guest_boot: std::time::Duration::from_secs(100_000),
            ..proxmox_simulator::Timing::instant()
        },
        ..crate::world::Start::default()
    })
    .await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    world.run_due_jobs().await;
    assert_eq!(text(&world.last_job(&ann).await, "/waiting_for"), "the guest boots");
    assert_eq!(world.state(&ann, &vm).await, "provisioning");

    world.settle().await;

    assert_eq!(world.state(&ann, &vm).await, "running");
    assert_eq!(text(&world.vm(&ann, &vm).await, "/address"), "10.10.0.2");
    world.finish().await;
}

#[tokio::test]
async fn tasks_that_take_their_time_are_followed_to_their_end() {
    let timing = proxmox_simulator::Timing {
        guest_boot: std::time::Duration::ZERO,
        ..proxmox_simulator::Timing::realistic().scaled(0.04)
    };
    let world = World::starting(crate::world::Start { timing, ..crate::world::Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;

    // The tasks run in the machine's time and the clock stands, so what is due is asked again until they have ended.
    let waiting = async {
        while world.state(&ann, &vm).await != "running" {
            world.run_due_jobs().await;
            world.advance(TimeDelta::milliseconds(500));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.unwrap();

    assert_eq!(world.our_guests().len(), 1);
    world.finish().await;
}
