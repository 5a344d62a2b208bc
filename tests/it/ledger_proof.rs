//! `ledger verify` and a program in another language prove the books from the bottom; each finds what was tampered with.

use std::path::{Path, PathBuf};

use billing::Month;
use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uni_manager::ledger::{self, Format, Raw, Selection};

use crate::ledger_export::{eventful, exported, folder, program};
use crate::world::{Start, World, at};

/// Newfoundland: its months begin in the middle of a UTC hour.
const ZONE: chrono_tz::Tz = chrono_tz::America::St_Johns;

/// What proves, for restoring it.
const TABLES: [&str; 9] =
    ["charges", "transfers", "meters", "meter_intervals", "prices", "wallets", "holds", "vms", "revenue_parts"];

async fn difference(world: &World) -> String {
    let zone = world.app.settings.time_zone;
    ledger::first_difference(&world.app.pool, zone).await.unwrap().unwrap_or_default()
}

/// Writes everything down that the script wants.
async fn written_down(world: &World) -> PathBuf {
    let all = Selection::default();
    exported(world, Format::Csv, &all, "postings.csv").await;
    for (raw, name) in [
        (Raw::Wallets, "wallets.csv"),
        (Raw::Meters, "meters.csv"),
        (Raw::Intervals, "intervals.csv"),
        (Raw::Prices, "prices.csv"),
        (Raw::Charges, "charges.csv"),
        (Raw::Invoices, "invoices.csv"),
        (Raw::InvoiceLines, "invoice-lines.csv"),
    ] {
        let mut file = std::fs::File::create(folder(world).join(name)).unwrap();
        ledger::export_raw(&world.app.pool, raw, &all, &mut file).await.unwrap();
    }
    folder(world)
}

/// Rates everything again in another language.
pub async fn rerated(world: &World) -> (bool, String) {
    let files = written_down(world).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/rerate.py");
    let zone = world.app.settings.time_zone.name();
    program("python3", &[script.to_str().unwrap(), files.to_str().unwrap()], Path::new(zone)).await
}

/// A connection for which triggers and foreign keys do not exist.
async fn tamperer(world: &World) -> PgConnection {
    let mut connection = PgConnection::connect(&world.database.url).await.unwrap();
    sqlx::raw_sql("set session_replication_role = replica").execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn another_program_rates_all_of_it_again_and_agrees_to_the_last_digit() {
    let world =
        World::starting(Start { now: at("2026-11-10T12:17:23.456789Z"), time_zone: ZONE, ..Start::default() }).await;
    eventful(&world).await;
    assert!(world.count("select count(distinct price_id) from charges").await > 4);
    assert!(world.count("select count(*) from charges where period_start = '2026-12-01T03:30:00Z'").await > 0);

    world.says_who_issues("19").await;
    let issued = world.issue().await.invoices;
    assert!(issued > 1, "{issued}");
    let (agrees, said) = rerated(&world).await;
    assert!(agrees && said.contains(&format!("{issued} invoices agree")), "{said}");
    assert_eq!(difference(&world).await, "");

    // A wrong pair that balances: the charge, its transfer, the balance and the meter all say a little more.
    let mut tamperer = tamperer(&world).await;
    let wrong = "with charge as (select c.* from charges c order by amount desc, period_start limit 1),
                      transfer as (select t.id from transfers t, charge where t.code = 'charge' and t.at = charge.period_end
                                   and t.debit_account = (select account_id from wallets w where w.organisation_id = charge.organisation_id)),
                      charged as (update charges c set amount = c.amount + 0.01 from charge where (c.meter_id, c.period_start) = (charge.meter_id, charge.period_start)),
                      posted as (update transfers t set amount = t.amount + 0.01 from transfer where t.id = transfer.id returning 1)
                 update wallets w set balance = w.balance - 0.01 from charge, posted where w.organisation_id = charge.organisation_id";
    assert_eq!(sqlx::query(wrong).execute(&mut tamperer).await.unwrap().rows_affected(), 1);
    let journal = exported(&world, Format::Hledger, &Selection::default(), "wrong.journal").await;
    assert!(program("hledger", &["check", "-f"], &journal).await.0, "it balances, so a checker of sums is content");
    let (agrees, said) = rerated(&world).await;
    assert!(!agrees && said.contains("and costs"), "{said}");
    let said = difference(&world).await;
    assert!(said.contains("rated again it costs"), "{said}");
    let right = wrong.replace("+ 0.01", "- 0.01").replace("w.balance - 0.01", "w.balance + 0.01");
    sqlx::raw_sql(AssertSqlSafe(right)).execute(&mut tamperer).await.unwrap();

    // Every month can be proved without those before it, also when it begins in the middle of an hour.
    let december = Month::new(2026, 12).unwrap();
    let of_december =
        async || ledger::first_difference_from(&world.app.pool, ZONE, december).await.unwrap().unwrap_or_default();
    assert_eq!(of_december().await, "");
    for (period, is_seen) in [("= '2026-12-01T03:00:00Z'", false), ("= '2026-12-01T03:30:00Z'", true)] {
        let change = format!("update charges set amount = amount + 0.01 where period_start {period}");
        sqlx::raw_sql(AssertSqlSafe(change.clone())).execute(&mut tamperer).await.unwrap();
        assert_eq!(of_december().await.contains("rated again it costs"), is_seen, "{change}");
        assert!(difference(&world).await.contains("rated again it costs"), "{change}");
        let verify = async |arguments: &[&str]| {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_uni-manager"));
            command.args(["ledger", "verify", "--time-zone", ZONE.name()]).args(arguments);
            command.env("DATABASE_URL", &world.database.url).output().await.unwrap()
        };
        let whole = verify(&[]).await;
        assert!(!whole.status.success() && String::from_utf8(whole.stderr).unwrap().contains("rated again it costs"));
        assert_eq!(verify(&["--from", "2026-12"]).await.status.success(), !is_seen);
        let back = change.replace("+ 0.01", "- 0.01");
        sqlx::raw_sql(AssertSqlSafe(back)).execute(&mut tamperer).await.unwrap();
    }
    let delete = "update transfers set amount = amount + 1 where id = (select id from transfers where code = 'charge' order by at desc limit 1)";
    sqlx::raw_sql(delete).execute(&mut tamperer).await.unwrap();
    assert!(of_december().await.contains("its charges are"), "a transfer of the month");
    sqlx::raw_sql(AssertSqlSafe(delete.replace("+ 1", "- 1"))).execute(&mut tamperer).await.unwrap();
    tamperer.close().await.unwrap();

    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}

/// What is done to the books, and what the proof says about it.
const TAMPERINGS: [(&str, &str); 33] = [
    (
        "update charges set amount = amount + 0.000001 where ctid = (select ctid from charges limit 1)",
        "rated again it costs",
    ),
    ("delete from charges where period_start = '2026-11-10T14:00:00Z'", "was metered and not charged"),
    ("delete from charges where period_end = '2026-11-10T18:00:00Z'", "was metered and not charged"),
    (
        "update charges set period_start = period_start - interval '1 minute' where period_start = '2026-11-10T14:00:00Z'",
        "is charged twice",
    ),
    (
        "update charges set period_start = period_start + interval '1 minute' where period_start = '2026-11-10T14:00:00Z'",
        "was metered and not charged",
    ),
    (
        "update charges set period_end = period_end + interval '1 minute' where period_end = '2026-11-10T18:00:00Z'",
        "is charged beyond",
    ),
    (
        "update charges set period_end = '2026-11-10T14:00:00Z' where period_start = '2026-11-10T13:20:00Z'; delete from charges where period_start = '2026-11-10T13:50:00Z'",
        "its interval or its price ended at",
    ),
    (
        "update charges set period_end = '2026-11-10T16:00:00Z', amount = 2 * amount where period_start = '2026-11-10T14:00:00Z'; delete from charges where period_start = '2026-11-10T15:00:00Z'",
        "over the end of an hour",
    ),
    ("update charges set quantity = 2 where period_start = '2026-11-10T14:00:00Z'", "is charged as 2"),
    ("update charges set price_id = gen_random_uuid() where period_start = '2026-11-10T14:00:00Z'", "at price"),
    ("update charges set rate = rate * 2 where period_start = '2026-11-10T14:00:00Z'", "an hour, but its price is"),
    (
        "update charges set meter_id = gen_random_uuid() where ctid = (select ctid from charges limit 1)",
        "which has no such meter",
    ),
    (
        "update charges set organisation_id = '00000000-0000-7000-8000-000000000000' where ctid = (select ctid from charges limit 1)",
        "which has no wallet",
    ),
    ("delete from meter_intervals where kind = 'vm_stopped'", "nothing that costs was metered then"),
    ("update meter_intervals set quantity = 3", "is charged as 1"),
    (
        "update meter_intervals set plan_id = (select id from plans p where p.id <> plan_id limit 1) where kind = 'vm_running'",
        "at price",
    ),
    ("update prices set hourly_rate = hourly_rate * 2", "an hour, but its price is"),
    ("delete from prices", "has no price at"),
    ("update meters set accrued = accrued + 0.0000000000000001", "says it has accrued"),
    ("update meters set accrued_through = accrued_through - interval '1 second' where accrued > 0", "is marked as charged, but goes on after"),
    ("update meters set accrued_through = accrued_through + interval '10 years' where accrued = 0", "is not charged beyond"),
    ("update transfers set amount = amount + 1 where source like 'charge:%T14:00:00Z'", "its charges are"),
    ("update transfers set at = at + interval '1 second' where source like 'charge:%T14:00:00Z'", "its charges end at"),
    ("delete from transfers where source like 'charge:%T14:00:00Z'", "nothing was posted for that hour"),
    ("update transfers set amount = amount + 1 where code = 'manual_credit'", "its transfers say"),
    ("update transfers set debit_account = gen_random_uuid() where code = 'manual_credit'", "which does not exist"),
    (
        "insert into holds (vm_id, organisation_id, amount, created_at) select id, organisation_id, 1, created_at from vms where state = 'running'",
        "which is running",
    ),
    ("delete from holds", "no credit is held for it"),
    ("update revenue_parts set amount = amount + 1 where ctid = (select ctid from revenue_parts limit 1)", "is kept as"),
    ("update meter_intervals set settled = true", "is marked as charged, but goes on after"),
    ("update vms set state = 'deleted' where state = 'running'", "but its machine"),
    ("update wallets set metered = false", "is not looked at by any pass"),
    (
        "alter table meter_intervals drop constraint meter_intervals_one_truth;
         update meter_intervals set during = tstzrange(lower(during), upper(during) + interval '1 second') where not upper_inf(during)",
        "overlap at",
    ),
];

#[tokio::test]
async fn whatever_is_tampered_with_is_named() {
    let world = World::starting(Start { now: at("2026-11-10T13:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    let web = world.running_vm(&ann, "web").await;
    world.advance(TimeDelta::minutes(20));
    world.tell(&ann, &web, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.advance(TimeDelta::minutes(30));
    world.tell(&ann, &web, "start").await.expect(202);
    world.run_due_jobs().await;
    world.advance(TimeDelta::minutes(10));
    world.charge().await;
    world.hours_with_passes(4).await;
    world.order(&ann, "next").await;
    assert_eq!(difference(&world).await, "");

    let mut tamperer = tamperer(&world).await;
    for table in TABLES {
        let copy = format!("create table kept_{table} as table {table}");
        sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut tamperer).await.unwrap();
    }
    for (statement, words) in TAMPERINGS {
        sqlx::raw_sql(statement).execute(&mut tamperer).await.unwrap();
        let said = difference(&world).await;
        assert!(said.contains(words), "{statement}: {said:?}");
        for table in TABLES {
            let back = format!("delete from {table}; insert into {table} overriding system value table kept_{table}");
            sqlx::raw_sql(AssertSqlSafe(back)).execute(&mut tamperer).await.unwrap();
        }
        assert_eq!(difference(&world).await, "", "restored after: {statement}");
    }
    tamperer.close().await.unwrap();
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn no_statement_of_a_plain_owner_changes_what_was_written_down() {
    let world = World::starting(Start { plain_owner: true, ..Start::default() }).await;
    let ann = world.customer("ann", "0.5").await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(26).await;
    world.run_due_jobs().await;
    world.credit(&ann, "1").await;
    world.run_due_jobs().await;
    world.hours_with_passes(2).await;
    assert!(world.count("select count(*) from charges").await > 26, "the product does its work");

    // Without the triggers the grants still stand.
    for table in ["transfers", "charges"] {
        sqlx::raw_sql(AssertSqlSafe(format!("alter table {table} disable trigger user")))
            .execute(&world.app.pool)
            .await
            .unwrap();
        for statement in [
            format!("update {table} set amount = 1"),
            format!("delete from {table}"),
            format!("truncate {table}"),
            format!("select * from {table} for update"),
        ] {
            let refused = sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&world.app.pool).await.unwrap_err();
            assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
        }
    }
    for statement in ["update accounts set kind = 'tax'", "delete from accounts", "truncate accounts cascade"] {
        assert!(sqlx::raw_sql(statement).execute(&world.app.pool).await.is_err(), "{statement} must be refused");
    }
    for (statement, words) in [
        ("insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at)
          select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), account_id, 1, 'manual_credit', 'nobody', '2026-01-01' from wallets limit 1", "does not exist"),
        ("insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at)
          select gen_random_uuid(), gen_random_uuid(), '00000000-0000-7000-8000-000000000002', account_id, 1, 'charge', 'nothing', '2026-01-01' from wallets limit 1", "transfers_charge_is_revenue"),
    ] {
        sqlx::raw_sql("alter table transfers enable trigger user").execute(&world.app.pool).await.unwrap();
        let refused = sqlx::raw_sql(statement).execute(&world.app.pool).await.unwrap_err();
        assert!(refused.to_string().contains(words), "{statement}: {refused}");
    }
    world.finish().await;
}
