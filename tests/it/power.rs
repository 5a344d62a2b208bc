//! Starting, shutting down, stopping and rebooting, as people ask for it.

use serde_json::json;

use crate::world::{World, text};

#[tokio::test]
async fn a_machine_is_shut_down_started_rebooted_and_stopped() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let runs = || world.guest(&vm).unwrap().process.is_some();

    for (what, kind, state) in [
        ("shutdown", "vm.shutdown", "stopped"),
        ("start", "vm.start", "running"),
        ("reboot", "vm.reboot", "running"),
        ("stop", "vm.stop", "stopped"),
    ] {
        let before = world.guest(&vm).unwrap().process.map(|process| process.started);
        let accepted = world.tell(&ann, &vm, what).await.expect(202);
        assert_eq!(text(&accepted, "/job/type"), kind);
        world.run_due_jobs().await;

        assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed", "{what}");
        assert_eq!(world.state(&ann, &vm).await, state, "{what}");
        assert_eq!(runs(), state == "running", "{what}");
        if what == "reboot" {
            assert_ne!(
                world.guest(&vm).unwrap().process.map(|process| process.started),
                before,
                "it was really rebooted"
            );
        }
    }
    let rates = world.text("select string_agg(replace(kind, 'vm_', ''), ' ' order by lower(during)) from meter_intervals where plan_id is not null").await;
    assert!(rates.ends_with("stopped"), "what it is now is what is metered: {rates}");
    world.finish().await;
}

#[tokio::test]
async fn what_makes_no_sense_now_is_refused_in_words() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;

    let busy = world.tell(&ann, &vm, "shutdown").await.problem(409);
    assert!(text(&busy, "/detail").contains("busy"), "{busy}");
    world.run_due_jobs().await;
    let running = world.tell(&ann, &vm, "start").await.problem(409);
    assert_eq!(text(&running, "/detail"), "web is running already.");
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.tell(&ann, &vm, "shutdown").await.problem(409);
    world.delete(&ann, &format!("/vms/{vm}")).await.problem(409);
    world.run_due_jobs().await;
    for what in ["shutdown", "stop", "reboot"] {
        world.tell(&ann, &vm, what).await.problem(409);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_guest_that_ignores_its_power_button_is_told_apart_from_one_that_obeys() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    world.simulator.ignore_power_button(world.vmid(&vm), true);

    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.settle().await;

    assert_eq!(text(&world.last_job(&ann).await, "/status"), "failed");
    assert!(
        world.text("select error from jobs where kind = 'vm.shutdown'").await.contains("did not shut down within 60 s")
    );
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.tell(&ann, &vm, "stop").await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    world.finish().await;
}

#[tokio::test]
async fn a_start_needs_an_hour_of_credit() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.50").await;
    let vm = world.running_vm(&ann, "web").await;
    // 24.5 hours at 0.02 leave 0.01.
    world.advance(chrono::TimeDelta::minutes(24 * 60 + 30));
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.advance(chrono::TimeDelta::minutes(30));
    world.charge().await;

    let refused = world.tell(&ann, &vm, "start").await.problem(402);
    // Half an hour off cost another 0.0025.
    assert_eq!(text(&refused, "/short_by"), "0.012500");
    world.credit(&ann, "0.0125").await;
    world.tell(&ann, &vm, "start").await.expect(202);
    world.run_due_jobs().await;

    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn a_reboot_whose_answer_is_lost_is_not_sent_twice() {
    use proxmox_simulator::{Fault, FaultKind};
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let reboots = || {
        world
            .simulator
            .guests()
            .iter()
            .filter_map(|guest| guest.process.as_ref())
            .map(|process| process.pid)
            .collect::<Vec<_>>()
    };
    world.simulator.faults().inject(Fault::once("POST", "/status/reboot", FaultKind::DropAfter));

    world.tell(&ann, &vm, "reboot").await.expect(202);
    world.run_due_jobs().await;
    let after_the_first = reboots();
    world.settle().await;

    assert_eq!(reboots(), after_the_first);
    assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed");
    world.finish().await;
}

#[tokio::test]
async fn a_power_change_of_nothing_is_not_found() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;

    for what in ["start", "shutdown", "stop", "reboot"] {
        let answer = world.post(&ann, &format!("/vms/00000000-0000-7000-8000-00000000dead/{what}"), &json!({})).await;
        answer.problem(404);
    }
    world.finish().await;
}
