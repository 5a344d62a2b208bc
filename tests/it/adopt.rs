//! Guests that are not ours: listed, taken over into an organisation, let go again.

use chrono::TimeDelta;
use proxmox_client::{Client, CloneVm, ConfigChange};
use proxmox_simulator::{Fault, FaultKind, Guest};
use serde_json::{Value, json};
use uni_manager::ledger;

use crate::fault_matrix::table;
use crate::kill::{die_at, outlive, real_world};
use crate::world::{Answer, Customer, World, text};

/// The VMID of the guest that somebody made by hand, outside our range.
const VMID: u32 = 300;

/// Every point of taking a guest over, in order.
const POINTS: [&str; 13] = [
    "vm.adopt.lease.checked",
    "vm.adopt.lease.done",
    "vm.adopt.lease.saved",
    "vm.adopt.mark.written",
    "vm.adopt.mark.done",
    "vm.adopt.mark.saved",
    "vm.adopt.look.written",
    "vm.adopt.look.done",
    "vm.adopt.look.saved",
    "vm.adopt.before_commit",
    "vm.adopt.committed",
    "vm.release.unmark.taken_off",
    "vm.release.before_commit",
];

struct Stage {
    world: World,
    ann: Customer,
    admin: Customer,
    client: Client,
}

async fn stage_in(world: World) -> Stage {
    let ann = world.customer("ann", "5").await;
    let admin = world.admin().await;
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    Stage { world, ann, admin, client }
}

/// A cluster with a guest of somebody else, who runs it with two processors and 4 GiB.
async fn stage() -> Stage {
    let stage = stage_in(World::new().await).await;
    stage.make_guest(VMID).await;
    stage.world.look().await;
    stage
}

impl Stage {
    async fn make_guest(&self, vmid: u32) {
        let order = CloneVm::new(vmid).name("Legacy.Web").full(true).storage("shared");
        self.client.clone_vm("pve1", 9000, &order).await.unwrap();
        let change = ConfigChange::new().cores(2).memory_mib(4096).tags(["accounting".to_owned()]);
        self.client.set_vm_config("pve1", vmid, &change).await.unwrap();
        self.client.start("pve1", vmid).await.unwrap();
    }

    async fn listed(&self) -> Vec<Value> {
        let answer = self.world.get(&self.admin, "/admin/foreign-guests").await.expect(200);
        answer["items"].as_array().unwrap().iter().filter(|guest| guest["template"] == false).cloned().collect()
    }

    async fn order(&self) -> Value {
        let plan = self.world.plan("s").await;
        json!({ "organisation": self.ann.organisation, "plan": plan, "image": self.world.images[0], "name": "legacy" })
    }

    async fn adopt(&self, body: &Value) -> Answer {
        let path = format!("/admin/foreign-guests/{}/{VMID}/adopt", self.world.cluster);
        self.world.post(&self.admin, &path, body).await
    }

    fn guest(&self) -> Guest {
        self.world.simulator.guests().into_iter().find(|guest| guest.vmid == VMID).unwrap()
    }

    fn tags(&self) -> String {
        self.guest().config.get("tags").unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn guests_that_are_not_ours_are_listed_while_they_are_there() {
    let stage = stage().await;
    stage.world.running_vm(&stage.ann, "web").await;
    stage.world.look().await;

    let listed = stage.listed().await;
    assert_eq!(listed.len(), 1, "our own are not among them: {listed:?}");
    assert_eq!((text(&listed[0], "/name"), text(&listed[0], "/status")), ("Legacy.Web", "running"));
    assert_eq!(listed[0]["tags"], json!(["accounting"]));
    let all = stage.world.get(&stage.admin, "/admin/foreign-guests").await.expect(200);
    let templates = all["items"].as_array().unwrap().iter().filter(|guest| guest["template"] == true).count();
    assert_eq!(templates, 3, "templates are flagged");
    let written = stage.world.text("select string_agg(xmin::text, ',' order by vmid) from foreign_guests").await;
    stage.world.look().await;
    let again = stage.world.text("select string_agg(xmin::text, ',' order by vmid) from foreign_guests").await;
    assert_eq!(written, again, "what has not changed is not written");

    stage.world.simulator.remove_guest(VMID);
    stage.world.look().await;
    assert!(stage.listed().await.is_empty());
    stage.world.finish().await;
}

#[tokio::test]
async fn an_adopted_guest_is_a_machine_that_is_charged_from_then_on() {
    let stage = stage().await;
    let uuid = stage.guest().config.get("smbios1").unwrap().to_owned();
    let answer = stage.adopt(&stage.order().await).await.expect(202);
    let vm = text(&answer, "/vm").to_owned();
    stage.adopt(&stage.order().await).await.problem(404);
    let difference = ledger::first_difference(&stage.world.app.pool, chrono_tz::UTC).await.unwrap();
    assert_eq!(difference, None, "nothing is set aside for a machine that is there");
    stage.world.run_due_jobs().await;

    assert_eq!(stage.world.state(&stage.ann, &vm).await, "running");
    assert_eq!(stage.tags(), format!("accounting;uni-manager;vm-{vm}"), "it keeps its own tags");
    assert_eq!(stage.guest().config.get("smbios1").unwrap(), uuid, "and its uuid");
    assert!(stage.guest().process.is_some(), "it was not stopped");
    stage.world.hours_with_passes(1).await;
    assert_eq!(stage.world.balance(&stage.ann).await, "4.980000");
    stage.world.look().await;
    assert!(stage.listed().await.is_empty());
    let drifts = stage.world.text("select string_agg(kind, ',') from drifts where resolution is null").await;
    assert_eq!(drifts, "", "its disk was written down as it is");

    stage.world.tell(&stage.ann, &vm, "shutdown").await.expect(202);
    stage.world.settle().await;
    assert_eq!(stage.world.state(&stage.ann, &vm).await, "stopped");
    stage.world.delete(&stage.ann, &format!("/vms/{vm}")).await.expect(202);
    stage.world.settle().await;
    assert!(stage.world.simulator.guests().iter().all(|guest| guest.vmid != VMID), "its owner may delete it");
    stage.world.finish().await;
}

#[tokio::test]
async fn a_guest_without_a_uuid_gets_one_and_keeps_its_other_values() {
    let stage = stage().await;
    stage.client.stop("pve1", VMID).await.unwrap();
    let change = ConfigChange::new().set("smbios1", "manufacturer=QWNtZQ==,base64=1");
    stage.client.set_vm_config("pve1", VMID, &change).await.unwrap();
    stage.world.look().await;
    let answer = stage.adopt(&stage.order().await).await.expect(202);
    let vm = text(&answer, "/vm").to_owned();
    stage.world.run_due_jobs().await;

    assert_eq!(stage.world.state(&stage.ann, &vm).await, "stopped", "it is as it was found");
    let smbios = stage.guest().config.get("smbios1").unwrap().to_owned();
    assert!(smbios.contains(&format!("uuid={vm}")) && smbios.contains("manufacturer=QWNtZQ=="), "{smbios}");
    stage.world.finish().await;
}

#[tokio::test]
async fn an_address_of_our_pools_is_assigned_and_one_that_is_taken_is_refused() {
    let stage = stage().await;
    stage.world.running_vm(&stage.ann, "web").await;
    let taken = stage.world.text("select host(address) from addresses where vm_id is not null").await;
    let free = stage.world.text("select host(max(address)) from addresses where vm_id is null").await;

    let with = |address: &str, order: &Value| {
        let mut order = order.clone();
        order["address"] = json!(address);
        order
    };
    let order = stage.order().await;
    for wrong in [taken.as_str(), "198.51.100.7", "nonsense"] {
        assert_eq!(stage.adopt(&with(wrong, &order)).await.problem_fields(), ["address"], "{wrong}");
    }
    assert_eq!(
        stage.world.count("select count(*) from vms where adopted_at is not null").await,
        0,
        "nothing is left of it"
    );
    let change = ConfigChange::new().set("ipconfig0", format!("ip={free}/24,gw=10.0.0.1"));
    stage.client.set_vm_config("pve1", VMID, &change).await.unwrap();
    let answer = stage.adopt(&order).await.expect(202);
    stage.world.run_due_jobs().await;

    let shown = stage.world.vm(&stage.ann, text(&answer, "/vm")).await;
    assert_eq!(text(&shown, "/address"), free);
    stage.world.finish().await;
}

#[tokio::test]
async fn what_cannot_be_adopted_is_refused_with_the_reason() {
    let stage = stage().await;
    let order = stage.order().await;
    stage.world.simulator.set_lock(VMID, Some("backup"));
    let refused = stage.adopt(&order).await.problem(409);
    assert!(text(&refused, "/detail").contains("locked (backup)"), "{refused}");
    stage.world.simulator.set_lock(VMID, None);

    let template = format!("/admin/foreign-guests/{}/9000/adopt", stage.world.cluster);
    stage.world.post(&stage.admin, &template, &order).await.problem(409);
    let fields = stage.adopt(&json!({ "name": "-no-" })).await.problem_fields();
    assert_eq!(fields, ["name", "organisation", "plan", "image"]);
    // A copy of a machine of ours, and the same uuid as one.
    let vm = stage.world.running_vm(&stage.ann, "web").await;
    let copied = ConfigChange::new().tags(["uni-manager".to_owned(), format!("vm-{vm}")]);
    stage.client.set_vm_config("pve1", VMID, &copied).await.unwrap();
    let refused = stage.adopt(&order).await.problem(409);
    assert!(text(&refused, "/detail").contains("a copy of it"), "{refused}");
    let own = ConfigChange::new().tags(["accounting".to_owned(), "vm-farm".to_owned()]);
    stage.client.set_vm_config("pve1", VMID, &own).await.unwrap();
    stage.client.set_vm_config("pve1", VMID, &ConfigChange::new().smbios_uuid(&vm)).await.unwrap();
    let refused = stage.adopt(&order).await.problem(409);
    assert!(text(&refused, "/detail").contains("has this guest already"), "{refused}");
    // No credit.
    let bob = stage.world.customer("bob", "0").await;
    let mut poor = order.clone();
    poor["organisation"] = json!(bob.organisation);
    stage.adopt(&poor).await.problem(402);
    assert_eq!(stage.tags(), "accounting;vm-farm");
    stage.world.finish().await;
}

#[tokio::test]
async fn an_adoption_that_fails_takes_its_marks_off_again() {
    let stage = stage().await;
    for (method, path) in [("PUT", "/config"), ("GET", "/status/current")] {
        let answer = stage.adopt(&stage.order().await).await.expect(202);
        let vm = text(&answer, "/vm").to_owned();
        let refusal = FaultKind::Refuse { status: 400, message: "not today".into() };
        stage.world.simulator.faults().inject(Fault::once(method, path, refusal));
        stage.world.settle().await;

        assert_eq!(stage.world.text("select status from jobs order by number desc limit 1").await, "failed", "{path}");
        assert_eq!(stage.tags(), "accounting", "{path}");
        assert!(stage.guest().process.is_some());
        stage.world.get(&stage.ann, &format!("/vms/{vm}")).await.problem(404);
        assert_eq!(stage.world.count("select count(*) from meters").await, 0, "nothing was charged");
        stage.world.look().await;
        assert_eq!(stage.listed().await.len(), 1, "it is listed again");
    }
    stage.world.finish().await;
}

#[tokio::test]
async fn an_adopted_machine_is_let_go_and_its_guest_runs_on() {
    let stage = stage().await;
    let answer = stage.adopt(&stage.order().await).await.expect(202);
    let vm = text(&answer, "/vm").to_owned();
    stage.world.run_due_jobs().await;
    let made = stage.world.running_vm(&stage.ann, "web").await;
    stage.world.post(&stage.admin, &format!("/admin/vms/{made}/release"), &json!({})).await.problem(409);
    stage.world.advance(TimeDelta::minutes(30));

    stage.world.post(&stage.admin, &format!("/admin/vms/{vm}/release"), &json!({})).await.expect(202);
    stage.world.settle().await;
    stage.world.hours_with_passes(1).await;

    stage.world.get(&stage.ann, &format!("/vms/{vm}")).await.problem(404);
    assert_eq!(stage.tags(), "accounting");
    assert!(stage.guest().process.is_some());
    assert_eq!(
        stage.world.text("select sum(c.amount)::text from charges c join meters m on m.id = c.meter_id join vms v on v.id = m.vm_id where v.adopted_at is not null").await,
        "0.010000",
        "half an hour"
    );
    stage.world.look().await;
    assert_eq!(stage.listed().await.len(), 1);
    stage.world.finish().await;
}

#[tokio::test]
async fn a_guest_is_adopted_once_wherever_the_worker_is_killed() {
    let stage = stage_in(real_world().await).await;
    stage.make_guest(VMID).await;
    for point in POINTS {
        stage.world.app.clock.set(uni_manager::clock::Clock::System.now().max(stage.world.now()));
        stage.world.look().await;
        let answer = stage.adopt(&stage.order().await).await.expect(202);
        let vm = text(&answer, "/vm").to_owned();
        stage.world.execute("update jobs set run_at = run_at - interval '1 hour'").await;
        if point.starts_with("vm.adopt") {
            die_at(&stage.world, point).await;
            outlive(&stage.world);
        }
        stage.world.settle().await;
        assert_eq!(stage.world.state(&stage.ann, &vm).await, "running", "{point}");
        assert_eq!(stage.tags(), format!("accounting;uni-manager;vm-{vm}"), "{point}");
        assert_eq!(
            stage
                .world
                .count("select count(*) from meter_intervals where upper_inf(during) and plan_id is not null")
                .await,
            1,
            "{point}"
        );

        stage.world.post(&stage.admin, &format!("/admin/vms/{vm}/release"), &json!({})).await.expect(202);
        stage.world.execute("update jobs set run_at = run_at - interval '1 hour'").await;
        if point.starts_with("vm.release") {
            die_at(&stage.world, point).await;
            outlive(&stage.world);
        }
        stage.world.settle().await;
        stage.world.get(&stage.ann, &format!("/vms/{vm}")).await.problem(404);
        assert_eq!(stage.tags(), "accounting", "{point}");
        stage.world.check().await;
    }
    table::note_kills(&POINTS, "done");
    stage.world.finish().await;
}
