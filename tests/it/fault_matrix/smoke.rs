//! Each operation on a machine that exists, as it goes when nothing is wrong, in the ways that it can be asked for.

use std::time::Duration;

use proxmox_client::MoveDisk;
use proxmox_simulator::{AgentState, Timing};
use secrecy::SecretString;
use uni_manager::audit::Actor;
use uni_manager::error::Error;
use uni_manager::ids::VmId;
use uni_manager::jobs;
use uni_manager::vms::{self, Boot, Changes, NewSize, Power, Rebuild};

use super::operation::{NEW_PASSWORD, Operation};
use super::stage::Stage;
use crate::world::{Start, World};

async fn stage() -> (Stage, String, VmId) {
    stage_in(World::new().await).await
}

async fn stage_in(world: World) -> (Stage, String, VmId) {
    let stage = Stage::new(world).await;
    let vm = stage.world.running_vm(&stage.ann, &stage.name()).await;
    let id = vm.parse().unwrap();
    (stage, vm, id)
}

impl Stage {
    async fn resize(&self, vm: VmId, plan: &str, grow_disk: bool, force: bool) -> Result<(), Error> {
        let plan = self.world.plan(plan).await.parse().unwrap();
        let size = NewSize { plan, grow_disk, force };
        let asked = vms::resize(&self.world.app, self.ann.organisation, vm, size, &Actor::system()).await;
        self.world.settle().await;
        asked.map(|_| ())
    }

    async fn boot(&self, vm: VmId, from: Boot) -> Result<(), Error> {
        let asked = vms::boot(&self.world.app, self.ann.organisation, vm, from, &Actor::system()).await;
        self.world.settle().await;
        asked.map(|_| ())
    }

    async fn power(&self, vm: VmId, power: Power) {
        vms::power(&self.world.app, self.ann.organisation, vm, power, &Actor::system()).await.unwrap();
        self.world.settle().await;
    }

    async fn config(&self, vm: &str, option: &str) -> String {
        self.guest(vm).await.unwrap().config.get(option).unwrap_or_default().to_owned()
    }

    async fn size(&self, vm: &str) -> (String, String) {
        (self.config(vm, "cores").await, self.config(vm, "memory").await)
    }
}

#[tokio::test]
async fn a_machine_gets_a_larger_and_a_smaller_plan_and_runs_again_if_it_ran() {
    let (stage, vm, id) = stage().await;
    stage.resize(id, "m", false, false).await.unwrap();
    let row = stage.row(&vm).await;
    assert_eq!((row.plan.as_str(), row.state.as_str(), row.disk_gib), ("m", "running", 40), "the disk was not to grow");
    assert_eq!(stage.size(&vm).await, ("4".into(), "8192".into()));
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.04");

    stage.resize(id, "s", false, false).await.unwrap();
    assert_eq!(stage.size(&vm).await, ("2".into(), "4096".into()));
    assert_eq!(stage.world.wallet(&stage.ann).await.burn_per_hour.to_string(), "0.02");
    assert!(stage.guest(&vm).await.unwrap().process.is_some());

    stage.power(id, Power::Shutdown).await;
    stage.resize(id, "m", true, false).await.unwrap();
    let row = stage.row(&vm).await;
    assert_eq!((row.plan.as_str(), row.state.as_str(), row.disk_gib), ("m", "stopped", 80));
    assert!(stage.guest(&vm).await.unwrap().process.is_none(), "what was off stays off");
    let refused = stage.resize(id, "s", false, false).await.unwrap_err();
    assert!(format!("{refused:?}").contains("never shrink"), "{refused:?}");
    let events = stage.world.events().await;
    assert_eq!(events.iter().filter(|event| *event == "vm.resized").count(), 3);
    assert_eq!(events.iter().filter(|event| *event == "vm.resize").count(), 3);
    stage.world.hours_with_passes(2).await;
    stage.world.finish().await;
}

#[tokio::test]
async fn a_machine_whose_node_is_full_is_moved_to_grow_and_stays_when_all_are_full() {
    let (stage, vm, id) = stage().await;
    let node = stage.row(&vm).await.node;
    let shrink = "update nodes set memory_bytes = 4::bigint << 30 where name = $1";
    sqlx::query(shrink).bind(&node).execute(&stage.world.app.pool).await.unwrap();

    stage.resize(id, "m", true, false).await.unwrap();
    let row = stage.row(&vm).await;
    assert_ne!(row.node, node);
    assert_eq!(stage.guest(&vm).await.unwrap().node, row.node);
    assert_eq!((row.plan.as_str(), row.state.as_str()), ("m", "running"));

    stage.world.execute("update nodes set memory_bytes = 4::bigint << 30").await;
    let refused = stage.resize(id, "l", true, false).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
    assert_eq!(stage.row(&vm).await, row);
    stage.world.finish().await;
}

#[tokio::test]
async fn a_guest_that_does_not_shut_down_keeps_its_size_unless_its_power_may_be_cut() {
    let (stage, vm, id) = stage().await;
    let before = stage.row(&vm).await;
    stage.world.simulator.ignore_power_button(stage.world.vmid(&vm), true);

    stage.resize(id, "m", true, false).await.unwrap();
    let job = stage.last_job(&vm).await;
    assert_eq!(job.status, "failed");
    assert!(job.error.contains("did not shut down within"), "{}", job.error);
    assert_eq!(stage.row(&vm).await, before);
    assert!(stage.guest(&vm).await.unwrap().process.is_some());

    stage.resize(id, "m", true, true).await.unwrap();
    assert_eq!(stage.row(&vm).await.plan, "m");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_resize_that_is_called_off_while_the_guest_shuts_down_starts_it_again() {
    let timing = Timing { shutdown: Duration::from_secs(30), ..Timing::instant() };
    let (stage, vm, id) = stage_in(World::starting(Start { timing, ..Start::default() }).await).await;
    let plan = stage.world.plan("m").await.parse().unwrap();
    let size = NewSize { plan, grow_disk: false, force: false };
    let job = vms::resize(&stage.world.app, stage.ann.organisation, id, size, &Actor::system()).await.unwrap();
    stage.world.run_due_jobs().await;
    jobs::cancel(&stage.world.app, Some(stage.ann.organisation), job, &Actor::system()).await.unwrap();
    stage.world.run_due_jobs().await;
    assert!(stage.guest(&vm).await.unwrap().process.is_some(), "the shutdown is at work");
    stage.world.simulator.advance(Duration::from_secs(31));
    stage.world.settle().await;

    assert_eq!(stage.last_job(&vm).await.status, "cancelled");
    assert_eq!(stage.row(&vm).await.state, "running");
    assert!(stage.guest(&vm).await.unwrap().process.is_some());
    stage.world.finish().await;
}

#[tokio::test]
async fn a_machine_is_made_anew_with_other_keys_whether_it_runs_or_not() {
    let (stage, vm, id) = stage().await;
    let first = stage.guest(&vm).await.unwrap();
    stage.power(id, Power::Stop).await;
    let key = stage
        .world
        .post(&stage.ann, "/ssh-keys", &serde_json::json!({ "name": "desk", "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA bob@example" }))
        .await
        .expect(201);
    let key = key["id"].as_str().unwrap().parse().unwrap();
    let new = Rebuild { image: stage.world.images[2], ssh_keys: vec![key], user_data: None };
    vms::rebuild(&stage.world.app, stage.ann.organisation, id, &new, &Actor::system()).await.unwrap();
    assert!(stage.world.delete(&stage.ann, &format!("/vms/{vm}")).await.status == 409, "it is busy");
    stage.world.settle().await;

    Operation::Start.assert_done(&stage, &vm, None, "made anew").await;
    let guest = stage.guest(&vm).await.unwrap();
    assert_ne!(guest.vmid, first.vmid);
    assert!(stage.under(first.vmid).is_none());
    assert_eq!(stage.row(&vm).await.image, "rocky-9");
    assert!(stage.config(&vm, "sshkeys").await.contains("bob"), "the new key");
    assert!(!stage.config(&vm, "sshkeys").await.contains("ann"), "and only it");
    assert_eq!(guest.config.get("ipconfig0"), first.config.get("ipconfig0"), "its address stays");
    assert!(stage.config(&vm, "scsi0").await.contains("size=40G"));
    let resting = "select count(*) from vmid_leases where vm_id = $1::uuid and released_at is not null";
    assert_eq!(stage.number(resting, &vm).await, 1, "the old VMID is never used again");
    assert!(stage.world.events().await.contains(&"vm.rebuilt".to_owned()));
    stage.world.hours_with_passes(1).await;
    stage.world.finish().await;
}

#[tokio::test]
async fn a_machine_moves_running_or_not_with_disks_that_only_its_node_sees() {
    let (stage, vm, id) = stage().await;
    for (stopped, local) in [(false, false), (false, true), (true, false), (true, true)] {
        let guest = stage.guest(&vm).await.unwrap();
        let storage = if local { "local-lvm" } else { "shared" };
        if !stage.config(&vm, "scsi0").await.starts_with(storage) {
            let change = MoveDisk::new("scsi0", storage).delete_source(true);
            stage.client.move_disk(&guest.node, guest.vmid, &change).await.unwrap();
        }
        if stopped != (stage.row(&vm).await.state == "stopped") {
            stage.power(id, Power::Stop).await;
        }
        let pid = guest.process.map(|process| process.started).filter(|_| !stopped);
        let target = stage.other_node(&vm).await;
        vms::migrate(&stage.world.app, id, &target, &Actor::system()).await.unwrap();
        stage.world.settle().await;

        assert_eq!(stage.last_job(&vm).await.status, "completed", "{}", stage.last_job(&vm).await.error);
        let moved = stage.guest(&vm).await.unwrap();
        assert_eq!((stage.row(&vm).await.node, moved.node.clone()), (target.clone(), target));
        assert_eq!(moved.process.is_some(), !stopped, "{stopped} {local}");
        assert!(stopped || pid.is_some(), "it ran and runs");
    }
    let same = vms::migrate(&stage.world.app, id, &stage.row(&vm).await.node, &Actor::system()).await;
    assert!(matches!(same, Err(Error::Invalid(_))), "{same:?}");
    stage.world.finish().await;
}

#[tokio::test]
async fn names_tags_and_protection_are_set_and_a_refusal_puts_them_back() {
    let (stage, vm, id) = stage().await;
    let (app, ann) = (&stage.world.app, stage.ann.organisation);
    let changes = Changes { tags: Some(vec!["web".into()]), protected: Some(true), ..Changes::default() };
    vms::configure(app, ann, id, &changes, &Actor::system()).await.unwrap().unwrap();
    stage.world.settle().await;
    assert!(stage.config(&vm, "tags").await.split(';').any(|tag| tag == "web"));
    assert_eq!(stage.config(&vm, "protection").await, "1");
    stage.world.delete(&stage.ann, &format!("/vms/{vm}")).await.problem(409);
    let new = Rebuild { image: stage.world.images[1], ssh_keys: Vec::new(), user_data: None };
    assert!(matches!(vms::rebuild(app, ann, id, &new, &Actor::system()).await, Err(Error::Conflict(_))));
    assert!(vms::configure(app, ann, id, &changes, &Actor::system()).await.unwrap().is_none(), "nothing to do");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_machine_starts_from_the_rescue_image_and_from_its_disk_again() {
    let (stage, vm, id) = stage().await;
    assert!(matches!(stage.boot(id, Boot::Rescue).await, Err(Error::Unavailable(_))), "there is none yet");
    assert!(matches!(stage.boot(id, Boot::Cd).await, Err(Error::Conflict(_))), "the drive is empty");
    stage.offer_cds().await;

    stage.boot(id, Boot::Rescue).await.unwrap();
    assert!(stage.config(&vm, "boot").await.starts_with("order=ide"));
    assert!(stage.config(&vm, "ide3").await.contains(".iso"), "{}", stage.config(&vm, "ide3").await);
    assert_eq!(stage.row(&vm).await.state, "running");

    stage.boot(id, Boot::Disk).await.unwrap();
    assert_eq!(stage.config(&vm, "boot").await, "order=scsi0");
    let changes = Changes { iso_image: Some(None), ..Changes::default() };
    vms::configure(&stage.world.app, stage.ann.organisation, id, &changes, &Actor::system()).await.unwrap().unwrap();
    stage.world.settle().await;
    assert!(!stage.config(&vm, "ide3").await.contains(".iso"), "the drive is empty again");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_password_is_set_by_the_agent_or_else_by_cloud_init_at_the_next_start() {
    let (stage, vm, id) = stage().await;
    let vmid = stage.world.vmid(&vm);
    for agent in [true, false] {
        if !agent {
            stage.world.simulator.set_agent(vmid, AgentState::NotRunning);
        }
        let password = SecretString::from(if agent { NEW_PASSWORD } else { "yet another password" });
        vms::set_password(&stage.world.app, stage.ann.organisation, id, &password, &Actor::system()).await.unwrap();
        stage.world.settle().await;
        let job = stage.last_job(&vm).await;
        assert_eq!(job.status, "completed", "{}", job.error);
        assert_eq!(stage.guest(&vm).await.unwrap().password_of("debian"), Some(NEW_PASSWORD), "by the agent only");
        let said =
            stage.world.text("select string_agg(message, ' ' order by id) from job_logs where step = 'password'").await;
        assert_eq!(said.contains("cloud-init sets the password at the next start"), !agent, "{said}");
    }
    assert!(!stage.config(&vm, "cipassword").await.is_empty());
    assert_eq!(stage.world.count("select count(*) from jobs where secret_encrypted is not null").await, 0);
    stage.world.finish().await;
}

#[tokio::test]
async fn a_suspended_machine_is_charged_as_before_and_is_resumed_or_reset() {
    let (stage, vm, id) = stage().await;
    let organisation = stage.ann.organisation;
    stage.power(id, Power::Suspend).await;
    assert!(stage.row(&vm).await.paused && stage.guest(&vm).await.unwrap().process.unwrap().paused);
    stage.world.hours_with_passes(1).await;
    assert_eq!(stage.world.balance(&stage.ann).await, "999.980000");
    for power in [Power::Suspend, Power::Shutdown, Power::Reboot, Power::Start] {
        let refused = vms::power(&stage.world.app, organisation, id, power, &Actor::system()).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{power:?}");
    }
    let refused = stage.resize(id, "m", false, false).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");

    stage.power(id, Power::Resume).await;
    assert!(!stage.row(&vm).await.paused && !stage.guest(&vm).await.unwrap().process.unwrap().paused);
    let booted = stage.guest(&vm).await.unwrap().process.unwrap();
    stage.world.simulator.advance(Duration::from_secs(5));
    stage.power(id, Power::Reset).await;
    let reset = stage.guest(&vm).await.unwrap().process.unwrap();
    assert_eq!(reset.pid, booted.pid, "the same process");
    assert!(reset.booted > booted.booted, "booted again");
    stage.power(id, Power::Suspend).await;
    stage.power(id, Power::Stop).await;
    let row = stage.row(&vm).await;
    assert_eq!((row.state.as_str(), row.paused), ("stopped", false));
    stage.world.finish().await;
}

#[tokio::test]
async fn a_customer_does_not_call_off_what_the_operators_do() {
    let (stage, _, _) = stage().await;
    let vm = Operation::Enforce.prepare(&stage).await.unwrap();
    Operation::Enforce.ask(&stage, Some(&vm)).await;
    let job = stage.last_job(&vm).await.id;
    stage.world.delete(&stage.ann, &format!("/jobs/{job}")).await.problem(409);
    stage.world.settle().await;
    assert_eq!(stage.last_job(&vm).await.status, "completed");
    stage.world.finish().await;
}
