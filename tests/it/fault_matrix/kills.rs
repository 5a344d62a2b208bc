//! `kill -9` of a real worker process at every point of every operation on a machine that exists: the next worker finishes the
//! work, once. Making, deleting and adopting are killed in their own tests.

use chrono::TimeDelta;
use proxmox_simulator::{Fault, FaultKind};
use uni_manager::jobs::Kind;

use super::operation::Operation;
use super::stage::Stage;
use super::{Before, table};
use crate::kill::die_at;
use crate::world::{Start, World, machine_time};

/// How long before an operation its machine was made: what the operation needs takes a while.
const BEFORE_MINUTES: i64 = 10;
/// The points of a step that starts a Proxmox task.
const TASK: &[&str] = &["sent", "remembered"];

/// The points within a step; `done` and `saved` come after them in every step.
fn points(kind: Kind, step: &str) -> Vec<&'static str> {
    let mut points: Vec<&'static str> = match (kind, step) {
        (_, "lease") => vec!["leased"],
        (_, "configure" | "address" | "seed") => vec![],
        (Kind::VmResize, "start") | (_, "clone" | "resize") => TASK.to_vec(),
        (Kind::VmResize, "grow" | "move" | "shutdown") | (Kind::VmMigrate, "migrate") => [TASK, &["noted"]].concat(),
        (Kind::VmRebuild, "stop" | "start") | (Kind::VmBoot, "stop") | (Kind::VmEnforce, "shutdown") => {
            [TASK, &["noted"]].concat()
        }
        (Kind::VmRebuild, "swap") => vec!["swapped"],
        (Kind::VmRebuild, "destroy") => [TASK, &["released"]].concat(),
        (_, "size" | "apply" | "set" | "password") => vec!["written"],
        (_, "reboot" | "reset") => [&["marked"], TASK].concat(),
        _ => TASK.to_vec(),
    };
    points.extend(["done", "saved"]);
    points
}

/// Every point of an operation that goes well, in order.
fn all_points(kind: Kind) -> Vec<String> {
    let within = kind
        .steps()
        .iter()
        .flat_map(|step| points(kind, step.name).into_iter().map(|point| format!("{}.{point}", step.name)));
    let end = ["before_commit", "committed"].map(str::to_owned);
    within.chain(end).map(|point| format!("{}.{point}", kind.name())).collect()
}

async fn a_stage() -> Stage {
    let start = Start { now: machine_time() - TimeDelta::minutes(2 * BEFORE_MINUTES), ..Start::default() };
    Stage::new(World::starting(start).await).await
}

/// Makes the machine, asks for the operation, kills the worker at a point and lets another one go on.
async fn die_in(stage: &Stage, operation: Operation, point: &str, fault: Option<&Fault>) -> (String, Before) {
    let world = &stage.world;
    world.app.clock.set(machine_time() - TimeDelta::minutes(BEFORE_MINUTES));
    let made = operation.prepare(stage).await.unwrap();
    let before = Before { row: Some(stage.row(&made).await), guest: stage.guest(&made).await };
    world.app.clock.set(machine_time());
    let vm = operation.ask(stage, Some(&made)).await;
    if let Some(fault) = fault {
        world.simulator.faults().inject(fault.clone());
    }
    die_at(world, point).await;
    // The lease of the dead has run out.
    world
        .execute("update jobs set leased_until = null, run_at = run_at - interval '1 hour' where status = 'running'")
        .await;
    world.app.clock.set(machine_time());
    world.settle().await;
    (vm, before)
}

async fn take_away(stage: &Stage, vm: &str) {
    stage.world.check().await;
    stage.world.delete(&stage.ann, &format!("/vms/{vm}")).await.expect(202);
    stage.world.settle().await;
    stage.world.check().await;
}

async fn kill(operation: Operation) {
    let stage = a_stage().await;
    let points = all_points(operation.kind());
    for point in &points {
        let (vm, before) = die_in(&stage, operation, point, None).await;
        let job = stage.last_job(&vm).await;
        assert_eq!(job.status, "completed", "{point}: {}", job.error);
        operation.assert_done(&stage, &vm, before.guest.as_ref(), point).await;
        take_away(&stage, &vm).await;
    }
    table::note_kills(&points, "done");
    stage.world.finish().await;
}

fn refused(method: &str, path: &str, times: u32) -> Fault {
    let refusal = FaultKind::Refuse { status: 500, message: "storage 'shared' is not online".into() };
    Fault { times, ..Fault::once(method, path, refusal) }
}

/// Kills the worker while it undoes an operation one of whose calls was refused.
async fn kill_undoing(operation: Operation, fault: Fault, points: &[&str]) {
    let stage = a_stage().await;
    let points: Vec<String> = points.iter().map(|point| format!("{}.{point}", operation.kind().name())).collect();
    for point in &points {
        let (vm, before) = die_in(&stage, operation, point, Some(&fault)).await;
        let job = stage.last_job(&vm).await;
        assert_eq!(job.status, "failed", "{point}: {}", job.error);
        super::assert_as_before(&stage, operation, &vm, &before, point).await;
        take_away(&stage, &vm).await;
    }
    table::note_kills(&points, "undone");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_resize_is_undone_wherever_the_worker_is_killed() {
    let points = [
        "start.undone",
        "grow.undone",
        "size.undone",
        "move.undone",
        "shutdown.undo_sent",
        "shutdown.undo_remembered",
        "shutdown.undo_noted",
        "shutdown.undone",
        "undone.before_commit",
        "undone.committed",
    ];
    kill_undoing(Operation::Resize, refused("POST", "/status/start", 1), &points).await;
}

#[tokio::test]
async fn a_rebuild_is_undone_wherever_the_worker_is_killed() {
    let points = [
        "start.undo_noted",
        "start.undone",
        "swap.swapped_back",
        "swap.undone",
        "stop.undo_sent",
        "stop.undo_remembered",
        "stop.undo_noted",
        "stop.undone",
        "resize.undone",
        "configure.undone",
        "clone.undo_sent",
        "clone.undo_remembered",
        "clone.undone",
        "lease.undone",
        "undone.before_commit",
        "undone.committed",
    ];
    kill_undoing(Operation::Rebuild, refused("POST", "/status/start", 1), &points).await;
}

#[tokio::test]
async fn a_boot_from_cd_is_undone_wherever_the_worker_is_killed() {
    let points = [
        "start.undo_noted",
        "start.undone",
        "apply.put_back",
        "apply.undone",
        "stop.undo_sent",
        "stop.undo_remembered",
        "stop.undo_noted",
        "stop.undone",
        "undone.before_commit",
        "undone.committed",
    ];
    kill_undoing(Operation::Boot, refused("POST", "/status/start", 1), &points).await;
}

#[tokio::test]
async fn an_enforcement_is_undone_wherever_the_worker_is_killed() {
    let points = [
        "set.undone",
        "shutdown.undo_sent",
        "shutdown.undo_remembered",
        "shutdown.undo_noted",
        "shutdown.undone",
        "undone.before_commit",
        "undone.committed",
    ];
    kill_undoing(Operation::Enforce, refused("PUT", "/config", 1), &points).await;
}

#[tokio::test]
async fn settings_and_moves_that_are_refused_fail_wherever_the_worker_is_killed() {
    // What was refused is not written down yet, so the next worker asks again.
    kill_undoing(Operation::Configure, refused("PUT", "/config", 2), &["given_up.before_commit"]).await;
    kill_undoing(Operation::Migrate, refused("POST", "/migrate", 2), &["given_up.before_commit"]).await;
}

macro_rules! rows {
    ($($name:ident $operation:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            kill(Operation::$operation).await;
        })*
    };
}

rows! {
    a_start_is_finished_wherever_the_worker_is_killed Start;
    a_shutdown_is_finished_wherever_the_worker_is_killed Shutdown;
    a_stop_is_finished_wherever_the_worker_is_killed Stop;
    a_reboot_is_finished_wherever_the_worker_is_killed Reboot;
    a_reset_is_finished_wherever_the_worker_is_killed Reset;
    a_suspension_is_finished_wherever_the_worker_is_killed Suspend;
    a_resumption_is_finished_wherever_the_worker_is_killed Resume;
    a_resize_is_finished_wherever_the_worker_is_killed Resize;
    a_rebuild_is_finished_wherever_the_worker_is_killed Rebuild;
    a_migration_is_finished_wherever_the_worker_is_killed Migrate;
    a_configuration_is_finished_wherever_the_worker_is_killed Configure;
    a_boot_from_cd_is_finished_wherever_the_worker_is_killed Boot;
    a_password_is_set_wherever_the_worker_is_killed Password;
    an_enforcement_is_finished_wherever_the_worker_is_killed Enforce;
}
