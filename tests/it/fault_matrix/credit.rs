//! A wallet that runs out while an operation is under way: nothing runs on without credit, whichever way the operation ends.

use proxmox_simulator::{Fault, FaultKind};

use super::operation::Operation;
use super::stage::Stage;
use crate::world::{World, text};

/// A machine of plan S whose wallet has credit for three more hours of it.
async fn nearly_empty() -> (Stage, String) {
    let stage = Stage::with(World::new().await, "0.50").await;
    let vm = stage.world.running_vm(&stage.ann, &stage.name()).await;
    stage.world.hours_with_passes(22).await;
    (stage, vm)
}

/// Lets the credit run out while a job is at a step, and the job go on to its end.
async fn run_out(operation: Operation, step: &str, fault: Option<Fault>) {
    let (stage, vm) = nearly_empty().await;
    let (world, ann) = (&stage.world, &stage.ann);
    let steps = operation.kind().steps();
    operation.ask(&stage, Some(&vm)).await;
    let step = steps.iter().position(|known| known.name == step).unwrap();
    stage.run_until(step).await;
    let failing = fault.is_some();
    if let Some(fault) = fault {
        world.simulator.faults().inject(fault);
    }
    world.hours_with_passes(30).await;
    assert!(world.wallet(ann).await.exhausted_at.is_some(), "the credit is used up meanwhile");
    world.settle().await;

    let first = "select status from jobs where vm_id = (select id from vms limit 1) and kind = $1";
    let status: String =
        sqlx::query_scalar(first).bind(operation.kind().name()).fetch_one(&world.app.pool).await.unwrap();
    assert_eq!(status, if failing { "failed" } else { "completed" });
    assert_eq!(world.state(ann, &vm).await, "stopped", "nothing runs without credit");
    assert!(stage.guest(&vm).await.unwrap().process.is_none());
    assert!(!world.wallet(ann).await.balance.is_negative());
    world.credit(ann, "5").await;
    world.settle().await;
    assert_eq!(world.state(ann, &vm).await, "running", "credit starts it again");
    let plan = if failing || operation != Operation::Resize { "s" } else { "m" };
    assert_eq!(stage.row(&vm).await.plan, plan);
    stage.world.finish().await;
}

#[tokio::test]
async fn a_resize_ends_stopped_when_the_credit_runs_out_meanwhile() {
    run_out(Operation::Resize, "size", None).await;
}

#[tokio::test]
async fn a_resize_that_is_undone_ends_stopped_when_the_credit_runs_out_meanwhile() {
    let refusal = FaultKind::Refuse { status: 500, message: "storage 'shared' is not online".into() };
    run_out(Operation::Resize, "size", Some(Fault::once("PUT", "/config", refusal))).await;
}

#[tokio::test]
async fn a_resize_that_has_not_begun_ends_stopped_when_the_credit_runs_out_meanwhile() {
    run_out(Operation::Resize, "shutdown", None).await;
}

#[tokio::test]
async fn a_rebuild_ends_stopped_when_the_credit_runs_out_before_it_changes_over() {
    run_out(Operation::Rebuild, "swap", None).await;
}

#[tokio::test]
async fn a_rebuild_ends_stopped_when_the_credit_runs_out_while_the_image_is_copied() {
    run_out(Operation::Rebuild, "clone", None).await;
}

#[tokio::test]
async fn a_rebuild_that_is_undone_ends_stopped_when_the_credit_runs_out_meanwhile() {
    let failure = FaultKind::TaskFails("no KVM".into());
    run_out(Operation::Rebuild, "start", Some(Fault::once("POST", "/status/start", failure))).await;
}

#[tokio::test]
async fn a_rebuild_needs_an_hour_of_credit() {
    let (stage, vm) = nearly_empty().await;
    stage.world.hours_with_passes(2).await;
    stage.world.advance(chrono::TimeDelta::minutes(30));
    stage.world.tell(&stage.ann, &vm, "shutdown").await.expect(202);
    stage.world.run_due_jobs().await;
    stage.world.advance(chrono::TimeDelta::minutes(30));
    stage.world.charge().await;
    let new = uni_manager::vms::Rebuild { image: stage.world.images[1], ssh_keys: Vec::new(), user_data: None };
    let system = uni_manager::audit::Actor::system();
    let organisation = stage.ann.organisation;

    let refused = uni_manager::vms::rebuild(&stage.world.app, organisation, vm.parse().unwrap(), &new, &system).await;

    assert!(matches!(refused, Err(uni_manager::error::Error::NotEnoughCredit { .. })), "{refused:?}");
    assert_eq!(text(&stage.world.vm(&stage.ann, &vm).await, "/state"), "stopped");
    stage.world.finish().await;
}
