//! Every operation, every step of it, everything that can go wrong there: what becomes of it, and that nothing is left behind,
//! nothing is there twice and nothing of anybody else's is touched. The table is written to `target/fault-matrix.txt`.

mod called_off;
mod credit;
mod kills;
mod mishap;
mod operation;
mod smoke;
mod stage;
pub mod table;

use chrono::TimeDelta;
use proxmox_simulator::Guest;
use serde_json::json;
use uni_manager::audit::Actor;
use uni_manager::jobs;

use crate::world::{World, text};
use mishap::Mishap;
use operation::{ADOPTED_VMID, Operation};
use stage::{Row, Stage};

/// How often a job looks in vain while its cluster is away.
const LOOKS_AWAY: usize = 4;
/// Longer than the longest pause between two looks.
const PAUSE_MINUTES: i64 = 2;

/// One cell of the matrix.
struct Cell<'a> {
    stage: &'a Stage,
    operation: Operation,
    step: usize,
    mishap: Mishap,
}

/// How it was before.
struct Before {
    row: Option<Row>,
    guest: Option<Guest>,
}

impl Cell<'_> {
    fn what(&self) -> String {
        let step = self.operation.kind().steps()[self.step].name;
        format!("{:?} × {step} × {}", self.operation, self.mishap.title())
    }

    /// The VMID of the guest that the step is about.
    async fn target(&self, vm: &str) -> Option<u32> {
        let name = self.operation.kind().steps()[self.step].name;
        let row = self.stage.row(vm).await;
        let vmid = match (self.operation, name) {
            (Operation::Rebuild, "clone" | "configure" | "seed" | "resize") => row.next_vmid,
            (Operation::Rebuild, "destroy") => {
                self.stage.last_job(vm).await.old_vmid.and_then(|vmid| i32::try_from(vmid).ok())
            }
            _ => row.vmid,
        };
        vmid.and_then(|vmid| u32::try_from(vmid).ok()).filter(|vmid| self.stage.under(*vmid).is_some())
    }

    /// Runs it. Answers with the outcome; none where the mishap cannot happen.
    async fn run(&self) -> Option<String> {
        let Self { stage, operation, step, mishap } = *self;
        let world = &stage.world;
        let call = operation.call(operation.kind().steps()[step].name);
        if mishap.is_spoilt_call() && call.and_then(|call| mishap.fault(call)).is_none() {
            return None;
        }
        let made = operation.prepare(stage).await;
        let before = self.before(made.as_deref()).await;
        let vm = operation.ask(stage, made.as_deref()).await;
        stage.run_until(step).await;
        let mut foreign = None;
        let target = self.target(&vm).await;
        match mishap {
            Mishap::Twice => {
                stage.run_until(step + 1).await;
                let again = "update jobs set step = $2, scratch = '{}' where id = $1";
                let job = stage.last_job(&vm).await.id;
                sqlx::query(again).bind(job).bind(i32::try_from(step).unwrap()).execute(&world.app.pool).await.unwrap();
            }
            Mishap::Away => {
                world.simulator.set_away(true);
                for _ in 0..LOOKS_AWAY {
                    world.run_due_jobs().await;
                    world.advance(TimeDelta::minutes(PAUSE_MINUTES));
                }
                world.simulator.set_away(false);
            }
            Mishap::Locked | Mishap::DeadLock => {
                let Some(target) = target else { return self.skip(&vm).await };
                world.simulator.set_lock(target, Some("backup"));
                if mishap == Mishap::Locked {
                    for _ in 0..LOOKS_AWAY {
                        world.run_due_jobs().await;
                        world.advance(TimeDelta::minutes(PAUSE_MINUTES));
                    }
                    world.simulator.set_lock(target, None);
                }
            }
            Mishap::Cancelled => {
                let job = stage.last_job(&vm).await.id.to_string().parse().unwrap();
                let cancelled = jobs::cancel(&world.app, None, job, &Actor::system()).await;
                assert_eq!(cancelled.is_ok(), operation.can_be_cancelled(step), "{}", self.what());
            }
            Mishap::Removed | Mishap::Replaced => {
                let Some(target) = target else { return self.skip(&vm).await };
                world.simulator.remove_guest(target);
                if mishap == Mishap::Replaced {
                    stage.foreign_guest(target).await;
                    foreign = stage.under(target);
                }
            }
            _ => world.simulator.faults().inject(mishap.fault(call.unwrap()).unwrap()),
        }
        stage.settle_long().await;
        assert_eq!(world.simulator.faults().waiting(), 0, "{}: the fault was met", self.what());
        let mut outcome = self.outcome(&vm).await;
        if outcome == "parked" {
            let job = stage.last_job(&vm).await;
            if mishap == Mishap::DeadLock {
                assert!(job.error.contains("qm unlock"), "{}: {}", self.what(), job.error);
                world.simulator.set_lock(target.unwrap(), None);
            }
            stage.retry(job.id).await;
            stage.settle_long().await;
            outcome = format!("parked, {}", self.outcome(&vm).await);
        }
        if let (Mishap::DeadLock, Some(target)) = (mishap, target) {
            world.simulator.set_lock(target, None);
        }
        let allowed = mishap.outcomes(operation, step);
        let error = stage.last_job(&vm).await.error;
        assert!(allowed.contains(&outcome.as_str()), "{}: {outcome} is none of {allowed:?}: {error}", self.what());
        if let Some(foreign) = foreign {
            let now =
                stage.under(foreign.vmid).unwrap_or_else(|| panic!("{}: a stranger's guest is gone", self.what()));
            assert_eq!(now.config, foreign.config, "{}: a stranger's guest was changed", self.what());
            assert_eq!(
                now.process.map(|process| process.pid),
                foreign.process.map(|process| process.pid),
                "{}: a stranger's guest was stopped or started",
                self.what()
            );
        }
        if !matches!(mishap, Mishap::Removed | Mishap::Replaced) {
            if outcome.ends_with("done") && !outcome.ends_with("undone") {
                operation.assert_done(stage, &vm, before.guest.as_ref(), &self.what()).await;
            } else {
                self.assert_as_before(&vm, &before).await;
            }
        }
        self.clear_away(&vm).await;
        Some(outcome)
    }

    async fn before(&self, vm: Option<&str>) -> Before {
        match vm {
            Some(vm) => Before { row: Some(self.stage.row(vm).await), guest: self.stage.guest(vm).await },
            None => Before { row: None, guest: self.stage.under(ADOPTED_VMID) },
        }
    }

    /// A mishap that cannot happen here: nothing is there yet that it could happen to.
    async fn skip(&self, vm: &str) -> Option<String> {
        self.stage.settle_long().await;
        self.clear_away(vm).await;
        None
    }

    async fn outcome(&self, vm: &str) -> String {
        let job = self.stage.last_job(vm).await;
        match (job.status.as_str(), job.undoing) {
            ("completed", _) => "done",
            ("cancelled", _) | ("failed", true) => "undone",
            ("failed", false) => "failed",
            ("parked", _) => "parked",
            (status, _) => panic!("{}: the job is {status}", self.what()),
        }
        .to_owned()
    }

    async fn assert_as_before(&self, vm: &str, before: &Before) {
        assert_as_before(self.stage, self.operation, vm, before, &self.what()).await;
    }

    /// Takes everything of the cell away, as an operator would, and proves that nothing is left.
    async fn clear_away(&self, vm: &str) {
        let (stage, world) = (self.stage, &self.stage.world);
        world.simulator.faults().clear();
        if !matches!(self.mishap, Mishap::Removed | Mishap::Replaced) {
            world.check().await;
        }
        let next = stage.number(
            "select count(*) from vms where id = $1::uuid and (next_vmid is not null or next_plan_id is not null or next_node is not null or next_image_id is not null)
             and not exists (select 1 from jobs j where j.vm_id = vms.id and j.status = 'parked')",
            vm,
        );
        assert_eq!(next.await, 0, "{}: nothing is set aside for what is over", self.what());
        let parked = stage.last_job(vm).await.status == "parked";
        if !parked && matches!(self.mishap, Mishap::Removed | Mishap::Replaced) {
            world.advance(TimeDelta::minutes(PAUSE_MINUTES));
            world.look().await;
            world.look().await;
            for drift in stage.drifts(vm).await.iter().filter(|drift| text(drift, "/kind") == "missing") {
                let path = format!("/admin/drift/{}/adopt", text(drift, "/id"));
                world.post(&stage.admin, &path, &json!({})).await.expect(204);
            }
        }
        world.check().await;
        if !parked && matches!(stage.row(vm).await.state.as_str(), "running" | "stopped" | "failed") {
            let answer = world.delete(&stage.ann, &format!("/vms/{vm}")).await;
            assert!(matches!(answer.status, 202 | 204), "{}: {}", self.what(), answer.text);
            stage.settle_long().await;
        }
        if !parked {
            let left = "select (select count(*) from vmid_leases where vm_id = $1::uuid and released_at is null)
                      + (select count(*) from addresses where vm_id = $1::uuid) + (select count(*) from holds where vm_id = $1::uuid)";
            assert_eq!(stage.number(left, vm).await, 0, "{}: everything is given back", self.what());
        }
        for guest in world.simulator.guests().iter().filter(|guest| guest.name() == "theirs") {
            world.simulator.remove_guest(guest.vmid);
        }
        world.look().await;
    }
}

/// Whether everything is as it was before the operation.
async fn assert_as_before(stage: &Stage, operation: Operation, vm: &str, before: &Before, what: &str) {
    let row = stage.row(vm).await;
    match operation {
        Operation::Create => {
            assert!(matches!(row.state.as_str(), "failed" | "deleted"), "{what}: {row:?}");
            assert!(stage.guest(vm).await.is_none(), "{what}: nothing is left");
        }
        Operation::Adopt => {
            assert_eq!(row.state, "deleted", "{what}");
            let guest = stage.under(ADOPTED_VMID).unwrap();
            assert_eq!(guest.config, before.guest.as_ref().unwrap().config, "{what}: as it was");
        }
        _ => {
            let mut was = before.row.clone().unwrap();
            if operation == Operation::Resize {
                // Disks never shrink, and moving back is of no use to anybody.
                (was.disk_gib, was.node) = (row.disk_gib, row.node.clone());
            }
            assert_eq!(row, was, "{what}: the row is as before");
            let (was, guest) = (before.guest.as_ref().unwrap(), stage.guest(vm).await.unwrap());
            for option in ["name", "tags", "boot", "ipconfig0", "smbios1"] {
                assert_eq!(guest.config.get(option), was.config.get(option), "{what}: {option}");
            }
            assert_eq!(guest.process.is_some(), was.process.is_some(), "{what}: it runs as before");
            if operation != Operation::Enforce {
                for option in ["cores", "memory"] {
                    assert_eq!(guest.config.get(option), was.config.get(option), "{what}: {option}");
                }
            }
        }
    }
}

/// Runs all cells of an operation in one world.
async fn run(operation: Operation) {
    let stage = Stage::new(World::new().await).await;
    for (step, known) in operation.kind().steps().iter().enumerate() {
        for mishap in Mishap::ALL {
            let cell = Cell { stage: &stage, operation, step, mishap };
            let outcome = cell.run().await;
            table::note(operation, step, known.name, mishap.title(), outcome);
        }
    }
    table::write();
    stage.world.finish().await;
}

macro_rules! rows {
    ($($name:ident $operation:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            run(Operation::$operation).await;
        })*
    };
}

rows! {
    whatever_happens_to_a_creation Create;
    whatever_happens_to_a_start Start;
    whatever_happens_to_a_shutdown Shutdown;
    whatever_happens_to_a_stop Stop;
    whatever_happens_to_a_reboot Reboot;
    whatever_happens_to_a_reset Reset;
    whatever_happens_to_a_suspension Suspend;
    whatever_happens_to_a_resumption Resume;
    whatever_happens_to_a_resize Resize;
    whatever_happens_to_a_rebuild Rebuild;
    whatever_happens_to_a_migration Migrate;
    whatever_happens_to_a_configuration Configure;
    whatever_happens_to_a_boot_from_cd Boot;
    whatever_happens_to_a_password Password;
    whatever_happens_to_an_enforcement Enforce;
    whatever_happens_to_an_adoption Adopt;
    whatever_happens_to_a_release Release;
    whatever_happens_to_a_deletion Delete;
}
