//! Prices as operators change them and customers are told of them, and what everything would cost before it is done.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::pricing;

use crate::doors::browser;
use crate::ledger_export::folder;
use crate::ledger_proof::rerated;
use crate::world::{Answer, Customer, World, at, send, text};

/// The id of the default price list.
async fn default_list(world: &World, admin: &Customer) -> String {
    let lists = world.get(admin, "/admin/price-lists").await.expect(200);
    text(&lists, "/items/0/id").to_owned()
}

/// Sends a change of what plan S costs while it runs.
async fn change(world: &World, admin: &Customer, list: &str, query: &str, rate: &str, from: &str) -> Answer {
    let plan = world.plan("s").await;
    let price = json!({ "kind": "vm_running", "plan": plan, "price_per_hour": rate, "monthly_cap": "13.44" });
    let body = json!({ "effective_from": from, "note": "Power costs more.", "prices": [price] });
    world.post(admin, &format!("/admin/price-lists/{list}/versions{query}"), &body).await
}

/// Without notice, so that a test need not wait for weeks.
async fn need_no_notice(world: &World) {
    world.execute("update settings set price_notice_days = 0").await;
}

/// What a person sees on a page.
async fn page(world: &World, cookie: &str, path: &str) -> String {
    let answer = send(world.request(Method::GET, path).header("cookie", cookie)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

#[tokio::test]
async fn a_rise_needs_notice_and_those_who_use_it_are_told_once() {
    let world = World::new().await;
    let (ann, _bob, admin) = (world.customer("ann", "5").await, world.customer("bob", "5").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    let list = default_list(&world, &admin).await;

    let soon = change(&world, &admin, &list, "", "0.03", "2026-11-20T00:00:00Z").await;
    assert_eq!(soon.problem_fields(), ["effective_from"], "two weeks of notice");
    assert!(soon.text.contains("customers are told 14 days before"), "{}", soon.text);
    let past = change(&world, &admin, &list, "", "0.01", "2026-11-10T11:00:00Z").await;
    assert_eq!(past.problem_fields(), ["effective_from"], "never anew what was charged");

    let from = "2026-12-01T00:00:00Z";
    let preview = change(&world, &admin, &list, "?dry_run=true", "0.03", from).await.expect(200);
    assert_eq!(preview["changes"].as_array().unwrap().len(), 1);
    assert_eq!((text(&preview, "/revenue_before"), text(&preview, "/revenue_after")), ("0.02", "0.03"));
    assert_eq!((&preview["customers"], &preview["vms"]), (&json!(1), &json!(1)));
    assert_eq!(world.count("select count(*) from price_list_versions").await, 1, "nothing was written");

    change(&world, &admin, &list, "", "0.03", from).await.expect(201);
    assert_eq!(pricing::announce_due(&world.app).await.unwrap(), 1);
    assert_eq!(pricing::announce_due(&world.app).await.unwrap(), 0, "nobody is told twice");

    let mails = world.mails().await;
    let told: Vec<_> = mails.iter().filter(|mail| mail.subject.contains("Prices change on 1 Dec 2026")).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].to_address, "ann@example.org", "who uses none of it is not told");
    assert!(told[0].body.contains("S, running: 0.02 EUR"), "{}", told[0].body);
    assert!(told[0].body.contains("0.03 EUR") && told[0].body.contains("Power costs more."), "{}", told[0].body);
    let notices = world.get(&ann, "/notifications").await.expect(200);
    assert_eq!(text(&notices, "/items/0/title"), "Prices change on 1 Dec 2026");

    let offer = world.get(&ann, "/prices").await.expect(200);
    assert_eq!(text(&offer, "/announced/0/changes/0/price_before"), "0.02");
    assert_eq!(text(&offer, "/announced/0/changes/0/after/price_per_hour"), "0.03");
    let (cookie, _) = browser(&world, &ann).await;
    let shown = page(&world, &cookie, "/prices").await;
    assert!(shown.contains("1 Dec 2026") && shown.contains("Power costs more."), "{shown}");
    let events = world.events().await;
    assert!(events.contains(&"price_list.changed".to_owned()) && events.contains(&"price_list.announced".to_owned()));
    world.finish().await;
}

#[tokio::test]
async fn a_version_that_has_not_begun_can_be_withdrawn_and_who_was_told_of_it_is_told() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "9").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    let list = default_list(&world, &admin).await;
    need_no_notice(&world).await;
    change(&world, &admin, &list, "", "0.03", "2026-11-10T15:00:00Z").await.expect(201);
    pricing::announce_due(&world.app).await.unwrap();

    let (cookie, csrf) = browser(&world, &admin).await;
    let withdraw = format!("/admin/price-lists/{list}/versions/2/withdraw");
    let form = [("csrf", &csrf)];
    let answer = send(world.request(Method::POST, &withdraw).header("cookie", &cookie).form(&form)).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(pricing::announce_due(&world.app).await.unwrap(), 1);
    assert_eq!(pricing::announce_due(&world.app).await.unwrap(), 0);

    assert!(world.mails().await.iter().any(|mail| mail.subject.contains("Prices stay as they are")));
    let offer = world.get(&ann, "/prices").await.expect(200);
    assert_eq!(offer["announced"], json!([]));
    world.hours_with_passes(4).await;
    assert_eq!(world.balance(&ann).await, "8.920000", "four hours at the old price");
    // Another one may begin at that very instant, with a number of its own; the one that has begun stays.
    change(&world, &admin, &list, "", "0.01", "2026-11-10T17:00:00Z").await.expect(201);
    world.hours_with_passes(1).await;
    let begun = world.delete(&admin, &format!("/admin/price-lists/{list}/versions/3")).await;
    assert_eq!(
        text(&begun.problem(409), "/detail"),
        "This version has begun, or begins within a minute. Change the prices again instead."
    );
    // What was withdrawn was never in force, whoever rates it again.
    let (agrees, said) = rerated(&world).await;
    assert!(agrees, "{said}");
    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}

#[tokio::test]
async fn a_change_holds_from_its_instant_on_and_the_runway_knows_it_before() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0.50").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    let list = default_list(&world, &admin).await;
    need_no_notice(&world).await;
    change(&world, &admin, &list, "", "0.04", "2026-11-10T17:00:00Z").await.expect(201);

    world.hours_with_passes(1).await;
    // Five hours at 0.02, and 0.40 at 0.04: ten more.
    assert_eq!(world.wallet(&ann).await.runs_out_at.unwrap().timestamp(), at("2026-11-11T03:00:00Z").timestamp());
    world.hours_with_passes(5).await;
    assert_eq!(world.balance(&ann).await, "0.360000", "five hours at 0.02 and one at 0.04");
    world.finish().await;
}

#[tokio::test]
async fn a_change_in_the_middle_of_an_hour_cuts_the_hour() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    let list = default_list(&world, &admin).await;
    change(&world, &admin, &list, "", "0.01", "2026-11-10T12:30:00Z").await.expect(201);

    world.hours_with_passes(1).await;

    assert_eq!(world.balance(&ann).await, "4.985000");
    world.finish().await;
}

#[tokio::test]
async fn a_customer_is_charged_by_the_list_he_is_on_from_the_moment_he_is_put_on_it() {
    let world = World::new().await;
    let (ann, bob, admin) = (world.customer("ann", "5").await, world.customer("bob", "5").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    world.running_vm(&bob, "web").await;
    let list = default_list(&world, &admin).await;
    let new = json!({ "name": "Resellers", "copy_of": list });
    let made = world.post(&admin, "/admin/price-lists", &new).await.expect(201);
    let resellers = text(&made, "/id").to_owned();
    world.post(&admin, "/admin/price-lists", &new).await.problem(422);
    change(&world, &admin, &resellers, "", "0.01", "2026-11-10T12:05:00Z").await.expect(201);

    world.advance(TimeDelta::minutes(30));
    let (cookie, csrf) = browser(&world, &admin).await;
    let customer = format!("/admin/customers/{}", ann.organisation);
    assert!(page(&world, &cookie, &customer).await.contains("Resellers"));
    let form = [("csrf", &csrf), ("price_list", &resellers)];
    let path = format!("{customer}/price-list");
    let answer = send(world.request(Method::POST, &path).header("cookie", &cookie).form(&form)).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    world.advance(TimeDelta::minutes(30));
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "4.985000", "half an hour of each");
    assert_eq!(world.balance(&bob).await, "4.980000");
    let plans = world.get(&ann, "/plans").await.expect(200);
    assert_eq!(text(&plans, "/items/1/price_running_per_hour"), "0.01", "she is shown her own prices");
    assert_eq!(text(&world.get(&ann, "/prices").await.expect(200), "/name"), "Resellers");
    let notices = "select count(*) from notifications where kind = 'prices.list'";
    assert_eq!(world.count(notices).await, 1);
    let body = world.text("select body from notifications where kind = 'prices.list'").await;
    assert!(body.contains("0.02 EUR") && body.contains("until then, 0.01 EUR"), "{body}");
    let put = async |body: Value| {
        let path = format!("/admin/organisations/{}/price-list", ann.organisation);
        send(world.api(&admin, Method::PUT, &path).await.json(&body)).await
    };
    let refused = put(json!({ "price_list": null })).await;
    assert_eq!(refused.problem_fields(), ["reason"], "it gets dearer at once");
    let reason = "The reseller's contract has ended, as agreed on 3 Nov.";
    let back = put(json!({ "price_list": null, "reason": reason })).await.expect(200);
    assert_eq!(back["meters"], 2, "a machine and its address");
    assert_eq!(world.count(notices).await, 2);
    let body =
        world.text("select body from notifications where kind = 'prices.list' order by created_at desc limit 1").await;
    assert!(body.contains(reason) && body.contains("until then, 0.02 EUR"), "{body}");
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.965000");
    world.finish().await;
}

#[tokio::test]
async fn a_month_is_rated_under_other_prices_without_changing_anything() {
    let world = World::new().await;
    let (ann, bob, admin) = (world.customer("ann", "5").await, world.customer("bob", "5").await, world.admin().await);
    let web = world.running_vm(&ann, "web").await;
    world.running_vm(&bob, "mail").await;
    world.hours_with_passes(2).await;
    world.tell(&ann, &web, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(2).await;
    let list = default_list(&world, &admin).await;
    change(&world, &admin, &list, "", "0.03", "2026-12-24T00:00:00Z").await.expect(201);
    let before = world.text("select string_agg(c::text, ' ' order by c::text) from charges c").await;

    let path = format!("/admin/price-lists/{list}/what-if?month=2026-11");
    let answer = world.get(&admin, &path).await.expect(200);

    let charged = world.text("select sum(amount)::text from charges").await;
    assert_eq!((text(&answer, "/charged"), charged.as_str()), ("0.130000", "0.130000"), "what was charged is what is");
    assert_eq!(text(&answer, "/would_be"), "0.190000", "six hours of running at a cent more");
    assert_eq!((text(&answer, "/difference"), &answer["dearer"]), ("0.060000", &json!(2)));
    assert_eq!(text(&answer, "/by_plan/0/name"), "Plan S");
    assert_eq!(text(&answer, "/by_customer/0/difference"), "0.040000", "the largest first");
    let same = world.get(&admin, &format!("{path}&version=1")).await.expect(200);
    assert_eq!(text(&same, "/difference"), "0.000000");
    let file = world.get(&admin, &format!("{path}&format=csv")).await;
    assert!(file.kind.starts_with("text/csv"), "{}", file.kind);
    assert!(
        file.text.contains(&format!("\"bob's\",{},\"Plan S\",1,0.080000,0.120000,0.040000", bob.organisation)),
        "{}",
        file.text
    );
    assert_eq!(world.text("select string_agg(c::text, ' ' order by c::text) from charges c").await, before);
    world.get(&admin, &format!("/admin/price-lists/{list}/what-if?month=2027-11")).await.problem(422);
    world.get(&ann, &path).await.problem(403);

    let (cookie, _) = browser(&world, &admin).await;
    let shown = page(&world, &cookie, &path).await;
    assert!(shown.contains("0.19") && shown.contains("Plan S") && shown.contains("+€0.06"), "{shown}");
    let csv =
        send(world.request(Method::GET, &format!("{path}&version=2&of=&format=csv")).header("cookie", &cookie)).await;
    assert_eq!((csv.status, csv.text == file.text), (200, true));
    world.finish().await;
}

#[tokio::test]
async fn the_form_shows_what_a_change_does_before_it_is_made() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    world.running_vm(&ann, "web").await;
    let list = default_list(&world, &admin).await;
    let (cookie, csrf) = browser(&world, &admin).await;
    let path = format!("/admin/price-lists/{list}/change");
    let plan = world.plan("s").await;
    let running = format!("rate.vm_running.{plan}");
    let asked = page(&world, &cookie, &path).await;
    assert!(asked.contains(&format!("name=\"{running}\"")) && asked.contains("name=\"rate.address\""), "{asked}");
    let mut form: BTreeMap<String, String> = fields(&asked);
    form.insert("csrf".into(), csrf);
    let send_form = async |form: &BTreeMap<String, String>| {
        send(world.request(Method::POST, &path).header("cookie", &cookie).form(form)).await
    };

    let nothing = send_form(&form).await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.text.contains("Nothing changes"), "{}", nothing.text);
    form.insert(running.clone(), "0.025".into());
    form.insert("rate.address".into(), "0.002".into());
    let preview = send_form(&form).await;
    assert_eq!(preview.status, 200, "{}", preview.text);
    assert!(preview.text.contains("What it does") && preview.text.contains("€0.025"), "{}", preview.text);
    assert!(preview.text.contains("dearer") && preview.text.contains("Change the prices"), "{}", preview.text);
    assert_eq!(world.count("select count(*) from price_list_versions").await, 1);
    form.insert("do".into(), "save".into());
    let wrong = BTreeMap::from([("cap.address".to_owned(), "0.0001".to_owned())]);
    let refused = send_form(&form.clone().into_iter().chain(wrong).collect()).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text.contains("At least what an hour costs.") && refused.text.contains("0.0001"),
        "{}",
        refused.text
    );
    let saved = send_form(&form).await;
    assert_eq!((saved.status, saved.location), (303, format!("/admin/price-lists/{list}")));

    let shown = page(&world, &cookie, &format!("/admin/price-lists/{list}?version=2")).await;
    assert!(shown.contains("To come") && shown.contains("Withdraw") && shown.contains("IPv4 address"), "{shown}");
    let prices =
        "select count(*) from prices p join price_list_versions v on v.id = p.price_list_version_id where v.number = 2";
    assert_eq!(world.count(prices).await, 9, "four plans in two states, and an address");
    world.finish().await;
}

/// The inputs of a page, by their names.
fn fields(html: &str) -> BTreeMap<String, String> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    html.split("<input")
        .skip(1)
        .filter_map(|rest| {
            let tag = rest.split('>').next()?;
            Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
        })
        .collect()
}

#[tokio::test]
async fn a_plan_is_put_on_sale_with_its_prices_and_taken_off_again() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "5").await, world.admin().await);
    let list = default_list(&world, &admin).await;
    let (cookie, csrf) = browser(&world, &admin).await;
    assert!(page(&world, &cookie, "/admin/plans/new").await.contains("Standard"));
    let post = async |path: &str, form: &[(&str, &str)]| {
        send(world.request(Method::POST, path).header("cookie", &cookie).form(form)).await
    };
    let (running, stopped) = (format!("running.{list}"), format!("stopped.{list}"));
    let mut form = vec![
        ("csrf", csrf.as_str()),
        ("slug", "tiny"),
        ("name", "Tiny"),
        ("vcpu", "1"),
        ("memory_mib", "512"),
        ("disk_gib", "10"),
        (&stopped, "0.001"),
    ];
    let refused = post("/admin/plans", &form).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("A price such as") && refused.text.contains("Tiny"), "{}", refused.text);
    form.push((&running, "0.0050"));
    assert_eq!(post("/admin/plans", &form).await.status, 303);
    assert_eq!(post("/admin/plans", &form).await.status, 422, "the short name is taken");

    let tiny = world.plan("tiny").await;
    let order = json!({ "name": "web", "location": world.location, "image": world.images[0], "plan": tiny, "ssh_keys": [ann.key] });
    world.post(&ann, "/vms", &order).await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.995000");

    assert_eq!(post(&format!("/admin/plans/{tiny}/retire"), &form[..1]).await.status, 303);
    let again = json!({ "name": "more", "location": world.location, "image": world.images[0], "plan": tiny, "ssh_keys": [ann.key] });
    assert_eq!(world.post(&ann, "/vms", &again).await.problem_fields(), ["plan"]);
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.990000", "who has it keeps it");
    assert!(page(&world, &cookie, "/admin/plans").await.contains("Sell again"));
    assert_eq!(post(&format!("/admin/plans/{tiny}/sell"), &form[..1]).await.status, 303);
    world.post(&ann, "/vms", &again).await.expect(202);
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn what_is_only_asked_about_changes_nothing_and_counts_every_line() {
    let world = World::new().await;
    let (ann, bob, admin) = (world.customer("ann", "9").await, world.customer("bob", "1").await, world.admin().await);
    let list = default_list(&world, &admin).await;
    need_no_notice(&world).await;
    let address = json!({ "kind": "address", "price_per_hour": "0.005" });
    let new = json!({ "effective_from": "2026-11-10T12:30:00Z", "prices": [address] });
    world.post(&admin, &format!("/admin/price-lists/{list}/versions"), &new).await.expect(201);
    world.hours(1);
    let vm = world.running_vm(&ann, "web").await;
    let snapshot = async || {
        let mut all = Vec::new();
        for table in ["vms", "jobs", "holds", "wallets", "meter_intervals", "transfers", "audit_events"] {
            let rows = format!("select coalesce(md5(string_agg(t::text, ' ' order by t::text)), '') from {table} t");
            all.push(
                sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(rows)).fetch_one(&world.app.pool).await.unwrap(),
            );
        }
        all
    };
    let before = snapshot().await;

    let order = world.new_vm(&ann, "more").await;
    let new = world.post(&ann, "/vms?dry_run=true", &order).await.expect(200);
    assert_eq!((text(&new, "/rate_to"), text(&new, "/reserved")), ("0.025", "0.600000"), "a machine and its address");
    assert_eq!(new["lines"].as_array().unwrap().len(), 2);
    assert_eq!(text(&new, "/lines/1/kind"), "address");
    for (what, from, to) in [
        ("start", "0.025", "0.025"),
        ("shutdown", "0.025", "0.01"),
        ("stop", "0.025", "0.01"),
        ("reboot", "0.025", "0.025"),
        ("reset", "0.025", "0.025"),
        ("suspend", "0.025", "0.025"),
        ("resume", "0.025", "0.025"),
    ] {
        let cost = world.post(&ann, &format!("/vms/{vm}/{what}?dry_run=true"), &json!({})).await.expect(200);
        assert_eq!((text(&cost, "/rate_from"), text(&cost, "/rate_to")), (from, to), "{what}");
    }
    let size = json!({ "plan": world.plan("m").await, "grow_disk": false });
    let cost = world.post(&ann, &format!("/vms/{vm}/resize?dry_run=true"), &size).await.expect(200);
    assert_eq!(text(&cost, "/rate_to"), "0.045");
    let image = json!({ "image": world.images[1] });
    let cost = world.post(&ann, &format!("/vms/{vm}/rebuild?dry_run=true"), &image).await.expect(200);
    assert_eq!(text(&cost, "/rate_to"), "0.025");
    let many = json!({ "vms": [
        { "plan": world.plan("s").await, "quantity": 2, "addresses": 2, "extra_disk_gib": 10 },
        { "plan": world.plan("xs").await, "hours_running": 100, "hours_stopped": 100 },
    ] });
    let cost = world.post(&ann, "/estimate", &many).await.expect(200);
    assert_eq!(text(&cost, "/price_running_per_hour"), "0.075", "two of 0.02 with two addresses each, and one of 0.01");
    assert_eq!(text(&cost, "/months/1"), "2.250000", "a hundred hours of each, and an address for both");
    assert_eq!(world.post(&ann, "/estimate", &json!({ "vms": [] })).await.problem_fields(), ["vms"]);
    world.post(&bob, &format!("/vms/{vm}/start?dry_run=true"), &json!({})).await.problem(404);

    assert_eq!(snapshot().await, before);
    world.finish().await;
}
