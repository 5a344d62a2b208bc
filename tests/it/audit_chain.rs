//! The chain of the audit log: whoever gets round the triggers is found, whatever he did; and what is old goes as a month.

use chrono::TimeDelta;
use sqlx::AssertSqlSafe;
use uni_manager::audit::{self, Actor, Difference, Event, Proof, Subject};

use crate::world::{Start, World, at};

/// Writes some events on two days and links them.
async fn world_with_events() -> World {
    let world = World::starting(Start { now: at("2026-11-10T22:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    for _ in 0..3 {
        world.hours(1);
        for _ in 0..3 {
            world.credit(&ann, "1").await;
        }
    }
    audit::seal(&world.app.pool).await.unwrap();
    world
}

async fn proof(world: &World) -> Proof {
    audit::prove(&world.app.pool, None, None, world.now()).await.unwrap()
}

/// What somebody does who owns the database and takes the triggers off.
async fn tamper(world: &World, statement: &str) {
    let mut transaction = world.app.pool.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *transaction).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// What has more than a few links.
const SECOND_DAY: &str = "day = '2026-11-11'";

#[tokio::test]
async fn what_was_written_is_proved_day_by_day() {
    let world = world_with_events().await;

    let proof = proof(&world).await;

    let events = u64::try_from(world.count("select count(*) from audit_events").await).unwrap();
    assert_eq!((proof.difference, proof.days, proof.events), (None, 2, events));
    let (day, hash) = proof.head.unwrap();
    assert_eq!((day.to_string().as_str(), hash.len()), ("2026-11-11", 64));
    let first_day =
        audit::prove(&world.app.pool, None, Some("2026-11-10".parse().unwrap()), world.now()).await.unwrap();
    assert_eq!((first_day.difference, first_day.days), (None, 1));
    let began = world.text("select encode(began, 'hex') from audit_days where day = '2026-11-11'").await;
    assert_eq!(began, first_day.head.unwrap().1, "a day begins where the one before it ended");
    assert_eq!(world.count("select count(*) from audit_unsealed").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_and_named() {
    let third = "(select event_id from audit_seals where day = '2026-11-11' and sequence = 3)";
    type Case = (&'static str, String, fn(&Difference) -> bool);
    let cases: Vec<Case> = vec![
        (
            "a field was changed",
            format!("update audit_events set detail = detail || '{{\"amount\": \"100\"}}' where id = {third}"),
            |found| matches!(found, Difference::Changed(_, 3, _)),
        ),
        (
            "an actor was changed",
            format!("update audit_events set actor = 'somebody else' where id = {third}"),
            |found| matches!(found, Difference::Changed(_, 3, _)),
        ),
        (
            "an event was removed",
            format!("delete from audit_events where id = {third}"),
            |found| matches!(found, Difference::Gone(_, 3, _)),
        ),
        (
            "an event was removed with its link",
            format!("delete from audit_events where id = {third}; delete from audit_seals where {SECOND_DAY} and sequence = 3"),
            |found| matches!(found, Difference::LinkGone(_, 3)),
        ),
        (
            "an event was removed and the links behind it moved up",
            format!("delete from audit_events where id = {third}; delete from audit_seals where {SECOND_DAY} and sequence = 3;
                     update audit_seals set sequence = sequence + 1000 where {SECOND_DAY} and sequence > 3; update audit_seals set sequence = sequence - 1001 where sequence > 1000;
                     update audit_days set events = events - 1 where {SECOND_DAY}"),
            |found| matches!(found, Difference::Changed(_, 3, _)),
        ),
        (
            "an event was put in",
            "insert into audit_events (id, at, actor, event, subject_kind, subject_id, subject_name) values (gen_random_uuid(), '2026-11-11T00:30:00Z', 'nobody', 'vm.start', 'vm', '1', 'web')".into(),
            |found| matches!(found, Difference::PutIn(..)),
        ),
        (
            "an event was put in with a link of its own",
            "with put as (insert into audit_events (id, at, actor, event, subject_kind, subject_id, subject_name) values (gen_random_uuid(), '2026-11-11T00:30:00Z', 'nobody', 'vm.start', 'vm', '1', 'web') returning id, at)
             insert into audit_seals select '2026-11-11', 1 + (select max(sequence) from audit_seals where day = '2026-11-11'), id, at, sha256('forged') from put".into(),
            |found| matches!(found, Difference::TooMany(..)),
        ),
        (
            "two events changed places",
            "update audit_seals s set event_id = o.event_id, at = o.at from audit_seals o where s.day = '2026-11-11' and o.day = '2026-11-11' and ((s.sequence = 2 and o.sequence = 3) or (s.sequence = 3 and o.sequence = 2))".into(),
            |found| matches!(found, Difference::Changed(_, 2, _)),
        ),
        (
            "the end of a day was cut off",
            "delete from audit_events where id in (select event_id from audit_seals where day = '2026-11-11' and sequence > 4); delete from audit_seals where day = '2026-11-11' and sequence > 4".into(),
            |found| matches!(found, Difference::LinkGone(_, 5)),
        ),
        (
            "a day was cut off with its head",
            "delete from audit_days where day = '2026-11-10'; delete from audit_seals where day = '2026-11-10'; delete from audit_events where at < '2026-11-11'".into(),
            |found| matches!(found, Difference::Torn(..)),
        ),
        (
            "a head was removed",
            format!("delete from audit_days where {SECOND_DAY}"),
            |found| matches!(found, Difference::Headless(..)),
        ),
        ("a month was dropped", "drop table audit_events_2026_11".into(), |found| matches!(found, Difference::Gone(_, 1, _))),
        (
            "a month was dropped with its links",
            "drop table audit_events_2026_11, audit_seals_2026_11".into(),
            |found| matches!(found, Difference::LinkGone(_, 1)),
        ),
        (
            "a month was called old that is not",
            "insert into audit_dropped_months values ('2026-11-01', '2026-11-11')".into(),
            |found| matches!(found, Difference::DroppedTooEarly(..)),
        ),
    ];
    for (what, statement, expected) in cases {
        let world = world_with_events().await;
        tamper(&world, &statement).await;

        let found = proof(&world).await.difference.unwrap_or_else(|| panic!("{what}: nothing was found"));

        assert!(expected(&found), "{what}: {found:?}");
        assert!(!found.to_string().is_empty());
        world.finish_unchecked().await;
    }
}

#[tokio::test]
async fn what_is_removed_before_it_is_linked_is_missed_as_well() {
    let world = world_with_events().await;
    let ann = world.customer("bob", "5").await;
    world.credit(&ann, "1").await;

    tamper(
        &world,
        "delete from audit_events e using audit_unsealed u where e.id = u.event_id and e.event = 'wallet.credited'",
    )
    .await;

    let found = proof(&world).await.difference;
    assert!(matches!(found, Some(Difference::Lost(..))), "{found:?}");
    world.finish_unchecked().await;
}

#[tokio::test]
async fn the_chain_tables_themselves_refuse_changes() {
    let world = world_with_events().await;
    for statement in [
        "update audit_seals set sequence = sequence + 1",
        "delete from audit_seals",
        "truncate audit_seals",
        "truncate audit_seals_2026_11",
        "delete from audit_events_2026_11",
        "truncate audit_events_2026_11",
        "update audit_days set hash = began",
        "update audit_days set events = events + 1 where day = '2026-11-10'",
        "delete from audit_days",
        "truncate audit_days",
        "insert into audit_dropped_months values ('2020-01-01', now()); delete from audit_dropped_months",
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&world.app.pool).await;
        assert!(refused.is_err(), "{statement} must be refused");
    }
    world.finish().await;
}

#[tokio::test]
async fn many_at_once_make_one_chain_and_a_latecomer_hangs_on() {
    let world = World::starting(Start { now: at("2026-11-10T23:59:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    let mut late = world.app.pool.begin().await.unwrap();
    let subject = Subject::new("wallet", ann.organisation, "Wallet");
    let (now, system) = (world.now(), Actor::system());
    let told = audit::record(&mut late, now, &system, None, Event::CreditAdded, subject, serde_json::json!({}));
    told.await.unwrap();
    world.advance(TimeDelta::minutes(2));

    let writers = (0..40).map(|number| {
        let (app, actor) = (std::sync::Arc::clone(&world.app), Actor::system());
        tokio::spawn(async move {
            let mut transaction = app.pool.begin().await.unwrap();
            let subject = Subject::new("wallet", number, "Wallet");
            let detail = serde_json::json!({ "number": number });
            let told =
                audit::record(&mut transaction, app.clock.now(), &actor, None, Event::CreditAdded, subject, detail);
            told.await.unwrap();
            transaction.commit().await.unwrap();
            audit::seal(&app.pool).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    audit::seal(&world.app.pool).await.unwrap();
    late.commit().await.unwrap();

    let proof = proof(&world).await;
    let events = u64::try_from(world.count("select count(*) from audit_events").await).unwrap();
    assert_eq!((proof.difference, proof.events), (None, events));
    assert_eq!(
        world.count("select count(*) from audit_seals where at < day").await,
        1,
        "the latecomer is in the chain of the day that was open"
    );
    world.finish().await;
}

#[tokio::test]
async fn what_is_a_year_old_goes_as_a_month_and_the_chain_goes_on() {
    let world = world_with_events().await;
    assert_eq!(audit::keep(&world.app).await.unwrap(), 0);
    world.advance(TimeDelta::days(365 + 18));
    let ann = world.customer("bob", "5").await;
    assert_eq!(audit::keep(&world.app).await.unwrap(), 0, "November is not over for a year");
    world.advance(TimeDelta::days(2));
    world.credit(&ann, "1").await;

    assert_eq!(audit::keep(&world.app).await.unwrap(), 1);

    assert_eq!(world.count("select count(*) from audit_events where at < '2026-12-01'").await, 0);
    let proof = proof(&world).await;
    assert_eq!(proof.difference, None);
    assert!(proof.dropped > 10 && proof.days == 4, "{proof:?}");
    assert!(world.events().await.contains(&"audit.month_dropped".to_owned()));
    assert_eq!(audit::keep(&world.app).await.unwrap(), 0);
    world.finish().await;
}

#[tokio::test]
async fn what_nobody_made_a_table_for_is_written_all_the_same_and_moves_when_there_is_one() {
    let world = World::starting(Start { now: at("2031-05-10T12:00:00Z"), plain_owner: true, ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    audit::seal(&world.app.pool).await.unwrap();
    world.credit(&ann, "1").await;
    let written = world.count("select count(*) from audit_events_net").await;
    assert!(written > 3);

    audit::keep(&world.app).await.unwrap();

    assert_eq!(world.count("select count(*) from audit_events_net").await, 0);
    assert_eq!(world.count("select count(*) from audit_events_2031_05").await, written);
    let proof = proof(&world).await;
    assert_eq!((proof.difference, proof.events), (None, u64::try_from(written).unwrap()));
    world.finish().await;
}

#[tokio::test]
async fn the_command_ends_badly_with_the_first_difference() {
    let world = world_with_events().await;
    let run = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_uni-manager"))
            .args(["audit", "verify", "--from", "2026-11-01"])
            .envs(world.environment())
            .output()
            .unwrap()
    };
    let good = run();
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        good.status.success() && said.contains("as they were written") && said.contains("The chain ends"),
        "{said}"
    );

    tamper(&world, "update audit_events set actor = 'me' where event = 'wallet.credited'").await;

    let bad = run();
    assert!(!bad.status.success());
    assert!(String::from_utf8_lossy(&bad.stderr).contains("it is not what it was"), "{bad:?}");
    world.finish_unchecked().await;
}
