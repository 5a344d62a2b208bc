//! What the cluster says about machines that nobody told us to change, and what follows for the bill.

use chrono::TimeDelta;

use crate::world::{Customer, World, text};

async fn with_running_vm() -> (World, Customer, String) {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    (world, ann, vm)
}

#[tokio::test]
async fn a_machine_that_was_shut_down_from_inside_is_seen_and_metered_as_stopped() {
    let (world, ann, vm) = with_running_vm().await;
    world.advance(TimeDelta::minutes(15));
    world.simulator.power_off_from_inside(world.vmid(&vm));

    world.look().await;
    world.advance(TimeDelta::minutes(45));
    world.charge().await;

    assert_eq!(world.state(&ann, &vm).await, "stopped");
    // 0.02 × 15 min + 0.005 × 45 min.
    assert_eq!(world.balance(&ann).await, "4.991250");
    assert!(world.events().await.contains(&"vm.observed".to_owned()));
    world.tell(&ann, &vm, "start").await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_was_moved_is_followed() {
    let (world, ann, vm) = with_running_vm().await;
    let vmid = world.vmid(&vm);
    let from = world.guest(&vm).unwrap().node;
    let to = if from == "pve1" { "pve2" } else { "pve1" };
    world.simulator.move_guest(vmid, to);

    world.look().await;
    assert_eq!(world.text("select node from vms").await, to);
    // And again without a look in between: the job looks for itself.
    world.simulator.move_guest(vmid, &from);
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;

    assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed");
    assert!(world.guest(&vm).unwrap().process.is_none());
    world.finish().await;
}

#[tokio::test]
async fn a_machine_is_missing_after_two_looks_and_never_after_one() {
    let (world, ann, vm) = with_running_vm().await;
    world.hours_with_passes(1).await;
    world.simulator.remove_guest(world.vmid(&vm));

    world.look().await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    assert_eq!(
        world.count("select count(*) from meter_intervals where upper_inf(during) and plan_id is not null").await,
        1,
        "one look proves nothing"
    );
    world.advance(TimeDelta::minutes(1));
    world.look().await;

    let shown = world.vm(&ann, &vm).await;
    assert_eq!(text(&shown, "/state"), "unknown");
    assert!(text(&shown, "/state_reason").contains("not found"), "{shown}");
    assert_eq!(text(&shown, "/price_per_hour"), "0");
    world.hours(5);
    world.charge().await;
    assert_eq!(world.balance(&ann).await, "4.979667", "an hour and a minute, and nothing after");
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;
    world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_is_seen_again_after_one_look_was_never_missing() {
    let (world, ann, vm) = with_running_vm().await;
    // A list that lagged for the time of one look.
    world.execute("update vms set missing_looks = 1").await;

    world.look().await;

    assert_eq!(world.count("select missing_looks::bigint from vms").await, 0);
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.finish().await;
}

#[tokio::test]
async fn time_in_which_a_cluster_cannot_be_seen_is_ours() {
    let (world, ann, vm) = with_running_vm().await;
    world.advance(TimeDelta::minutes(10));
    world.look().await;
    world.simulator.set_away(true);
    world.advance(TimeDelta::minutes(1));
    world.look().await;

    let shown = world.vm(&ann, &vm).await;
    assert_eq!(text(&shown, "/state"), "unknown");
    assert_eq!(text(&shown, "/state_since"), "2026-11-10T12:10:00Z", "since the last good look");
    assert!(world.wallet(&ann).await.burn_per_hour.is_zero());
    world.advance(TimeDelta::minutes(169));
    world.charge().await;
    assert_eq!(world.balance(&ann).await, "4.996667", "ten minutes of 0.02");
    world.simulator.set_away(false);
    world.look().await;
    assert_eq!(world.state(&ann, &vm).await, "running");
    world.hours_with_passes(1).await;

    assert_eq!(world.balance(&ann).await, "4.976667", "and the hour after it came back");
    assert_eq!(world.count("select count(*) from clusters where unreachable_since is not null").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn what_is_charged_stays_charged_when_a_cluster_goes_away_later() {
    let (world, ann, vm) = with_running_vm().await;
    world.look().await;
    // Nobody looks for an hour and a half; the pass charges the full hour, then the cluster turns out to be away.
    world.hours_with_passes(1).await;
    world.advance(TimeDelta::minutes(30));
    world.simulator.set_away(true);
    world.look().await;
    world.hours_with_passes(3).await;
    assert_eq!(world.balance(&ann).await, "4.980000");
    world.simulator.set_away(false);
    world.look().await;
    world.advance(TimeDelta::minutes(30));
    world.charge().await;

    assert_eq!(world.state(&ann, &vm).await, "running");
    assert_eq!(world.balance(&ann).await, "4.970000");
    world.finish().await;
}

#[tokio::test]
async fn a_foreign_guest_under_our_vmid_is_not_taken_for_ours() {
    let (world, ann, vm) = with_running_vm().await;
    let vmid = world.vmid(&vm);
    world.simulator.remove_guest(vmid);
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    client
        .clone_vm("pve1", 9000, &proxmox_client::CloneVm::new(vmid).name("theirs").full(true).storage("shared"))
        .await
        .unwrap();
    client.set_vm_config("pve1", vmid, &proxmox_client::ConfigChange::new().tags(["theirs".to_owned()])).await.unwrap();

    world.look().await;
    world.look().await;
    assert_eq!(world.state(&ann, &vm).await, "unknown");
    world.tell(&ann, &vm, "stop").await;
    world.settle().await;

    assert_eq!(world.simulator.guests().iter().find(|guest| guest.vmid == vmid).unwrap().name(), "theirs");
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;
    assert_eq!(world.simulator.guests().iter().find(|guest| guest.vmid == vmid).unwrap().name(), "theirs");
    world.finish().await;
}
