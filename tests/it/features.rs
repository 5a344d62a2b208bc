//! What is done to a machine that is there, as its owner and the staff ask for it through the API: reset, suspend, another
//! size, another system, settings, what it starts from, its password, another host. Each once as it should go, and refused.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Answer, Customer, World, send, text};

async fn patch(world: &World, customer: &Customer, vm: &str, changes: Value) -> Answer {
    send(world.api(customer, Method::PATCH, &format!("/vms/{vm}")).await.json(&changes)).await
}

async fn change(world: &World, customer: &Customer, vm: &str, what: &str, body: Value) -> Answer {
    world.post(customer, &format!("/vms/{vm}/{what}"), &body).await
}

async fn vm(world: &World, customer: &Customer, vm: &str) -> Value {
    world.get(customer, &format!("/vms/{vm}")).await.expect(200)
}

fn option(world: &World, vm: &str, name: &str) -> String {
    world.guest(vm).unwrap().config.get(name).unwrap_or_default().to_owned()
}

/// Lists the CD images of the cluster, offers the first and lets it rescue. Answers with its id.
async fn offer_rescue_cd(world: &World, admin: &Customer) -> String {
    let cluster = format!("/admin/clusters/{}", world.cluster);
    let storage = json!({ "iso_storage": "local" });
    send(world.api(admin, Method::PATCH, &cluster).await.json(&storage)).await.expect(200);
    let listed = world.post(admin, &format!("{cluster}/isos/refresh"), &json!({})).await.expect(200);
    let id = text(&listed, "/items/0/id").to_owned();
    let choice = json!({ "images": [{ "id": id, "name": "Rescue", "offered": true }], "rescue": id });
    send(world.api(admin, Method::PUT, &format!("{cluster}/isos")).await.json(&choice)).await.expect(200);
    id
}

#[tokio::test]
async fn a_machine_is_suspended_resumed_and_reset() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;

    assert_eq!(text(&world.tell(&ann, &web, "resume").await.problem(409), "/detail"), "web is not suspended.");
    world.tell(&ann, &web, "suspend").await.expect(202);
    world.settle().await;
    let seen = vm(&world, &ann, &web).await;
    assert_eq!((&seen["suspended"], text(&seen, "/state")), (&json!(true), "running"));
    assert_eq!(text(&seen, "/price_per_hour"), "0.02", "its memory is kept and charged");
    for what in ["shutdown", "reboot", "suspend"] {
        let refused = world.tell(&ann, &web, what).await.problem(409);
        assert!(text(&refused, "/detail").contains("suspended"), "{refused}");
    }

    world.tell(&ann, &web, "resume").await.expect(202);
    world.settle().await;
    assert_eq!(vm(&world, &ann, &web).await["suspended"], false);
    let before = world.guest(&web).unwrap().process.map(|process| process.started);
    world.advance(TimeDelta::seconds(5));
    world.simulator.advance(std::time::Duration::from_secs(5));
    world.tell(&ann, &web, "reset").await.expect(202);
    world.settle().await;
    assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed");
    assert!(world.guest(&web).unwrap().process.is_some() && before.is_some());
    world.finish().await;
}

#[tokio::test]
async fn a_dry_run_of_a_resize_says_what_it_costs_and_changes_nothing() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let (jobs, events) = (world.count("select count(*) from jobs").await, world.events().await);
    let before = vm(&world, &ann, &web).await;

    let size = json!({ "plan": world.plan("m").await, "grow_disk": true });
    let said = change(&world, &ann, &web, "resize?dry_run=true", size).await.expect(200);
    let figure = |name: &str| text(&said, &format!("/{name}")).to_owned();
    assert_eq!((figure("rate_from"), figure("rate_to")), ("0.02".into(), "0.04".into()));
    assert_eq!((figure("monthly_cap_from"), figure("monthly_cap_to")), ("13.440000".into(), "26.880000".into()));
    assert_eq!(
        (&said["disk_gib_from"], &said["disk_gib_to"], &said["restarts"]),
        (&json!(40), &json!(80), &json!(true))
    );
    // 5 at 0.02 an hour lasts 250 hours from now on, at 0.04 half as long.
    let runs_out = |name: &str| said[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!((runs_out("runs_out_before") - world.now()).num_hours(), 250);
    assert_eq!((runs_out("runs_out_after") - world.now()).num_hours(), 125);

    let same = json!({ "plan": world.plan("s").await });
    change(&world, &ann, &web, "resize?dry_run=true", same).await.problem(422);
    assert_eq!(world.count("select count(*) from jobs").await, jobs);
    assert_eq!(world.events().await, events);
    assert_eq!(vm(&world, &ann, &web).await, before);
    world.finish().await;
}

#[tokio::test]
async fn another_size_is_charged_from_the_moment_it_is_there() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;

    world.advance(TimeDelta::minutes(30));
    let size = json!({ "plan": world.plan("m").await });
    let accepted = change(&world, &ann, &web, "resize", size).await.expect(202);
    assert_eq!(text(&accepted, "/job/type"), "vm.resize");
    world.run_due_jobs().await;
    world.settle().await;

    let seen = vm(&world, &ann, &web).await;
    assert_eq!((text(&seen, "/plan_name"), text(&seen, "/state")), ("M", "running"));
    assert_eq!((&seen["disk_gib"], &seen["vcpu"]), (&json!(40), &json!(4)), "the disk stays as it is");
    assert_eq!((option(&world, &web, "cores"), option(&world, &web, "memory")), ("4".into(), "8192".into()));
    let plans = world
        .text(
            "select string_agg(p.slug || ' ' || replace(i.kind, 'vm_', '') || ' ' || extract(epoch from coalesce(upper(i.during), now()) - lower(i.during)) / 60, ', ' order by lower(i.during))
             from meter_intervals i join plans p on p.id = i.plan_id where not isempty(i.during) and not upper_inf(i.during)",
        )
        .await;
    assert!(plans.starts_with("s running 30."), "it was an S for half an hour: {plans}");
    let open = world
        .text("select string_agg(p.slug || ' ' || replace(i.kind, 'vm_', '') || ' ' || to_char(lower(i.during) at time zone 'UTC', 'HH24:MI'), ', ') from meter_intervals i join plans p on p.id = i.plan_id where upper_inf(i.during)")
        .await;
    assert_eq!(open, "m running 12:30", "and is an M since");
    world.advance(TimeDelta::minutes(30));
    world.charge().await;
    // Half an hour at 0.02 and half an hour at 0.04.
    assert_eq!(world.balance(&ann).await, "4.970000");

    // Back again: the disk was not grown.
    change(&world, &ann, &web, "resize", json!({ "plan": world.plan("s").await })).await.expect(202);
    world.settle().await;
    assert_eq!(text(&vm(&world, &ann, &web).await, "/plan_name"), "S");
    world.finish().await;
}

#[tokio::test]
async fn a_disk_grows_when_its_owner_says_so_and_never_shrinks() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;

    change(&world, &ann, &web, "resize", json!({ "plan": world.plan("m").await, "grow_disk": true })).await.expect(202);
    world.settle().await;
    assert_eq!(vm(&world, &ann, &web).await["disk_gib"], 80);

    for path in ["resize", "resize?dry_run=true"] {
        let refused = change(&world, &ann, &web, path, json!({ "plan": world.plan("s").await })).await.problem(422);
        let sentence = "Its disk has 80 GiB and disks never shrink; S comes with 40 GiB.";
        assert_eq!(text(&refused, "/errors/0/problem"), sentence);
        assert_eq!(text(&refused, "/errors/0/field"), "plan");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_larger_plan_needs_an_hour_of_credit() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.50").await;
    let web = world.running_vm(&ann, "web").await;
    // 23 hours at 0.02 leave 0.04, half of what an hour of L costs.
    world.hours_with_passes(23).await;

    let size = json!({ "plan": world.plan("l").await });
    let refused = change(&world, &ann, &web, "resize", size.clone()).await.problem(402);
    assert_eq!(text(&refused, "/short_by"), "0.040000");
    let said = change(&world, &ann, &web, "resize?dry_run=true", size).await.expect(200);
    assert_eq!(text(&said, "/short_by"), "0.040000");
    assert_eq!(text(&vm(&world, &ann, &web).await, "/plan_name"), "S");
    world.finish().await;
}

#[tokio::test]
async fn a_rebuild_keeps_name_and_address_and_nothing_of_the_disk() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    let before = vm(&world, &ann, &web).await;
    let old = world.vmid(&web);

    let nothing = json!({ "image": "00000000-0000-7000-8000-00000000dead" });
    assert_eq!(change(&world, &ann, &web, "rebuild", nothing).await.problem_fields(), ["image"]);
    let other = json!({ "image": world.images[1], "ssh_keys": [ann.key] });
    change(&world, &ann, &web, "rebuild", other).await.expect(202);
    world.settle().await;

    let after = vm(&world, &ann, &web).await;
    assert_eq!(text(&after, "/image_name"), "Ubuntu 24.04");
    for same in ["id", "name", "address", "plan", "state"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_ne!(world.vmid(&web), old, "it is another guest");
    assert!(world.simulator.guests().iter().all(|guest| guest.vmid != old), "the old one is gone");
    world.finish().await;
}

#[tokio::test]
async fn a_protected_machine_is_neither_deleted_nor_rebuilt() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;

    patch(&world, &ann, &web, json!({ "protected": true })).await.expect(202);
    world.settle().await;
    assert_eq!(option(&world, &web, "protection"), "1");
    let sentence = "web is protected. Take the protection away first.";
    let refused = world.delete(&ann, &format!("/vms/{web}")).await.problem(409);
    assert_eq!(text(&refused, "/detail"), sentence);
    let refused = change(&world, &ann, &web, "rebuild", json!({ "image": world.images[0] })).await.problem(409);
    assert_eq!(text(&refused, "/detail"), sentence);

    patch(&world, &ann, &web, json!({ "protected": false })).await.expect(202);
    world.settle().await;
    world.delete(&ann, &format!("/vms/{web}")).await.expect(202);
    world.settle().await;
    world.get(&ann, &format!("/vms/{web}")).await.problem(404);
    world.finish().await;
}

#[tokio::test]
async fn a_machine_is_renamed_and_tagged_and_found_by_its_tag() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    world.running_vm(&ann, "db").await;

    for reserved in ["uni-manager", "vm-x"] {
        let refused = patch(&world, &ann, &web, json!({ "tags": [reserved] })).await.problem(422);
        assert_eq!(text(&refused, "/errors/0/problem"), format!("The tag {reserved} is reserved."));
    }
    assert_eq!(
        patch(&world, &ann, &web, json!({ "name": "no name", "tags": ["a b"] })).await.problem_fields(),
        ["name", "tags"]
    );
    let accepted = patch(&world, &ann, &web, json!({ "name": "front", "tags": ["Web", "eu"] })).await.expect(202);
    assert_eq!(text(&accepted, "/job/type"), "vm.configure");
    world.settle().await;

    let seen = vm(&world, &ann, &web).await;
    assert_eq!((text(&seen, "/name"), &seen["tags"]), ("front", &json!(["eu", "web"])));
    assert_eq!(option(&world, &web, "name"), "front");
    assert!(option(&world, &web, "tags").split(';').any(|tag| tag == "eu"));
    let tagged = world.get(&ann, "/vms?tag=EU").await.expect(200);
    assert_eq!(tagged["items"].as_array().unwrap().len(), 1);
    assert_eq!(text(&tagged, "/items/0/name"), "front");
    assert_eq!(world.get(&ann, "/vms?tag=none").await.expect(200)["items"], json!([]));
    // What is so already is no work.
    assert_eq!(patch(&world, &ann, &web, json!({ "tags": ["web", "eu"] })).await.expect(202)["job"], Value::Null);
    world.finish().await;
}

#[tokio::test]
async fn a_machine_starts_from_the_rescue_system_and_from_its_disk_again() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let web = world.running_vm(&ann, "web").await;

    change(&world, &ann, &web, "boot", json!({ "boot": "rescue" })).await.problem(503);
    assert_eq!(world.get(&ann, &format!("/vms/{web}/iso-images")).await.expect(200)["items"], json!([]));
    let cd = offer_rescue_cd(&world, &admin).await;
    let offered = world.get(&ann, &format!("/vms/{web}/iso-images")).await.expect(200);
    assert_eq!((text(&offered, "/items/0/id"), text(&offered, "/items/0/name")), (cd.as_str(), "Rescue"));
    assert!(offered["items"][0].get("volume").is_none(), "where it lies is the operator's matter");
    let refused = change(&world, &ann, &web, "boot", json!({ "boot": "cd" })).await.problem(409);
    assert_eq!(text(&refused, "/detail"), "There is no CD in its drive.");

    change(&world, &ann, &web, "boot", json!({ "boot": "rescue" })).await.expect(202);
    world.settle().await;
    let seen = vm(&world, &ann, &web).await;
    assert_eq!(
        (text(&seen, "/state"), text(&seen, "/iso_image"), &seen["boot_from_iso"]),
        ("running", cd.as_str(), &json!(true))
    );
    assert!(option(&world, &web, "boot").starts_with("order=ide"), "{}", option(&world, &web, "boot"));
    patch(&world, &ann, &web, json!({ "iso_image": null })).await.problem(409);

    change(&world, &ann, &web, "boot", json!({ "boot": "disk" })).await.expect(202);
    world.settle().await;
    assert!(option(&world, &web, "boot").starts_with("order=scsi"), "{}", option(&world, &web, "boot"));
    patch(&world, &ann, &web, json!({ "iso_image": null })).await.expect(202);
    world.settle().await;
    let seen = vm(&world, &ann, &web).await;
    assert_eq!((&seen["iso_image"], &seen["boot_from_iso"]), (&Value::Null, &json!(false)));
    patch(&world, &ann, &web, json!({ "iso_image": cd })).await.expect(202);
    world.settle().await;
    assert_eq!(text(&vm(&world, &ann, &web).await, "/iso_image"), cd);
    world.finish().await;
}

#[tokio::test]
async fn a_password_is_set_and_kept_nowhere() {
    const SECRET: &str = "tangerine dream 77";
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;

    for bad in ["short", "has:a colon in it", "not\nof one line at all"] {
        assert_eq!(
            change(&world, &ann, &web, "password", json!({ "password": bad })).await.problem_fields(),
            ["password"]
        );
    }
    let accepted = change(&world, &ann, &web, "password", json!({ "password": SECRET })).await;
    accepted.expect(202);
    assert!(!accepted.text.contains(SECRET));
    let everything = "select concat_ws(' ', (select string_agg(j::text, ' ') from jobs j), (select string_agg(e::text, ' ') from audit_events e),
                      (select string_agg(l::text, ' ') from job_logs l), (select string_agg(v::text, ' ') from vms v))";
    assert!(!world.text(everything).await.contains("tangerine"), "while the job waits");
    world.settle().await;

    assert_eq!(text(&world.last_job(&ann).await, "/status"), "completed");
    assert!(!world.text(everything).await.contains("tangerine"), "when it is done");
    assert_eq!(world.count("select count(secret_encrypted) from jobs").await, 0, "and it is forgotten");
    assert!(!option(&world, &web, "cipassword").is_empty(), "the guest has it");
    for path in ["/jobs", "/vms"] {
        assert!(!world.get(&ann, path).await.text.contains("tangerine"), "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn the_staff_moves_a_machine_to_another_host() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let web = world.running_vm(&ann, "web").await;
    let home = world.guest(&web).unwrap().node;
    let other = world.text("select name from nodes where name <> (select node from vms) limit 1").await;
    let path = format!("/admin/vms/{web}/migrate");

    world.post(&ann, &path, &json!({ "node": other })).await.problem(403);
    for wrong in [home.as_str(), "nowhere"] {
        assert_eq!(world.post(&admin, &path, &json!({ "node": wrong })).await.problem_fields(), ["node"]);
    }
    world.post(&admin, &path, &json!({ "node": other })).await.expect(202);
    world.settle().await;

    assert_eq!(world.guest(&web).unwrap().node, other);
    assert_eq!(world.text("select node from vms").await, other);
    assert_eq!(world.state(&ann, &web).await, "running");
    assert!(
        !world.get(&ann, &format!("/vms/{web}")).await.text.contains(&other),
        "its owner does not read where it is"
    );
    world.finish().await;
}

#[tokio::test]
async fn a_strangers_machine_is_not_there() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let web = world.running_vm(&ann, "web").await;
    let plan = world.plan("m").await;

    for (what, body) in [
        ("reset", json!({})),
        ("suspend", json!({})),
        ("resume", json!({})),
        ("resize", json!({ "plan": plan })),
        ("resize?dry_run=true", json!({ "plan": plan })),
        ("rebuild", json!({ "image": world.images[0] })),
        ("boot", json!({ "boot": "disk" })),
        ("password", json!({ "password": "tangerine dream 77" })),
    ] {
        change(&world, &bob, &web, what, body).await.problem(404);
    }
    patch(&world, &bob, &web, json!({ "name": "mine" })).await.problem(404);
    world.get(&bob, &format!("/vms/{web}/iso-images")).await.problem(404);
    assert_eq!(world.count("select count(*) from jobs where kind <> 'vm.create'").await, 0);
    world.finish().await;
}
