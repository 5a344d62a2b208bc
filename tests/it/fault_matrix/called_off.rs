//! An operation that is called off while Proxmox is at work for one of its steps: nothing is undone under the hands of a task.

use std::time::Duration;

use proxmox_simulator::Timing;
use uni_manager::audit::Actor;
use uni_manager::jobs;

use super::operation::Operation;
use super::stage::Stage;
use super::{Before, assert_as_before};
use crate::world::{Start, World};

/// How long every task takes.
const TASK: Duration = Duration::from_secs(20);

async fn call_off(operation: Operation) {
    let timing = Timing {
        clone: TASK,
        resize: TASK,
        start: TASK,
        shutdown: TASK,
        stop: TASK,
        delete: TASK,
        ..Timing::instant()
    };
    let stage = Stage::new(World::starting(Start { timing, ..Start::default() }).await).await;
    let world = &stage.world;
    if operation == Operation::Boot {
        stage.offer_cds().await;
    }
    for (step, known) in operation.kind().steps().iter().enumerate() {
        let makes_a_task = operation.call(known.name).is_some_and(|call| call.task);
        // Moves take their own time.
        if !makes_a_task || known.name == "move" || !operation.can_be_cancelled(step) {
            continue;
        }
        let what = format!("{operation:?} × {} × called off at work", known.name);
        let made = if operation == Operation::Create {
            None
        } else {
            let vm = world.order(&stage.ann, &stage.name()).await;
            stage.settle_long().await;
            Some(vm)
        };
        let before = match &made {
            Some(vm) => Before { row: Some(stage.row(vm).await), guest: stage.guest(vm).await },
            None => Before { row: None, guest: None },
        };
        let vm = operation.ask(&stage, made.as_deref()).await;
        stage.run_until(step).await;
        world.run_due_jobs().await;
        let at_work = "select count(*) from jobs where vm_id = $1::uuid and status = 'pending' and scratch ? 'upid'";
        assert_eq!(stage.number(at_work, &vm).await, 1, "{what}: Proxmox is at work");
        let job = stage.last_job(&vm).await.id.to_string().parse().unwrap();
        jobs::cancel(&world.app, Some(stage.ann.organisation), job, &Actor::system()).await.unwrap();
        world.run_due_jobs().await;
        assert_eq!(stage.last_job(&vm).await.status, "pending", "{what}: the task is waited for");
        stage.settle_long().await;

        assert_eq!(stage.last_job(&vm).await.status, "cancelled", "{what}: {}", stage.last_job(&vm).await.error);
        assert_as_before(&stage, operation, &vm, &before, &what).await;
        world.check().await;
        if made.is_some() {
            world.delete(&stage.ann, &format!("/vms/{vm}")).await.expect(202);
            stage.settle_long().await;
        }
    }
    stage.world.finish().await;
}

#[tokio::test]
async fn a_creation_is_called_off_at_work() {
    call_off(Operation::Create).await;
}

#[tokio::test]
async fn a_resize_is_called_off_at_work() {
    call_off(Operation::Resize).await;
}

#[tokio::test]
async fn a_rebuild_is_called_off_at_work() {
    call_off(Operation::Rebuild).await;
}

#[tokio::test]
async fn a_boot_from_cd_is_called_off_at_work() {
    call_off(Operation::Boot).await;
}
