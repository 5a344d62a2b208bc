//! Clusters: where machines go and why not, looks that are not answered, changing one, its endpoints, its CD images.

use chrono::TimeDelta;
use proxmox_simulator::{Options, Simulator};
use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::audit::Actor;
use uni_manager::clusters::{self, NewCluster};
use uni_manager::ids::ClusterId;
use uni_manager::worker;

use crate::world::{Answer, Customer, World, new_cluster, send, text};

/// Adds a second cluster at the world's location, with the same templates.
async fn second_cluster(world: &World, simulator: &Simulator, name: &str) -> ClusterId {
    let new = NewCluster { name: name.into(), ..new_cluster(simulator, world.location) };
    let id = clusters::add(&world.app, &new, &Actor::system()).await.unwrap();
    let templates: Vec<_> = clusters::templates(&world.app, world.cluster)
        .await
        .unwrap()
        .into_iter()
        .map(|known| (known.image, Some(known.vmid.unsigned_abs())))
        .collect();
    clusters::set_templates(&world.app, id, &templates, &Actor::system()).await.unwrap();
    id
}

async fn order(world: &World, customer: &Customer, name: &str, change: impl FnOnce(&mut Value)) -> Answer {
    let mut body = world.new_vm(customer, name).await;
    change(&mut body);
    world.post(customer, "/vms", &body).await
}

async fn patch(world: &World, admin: &Customer, change: Value) -> Answer {
    let path = format!("/admin/clusters/{}", world.cluster);
    send(world.api(admin, Method::PATCH, &path).await.json(&change)).await
}

async fn cluster(world: &World, admin: &Customer) -> Value {
    world.get(admin, &format!("/admin/clusters/{}", world.cluster)).await.expect(200)
}

#[tokio::test]
async fn machines_are_spread_over_the_clusters_and_nodes_of_a_location() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    let other = Simulator::start(Options { nodes: 2, ..Options::default() }).unwrap();
    second_cluster(&world, &other, "second").await;

    for number in 0..4 {
        order(&world, &ann, &format!("web-{number}"), |_| {}).await.expect(202);
    }
    world.run_due_jobs().await;

    assert_eq!(world.count("select count(*) from vms where state = 'running'").await, 4);
    assert_eq!(world.count("select count(distinct (cluster_id, node)) from vms").await, 4, "each on a host of its own");
    assert_eq!(world.our_guests().len(), 2, "half of them on the first cluster");
    world.execute("update vms set state = 'deleted', deleted_at = created_at, vmid = null where cluster_id in (select id from clusters where name = 'second')").await;
    world.execute("delete from meter_intervals where meter_id in (select m.id from meters m join vms v on v.id = m.vm_id where v.state = 'deleted')").await;
    world.execute("update vmid_leases set released_at = leased_at where vm_id in (select id from vms where state = 'deleted')").await;
    world
        .execute("update addresses set vm_id = null where vm_id in (select id from vms where state = 'deleted')")
        .await;
    world.finish().await;
}

#[tokio::test]
async fn machines_of_one_group_are_never_on_one_host() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "50").await, world.customer("bob", "50").await);
    let in_group = |body: &mut Value| body["placement_group"] = json!("db");

    let wrong = order(&world, &ann, "wrong", |body| body["placement_group"] = json!("Not a group!")).await;
    assert_eq!(wrong.problem_fields(), ["placement_group"]);
    let first = order(&world, &ann, "db-1", in_group).await.expect(202);
    order(&world, &ann, "db-2", in_group).await.expect(202);
    let third = order(&world, &ann, "db-3", in_group).await;

    assert_eq!(third.problem_fields(), ["placement_group"]);
    assert!(third.text.contains("already has a VM of this placement group"), "{}", third.text);
    assert_eq!(world.count("select count(distinct node) from vms").await, 2);
    order(&world, &bob, "db-1", in_group).await.expect(202);
    order(&world, &ann, "other", |_| {}).await.expect(202);
    world.run_due_jobs().await;
    let shown = world.vm(&ann, text(&first, "/vm/id")).await;
    assert_eq!(text(&shown, "/placement_group"), "db");
    world.finish().await;
}

#[tokio::test]
async fn no_more_is_sold_than_the_limits_and_operators_read_why() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "500").await, world.admin().await);
    // Plan S: 2 vCPU, 4 GiB, 40 GiB. Two nodes of 32 processors and 128 GiB.
    let fit = async |count: u32, apart: bool| {
        let plan = world.plan("s").await;
        let path = format!("/admin/clusters/{}/fit?plan={plan}&count={count}&apart={apart}", world.cluster);
        world.get(&admin, &path).await.expect(200)
    };

    patch(&world, &admin, json!({ "node_reserve_mib": 122_880, "memory_percent": 100 })).await.expect(200);
    let by_memory = fit(10, false).await;
    assert_eq!(by_memory["fits"], 4, "8 GiB are left on each node");
    assert!(text(&by_memory, "/passed_over/0/reasons").contains("memory 4 of 4 GiB missing"), "{by_memory}");
    assert_eq!(fit(10, true).await["fits"], 2, "kept apart");
    patch(&world, &admin, json!({ "node_reserve_mib": 0, "cpu_percent": 100 })).await.expect(200);
    let by_cpu = fit(100, false).await;
    assert_eq!(by_cpu["fits"], 32, "sixteen on each");
    assert!(text(&by_cpu, "/passed_over/0/reasons").contains("vCPU 2 of 2 missing"), "{by_cpu}");
    world.execute("update storages set total_bytes = 130::bigint << 30 where name = 'shared'").await;
    let by_disk = fit(100, false).await;
    assert_eq!(by_disk["fits"], 3, "the shared storage counts once");
    assert!(text(&by_disk, "/passed_over/0/reasons").contains("disk 30 of 40 GiB missing"), "{by_disk}");

    for number in 0..3 {
        order(&world, &ann, &format!("web-{number}"), |_| {}).await.expect(202);
    }
    assert!(text(&order(&world, &ann, "web-3", |_| {}).await.problem(503), "/detail").contains("full"));
    world.run_due_jobs().await;
    assert_eq!(fit(1, false).await["fits"], 0);
    // What a job will make of a machine is sold already.
    world.execute("update storages set total_bytes = 170::bigint << 30 where name = 'shared'").await;
    assert_eq!(fit(1, false).await["fits"], 1);
    world.execute("update vms set next_image_id = image_id where name = 'web-0'").await;
    assert_eq!(fit(1, false).await["fits"], 0, "a rebuild has two disks");
    world.execute("update vms set next_image_id = null").await;
    world.finish().await;
}

#[tokio::test]
async fn a_machine_grows_at_home_or_on_another_node_and_moves_only_where_it_fits() {
    let world = World::new().await;
    let ann = world.customer("ann", "500").await;
    let vm = world.running_vm(&ann, "web").await.parse().unwrap();
    let large = world.plan("l").await.parse().unwrap();
    let home = world.text("select node from vms").await;
    let other = if home == "pve1" { "pve2" } else { "pve1" };
    let mut transaction = world.app.pool.begin().await.unwrap();

    assert_eq!(clusters::room_for(&mut transaction, vm, large, 200).await.unwrap().unwrap(), home);
    clusters::check_target(&mut transaction, vm, other).await.unwrap().unwrap();
    assert!(clusters::check_target(&mut transaction, vm, &home).await.is_err());
    assert!(clusters::check_target(&mut transaction, vm, "pve9").await.is_err());
    // Home is too small for plan L now, the other is not.
    sqlx::query("update nodes set memory_bytes = 8::bigint << 30 where name = $1")
        .bind(&home)
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(clusters::room_for(&mut transaction, vm, large, 200).await.unwrap().unwrap(), other);
    sqlx::query("update nodes set memory_bytes = 3::bigint << 30").execute(&mut *transaction).await.unwrap();
    let refused = clusters::room_for(&mut transaction, vm, large, 200).await.unwrap().unwrap_err();
    assert_eq!(refused.nodes.len(), 2, "{}", refused.reasons());
    let refused = clusters::check_target(&mut transaction, vm, other).await.unwrap().unwrap_err();
    assert_eq!(refused.reasons(), format!("{other}: memory 3 of 4 GiB missing"));
    sqlx::query("update nodes set online = false, offline_since = seen_at, memory_bytes = 128::bigint << 30")
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(
        clusters::check_target(&mut transaction, vm, other).await.unwrap().unwrap_err().reasons(),
        format!("{other}: not online")
    );
    transaction.rollback().await.unwrap();
    world.finish().await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_asked_less_and_less_often() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    let failed = async || world.count("select failed_looks::bigint from clusters").await;
    world.simulator.set_away(true);

    worker::look_at_clusters(&world.app).await;
    assert_eq!(failed().await, 1);
    worker::look_at_clusters(&world.app).await;
    assert_eq!(failed().await, 1, "not due yet");
    world.advance(TimeDelta::seconds(10));
    worker::look_at_clusters(&world.app).await;
    assert_eq!(failed().await, 2);
    world.advance(TimeDelta::seconds(19));
    worker::look_at_clusters(&world.app).await;
    assert_eq!(failed().await, 2, "the second pause is longer");

    let seen = cluster(&world, &admin).await;
    assert!(!text(&seen, "/last_error").is_empty() && !text(&seen, "/next_look_at").is_empty());
    let shown = world.vm(&ann, &vm).await;
    assert_eq!((text(&shown, "/state"), text(&shown, "/state_reason")), ("unknown", "its location is not answering"));
    world.simulator.set_away(false);
    let path = format!("/admin/clusters/{}/look", world.cluster);
    let back = world.post(&admin, &path, &json!({})).await.expect(200);
    assert!(back["unreachable_since"].is_null() && back["next_look_at"].is_null(), "{back}");
    assert_eq!(back["failed_looks"], 0);
    world.finish().await;
}

#[tokio::test]
async fn a_look_writes_down_storages_and_forgets_what_is_not_listed_for_a_day() {
    let world = World::new().await;
    let admin = world.admin().await;
    let seen = cluster(&world, &admin).await;
    assert_eq!(seen["storages"].as_array().unwrap().len(), 6, "three on each of two nodes: {seen}");
    world.execute("insert into nodes (cluster_id, name, online, cpu_count, memory_bytes, memory_used_bytes, seen_at) select id, 'gone', true, 8, 1::bigint << 40, 0, last_seen_at from clusters").await;
    let names = async || -> Vec<String> {
        let seen = cluster(&world, &admin).await;
        seen["capacity"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| format!("{} {}", text(node, "/name"), node["online"]))
            .collect()
    };

    world.hours(23);
    world.look().await;
    assert_eq!(names().await, ["gone false", "pve1 true", "pve2 true"]);
    world.hours(2);
    world.look().await;
    assert_eq!(names().await, ["pve1 true", "pve2 true"]);
    world.finish().await;
}

#[tokio::test]
async fn maintenance_keeps_new_machines_away_and_leaves_the_others_alone() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "50").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;

    patch(&world, &admin, json!({ "maintenance": true })).await.expect(200);
    let refused = order(&world, &ann, "other", |_| {}).await.problem(503);
    assert!(text(&refused, "/detail").contains("being maintained"), "{refused}");
    world.tell(&ann, &vm, "stop").await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    patch(&world, &admin, json!({ "maintenance": false })).await.expect(200);
    order(&world, &ann, "other", |_| {}).await.expect(202);
    world.run_due_jobs().await;

    let events = world.events().await;
    assert!(
        events.contains(&"cluster.maintenance_begun".into()) && events.contains(&"cluster.maintenance_ended".into())
    );
    world.finish().await;
}

#[tokio::test]
async fn what_reaches_a_cluster_is_tried_before_it_is_saved() {
    let world = World::new().await;
    let admin = world.admin().await;
    let before = cluster(&world, &admin).await;

    for (change, field) in [
        (json!({ "token_secret": "wrong" }), "token_secret"),
        (json!({ "fingerprint": vec!["AA"; 32].join(":") }), "fingerprint"),
        (json!({ "endpoint": "https://127.0.0.1:1" }), "endpoint"),
        (json!({ "endpoint": "http://127.0.0.1:1" }), "endpoint"),
        (json!({ "memory_percent": 5 }), "memory_percent"),
        (json!({ "name": " " }), "name"),
    ] {
        assert_eq!(patch(&world, &admin, change.clone()).await.problem_fields(), [field], "{change}");
    }
    assert_eq!(cluster(&world, &admin).await, before);
    let secret = world.simulator.token().split_once('=').unwrap().1;
    patch(&world, &admin, json!({ "token_secret": secret, "name": "renamed", "bridge": "vmbr1", "disk_percent": 200 }))
        .await
        .expect(200);
    let after = cluster(&world, &admin).await;
    assert_eq!(
        (text(&after, "/name"), text(&after, "/bridge"), &after["disk_percent"]),
        ("renamed", "vmbr1", &json!(200))
    );
    let told = world.text("select changes::text from audit_events where event = 'cluster.changed'").await;
    assert!(told.contains("token_secret") && !told.contains(secret), "{told}");
    world.finish().await;
}

#[tokio::test]
async fn after_a_new_certificate_both_are_shown_and_compared() {
    let world = World::new().await;
    let admin = world.admin().await;
    let real = world.simulator.fingerprint().to_owned();
    world.execute("update clusters set fingerprint = repeat('AB:', 31) || 'AB', updated_at = updated_at + interval '1 second'").await;
    let (cookie, csrf) = crate::doors::browser(&world, &admin).await;
    let page = |path: &str| {
        world.request(Method::POST, &format!("/admin/clusters/{}/{path}", world.cluster)).header("cookie", &cookie)
    };

    let shown = send(page("test").form(&[("csrf", &csrf)])).await;
    assert!(
        shown.text.contains(&real) && shown.text.contains("AB:AB:AB") && shown.text.contains("compared"),
        "{}",
        shown.text
    );
    let unread = send(page("certificate").form(&[("csrf", csrf.as_str()), ("fingerprint", &real)])).await;
    assert_eq!(unread.status, 422);
    assert!(unread.text.contains("Compare it first"));
    let form = [("csrf", csrf.as_str()), ("fingerprint", &real), ("compared", "yes")];
    assert_eq!(send(page("certificate").form(&form)).await.status, 303);
    assert_eq!(world.text("select fingerprint from clusters").await, real);
    assert_eq!(send(page("look").form(&[("csrf", &csrf)])).await.status, 303);
    assert_eq!(world.count("select count(*) from clusters where unreachable_since is null").await, 1);
    world.finish().await;
}

#[tokio::test]
async fn another_endpoint_answers_when_the_first_does_not() {
    let world = World::new().await;
    let admin = world.admin().await;
    let path = format!("/admin/clusters/{}/endpoints", world.cluster);
    let set = async |endpoints: Value| {
        send(world.api(&admin, Method::PUT, &path).await.json(&json!({ "endpoints": endpoints }))).await
    };

    assert_eq!(set(json!([{ "url": "http://pve2" }])).await.problem_fields(), ["endpoint"]);
    assert_eq!(set(json!([{ "url": world.simulator.url() }])).await.problem_fields(), ["endpoint"], "it is the first");
    let good = json!([{ "url": world.simulator.url(), "fingerprint": world.simulator.fingerprint() }]);
    world
        .execute("update clusters set endpoint = 'https://127.0.0.1:1', updated_at = updated_at + interval '1 second'")
        .await;
    set(good).await.expect(200);
    world.look().await;

    let seen = cluster(&world, &admin).await;
    assert!(seen["unreachable_since"].is_null(), "{seen}");
    assert!(
        seen["endpoints"][0]["failures"].as_u64().unwrap() > 0 && !text(&seen, "/endpoints/0/last_error").is_empty()
    );
    assert_eq!((&seen["endpoints"][1]["current"], &seen["endpoints"][1]["failures"]), (&json!(true), &json!(0)));
    world.finish().await;
}

#[tokio::test]
async fn only_a_cluster_without_machines_is_removed() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let vm = world.running_vm(&ann, "web").await;
    let path = format!("/admin/clusters/{}", world.cluster);

    assert!(text(&world.delete(&admin, &path).await.problem(409), "/detail").contains("still has a VM"));
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.delete(&admin, &path).await.status, 204);

    world.delete(&admin, &path).await.problem(404);
    assert_eq!(world.text("select token_secret_encrypted from clusters").await, "", "its secret is gone");
    assert_eq!(order(&world, &ann, "other", |_| {}).await.problem_fields(), ["image"]);
    // Its name is free again.
    clusters::add(&world.app, &new_cluster(&world.simulator, world.location), &Actor::system()).await.unwrap();
    world.finish().await;
}

#[tokio::test]
async fn cd_images_are_listed_named_and_one_of_them_rescues() {
    let world = World::new().await;
    let admin = world.admin().await;
    let isos = format!("/admin/clusters/{}/isos", world.cluster);

    assert_eq!(world.post(&admin, &format!("{isos}/refresh"), &json!({})).await.problem_fields(), ["iso_storage"]);
    patch(&world, &admin, json!({ "iso_storage": "local" })).await.expect(200);
    let listed = world.post(&admin, &format!("{isos}/refresh"), &json!({})).await.expect(200);
    let image = &listed["items"][0];
    assert_eq!(text(image, "/volume"), "local:iso/debian-12.11.0-amd64-netinst.iso");
    assert_eq!((text(image, "/name"), &image["offered"]), ("debian-12.11.0-amd64-netinst", &json!(false)));
    assert!(clusters::offered_isos(&world.app, world.cluster).await.unwrap().is_empty());

    let put = async |body: Value| send(world.api(&admin, Method::PUT, &isos).await.json(&body)).await;
    let id = text(image, "/id");
    assert_eq!(put(json!({ "images": [{ "id": id, "name": " " }] })).await.problem_fields(), [format!("name_{id}")]);
    put(json!({ "images": [{ "id": id, "name": "Debian 12", "offered": true }], "rescue": id })).await.expect(200);
    let offered = clusters::offered_isos(&world.app, world.cluster).await.unwrap();
    assert_eq!(offered[0].name, "Debian 12");
    assert_eq!(clusters::rescue_iso(&world.app, world.cluster).await.unwrap().unwrap().id, offered[0].id);
    let mut connection = world.app.pool.acquire().await.unwrap();
    assert_eq!(clusters::iso(&mut connection, offered[0].id).await.unwrap(), offered[0]);
    drop(connection);
    world.post(&admin, &format!("{isos}/refresh"), &json!({})).await.expect(200);
    assert_eq!(
        clusters::offered_isos(&world.app, world.cluster).await.unwrap(),
        offered,
        "a new listing forgets nothing"
    );
    world.finish().await;
}
