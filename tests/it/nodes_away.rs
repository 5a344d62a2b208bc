//! A node that dies while its cluster answers: its machines are unknown, nobody pays for that time, and both their owner and
//! the operator read of it.

use chrono::TimeDelta;
use serde_json::json;

use crate::second_factor::browser::Browser;
use crate::world::{Customer, World, text};

/// The other of the two nodes.
fn other(node: &str) -> &'static str {
    if node == "pve1" { "pve2" } else { "pve1" }
}

/// A machine that has run for an hour, and the node it is on.
async fn with_running_vm() -> (World, Customer, String, String) {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    world.hours_with_passes(1).await;
    world.look().await;
    let node = world.guest(&vm).unwrap().node;
    (world, ann, vm, node)
}

#[tokio::test]
async fn a_machine_on_a_dead_node_is_unknown_and_costs_nothing() {
    let (world, ann, vm, node) = with_running_vm().await;
    assert_eq!(world.balance(&ann).await, "4.980000");
    world.advance(TimeDelta::minutes(10));
    world.simulator.kill_node(&node);
    world.advance(TimeDelta::minutes(20));

    world.look().await;

    let shown = world.vm(&ann, &vm).await;
    assert_eq!(text(&shown, "/state"), "unknown");
    assert!(text(&shown, "/state_reason").contains("server it runs on"), "{shown}");
    assert_eq!(text(&shown, "/price_per_hour"), "0");
    world.hours(5);
    world.look().await;
    world.charge().await;
    assert_eq!(world.balance(&ann).await, "4.980000", "nothing after the last look that saw it");
    let listed = world.get(&ann, "/uncharged-times").await.expect(200);
    let expected =
        json!([{ "vm_id": vm, "vm_name": "web", "from": "2026-11-10T13:00:00Z", "to": null, "reason": "node_away" }]);
    assert_eq!(listed["items"], expected);

    world.simulator.revive_node(&node);
    world.look().await;
    assert_eq!(text(&world.vm(&ann, &vm).await, "/state"), "stopped", "it has lost its power");
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.977500", "half an hour as stopped, until the full one");
    let listed = world.get(&ann, "/uncharged-times").await.expect(200);
    assert_eq!(listed["items"][0]["to"], "2026-11-10T18:30:00Z");
    world.finish().await;
}

#[tokio::test]
async fn only_the_machines_of_the_dead_node_are_concerned_and_one_that_ha_moves_is_charged_again() {
    let (world, ann, first, node) = with_running_vm().await;
    let second = world.running_vm(&ann, "db").await;
    world.simulator.move_guest(world.vmid(&second), other(&node));
    world.look().await;
    world.simulator.kill_node(&node);
    world.look().await;

    assert_eq!(world.state(&ann, &first).await, "unknown");
    assert_eq!(world.state(&ann, &second).await, "running");
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.960000", "an hour of the second");

    // High availability starts it elsewhere.
    world.simulator.move_guest(world.vmid(&first), other(&node));
    world.look().await;
    assert_eq!(world.state(&ann, &first).await, "stopped");
    assert_eq!(world.text("select node from vms where name = 'web'").await, other(&node));
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.935000", "an hour of both, one of them off");
    world.finish().await;
}

#[tokio::test]
async fn a_job_that_waits_for_a_dead_node_holds_no_bill_open() {
    let (world, ann, vm, node) = with_running_vm().await;
    world.simulator.kill_node(&node);
    world.tell(&ann, &vm, "reboot").await.expect(202);
    world.run_due_jobs().await;
    world.look().await;

    assert_eq!(world.state(&ann, &vm).await, "unknown");
    world.hours_with_passes(3).await;
    assert_eq!(world.balance(&ann).await, "4.980000");
    world.simulator.revive_node(&node);
    world.settle().await;
    world.look().await;
    let state = world.state(&ann, &vm).await;
    assert!(["running", "stopped"].contains(&state.as_str()), "{state}");
    world.hours_with_passes(1).await;
    assert!(world.balance(&ann).await.as_str() < "4.980000", "it is charged again");
    world.finish().await;
}

#[tokio::test]
async fn its_owner_and_the_operator_read_of_it() {
    let (world, ann, vm, node) = with_running_vm().await;
    let admin = world.admin().await;
    world.simulator.kill_node(&node);
    world.look().await;
    world.hours(1);

    let mut browser = Browser::logged_in(&world, &ann).await;
    let charges = browser.get(&world, "/wallet/charges").await.text;
    assert!(charges.contains("Not charged") && charges.contains("Its node did not answer"), "{charges}");
    let timeline = browser.get(&world, &format!("/vms/{vm}")).await.text;
    assert!(timeline.contains("did not reach the server of the VM"), "{timeline}");
    let mut staff = Browser::logged_in(&world, &admin).await;
    let home = staff.get(&world, "/admin").await.text;
    assert!(home.contains(&format!("Node {node} of ")) && home.contains("is not online"), "{home}");

    world.simulator.revive_node(&node);
    world.look().await;
    let home = staff.get(&world, "/admin").await.text;
    assert!(!home.contains("is not online"), "{home}");
    world.finish().await;
}
