//! A world with a customer and an operator, and what is looked at in it.

use std::sync::atomic::{AtomicU32, Ordering};

use proxmox_client::Client;
use proxmox_simulator::Guest;
use serde_json::{Value, json};
use sqlx::Row as _;
use uni_manager::jobs;
use uni_manager::vms::{self, Progress};
use uuid::Uuid;

use crate::world::{Customer, World, send, text};

/// The most rounds that a job may need when it waits out a lock of an hour, twice.
const LONG_ROUNDS_MAX: usize = 200;
/// The longest pause between two attempts, and more.
const ROUND_SECONDS: i64 = 61;

pub struct Stage {
    pub world: World,
    pub ann: Customer,
    pub admin: Customer,
    pub client: Client,
    names: AtomicU32,
}

/// A machine as the books have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub state: String,
    pub name: String,
    pub tags: Vec<String>,
    pub plan: String,
    pub image: String,
    pub disk_gib: i32,
    pub node: String,
    pub vmid: Option<i32>,
    pub next_vmid: Option<i32>,
    pub paused: bool,
    pub boot_from_iso: bool,
}

/// The last job of a machine.
#[derive(Debug)]
pub struct LastJob {
    pub id: Uuid,
    pub status: String,
    pub undoing: bool,
    pub error: String,
    pub old_vmid: Option<i64>,
}

impl Stage {
    pub async fn new(world: World) -> Self {
        Self::with(world, "1000").await
    }

    pub async fn with(world: World, credit: &str) -> Self {
        let ann = world.customer("ann", credit).await;
        let admin = world.admin().await;
        let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
        Self { world, ann, admin, client, names: AtomicU32::new(0) }
    }

    /// A name that no machine has yet.
    pub fn name(&self) -> String {
        format!("vm-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    pub async fn row(&self, vm: &str) -> Row {
        let row = sqlx::query(
            "select v.state, v.name, v.tags, p.slug as plan, i.slug as image, v.disk_gib, v.node, v.vmid, v.next_vmid,
                    v.paused_at is not null as paused, v.boot_from_iso
             from vms v join plans p on p.id = v.plan_id join images i on i.id = v.image_id where v.id = $1::uuid",
        )
        .bind(vm)
        .fetch_one(&self.world.app.pool)
        .await
        .unwrap();
        Row {
            state: row.get("state"),
            name: row.get("name"),
            tags: row.get("tags"),
            plan: row.get("plan"),
            image: row.get("image"),
            disk_gib: row.get("disk_gib"),
            node: row.get("node"),
            vmid: row.get("vmid"),
            next_vmid: row.get("next_vmid"),
            paused: row.get("paused"),
            boot_from_iso: row.get("boot_from_iso"),
        }
    }

    pub async fn number(&self, sql: &'static str, vm: &str) -> i64 {
        sqlx::query_scalar(sql).bind(vm).fetch_one(&self.world.app.pool).await.unwrap()
    }

    pub async fn last_job(&self, vm: &str) -> LastJob {
        let row = sqlx::query(
            "select id, status, undoing, coalesce(error, '') as error, (payload->>'old_vmid')::bigint as old_vmid
             from jobs where vm_id = $1::uuid order by number desc limit 1",
        )
        .bind(vm)
        .fetch_one(&self.world.app.pool)
        .await
        .unwrap();
        LastJob {
            id: row.get("id"),
            status: row.get("status"),
            undoing: row.get("undoing"),
            error: row.get("error"),
            old_vmid: row.get("old_vmid"),
        }
    }

    /// The guest under a VMID.
    pub fn under(&self, vmid: u32) -> Option<Guest> {
        self.world.simulator.inspect(|cluster| cluster.guest(vmid).cloned())
    }

    /// The guest under the VMID that a machine has, if it is the machine's.
    pub async fn guest(&self, vm: &str) -> Option<Guest> {
        let vmid = self.row(vm).await.vmid?;
        let guest = self.under(u32::try_from(vmid).unwrap())?;
        let names = |option: &str| guest.config.get(option).is_some_and(|text| text.contains(vm));
        (names("tags") || names("description")).then_some(guest)
    }

    pub async fn other_node(&self, vm: &str) -> String {
        if self.row(vm).await.node == "pve1" { "pve2".into() } else { "pve1".into() }
    }

    /// Offers the CD image that the cluster has, as the rescue image too.
    pub async fn offer_cds(&self) {
        let cluster = format!("/admin/clusters/{}", self.world.cluster);
        let patch = self.world.api(&self.admin, reqwest::Method::PATCH, &cluster).await;
        send(patch.json(&json!({ "iso_storage": "local" }))).await.expect(200);
        let isos = format!("{cluster}/isos");
        let listed = self.world.post(&self.admin, &format!("{isos}/refresh"), &json!({})).await.expect(200);
        let image = text(&listed, "/items/0/id");
        let put = self.world.api(&self.admin, reqwest::Method::PUT, &isos).await;
        let body = json!({ "images": [{ "id": image, "name": "Debian installer", "offered": true }], "rescue": image });
        let answer = send(put.json(&body)).await;
        assert!(answer.status < 300, "{}", answer.text);
    }

    /// Runs the one job that waits until it is at a step.
    pub async fn run_until(&self, step: usize) {
        let app = &self.world.app;
        let mut job = jobs::claim(app, 1).await.unwrap().pop().expect("a job that is due");
        while job.step < step {
            match vms::run_step(app, &mut job).await.unwrap() {
                Progress::Done => {
                    job.scratch.clear();
                    job.step += 1;
                    assert!(jobs::save(app, &job).await.unwrap());
                }
                Progress::Wait(pause, _) => {
                    self.world.advance(chrono::TimeDelta::from_std(pause).unwrap());
                    self.world.simulator.advance(pause);
                }
            }
        }
        jobs::release(app, &job, std::time::Duration::ZERO).await.unwrap();
    }

    /// As [`World::settle`], but long enough for a lock that stays.
    pub async fn settle_long(&self) {
        for _ in 0..LONG_ROUNDS_MAX {
            self.world.run_due_jobs().await;
            if self.world.count("select count(*) from jobs where status in ('pending', 'running')").await == 0 {
                return;
            }
            self.world.advance(chrono::TimeDelta::seconds(ROUND_SECONDS));
            self.world.simulator.advance(std::time::Duration::from_secs(ROUND_SECONDS.unsigned_abs()));
        }
        panic!("{}", self.world.text("select string_agg(kind || ' ' || coalesce(error, waiting_for, ''), '; ') from jobs where status in ('pending', 'running')").await);
    }

    /// The operator tells a parked job to try again.
    pub async fn retry(&self, job: Uuid) {
        let answer = self.world.post(&self.admin, &format!("/admin/jobs/{job}/retry"), &json!({})).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }

    /// The differences that are open for a machine.
    pub async fn drifts(&self, vm: &str) -> Vec<Value> {
        let open = self.world.get(&self.admin, "/admin/drift").await.expect(200);
        open["items"].as_array().unwrap().iter().filter(|drift| drift.to_string().contains(vm)).cloned().collect()
    }
}
