//! `kill -9` of a real worker process at every point of making and deleting a machine: whoever goes on finishes the work or
//! undoes it, once.

use std::process::Stdio;
use std::time::Duration;

use chrono::TimeDelta;
use proxmox_simulator::{Fault, FaultKind};
use tokio::process::Command;
use uni_manager::fault;

use crate::fault_matrix::table;
use crate::world::{Customer, Start, World, machine_time, text};

/// How long a process may take to reach its end.
const DEATH_SECONDS_MAX: u64 = 60;

/// Every point of making a machine, in order.
const CREATE: [&str; 23] = [
    "vm.create.lease.leased",
    "vm.create.lease.done",
    "vm.create.lease.saved",
    "vm.create.clone.sent",
    "vm.create.clone.remembered",
    "vm.create.clone.done",
    "vm.create.clone.saved",
    "vm.create.configure.done",
    "vm.create.configure.saved",
    "vm.create.seed.done",
    "vm.create.seed.saved",
    "vm.create.resize.sent",
    "vm.create.resize.remembered",
    "vm.create.resize.done",
    "vm.create.resize.saved",
    "vm.create.start.sent",
    "vm.create.start.remembered",
    "vm.create.start.done",
    "vm.create.start.saved",
    "vm.create.address.done",
    "vm.create.address.saved",
    "vm.create.before_commit",
    "vm.create.committed",
];
/// Every point of undoing one whose start failed.
const UNDO: [&str; 11] = [
    "vm.create.start.undone",
    "vm.create.resize.undone",
    "vm.create.seed.undone",
    "vm.create.configure.undone",
    "vm.create.clone.undo_sent",
    "vm.create.clone.undo_remembered",
    "vm.create.clone.undone",
    "vm.create.clone.saved",
    "vm.create.lease.undone",
    "vm.create.undone.before_commit",
    "vm.create.undone.committed",
];
/// Every point of deleting a machine that runs.
const DELETE: [&str; 10] = [
    "vm.delete.stop.sent",
    "vm.delete.stop.remembered",
    "vm.delete.stop.done",
    "vm.delete.stop.saved",
    "vm.delete.destroy.sent",
    "vm.delete.destroy.remembered",
    "vm.delete.destroy.done",
    "vm.delete.destroy.saved",
    "vm.delete.before_commit",
    "vm.delete.committed",
];

/// A world whose clock shows the machine's time, as the real process does.
pub async fn real_world() -> World {
    World::starting(Start { now: machine_time(), ..Start::default() }).await
}

/// Runs a real worker until it kills itself at a point.
pub async fn die_at(world: &World, point: &str) {
    die_with(world, point, &[]).await;
}

/// The same with further settings.
pub async fn die_with(world: &World, point: &str, settings: &[(&str, &str)]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_uni-manager"))
        .args(["serve", "--web=false", "--database-connections=6"])
        .envs(world.environment())
        .envs(settings.iter().copied())
        .env(fault::VARIABLE, point)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let status = tokio::time::timeout(Duration::from_secs(DEATH_SECONDS_MAX), child.wait())
        .await
        .unwrap_or_else(|_| panic!("{point} was never reached"))
        .unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9),
        "killed at {point}, not ended: {status}"
    );
}

/// The time of the dead process has passed, and with it the lease of its job.
pub fn outlive(world: &World) {
    world.app.clock.set(machine_time().max(world.now()) + TimeDelta::seconds(61));
}

async fn a_world() -> (World, Customer) {
    let world = real_world().await;
    let ann = world.customer("ann", "50").await;
    (world, ann)
}

#[tokio::test]
async fn a_machine_is_made_once_wherever_the_worker_is_killed() {
    let (world, ann) = a_world().await;
    for (number, point) in CREATE.into_iter().enumerate() {
        world.app.clock.set(machine_time());
        let vm = world.order(&ann, &format!("web-{number}")).await;
        die_at(&world, point).await;
        outlive(&world);
        world.settle().await;

        assert_eq!(world.state(&ann, &vm).await, "running", "{point}");
        let guests = world
            .our_guests()
            .into_iter()
            .filter(|guest| guest.config.get("description").is_some_and(|text| text.contains(&vm)))
            .count();
        assert_eq!(guests, 1, "{point}: exactly one guest");
        assert!(world.guest(&vm).unwrap().process.is_some(), "{point}");
        world.check().await;
    }
    assert_eq!(world.count("select count(*) from holds").await, 0);
    table::note_kills(&CREATE, "done");
    world.finish().await;
}

#[tokio::test]
async fn an_order_that_cannot_be_made_is_undone_wherever_the_worker_is_killed() {
    let (world, ann) = a_world().await;
    for (number, point) in UNDO.into_iter().enumerate() {
        world.app.clock.set(machine_time());
        world.simulator.faults().inject(Fault::once("POST", "/status/start", FaultKind::TaskFails("no KVM".into())));
        let vm = world.order(&ann, &format!("web-{number}")).await;
        // `clone.saved` is passed on the way there as well: the worker dies there, and the rest is undone by the next one.
        die_at(&world, point).await;
        outlive(&world);
        world.settle().await;

        assert_eq!(world.state(&ann, &vm).await, "failed", "{point}");
        assert!(world.our_guests().is_empty(), "{point}: nothing is left");
        assert_eq!(world.wallet(&ann).await.available().to_string(), "50.000000", "{point}");
        world.check().await;
    }
    table::note_kills(&UNDO, "undone");
    world.finish().await;
}

#[tokio::test]
async fn a_deletion_is_finished_wherever_the_worker_is_killed() {
    let (world, ann) = a_world().await;
    for (number, point) in DELETE.into_iter().enumerate() {
        world.app.clock.set(machine_time().max(world.now()));
        let vm = world.running_vm(&ann, &format!("web-{number}")).await;
        let accepted = world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
        assert_eq!(text(&accepted, "/job/type"), "vm.delete");
        // The process reads the machine's clock, which the jobs must be due by.
        world.execute("update jobs set run_at = run_at - interval '1 hour'").await;
        die_at(&world, point).await;
        outlive(&world);
        world.settle().await;

        world.get(&ann, &format!("/vms/{vm}")).await.problem(404);
        assert!(world.our_guests().is_empty(), "{point}: nothing is left");
        world.check().await;
    }
    assert_eq!(world.count("select count(*) from addresses where vm_id is not null").await, 0);
    table::note_kills(&DELETE, "done");
    world.finish().await;
}
