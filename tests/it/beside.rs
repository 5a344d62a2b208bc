//! What a machine has beside itself is charged as well: disk beyond its plan, an address, the licence of its system. From its
//! first hour to the invoice, and by a second rating.

use chrono::TimeDelta;
use proxmox_client::{CloneVm, ConfigChange};
use reqwest::Method;
use serde_json::{Value, json};

use crate::doors::browser;
use crate::ledger_export::folder;
use crate::ledger_proof::rerated;
use crate::money_pages::explained;
use crate::world::{Customer, Start, World, at, send, text};

/// The VMID of a guest that somebody made by hand.
const VMID: u32 = 300;

/// Everything that was charged for a thing, oldest first: from, to, quantity, rate and amount.
async fn charged(world: &World, customer: &Customer, kind: &str) -> Vec<Value> {
    let list = world.get(customer, "/charges?limit=100").await.expect(200);
    let mut found: Vec<_> =
        list["items"].as_array().unwrap().iter().filter(|one| one["kind"] == kind).cloned().collect();
    found.reverse();
    found
}

#[tokio::test]
async fn disk_address_and_licence_are_charged_hour_for_hour_and_invoiced() {
    let world = World::starting(Start { now: at("2026-11-30T12:00:00Z"), ..Start::default() }).await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let image = world.images[0];
    let path = format!("/admin/images/{image}/licence");
    world.put(&admin, &path, &json!({ "licence": " Windows Server " })).await.expect(204);
    world.execute("update settings set price_notice_days = 0").await;
    let lists = world.get(&admin, "/admin/price-lists").await.expect(200);
    let prices = json!([
        { "kind": "disk", "price_per_hour": "0.0001" },
        { "kind": "address", "price_per_hour": "0.005", "monthly_cap": "0.012" },
        { "kind": "image_licence", "image": image, "price_per_hour": "0.03" },
    ]);
    let new = json!({ "effective_from": "2026-11-30T12:30:00Z", "prices": prices });
    let path = format!("/admin/price-lists/{}/versions", text(&lists, "/items/0/id"));
    world.post(&admin, &path, &new).await.expect(201);
    world.hours(1);

    // A machine with 60 GiB on a plan that comes with 40.
    let client = world.app.connections.client(&world.app, world.cluster).await.unwrap();
    let order = CloneVm::new(VMID).name("legacy").full(true).storage("shared");
    client.clone_vm("pve1", 9000, &order).await.unwrap();
    client.set_vm_config("pve1", VMID, &ConfigChange::new().cores(2).memory_mib(4096)).await.unwrap();
    client.resize_disk("pve1", VMID, "scsi0", 60).await.unwrap();
    client.start("pve1", VMID).await.unwrap();
    world.look().await;
    let free = world.text("select host(max(address)) from addresses where vm_id is null").await;
    let body = json!({ "organisation": ann.organisation, "plan": world.plan("s").await, "image": image, "name": "legacy", "address": free });
    let path = format!("/admin/foreign-guests/{}/{VMID}/adopt", world.cluster);
    let vm = text(&world.post(&admin, &path, &body).await.expect(202), "/vm").to_owned();
    world.run_due_jobs().await;
    // 0.02 and 20 × 0.0001 and 0.005 and 0.03.
    assert_eq!(world.wallet(&ann).await.burn_per_hour, "0.057".parse().unwrap());

    world.hours_with_passes(2).await;
    assert_eq!(world.balance(&ann).await, "4.886000", "two hours of all of it");
    // The next size comes with more disk than it has.
    let size = json!({ "plan": world.plan("m").await });
    world.post(&ann, &format!("/vms/{vm}/resize"), &size).await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.now(), at("2026-11-30T15:00:00Z"));
    world.hours_with_passes(1).await;
    // 0.04, the licence, and what was left under the cap of the address.
    assert_eq!(world.balance(&ann).await, "4.814000");
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.774000", "it stands still for 0.01, and needs its licence");

    let disk = charged(&world, &ann, "disk").await;
    assert_eq!(disk.len(), 2);
    assert_eq!(
        (&disk[0]["quantity"], text(&disk[0], "/price_per_hour"), text(&disk[0], "/amount")),
        (&json!(20), "0.002", "0.002000")
    );
    let address = charged(&world, &ann, "address").await;
    let amounts: Vec<_> = address.iter().map(|charge| text(charge, "/amount")).collect();
    assert_eq!(amounts, ["0.005000", "0.005000", "0.002000", "0.000000"], "up to its cap");
    assert_eq!(charged(&world, &ann, "image_licence").await.len(), 4);
    for (charge, capped) in [(&disk[1], false), (&address[1], false), (&address[2], true)] {
        let why = explained(&world, &ann, charge).await;
        assert_eq!(why["is_capped"], capped, "{why}");
    }
    let why = explained(&world, &ann, &charged(&world, &ann, "image_licence").await[3]).await;
    assert_eq!(text(&why, "/price/per_hour_and_unit"), "0.03", "{why}");

    // Over the month's end, where the address begins anew.
    world.hours_with_passes(9).await;
    assert_eq!(world.balance(&ann).await, "4.404000");
    world.says_who_issues("19").await;
    assert_eq!(world.issue().await.invoices, 1);
    let invoices = world.get(&ann, "/invoices").await.expect(200);
    let invoice = world.get(&ann, &format!("/invoices/{}", text(&invoices, "/items/0/id"))).await.expect(200);
    let mut lines: Vec<_> = invoice["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| [text(line, "/kind"), text(line, "/unit_hours"), text(line, "/amount")])
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            ["address", "11", "0.012000"],
            ["disk", "40", "0.004000"],
            ["image_licence", "11", "0.330000"],
            ["vm_running", "3", "0.080000"],
            ["vm_stopped", "8", "0.080000"],
        ]
    );
    assert_eq!(text(&invoice, "/exact"), "0.506000");
    let (agrees, said) = rerated(&world).await;
    assert!(agrees && said.contains("1 invoices agree"), "{said}");
    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}

#[tokio::test]
async fn an_operator_says_which_image_needs_a_licence() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let image = world.images[0];
    let (cookie, csrf) = browser(&world, &admin).await;
    let path = format!("/admin/images/{image}/licence");
    let say = async |licence: &str| {
        let form = [("csrf", csrf.as_str()), ("licence", licence)];
        send(world.request(Method::POST, &path).header("cookie", &cookie).form(&form)).await
    };
    let shown = async || send(world.request(Method::GET, "/admin/images").header("cookie", &cookie)).await.text;
    let licensed = async || {
        let images = world.get(&admin, "/admin/images").await.expect(200);
        let images = images["items"].as_array().unwrap().clone();
        images.into_iter().find(|line| line["id"] == json!(image)).unwrap()["licence"].clone()
    };

    let refused = say(&"x".repeat(61)).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("At most 60 characters.") && refused.text.contains(&"x".repeat(61)));
    assert_eq!(licensed().await, Value::Null);
    for _ in 0..2 {
        assert_eq!(say("Windows Server").await.location, "/admin/images");
    }
    assert_eq!(licensed().await, "Windows Server");
    assert!(shown().await.contains("value=\"Windows Server\""));
    let images = world.get(&ann, "/images").await.expect(200);
    assert!(images.to_string().contains("Windows Server"), "a customer sees it before he orders");
    assert_eq!(world.events().await.iter().filter(|event| *event == "image.licence_changed").count(), 1);

    // Its price stays on the form of the list when it needs none any more, for what is metered stays.
    world.execute("update settings set price_notice_days = 0").await;
    let lists = world.get(&admin, "/admin/price-lists").await.expect(200);
    let list = text(&lists, "/items/0/id").to_owned();
    let prices = json!([{ "kind": "image_licence", "image": image, "price_per_hour": "0.03" }]);
    let new = json!({ "effective_from": (world.now() + TimeDelta::minutes(1)).to_rfc3339(), "prices": prices });
    world.post(&admin, &format!("/admin/price-lists/{list}/versions"), &new).await.expect(201);
    let put = format!("/admin/images/{image}/licence");
    world.put(&admin, &put, &json!({ "licence": "" })).await.expect(204);
    assert_eq!(licensed().await, Value::Null);
    let form =
        send(world.request(Method::GET, &format!("/admin/price-lists/{list}/change")).header("cookie", &cookie)).await;
    assert!(form.text.contains("Licence of"), "the price can still be changed");
    let nobody = "/admin/images/00000000-0000-7000-8000-00000000dead/licence";
    world.put(&admin, nobody, &json!({ "licence": "" })).await.problem(404);
    world.finish().await;
}
