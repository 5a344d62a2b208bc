//! The ledger as hledger, ledger and beancount read it: unmodified programs balance it and find the balances that we show.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use billing::{Money, Posting, PostingError, Provider};
use chrono::{SecondsFormat, TimeDelta};
use serde_json::json;
use tokio::process::Command;
use uni_manager::ledger::{self, Cause, Format, Selection};

use crate::money::{machine, new_version, sell};
use crate::world::{Customer, World};

/// A text as nasty as one that is typed may be.
const NASTY: &str = r#"date:2026-13-99, [2026-13-01] ; x | y :a:b: key:: 1/0 "quoted" \ =3 @ 5 {1} ünï"#;

/// Two payments, each with what went back of it, seven hours apart: what is posted of them below, with tax on top.
const PAYMENTS: &str = "
    insert into payments (id, organisation_id, provider, reference, amount, created_at) values
        ('00000000-0000-7000-8000-0000000000b1', '{organisation}', 'bank', 'one', 10, '{now}'),
        ('00000000-0000-7000-8000-0000000000c1', '{organisation}', 'stripe', 'two', 3.333333, timestamptz '{now}' + interval '7 h');
    insert into payment_returns (id, payment_id, kind, amount, reason, made_by_order, created_at) values
        ('00000000-0000-7000-8000-0000000000b2', '00000000-0000-7000-8000-0000000000b1', 'refund', 10, 'x', 'x', timestamptz '{now}' + interval '14 h'),
        ('00000000-0000-7000-8000-0000000000c2', '00000000-0000-7000-8000-0000000000c1', 'chargeback', 3.333333, 'x', 'x', timestamptz '{now}' + interval '21 h')";

/// A few weeks in which much happens: machines of two customers are made, resized, stopped and started, run out of credit,
/// come back and are deleted, and money comes and goes by every account there is. Answers with the customers.
pub async fn eventful(world: &World) -> [Customer; 3] {
    let (ann, bob, eve) =
        (world.customer("ann", "100").await, world.customer("bob", "0.6").await, world.customer("eve", "0").await);
    // Awkward on purpose: every hour rounds, and the cap is reached.
    sell(world, "odd", "0.0777777777", "0.0123456789", Some("6.123457")).await;
    sell(world, "even", "0.1", "0.05", None).await;
    let web = machine(world, &ann, "web", "odd").await;
    let shop = machine(world, &ann, "shop", "even").await;
    world.running_vm(&bob, "small").await;
    world.advance(TimeDelta::microseconds(1_234_567_891));
    world.tell(&ann, &web, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(3).await;
    let odd = world.plan("odd").await;
    world.post(&ann, &format!("/vms/{shop}/resize"), &json!({ "plan": odd })).await.expect(202);
    world.settle().await;
    world.advance(TimeDelta::seconds(17));
    world.tell(&ann, &web, "start").await.expect(202);
    world.run_due_jobs().await;
    // From the middle of an hour on everything costs another price.
    let change = (world.now() + TimeDelta::minutes(90)).to_rfc3339_opts(SecondsFormat::Secs, true);
    new_version(world, &change, "hourly_rate * 1.0300001", "true").await;
    for _ in 0..30 {
        world.hours_with_passes(1).await;
        world.run_due_jobs().await;
    }
    world.credit(&bob, "0.52").await;
    world.run_due_jobs().await;
    world.hours_with_passes(24 * 4).await;
    world.run_due_jobs().await;
    world.delete(&ann, &format!("/vms/{web}")).await.expect(202);
    world.run_due_jobs().await;
    // Into another month, with the engine asleep for nearly two days: more would wait for a person.
    world.hours_with_passes(24 * 14 + 4).await;
    world.hours(45);
    world.charge().await;
    world.run_due_jobs().await;

    let micros = Money::from_micros;
    let id = eve.organisation;
    let of_bank = |post: fn(_, _, _, &[Money]) -> Result<Posting<_>, PostingError>| {
        post(id, Provider::Bank, micros(10_000_000), &[micros(1_900_000)]).unwrap()
    };
    let of_card = |post: fn(_, _, _, &[Money]) -> Result<Posting<_>, PostingError>| {
        post(id, Provider::Stripe, micros(3_333_333), &[micros(633_333), micros(1)]).unwrap()
    };
    let payments = PAYMENTS.replace("{organisation}", &id.to_string()).replace("{now}", &world.now().to_rfc3339());
    sqlx::raw_sql(sqlx::AssertSqlSafe(payments)).execute(&world.app.pool).await.unwrap();
    for (what, posting) in [
        ("payment:00000000-0000-7000-8000-0000000000b1", &of_bank(Posting::payment)),
        ("payment:00000000-0000-7000-8000-0000000000c1", &of_card(Posting::payment)),
        ("refund:00000000-0000-7000-8000-0000000000b2", &of_bank(Posting::refund)),
        ("chargeback:00000000-0000-7000-8000-0000000000c2", &of_card(Posting::chargeback)),
        ("debit:3", &Posting::manual_debit(id, micros(1_500_000)).unwrap()),
        ("write_off:4", &Posting::write_off(id, micros(1_500_000)).unwrap()),
        ("outage:5", &Posting::refund_of_charges(id, micros(42)).unwrap()),
        (r#"typed:[2026-13-01],date:2026-13-99:"6""#, &Posting::sign_up_credit(id, micros(1)).unwrap()),
    ] {
        let mut transaction = world.app.pool.begin().await.unwrap();
        ledger::lock_wallet(&mut transaction, id).await.unwrap();
        let cause = Cause { source: what, at: world.now(), memo: NASTY, created_by: Some(eve.user.id) };
        assert!(ledger::post(&mut transaction, posting, &cause).await.unwrap());
        assert!(!ledger::post(&mut transaction, posting, &cause).await.unwrap(), "a cause posts once");
        transaction.commit().await.unwrap();
        world.advance(TimeDelta::hours(7));
    }
    world.credit(&bob, "0.000007").await;
    world.charge().await;
    world.run_due_jobs().await;
    [ann, bob, eve]
}

/// Writes an export into a file of the test.
pub async fn exported(world: &World, format: Format, selection: &Selection, name: &str) -> PathBuf {
    let path = folder(world).join(name);
    let mut file = std::fs::File::create(&path).unwrap();
    ledger::export(&world.app.pool, format, selection, "EUR", &mut file).await.unwrap();
    path
}

/// A folder of the test's own.
pub fn folder(world: &World) -> PathBuf {
    let database = world.database.url.split(['/', '?']).find(|part| part.starts_with("it_")).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ledger-{}-{database}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Runs a program that nobody here wrote: whether it was content, and what it said.
pub async fn program(name: impl AsRef<std::ffi::OsStr>, arguments: &[&str], file: &Path) -> (bool, String) {
    let name = name.as_ref();
    let run = Command::new(name).args(arguments).arg(file).stdin(std::process::Stdio::null()).output().await;
    let output = run.unwrap_or_else(|error| {
        panic!("{} proves the ledger and cannot be run ({error}): run scripts/setup --tests", name.display())
    });
    let words = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(words).unwrap())
}

/// A Python with beancount, made once and kept.
async fn python_with_beancount() -> PathBuf {
    static MADE: tokio::sync::OnceCell<PathBuf> = tokio::sync::OnceCell::const_new();
    let make = async || {
        let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/beancount.txt");
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("beancount");
        let (python, kept) = (place.join("bin/python"), place.join("requirements.txt"));
        if std::fs::read(&kept).ok() != std::fs::read(&wanted).ok() {
            let (made, words) = program("python3", &["-m", "venv", "--clear"], &place).await;
            assert!(made, "python3 cannot make an environment of its own: run scripts/setup --tests ({words})");
            let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
            let (installed, words) = program(&python, &pip, &wanted).await;
            assert!(installed, "pip cannot install beancount: is a package index within reach? ({words})");
            std::fs::copy(&wanted, &kept).unwrap();
        }
        python
    };
    MADE.get_or_init(make).await.clone()
}

/// What every wallet should hold by our own books, as the programs see it: what we owe is negative.
async fn wallets(world: &World) -> BTreeMap<String, String> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select o.number, (-w.balance)::text from wallets w join organisations o on o.id = w.organisation_id where w.balance <> 0",
    )
    .fetch_all(&world.app.pool)
    .await
    .unwrap();
    rows.into_iter().map(|(number, held)| (number.to_string(), held)).collect()
}

/// The wallets among lines of an account, a tab and an amount in euros.
fn read(lines: &str, prefix: &str) -> BTreeMap<String, String> {
    let held = |line: &str| {
        let (account, amount) = line.split_once('\t')?;
        let number = account.strip_prefix(prefix)?.trim_start_matches('0').to_owned();
        let amount: rust_decimal::Decimal = amount.trim_end().strip_suffix(" EUR")?.parse().unwrap();
        Some((number, amount)).filter(|(_, amount)| !amount.is_zero())
    };
    lines.lines().filter_map(held).map(|(number, amount)| (number, format!("{amount:.6}"))).collect()
}

/// Both programs read a journal; each answers with the wallets, and both must agree about every account.
async fn by_hledger_and_ledger(journal: &Path) -> BTreeMap<String, String> {
    for check in [&["check", "--strict", "-f"][..], &["check", "accounts", "commodities", "-f"]] {
        let (content, words) = program("hledger", check, journal).await;
        assert!(content, "{words}");
    }
    let (content, said) =
        program("hledger", &["bal", "--flat", "--no-total", "--output-format", "csv", "-f"], journal).await;
    assert!(content, "{said}");
    let by_hledger = said.replace("\",\"", "\t").replace('"', "");
    let format = [
        "bal",
        "--flat",
        "--no-total",
        "--pedantic",
        "--balance-format",
        "%(account)\\t%(quantity(total)) EUR\\n",
        "-f",
    ];
    let (content, by_ledger) = program("ledger", &format, journal).await;
    assert!(content, "{by_ledger}");
    let all = |lines: &str| read(lines, "");
    assert_eq!(all(&by_hledger), all(&by_ledger), "hledger and ledger agree");
    read(&by_hledger, "liabilities:wallets:")
}

#[tokio::test]
async fn hledger_ledger_and_beancount_read_the_ledger_and_find_the_balances_that_we_show() {
    let world = World::new().await;
    let [ann, ..] = eventful(&world).await;
    let ours = wallets(&world).await;
    assert_eq!(ours.len(), 3, "{ours:?}");

    let all = Selection::default();
    let journal = exported(&world, Format::Hledger, &all, "all.journal").await;
    assert_eq!(by_hledger_and_ledger(&journal).await, ours);
    let python = python_with_beancount().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/beancount_balances.py");
    let beancount = async |journal: &Path| program(&python, &[script.to_str().unwrap()], journal).await;
    let (content, said) = beancount(&exported(&world, Format::Beancount, &all, "all.beancount").await).await;
    assert!(content, "{said}");
    assert_eq!(read(&said, "Liabilities:Wallets:W"), ours);

    // An excerpt begins with what was there and ends with what was there.
    let middle = Selection {
        from: Some("2026-11-11T00:00:00Z".parse().unwrap()),
        to: Some("2026-11-25T12:00:00Z".parse().unwrap()),
        organisation: None,
    };
    let (early, number) =
        (exported(&world, Format::Hledger, &middle, "middle.journal").await, number(&world, &ann).await);
    let then: String = sqlx::query_scalar(
        "select (-sum(case when t.credit_account = w.account_id then t.amount else -t.amount end))::text
         from wallets w, transfers t where w.organisation_id = $1 and w.account_id in (t.debit_account, t.credit_account) and t.at < '2026-11-25T12:00:00Z'",
    )
    .bind(ann.organisation.uuid())
    .fetch_one(&world.app.pool)
    .await
    .unwrap();
    assert_eq!(by_hledger_and_ledger(&early).await.get(&number), Some(&then));
    let (content, said) = beancount(&exported(&world, Format::Beancount, &middle, "middle.beancount").await).await;
    assert!(content, "{said}");
    let one = Selection { organisation: Some(ann.organisation), ..all };
    let one = exported(&world, Format::Hledger, &one, "one.journal").await;
    assert_eq!(by_hledger_and_ledger(&one).await, BTreeMap::from([(number.clone(), ours[&number].clone())]));

    // A balance that is wrong by the smallest amount there is: each program says so.
    world.execute("update wallets set balance = balance + 0.000001 where balance > 10").await;
    let wrong = exported(&world, Format::Hledger, &all, "wrong.journal").await;
    for (name, arguments) in [("hledger", &["check", "-f"][..]), ("ledger", &["bal", "-f"])] {
        let (content, words) = program(name, arguments, &wrong).await;
        assert!(!content && words.to_lowercase().contains("balance assertion"), "{name}: {words}");
    }
    let (content, words) = beancount(&exported(&world, Format::Beancount, &all, "wrong.beancount").await).await;
    assert!(!content && words.contains("Balance failed"), "{words}");
    world.execute("update wallets set balance = balance - 0.000001 where balance > 10").await;

    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}

/// The number of a customer's organisation.
async fn number(world: &World, customer: &Customer) -> String {
    sqlx::query_scalar("select number::text from organisations where id = $1")
        .bind(customer.organisation.uuid())
        .fetch_one(&world.app.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_command_writes_a_whole_file_or_to_the_terminal_and_refuses_what_it_does_not_know() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(2).await;
    let uni_manager = env!("CARGO_BIN_EXE_uni-manager");
    let run = async |arguments: &[&str]| {
        let output = Command::new(uni_manager)
            .arg("ledger")
            .args(arguments)
            .env("DATABASE_URL", &world.database.url)
            .output()
            .await
            .unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };

    let (done, printed, words) = run(&["export", "--format", "csv"]).await;
    assert!(done, "{words}");
    let lines: Vec<_> = printed.split("\r\n").collect();
    assert_eq!(lines[0], "posting,transfer,at,code,debit,credit,amount,currency,source,memo,created_by");
    assert_eq!(lines.len(), 5, "the credit, two hours, and the end: {printed}");
    assert!(lines[1].contains(&format!("manual_credits,wallet:{},5.000000,EUR", ann.organisation)), "{printed}");
    let file = folder(&world).join("out.journal");
    let (done, printed, words) = run(&["export", "--format", "hledger", "--output", file.to_str().unwrap()]).await;
    assert!(done && printed.is_empty(), "{words}");
    assert_eq!(by_hledger_and_ledger(&file).await, wallets(&world).await);
    assert_eq!(std::fs::read_dir(folder(&world)).unwrap().count(), 1, "nothing unfinished is left");
    let mine = number(&world, &ann).await;
    let by_number =
        run(&["export", "--format", "csv", "--organisation", &mine, "--from", "2026-11-10T13:30:00Z"]).await;
    assert_eq!(by_number.1.lines().count(), 2, "{}", by_number.1);
    for (arguments, words) in [
        (&["export", "--format", "hledger", "--from", "yesterday"][..], "a day such as"),
        (&["export", "--format", "hledger", "--organisation", "999"], "no such organisation"),
        (&["export", "--format", "hledger", "--organisation", "ann"], "number or the id"),
        (&["export", "--format", "abacus"], "hledger"),
        (&["export", "--format", "csv", "--output", "/nowhere/at/all"], "cannot be written"),
    ] {
        let (done, _, said) = run(arguments).await;
        assert!(!done && said.contains(words), "{arguments:?}: {said}");
    }
    let (proved, printed, words) = run(&["verify"]).await;
    assert!(proved && printed.contains("adds up"), "{words}");

    std::fs::remove_dir_all(folder(&world)).unwrap();
    world.finish().await;
}
