//! Invoices: what was charged for a month that is over, once, with figures that add up and numbers without gap; and the proof
//! that finds what was tampered with.

use std::sync::Arc;

use billing::{Account, Month, Posting};
use chrono::{TimeDelta, Timelike};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uni_manager::ids::OrganisationId;
use uni_manager::invoices::{self, Issued};
use uni_manager::ledger::{Format, Selection};

use crate::kill::die_at;
use crate::ledger_export::{exported, folder, program};
use crate::money::{machine, sell};
use crate::organisations::member;
use crate::world::{Customer, Start, World, at, machine_time, text};

/// A world four hours before a month ends.
async fn last_evening(month_end: &str, zone: chrono_tz::Tz) -> World {
    let now = at(month_end) - TimeDelta::hours(4);
    let world = World::starting(Start { now, time_zone: zone, ..Start::default() }).await;
    sell(&world, "odd", "0.0077777777", "0.0012345678", None).await;
    world
}

/// His invoices as he sees them, newest first.
async fn invoices_of(world: &World, customer: &Customer) -> Vec<Value> {
    world.get(customer, "/invoices").await.expect(200)["items"].as_array().unwrap().clone()
}

/// What was written about invoices: to whom, under which subject, and the text.
async fn mails(world: &World) -> Vec<(String, String, String)> {
    let mails = world.mails().await.into_iter().filter(|mail| mail.subject.starts_with("Invoice "));
    mails.map(|mail| (mail.to_address, mail.subject, mail.body)).collect()
}

async fn difference(world: &World) -> String {
    let zone = world.app.settings.time_zone;
    invoices::first_difference(&world.app.pool, zone, None).await.unwrap().unwrap_or_default()
}

const ONE: Issued = Issued { invoices: 1, failed: 0, left: false };
const NONE: Issued = Issued { invoices: 0, failed: 0, left: false };

#[tokio::test]
async fn a_month_that_is_over_is_invoiced_once_with_what_was_charged_for_it() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    world.says_who_issues("19").await;
    let (ann, idle) = (world.customer("ann", "50").await, world.customer("idle", "50").await);
    member(&world, "vera", ann.organisation, "viewer").await;
    sell(&world, "example", "0.0083", "0.0021", Some("5.60")).await;
    let web = machine(&world, &ann, "web", "example").await;
    machine(&world, &ann, "cache", "odd").await;
    let details = json!({ "name": "Ann & Sons", "address": "  2 Side Street \n\n Oldtown", "tax_id": "YY9" });
    world.put(&ann, "/billing-details", &details).await.expect(200);
    world.hours_with_passes(1).await;
    world.tell(&ann, &web, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(3).await;
    assert_eq!(world.issue().await, NONE, "what a look finds late still belongs to the month");
    world.advance(TimeDelta::seconds(2 * 3_600 - 1));
    assert_eq!(world.issue().await, NONE);
    world.advance(TimeDelta::seconds(1));

    assert_eq!(world.issue().await, ONE);
    assert_eq!(world.issue().await, NONE, "exactly once");

    let portal = &world.app.settings.public_url;
    let told = format!(
        "Hello ann,

The invoice 2026-000001 for October 2026 is ready. It comes to 0.05 EUR,
with 19 % of tax (0.01 EUR).

It was paid from your credit: nothing is left to pay.

See it in the portal:
{portal}/wallet/invoices/2026-000001

-- 
You get this mail because you are a member of “ann's” at
{portal}. It was written by a program that reads no answers.
"
    );
    assert_eq!(
        mails(&world).await,
        [("ann@example.org".to_owned(), "Invoice 2026-000001".to_owned(), told)],
        "a viewer sees no money"
    );

    let found = invoices_of(&world, &ann).await;
    assert_eq!(found.len(), 1);
    let mut invoice = world.get(&ann, &format!("/invoices/{}", text(&found[0], "/id"))).await.expect(200);
    for changing in ["id", "organisation"] {
        invoice[changing].take();
    }
    for line in invoice["lines"].as_array_mut().unwrap() {
        line["vm"].take();
    }
    let line = |position: i32, name: &str, kind: &str, hours: &str, amount: &str, rounded: &str| json!({ "position": position, "vm": null, "vm_name": name, "kind": kind, "unit_hours": hours, "amount": amount, "rounded": rounded });
    assert_eq!(
        invoice,
        json!({
            "id": null, "organisation": null, "number": "2026-000001", "month": "2026-10", "part": 1,
            "issued_at": "2026-11-01T02:00:00Z", "period_from": "2026-10-01T00:00:00Z", "period_to": "2026-11-01T00:00:00Z",
            "currency": "EUR", "tax_rate": "19",
            "issuer": { "name": "Cloud Ltd", "address": "1 Rack Row\nServerton", "tax_id": "XX123" },
            "recipient": { "name": "Ann & Sons", "address": "2 Side Street\nOldtown", "tax_id": "YY9" },
            // 4 × 0.0077777777 is 0.0311111108; 0.0083 and 3 × 0.0021 are exact.
            "exact": "0.045711", "rounding": "0.000000", "net": "0.040000", "tax": "0.010000", "gross": "0.050000",
            "lines": [
                line(1, "cache", "vm_running", "4", "0.031111", "0.030000"),
                line(2, "web", "vm_running", "1", "0.008300", "0.010000"),
                line(3, "web", "vm_stopped", "3", "0.006300", "0.010000"),
            ],
            "lines_next": null,
        })
    );
    assert!(invoices_of(&world, &idle).await.is_empty(), "who was charged nothing has no invoice");
    assert_eq!(world.count("select count(*) from audit_events where event = 'invoice.issued'").await, 1);

    // The contained tax is taken out of revenue, once, and other programs still balance the books.
    let posted = world.text("select string_agg(d.kind || ' ' || c.kind || ' ' || t.amount, ',') from transfers t join accounts d on d.id = t.debit_account join accounts c on c.id = t.credit_account where t.code = 'invoice_tax'").await;
    assert_eq!(posted, "revenue tax 0.010000");
    let tax = Posting::<OrganisationId>::invoice_tax("0.01".parse().unwrap()).unwrap();
    assert_eq!(
        (tax.net(&Account::Tax), tax.net(&Account::Revenue)),
        ("0.01".parse().unwrap(), "-0.01".parse().unwrap())
    );
    let journal = exported(&world, Format::Hledger, &Selection::default(), "taxed.journal").await;
    let (balances, said) = program("hledger", &["check", "-f"], &journal).await;
    assert!(balances, "{said}");
    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_at_once_issue_each_invoice_once_and_without_gap() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    world.says_who_issues("0").await;
    let mut customers = Vec::new();
    for number in 0..9 {
        let customer = world.customer(&format!("customer-{number}"), "5").await;
        machine(&world, &customer, "web", "odd").await;
        customers.push(customer);
    }
    world.hours_with_passes(6).await;

    let runs = (0..4).map(|_| {
        let app = Arc::clone(&world.app);
        tokio::spawn(async move { invoices::issue_due(&app).await.unwrap() })
    });
    let issued: usize = futures_util::future::join_all(runs).await.into_iter().map(|run| run.unwrap().invoices).sum();

    assert_eq!(issued, 9);
    for customer in &customers {
        assert_eq!(invoices_of(&world, customer).await.len(), 1);
    }
    assert_eq!(world.text("select string_agg(number, ' ' order by number) from invoices").await.split(' ').count(), 9);
    assert_eq!(world.text("select max(number) from invoices").await, "2026-000009");
    world.finish().await;
}

#[tokio::test]
async fn what_is_charged_later_has_an_invoice_of_its_own_with_just_that() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    world.says_who_issues("0").await;
    let ann = world.customer("ann", "50").await;
    let web = machine(&world, &ann, "web", "odd").await;
    world.hours_with_passes(2).await;
    world.delete(&ann, &format!("/vms/{web}")).await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(4).await;
    assert_eq!(world.issue().await, ONE);

    // Her wallet lay idle; now a machine turns out to have run since half an hour before the month ended.
    machine(&world, &ann, "late", "odd").await;
    world
        .execute("update meter_intervals set during = tstzrange('2026-10-31 23:30+00', null) where upper_inf(during)")
        .await;
    world.execute("update meters set month = '2026-10-01', accrued_through = '2026-10-31 23:30+00' where id in (select meter_id from meter_intervals where upper_inf(during))").await;
    world.execute("update wallets set charged_through = '2026-10-31 23:30+00'").await;
    assert_eq!(difference(&world).await, "");
    world.hours_with_passes(1).await;
    assert_eq!(difference(&world).await, "", "it waits to be invoiced");

    assert_eq!(world.issue().await, ONE);
    assert_eq!(world.issue().await, NONE);
    let found = invoices_of(&world, &ann).await;
    let lines = world.get(&ann, &format!("/invoices/{}", text(&found[0], "/id"))).await.expect(200)["lines"].clone();
    assert_eq!(
        (&found[0]["part"], &found[0]["month"], &found[0]["exact"]),
        (&json!(2), &json!("2026-10"), &json!("0.003889"))
    );
    assert_eq!(lines.as_array().unwrap().len(), 1);
    assert_eq!((&lines[0]["vm_name"], &lines[0]["unit_hours"]), (&json!("late"), &json!("0.5")));
    assert_eq!(found[1]["exact"], json!("0.015556"), "the first is as it was issued");
    let told = mails(&world).await;
    assert!(told.len() == 2 && told[1].2.contains("as part 2. It comes to 0.00 EUR."), "{told:?}");
    world.finish().await;
}

#[tokio::test]
async fn missed_months_are_issued_when_somebody_issues_them() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    let ann = world.customer("ann", "50").await;
    for start in ["2026-10-31T20:00:00Z", "2026-12-31T21:00:00Z"] {
        world.app.clock.set(at(start));
        let vm = machine(&world, &ann, "web", "odd").await;
        world.hours_with_passes(6).await;
        world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
        world.run_due_jobs().await;
        world.hours_with_passes(1).await;
    }
    world.app.clock.set(at("2027-02-10T09:00:00Z"));
    assert_eq!(world.issue().await, NONE, "nobody has said who issues them");
    world.says_who_issues("7").await;

    assert_eq!(world.issue().await, Issued { invoices: 4, failed: 0, left: false });

    let found = invoices_of(&world, &ann).await;
    let told: Vec<_> = found.iter().map(|found| (text(found, "/month"), text(found, "/number"))).collect();
    assert_eq!(
        told,
        [
            ("2027-01", "2027-000004"),
            ("2026-12", "2027-000003"),
            ("2026-11", "2027-000002"),
            ("2026-10", "2027-000001")
        ]
    );
    let told: Vec<_> = mails(&world).await.into_iter().map(|(_, subject, _)| subject).collect();
    assert_eq!(told, ["Invoice 2027-000004"], "of the last month only");
    let older = world.get(&ann, "/invoices?limit=3").await.expect(200);
    let rest = world.get(&ann, &format!("/invoices?limit=3&after={}", text(&older, "/next"))).await.expect(200);
    assert_eq!((rest["items"][0]["month"].clone(), rest["next"].clone()), (json!("2026-10"), Value::Null));
    let january = world.get(&ann, "/invoices?month=2027-01").await.expect(200);
    assert_eq!(january["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&ann, "/invoices?month=soon").await.problem_fields(), ["month"]);
    world.finish().await;
}

#[tokio::test]
async fn months_are_those_of_the_time_zone_whatever_its_clocks_do() {
    for (zone, end, from) in [
        // Summer time began in this month.
        (chrono_tz::Europe::Berlin, "2026-03-31T22:00:00Z", "2026-02-28T23:00:00Z"),
        // And ended in this one.
        (chrono_tz::Europe::Berlin, "2026-10-31T23:00:00Z", "2026-09-30T22:00:00Z"),
        // Its months begin in the middle of a UTC hour.
        (chrono_tz::America::St_Johns, "2026-12-01T03:30:00Z", "2026-11-01T02:30:00Z"),
    ] {
        let world = last_evening(end, zone).await;
        world.says_who_issues("0").await;
        let ann = world.customer("ann", "50").await;
        machine(&world, &ann, "web", "odd").await;
        world.hours_with_passes(5).await;
        assert_eq!(world.issue().await, NONE, "{zone} {end}");
        world.hours_with_passes(1).await;
        assert_eq!(world.issue().await, ONE, "{zone} {end}");

        let found = invoices_of(&world, &ann).await;
        assert_eq!((text(&found[0], "/period_from"), text(&found[0], "/period_to")), (from, end), "{zone}");
        let invoice = world.get(&ann, &format!("/invoices/{}", text(&found[0], "/id"))).await.expect(200);
        assert_eq!(text(&invoice, "/lines/0/unit_hours"), "4", "{zone}: four of the six hours are of that month");
        world.finish().await;
    }
}

#[tokio::test]
async fn one_organisations_trouble_holds_up_no_other_and_leaves_no_gap() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    world.says_who_issues("0").await;
    let mut customers = Vec::new();
    for name in ["ann", "bob", "eve"] {
        let customer = world.customer(name, "5").await;
        machine(&world, &customer, "web", "odd").await;
        customers.push(customer);
    }
    world.hours_with_passes(6).await;
    world.execute("create function no_bob() returns trigger language plpgsql as $$ begin if new.recipient_name = 'bob''s' then raise exception 'not bob'; end if; return new; end $$").await;
    world.execute("create trigger no_bob before insert on invoices for each row execute function no_bob()").await;

    assert_eq!(world.issue().await, Issued { invoices: 2, failed: 1, left: false });
    assert_eq!(world.issue().await, Issued { invoices: 0, failed: 1, left: false });
    assert_eq!(invoices::waiting(&world.app).await.unwrap(), 1);
    assert_eq!(world.text("select string_agg(sequence::text, ' ' order by sequence) from invoices").await, "1 2");
    world.execute("drop trigger no_bob on invoices").await;
    assert_eq!(world.issue().await, ONE);
    assert_eq!(text(&invoices_of(&world, &customers[1]).await[0], "/number"), "2026-000003");
    assert_eq!(invoices::waiting(&world.app).await.unwrap(), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_wallet_that_is_not_charged_so_far_waits() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    world.says_who_issues("0").await;
    let ann = world.customer("ann", "50").await;
    machine(&world, &ann, "web", "odd").await;
    world.hours_with_passes(3).await;
    world.execute("update wallets set parked_at = charged_through").await;
    world.hours(5);
    world.charge().await;

    assert_eq!(world.issue().await, NONE);
    assert_eq!(invoices::waiting(&world.app).await.unwrap(), 1);
    world.execute("update wallets set parked_at = null, due_at = '2026-11-01 04:00+00'").await;
    world.charge().await;
    assert_eq!(world.issue().await, ONE);
    assert_eq!(text(&invoices_of(&world, &ann).await[0], "/exact"), "0.031111");
    world.finish().await;
}

/// Where a worker dies while it issues invoices.
const POINTS: [&str; 3] = ["invoices.claimed", "invoices.before_commit", "invoices.committed"];

#[tokio::test]
async fn a_worker_that_is_killed_leaves_all_of_an_invoice_or_nothing() {
    for point in POINTS {
        // The process has the clock of the machine, and finds a month that has been over for a while.
        let ended = Month::of(machine_time() - TimeDelta::days(3), chrono_tz::UTC).start(chrono_tz::UTC);
        let world = last_evening(&ended.to_rfc3339(), chrono_tz::UTC).await;
        world.says_who_issues("19").await;
        for name in ["ann", "bob"] {
            let customer = world.customer(name, "50").await;
            machine(&world, &customer, "web", "odd").await;
        }
        world.hours_with_passes(6).await;

        die_at(&world, point).await;
        let issued = world.count("select count(*) from invoices").await;
        assert_eq!(issued, if point == "invoices.committed" { 2 } else { 0 }, "{point}: all of a batch or nothing");
        assert_eq!(difference(&world).await, "", "{point}");
        world.app.clock.set(machine_time().with_nanosecond(0).unwrap());
        world.issue().await;
        assert_eq!(world.count("select count(*) from invoices").await, 2, "{point}");
        world.finish().await;
    }
}

/// What is done to invoices, and what the proof says about it.
const TAMPERINGS: [(&str, &str); 16] = [
    ("update invoice_lines set amount = amount + 0.01 where position = 1", "invoice 2026-000001 has"),
    ("update invoice_lines set amount = amount - 0.01 where position = 1", "invoice 2026-000001 has"),
    ("update invoice_lines set unit_seconds = unit_seconds - 1 where position = 1", "invoice 2026-000001 has"),
    ("update invoice_lines set kind = 'vm_stopped' where position = 1", "as vm_"),
    ("update invoice_lines set position = 7 where position = 1", "line 1 of invoice 2026-000001 is missing"),
    ("delete from invoice_lines where position = 1", "no invoice has 0 for 0"),
    ("update invoices set tax = tax + 0.01, net = net - 0.01", "the net of invoice 2026-000001 is"),
    ("update invoices set exact = exact + 0.000001", "the exact amount of invoice 2026-000001 is"),
    ("update invoices set rounding = rounding + 0.01", "the rounding of invoice 2026-000001 is"),
    ("update invoices set currency_places = 4", "of invoice 2026-000001 is"),
    ("update invoices set number = '2026-000002'", "invoice 2026-000002 is number 1 of 2026"),
    ("update invoices set sequence = 2, number = '2026-000002'", "number 1 of 2026 is missing"),
    ("delete from invoices; delete from invoice_lines", "number 1 of 2026 is missing"),
    ("delete from invoices", "belongs to invoice"),
    ("delete from transfers where code = 'invoice_tax'", "the tax of invoice 2026-000001 was not posted"),
    ("update transfers set amount = amount + 0.01 where code = 'invoice_tax'", "but 0.03"),
];

#[tokio::test]
async fn the_proof_finds_what_was_tampered_with() {
    let world = last_evening("2026-11-01T00:00:00Z", chrono_tz::UTC).await;
    world.says_who_issues("19").await;
    let ann = world.customer("ann", "50").await;
    sell(&world, "dear", "0.03", "0.01", None).await;
    machine(&world, &ann, "web", "dear").await;
    world.hours_with_passes(6).await;
    assert_eq!(world.issue().await, ONE);
    assert_eq!(difference(&world).await, "");
    for refused in [
        "update invoices set gross = gross",
        "delete from invoice_lines",
        "truncate invoices",
        "delete from invoice_counters",
    ] {
        assert!(sqlx::raw_sql(refused).execute(&world.app.pool).await.is_err(), "{refused}");
    }

    let mut tamperer = PgConnection::connect(&world.database.url).await.unwrap();
    sqlx::raw_sql("set session_replication_role = replica").execute(&mut tamperer).await.unwrap();
    for table in ["invoices", "invoice_lines", "transfers"] {
        let sql = format!(
            "grant update, delete, truncate on {table} to current_user; create table kept_{table} as table {table}"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut tamperer).await.unwrap();
    }
    for (sql, expected) in TAMPERINGS {
        sqlx::raw_sql(sql).execute(&mut tamperer).await.unwrap();
        let said = difference(&world).await;
        assert!(said.contains(expected), "{sql}: {said}");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_uni-manager"));
        command.args(["ledger", "verify"]).env("DATABASE_URL", &world.database.url);
        assert!(!command.output().await.unwrap().status.success(), "{sql}");
        for table in ["invoices", "invoice_lines", "transfers"] {
            let sql = format!("delete from {table}; insert into {table} select * from kept_{table}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut tamperer).await.unwrap();
        }
    }
    for table in ["invoices", "invoice_lines", "transfers"] {
        sqlx::raw_sql(AssertSqlSafe(format!("drop table kept_{table}"))).execute(&mut tamperer).await.unwrap();
    }
    tamperer.close().await.unwrap();
    world.finish().await;
}
