//! Deleting machines: what is given back, what is never used again, and undoing one that is still being made.

use chrono::TimeDelta;
use serde_json::json;

use crate::doors::{Somebody, new_key};
use crate::world::{World, text};

#[tokio::test]
async fn deleting_gives_the_address_back_to_rest_and_never_the_vmid() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let first = world.running_vm(&ann, "one").await;
    assert_eq!((world.vmid(&first), text(&world.vm(&ann, &first).await, "/address")), (10_000, "10.10.0.2"));

    let accepted = world.delete(&ann, &format!("/vms/{first}")).await.expect(202);
    assert_eq!(text(&accepted, "/vm/state"), "deleting");
    assert_eq!(text(&accepted, "/job/type"), "vm.delete");
    world.run_due_jobs().await;

    world.get(&ann, &format!("/vms/{first}")).await.problem(404);
    assert!(world.our_guests().is_empty());
    let second = world.running_vm(&ann, "two").await;
    assert_eq!(
        (world.vmid(&second), text(&world.vm(&ann, &second).await, "/address")),
        (10_001, "10.10.0.3"),
        "the first address rests"
    );
    world.advance(TimeDelta::hours(24));
    let third = world.running_vm(&ann, "three").await;
    assert_eq!(
        (world.vmid(&third), text(&world.vm(&ann, &third).await, "/address")),
        (10_002, "10.10.0.2"),
        "a day later it is given out again"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_deleted_machine_costs_nothing_more() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    world.advance(TimeDelta::minutes(30));

    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;
    world.hours(40);
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "4.990000", "half an hour of 0.02");
    assert!(world.wallet(&ann).await.burn_per_hour.is_zero());
    world.finish().await;
}

#[tokio::test]
async fn a_cancelled_order_leaves_nothing_behind() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    for steps_before in [0, 1, 2, 4, 5, 6] {
        let vm = world.order(&ann, "web").await;
        stop_after(&world, steps_before).await;

        let job = world.last_job(&ann).await;
        world.delete(&ann, &format!("/jobs/{}", text(&job, "/id"))).await.expect(202);
        world.settle().await;

        world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
        assert_eq!(text(&world.last_job(&ann).await, "/status"), "cancelled", "after {steps_before} steps");
        assert!(world.our_guests().is_empty(), "after {steps_before} steps");
        assert_eq!(world.balance(&ann).await, "5.000000");
        assert_eq!(world.wallet(&ann).await.available().to_string(), "5.000000", "the hold is released");
    }
    world.finish().await;
}

/// Lets an order get through this many steps, of which the fourth asks nothing of the cluster: the next call to the cluster finds it away.
async fn stop_after(world: &World, steps: usize) {
    use proxmox_simulator::{Fault, FaultKind};
    let refuse = |method: &str, path: &str| Fault::once(method, path, FaultKind::DropBefore);
    match steps {
        0 => return,
        1 => world.simulator.faults().inject(refuse("POST", "/clone")),
        2 => world.simulator.faults().inject(refuse("PUT", "/config")),
        4 => world.simulator.faults().inject(refuse("PUT", "/resize")),
        5 => world.simulator.faults().inject(refuse("POST", "/status/start")),
        _ => world.simulator.faults().inject(Fault::once("GET", "/agent/", FaultKind::Proxy595)),
    }
    world.run_due_jobs().await;
    assert_eq!(
        world.count("select count(*) from jobs where status = 'pending' and step > 0").await,
        1,
        "stopped after {steps} steps"
    );
    assert_eq!(
        world.count("select step::bigint from jobs order by number desc limit 1").await,
        i64::try_from(steps).unwrap()
    );
    world.simulator.faults().clear();
}

#[tokio::test]
async fn deleting_a_machine_that_is_being_made_undoes_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    stop_after(&world, 4).await;
    assert_eq!(world.our_guests().len(), 1);

    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.settle().await;

    world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
    assert!(world.our_guests().is_empty());
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.delete'").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_job_that_is_over_or_cannot_go_back_is_not_cancelled() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let made = world.last_job(&ann).await;
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    let shutdown = world.last_job(&ann).await;

    for job in [made, shutdown] {
        world.delete(&ann, &format!("/jobs/{}", text(&job, "/id"))).await.problem(409);
    }
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    world.finish().await;
}

#[tokio::test]
async fn a_guest_that_is_not_ours_any_more_survives_the_deletion() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    let vmid = world.vmid(&vm);
    // Somebody removed our guest and put his own under its VMID.
    world.simulator.remove_guest(vmid);
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    client
        .clone_vm("pve1", 9000, &proxmox_client::CloneVm::new(vmid).name("theirs").full(true).storage("shared"))
        .await
        .unwrap();

    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;

    world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
    let left = world.simulator.guests().into_iter().find(|guest| guest.vmid == vmid).unwrap();
    assert_eq!(left.name(), "theirs");
    world.finish().await;
}

#[tokio::test]
async fn a_job_is_called_off_by_who_might_have_asked_for_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let olga = Somebody::joins(&world, "olga", ann.organisation).await;
    olga.may(&world, &["vm.view", "vm.configure"]).await;
    let key = new_key(&world, &ann, &["vm.view", "vm.configure"]).await;
    world.order(&ann, "web").await;
    let job = format!("/api/v1/jobs/{}", text(&world.last_job(&ann).await, "/id"));

    for refused in
        [olga.asks(&world, "DELETE", &job, &json!({})).await, key.asks(&world, "DELETE", &job, &json!({})).await]
    {
        assert_eq!(text(&refused.problem(403), "/permission"), "vm.create");
    }
    olga.may(&world, &["vm.view", "vm.configure", "vm.create"]).await;
    olga.asks(&world, "DELETE", &job, &json!({})).await.expect(202);
    world.settle().await;
    world.finish().await;
}
