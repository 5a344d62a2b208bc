//! A look at a large cluster: one call, one transaction, and one machine that cannot be written holds nobody up.

use chrono::TimeDelta;
use proxmox_simulator::{Options, Simulator};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Customer, Start, World, text};

const GUESTS: u32 = 10_000;
const CHANGED: u32 = 100;
const FIRST_VMID: u32 = 20_000;

fn id(number: u32) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(number))
}

/// The state of a cluster with so many guests of ours that run.
fn crowded(guests: u32) -> Value {
    let mut state = Simulator::start(Options { nodes: 2, ..Options::default() }).unwrap().snapshot();
    let crowd = state.pointer_mut("/guests").and_then(Value::as_object_mut).unwrap();
    for number in 0..guests {
        let (vmid, vm) = (FIRST_VMID + number, id(number));
        let config = json!({
            "values": {
                "name": format!("crowd-{number}"), "cores": "2", "sockets": "1", "memory": "4096", "smbios1": format!("uuid={vm}"),
                "tags": format!("uni-manager;vm-{vm}"), "description": format!("Uni-Manager VM {vm}. Managed."),
            },
            "pending": {}, "pending_delete": {},
        });
        let process = json!({ "pid": vmid, "started": 1, "booted": 1, "paused": false });
        crowd.insert(
            vmid.to_string(),
            json!({ "vmid": vmid, "node": format!("pve{}", number % 2 + 1), "config": config, "process": process, "ignores_power_button": false }),
        );
    }
    state
}

/// Our books of that cluster: all of one customer's, running and metered.
async fn believe(world: &World, ann: &Customer, guests: u32) {
    let plan: Uuid = world.plan("s").await.parse().unwrap();
    let ids: Vec<Uuid> = (0..guests).map(id).collect();
    sqlx::query(
        "insert into vms (id, organisation_id, name, plan_id, image_id, location_id, cluster_id, node, vmid, state, state_since, created_at, guest_uuid, disk_gib, adopted_at)
         select i, $2, 'crowd-' || (n - 1), $3, $4, $5, $6, 'pve' || ((n - 1) % 2 + 1), $7 + n - 1, 'running', $8, $8, i, 40, $8
         from unnest($1::uuid[]) with ordinality as u (i, n)",
    )
    .bind(&ids)
    .bind(ann.organisation.uuid())
    .bind(plan)
    .bind(world.images[0].uuid())
    .bind(world.location.uuid())
    .bind(world.cluster.uuid())
    .bind(i32::try_from(FIRST_VMID).unwrap())
    .bind(world.now())
    .execute(&world.app.pool)
    .await
    .unwrap();
    for sql in [
        "insert into vmid_leases (cluster_id, vmid, vm_id, leased_at) select cluster_id, vmid, id, created_at from vms",
        "insert into meters (id, organisation_id, vm_id, kind, month, cap, accrued_through) select id, organisation_id, id, 'vm', date '2026-11-01', 0, created_at from vms",
        "update wallets w set metered = true, charged_through = v.created_at from (select distinct organisation_id, created_at from vms) v where v.organisation_id = w.organisation_id",
        "insert into meter_intervals (organisation_id, meter_id, kind, plan_id, quantity, price_list_id, during) select v.organisation_id, v.id, 'vm_running', v.plan_id, 1, l.id, tstzrange(v.created_at, null) from vms v, price_lists l",
        "create table transactions_seen (xid xid8)",
        "create function see() returns trigger language plpgsql as $$ begin insert into transactions_seen values (pg_current_xact_id()); return null; end $$",
        "create trigger seen after update on vms for each statement execute function see()",
        "create trigger seen after insert or update or delete on meter_intervals for each statement execute function see()",
        "create trigger seen after insert on audit_events for each statement execute function see()",
    ] {
        world.execute(sql).await;
    }
}

async fn crowd(guests: u32) -> (World, Customer) {
    let world = World::starting(Start { state: Some(crowded(guests)), ..Start::default() }).await;
    let ann = world.customer("ann", "100000").await;
    believe(&world, &ann, guests).await;
    (world, ann)
}

#[tokio::test]
async fn ten_thousand_guests_are_one_call_and_a_hundred_changes_one_transaction() {
    let (world, ann) = crowd(GUESTS).await;
    world.advance(TimeDelta::minutes(15));
    let before = world.simulator.requests();
    let steady = uni_manager::vms::reconcile(&world.app, world.cluster).await.unwrap();
    assert_eq!((steady.seen, steady.changed), (10_000, 0));
    assert_eq!(
        world.count("select count(*) from transactions_seen").await,
        0,
        "nothing has changed, so nothing is written"
    );
    for number in 0..CHANGED {
        assert!(world.simulator.power_off_from_inside(FIRST_VMID + number * 7));
    }

    let changed = uni_manager::vms::reconcile(&world.app, world.cluster).await.unwrap();

    assert_eq!((changed.changed, changed.failed), (100, 0));
    assert_eq!(world.simulator.requests() - before, 2, "one call for each look");
    assert_eq!(world.count("select count(distinct xid::text) from transactions_seen").await, 1);
    assert_eq!(world.count("select count(*) from vms where state = 'stopped'").await, 100);
    assert_eq!(
        world.count("select count(*) from meter_intervals where kind = 'vm_stopped' and upper_inf(during)").await,
        100
    );
    // 9,900 × 0.02 + 100 × 0.005.
    assert_eq!(world.wallet(&ann).await.burn_per_hour.to_string(), "198.5");
    world.finish().await;
}

#[tokio::test]
async fn a_machine_that_cannot_be_written_holds_nobody_up_and_is_shown() {
    let (world, ann) = crowd(10).await;
    let admin = world.admin().await;
    world.execute("create function refuse_one() returns trigger language plpgsql as $$ begin if new.name = 'crowd-3' then raise exception 'not this one'; end if; return new; end $$").await;
    world.execute("create trigger refuse_one before update on vms for each row execute function refuse_one()").await;
    for number in 0..5 {
        world.simulator.power_off_from_inside(FIRST_VMID + number);
    }

    for _ in 0..2 {
        world.look().await;
    }

    assert_eq!(world.count("select count(*) from vms where state = 'stopped'").await, 4);
    assert_eq!(
        world.text("select string_agg(v.name, ',') from look_failures f join vms v on v.id = f.vm_id").await,
        "crowd-3"
    );
    let failures = uni_manager::vms::look_failures(&world.app).await.unwrap();
    assert!(failures[0].error.contains("not this one"), "{failures:?}");
    assert_eq!(uni_manager::exceptions::current(&world.app).await.unwrap().unwritten.len(), 1);
    drop(admin);
    world.execute("drop trigger refuse_one on vms").await;
    world.look().await;
    assert_eq!(world.count("select count(*) from vms where state = 'stopped'").await, 5);
    assert!(uni_manager::vms::look_failures(&world.app).await.unwrap().is_empty());
    assert_eq!(text(&world.vm(&ann, &id(3).to_string()).await, "/state"), "stopped");
    world.finish().await;
}

#[tokio::test]
async fn a_locked_guest_is_neither_believed_nor_missing() {
    let (world, ann) = crowd(1).await;
    let vm = id(0).to_string();
    world.simulator.set_lock(FIRST_VMID, Some("backup"));
    world.simulator.power_off_from_inside(FIRST_VMID);
    for _ in 0..3 {
        world.look().await;
    }
    assert_eq!(world.state(&ann, &vm).await, "running", "a backup starts and stops guests as it likes");
    world.simulator.set_lock(FIRST_VMID, None);
    world.look().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    // Put to sleep on its disk: that lock lasts, and it is off.
    world.simulator.set_lock(FIRST_VMID, Some("suspended"));
    world.look().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    world.simulator.set_lock(FIRST_VMID, None);
    world.finish().await;
}
