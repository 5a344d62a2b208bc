//! Ordering a machine through the API: what comes of it on the cluster, and what is refused.

use std::collections::BTreeSet;

use proxmox_client::{ApiToken, Client, CloneVm, ConfigChange, Settings, Trust};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Customer, World, send, text};

/// A client of the cluster as somebody else has it.
fn stranger(world: &World) -> Client {
    let token = ApiToken::parse(world.simulator.token()).unwrap();
    let trust = Trust::Fingerprint(world.simulator.fingerprint().parse().unwrap());
    Client::new(Settings::new(world.simulator.url(), token, trust)).unwrap()
}

async fn order_with(world: &World, customer: &Customer, change: impl FnOnce(&mut Value)) -> crate::world::Answer {
    let mut body = world.new_vm(customer, "web").await;
    change(&mut body);
    world.post(customer, "/vms", &body).await
}

#[tokio::test]
async fn an_order_becomes_a_running_machine_with_everything_that_was_ordered() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;

    let body = world.new_vm(&ann, "Web-1").await;
    let accepted = world.post(&ann, "/vms", &body).await.expect(202);
    let vm = text(&accepted, "/vm/id").to_owned();
    assert_eq!(text(&accepted, "/vm/state"), "provisioning");
    assert_eq!(text(&accepted, "/job/type"), "vm.create");
    assert_eq!(text(&accepted, "/job/status"), "pending");
    world.run_due_jobs().await;

    let shown = world.vm(&ann, &vm).await;
    assert_eq!(text(&shown, "/state"), "running");
    assert_eq!(text(&shown, "/name"), "web-1");
    assert_eq!(text(&shown, "/price_per_hour"), "0.02");
    assert_eq!(text(&shown, "/address"), "10.10.0.2", "the lowest free address of the pool");
    assert!(shown["job"].is_null());
    let guest = world.guest(&vm).unwrap();
    assert_eq!(guest.vmid, 10_000, "the first VMID that is ours");
    assert_eq!(world.count("select vmid::bigint from vmid_leases where released_at is null").await, 10_000);
    let config = &guest.config;
    assert!(guest.process.is_some(), "it runs");
    assert_eq!(config.get("name"), Some("web-1"));
    assert!(config.get("smbios1").unwrap().contains(&vm), "its SMBIOS uuid is the machine's id");
    let tags: BTreeSet<_> = config.get("tags").unwrap().split(';').collect();
    assert_eq!(tags, BTreeSet::from(["uni-manager", &*format!("vm-{vm}")]));
    assert_eq!((config.cpus(), config.memory_mib()), (2, 4096));
    assert!(config.get("scsi0").unwrap().contains("size=40G"), "{:?}", config.get("scsi0"));
    assert_eq!(config.get("ipconfig0"), Some("ip=10.10.0.2/20,gw=10.10.0.1"));
    assert_eq!(config.get("nameserver"), Some("9.9.9.9"));
    assert_eq!(config.get("ciuser"), Some("debian"));
    assert!(config.get("sshkeys").unwrap().contains("AAAAC3NzaC1lZDI1NTE5AAAAIAABAgME"));
    assert!(config.get("net0").unwrap().contains("bridge=vmbr0"));
    let job = world.last_job(&ann).await;
    assert_eq!((text(&job, "/status"), job["progress"].as_u64()), ("completed", Some(100)));
    let log = world.get(&ann, &format!("/jobs/{}/log", text(&job, "/id"))).await.expect(200);
    assert_eq!(log["items"].as_array().unwrap().len(), 7, "a line for each step: {log}");
    let events = world.events().await;
    assert!(events.iter().any(|event| event == "vm.ordered") && events.iter().any(|event| event == "vm.provisioned"));
    world.finish().await;
}

#[tokio::test]
async fn an_order_that_is_sent_twice_is_one_machine() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let body = world.new_vm(&ann, "web").await;
    let with_key = async |body: &Value| {
        send(world.api(&ann, Method::POST, "/vms").await.header("idempotency-key", "order-1").json(body)).await
    };

    let first = with_key(&body).await.expect(202);
    let second = with_key(&body).await.expect(202);
    world.run_due_jobs().await;
    let third = with_key(&body).await.expect(202);
    let mut other = body.clone();
    other["name"] = json!("other");
    let refused = with_key(&other).await;

    assert_eq!(text(&first, "/vm/id"), text(&second, "/vm/id"));
    assert_eq!(text(&first, "/vm/id"), text(&third, "/vm/id"));
    assert!(second["job"].is_null(), "no second job was started");
    refused.problem(409);
    assert_eq!(world.count("select count(*) from vms").await, 1);
    assert_eq!(world.our_guests().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn an_order_beyond_the_credit_says_what_is_missing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.479999").await;

    let body = world.new_vm(&ann, "web").await;
    let refused = world.post(&ann, "/vms", &body).await.problem(402);

    // A day of plan S is 24 × 0.02 = 0.48.
    assert_eq!(text(&refused, "/short_by"), "0.000001");
    assert_eq!(world.count("select count(*) from vms").await + world.count("select count(*) from holds").await, 0);
    world.credit(&ann, "0.000001").await;
    world.post(&ann, "/vms", &body).await.expect(202);
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn a_dry_run_tells_the_price_and_writes_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.30").await;
    let body = world.new_vm(&ann, "web").await;

    let estimate = world.post(&ann, "/vms?dry_run=true", &body).await.expect(200);
    let same = world.post(&ann, "/estimate", &json!({ "plan": body["plan"] })).await.expect(200);

    assert_eq!(estimate, same);
    assert_eq!(text(&estimate, "/price_running_per_hour"), "0.02");
    assert_eq!(text(&estimate, "/reserved"), "0.480000");
    assert_eq!(text(&estimate, "/short_by"), "0.180000");
    assert!(text(&estimate, "/runs_out_after").starts_with("2026-11-11T03:00:00"), "0.30 lasts 15 hours: {estimate}");
    assert!(estimate["runs_out_before"].is_null());
    for table in [
        "select count(*) from vms",
        "select count(*) from holds",
        "select count(*) from jobs",
        "select count(*) from addresses where vm_id is not null",
    ] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    world.finish().await;
}

#[tokio::test]
async fn every_wrong_field_of_an_order_is_named_at_once() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let nothing = "00000000-0000-7000-8000-00000000dead";

    let empty = world.post(&ann, "/vms", &json!({})).await.problem_fields();
    assert_eq!(empty, ["name", "location", "image", "plan", "ssh_keys"]);
    for (field, wrong) in [
        ("name", json!("not_a_name")),
        ("location", json!(nothing)),
        ("image", json!(nothing)),
        ("plan", json!(nothing)),
        ("ssh_keys", json!([nothing])),
    ] {
        let answer = order_with(&world, &ann, |body| body[field] = wrong).await;
        assert_eq!(answer.problem_fields(), [field]);
    }
    let answer = order_with(&world, &ann, |body| {
        body["new_key"] = json!({ "name": "private", "public_key": "-----BEGIN OPENSSH PRIVATE KEY-----" });
    });
    assert_eq!(answer.await.problem_fields(), ["new_key"]);
    assert_eq!(world.count("select count(*) from vms").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_name_is_used_once_per_organisation() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let vm = world.running_vm(&ann, "web").await;

    assert_eq!(order_with(&world, &ann, |_| {}).await.problem_fields(), ["name"]);
    let bobs = world.order(&bob, "web").await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&bob, &bobs).await, "running");
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;
    world.order(&ann, "web").await;
    world.run_due_jobs().await;

    assert_eq!(world.our_guests().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_template_does_not_hand_down_what_would_make_a_machine_undeletable() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let client = stranger(&world);
    let change =
        ConfigChange::new().protection(true).on_boot(true).tags(["golden".to_owned()]).description("The golden image");
    client.set_vm_config("pve1", 9000, &change).await.unwrap();

    let vm = world.running_vm(&ann, "web").await;

    let config = world.guest(&vm).unwrap().config;
    assert!(!config.flag("protection") && !config.flag("onboot"), "{:?}", config.values);
    assert!(!config.get("tags").unwrap().contains("golden"));
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;
    assert!(world.our_guests().is_empty());
    world.finish().await;
}

#[tokio::test]
async fn a_strangers_guest_under_the_next_vmid_is_passed_over_and_left_alone() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let client = stranger(&world);
    client.clone_vm("pve1", 9000, &CloneVm::new(10_000).name("theirs").full(true).storage("shared")).await.unwrap();
    let before = world.simulator.guests().into_iter().find(|guest| guest.vmid == 10_000).unwrap();

    let vm = world.running_vm(&ann, "web").await;
    assert_eq!(world.vmid(&vm), 10_001);
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;

    let after = world.simulator.guests().into_iter().find(|guest| guest.vmid == 10_000).unwrap();
    assert_eq!(after.config.digest(), before.config.digest());
    assert!(world.our_guests().is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_are_ordered_at_once_share_neither_vmid_nor_address() {
    const MACHINES: usize = 20;
    let world = std::sync::Arc::new(World::new().await);
    let ann = world.customer("ann", "50").await;
    let mut orders = tokio::task::JoinSet::new();
    for number in 0..MACHINES {
        let (world, ann) = (std::sync::Arc::clone(&world), ann.clone());
        orders.spawn(async move { world.order(&ann, &format!("web-{number}")).await });
    }
    let ordered = orders.join_all().await;
    // Several workers at once, as several processes would be.
    let workers = (0..4).map(|_| {
        let app = std::sync::Arc::clone(&world.app);
        tokio::spawn(async move { uni_manager::worker::run_due_jobs(&app).await.unwrap() })
    });
    let ran: usize = futures_util::future::join_all(workers).await.into_iter().map(|ran| ran.unwrap()).sum();

    assert_eq!(ran, MACHINES);
    assert_eq!(ordered.iter().collect::<BTreeSet<_>>().len(), MACHINES);
    assert_eq!(world.count("select count(*) from vms where state = 'running'").await, 20);
    assert_eq!(world.count("select count(distinct vmid) from vms").await, 20);
    assert_eq!(world.count("select count(distinct vm_id) from addresses where vm_id is not null").await, 20);
    let vmids: BTreeSet<_> = world.our_guests().iter().map(|guest| guest.vmid).collect();
    assert_eq!(vmids.len(), MACHINES);
    let addresses: BTreeSet<_> =
        world.our_guests().iter().map(|guest| guest.config.get("ipconfig0").unwrap().to_owned()).collect();
    assert_eq!(addresses.len(), MACHINES);
    std::sync::Arc::into_inner(world).unwrap().finish().await;
}

#[tokio::test]
async fn an_order_is_refused_when_no_node_has_room() {
    let world = World::new().await;
    let ann = world.customer("ann", "500").await;
    // Two nodes of 128 GiB: plan L takes 16.
    world.execute("update nodes set memory_bytes = 20::bigint << 30").await;
    let plan = world.plan("l").await;
    let order = async |name: &str| {
        let mut body = world.new_vm(&ann, name).await;
        body["plan"] = json!(plan);
        world.post(&ann, "/vms", &body).await
    };

    order("one").await.expect(202);
    order("two").await.expect(202);
    let refused = order("three").await.problem(503);
    world.run_due_jobs().await;

    assert!(text(&refused, "/detail").contains("full"), "{refused}");
    let nodes: BTreeSet<_> = world.our_guests().iter().map(|guest| guest.node.clone()).collect();
    assert_eq!(nodes.len(), 2, "machines are spread over the nodes");
    world.finish().await;
}
