//! `kill -9` of a real worker process at every point of every operation on a machine that exists: the next worker finishes the
//! work, once. Making, deleting and adopting are killed in their own tests.

use chrono::TimeDelta;
use uni_manager::jobs::Kind;

use super::operation::Operation;
use super::stage::Stage;
use super::table;
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
        (_, "configure" | "address") => vec![],
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

async fn kill(operation: Operation) {
    let start = Start { now: machine_time() - TimeDelta::minutes(2 * BEFORE_MINUTES), ..Start::default() };
    let stage = Stage::new(World::starting(start).await).await;
    let world = &stage.world;
    let kind = operation.kind();
    for (index, step) in kind.steps().iter().enumerate() {
        let within = points(kind, step.name).into_iter().map(|point| format!("{}.{point}", step.name));
        let last = index + 1 == kind.steps().len();
        let end = ["before_commit", "committed"].into_iter().filter(|_| last).map(str::to_owned);
        let points: Vec<String> = within.chain(end).map(|point| format!("{}.{point}", kind.name())).collect();
        for point in &points {
            world.app.clock.set(machine_time() - TimeDelta::minutes(BEFORE_MINUTES));
            let made = operation.prepare(&stage).await.unwrap();
            let before = stage.guest(&made).await;
            world.app.clock.set(machine_time());
            let vm = operation.ask(&stage, Some(&made)).await;
            die_at(world, point).await;
            // The lease of the dead has run out.
            world
                .execute(
                    "update jobs set leased_until = null, run_at = run_at - interval '1 hour' where status = 'running'",
                )
                .await;
            world.app.clock.set(machine_time());
            world.settle().await;

            assert_eq!(stage.last_job(&vm).await.status, "completed", "{point}: {}", stage.last_job(&vm).await.error);
            // What is sent once and cannot be seen afterwards may not have been sent at all.
            operation.assert_done(&stage, &vm, before.as_ref(), point).await;
            world.check().await;
            world.delete(&stage.ann, &format!("/vms/{vm}")).await.expect(202);
            world.settle().await;
            world.check().await;
        }
        table::note_kills(operation, index, step.name, points.len());
    }
    table::write();
    stage.world.finish().await;
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
