//! Bad luck with money: long downtime, odd passes, wallets that cannot be charged, clocks that jump, everything within one
//! hour. Whatever happens, the books end as if it had not.

use chrono::TimeDelta;
use proxmox_simulator::{Fault, FaultKind};
use serde_json::json;
use uni_manager::charging::passes::{self, Decision, Kind, PassRecord, Status};
use uni_manager::metering;

use crate::money::{machine, new_version, sell};
use crate::second_factor::browser::Browser;
use crate::world::{Customer, Start, World, at, text};

/// Everything that was charged, hour for hour, without ids.
async fn charges_of(world: &World, customer: &Customer) -> String {
    sqlx::query_scalar::<_, Option<String>>(
        "select string_agg(concat_ws(' ', v.name, m.kind, c.period_start, c.period_end, c.quantity, c.rate, c.amount), E'\\n' order by c.period_start, v.name, m.kind)
         from charges c join meters m on m.id = c.meter_id join vms v on v.id = m.vm_id where c.organisation_id = $1",
    )
    .bind(customer.organisation.uuid())
    .fetch_one(&world.app.pool)
    .await
    .unwrap()
    .unwrap_or_default()
}

pub async fn held(world: &World) -> PassRecord {
    let mut held = passes::held(&world.app).await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    held.remove(0)
}

/// An operator decides about the pass that is held.
pub async fn decide(world: &World, admin: &Customer, decision: Decision) {
    let pass = held(world).await;
    let word = match decision {
        Decision::Approve => "approve",
        Decision::Refuse => "refuse",
        Decision::Waive => "waive",
    };
    let mut browser = Browser::logged_in(world, admin).await;
    let action = format!("/admin/passes/{}/{word}", pass.id);
    browser.does(world, "/admin/passes", &action, &[("reason", "Looked at it")]).await;
}

#[tokio::test]
async fn forty_days_of_downtime_wait_for_a_person_and_are_charged_as_if_there_had_been_none() {
    let start = || Start { now: at("2026-11-10T12:17:23.456789Z"), ..Start::default() };
    let (undisturbed, world) = (World::starting(start()).await, World::starting(start()).await);
    let mut customers = Vec::new();
    for world in [&undisturbed, &world] {
        sell(world, "odd", "0.0077777777", "0.0012345678", Some("6.123457")).await;
        let (ann, bob) = (world.customer("ann", "50").await, world.customer("bob", "1").await);
        machine(world, &ann, "web", "odd").await;
        machine(world, &bob, "web", "odd").await;
        customers.push([ann, bob]);
    }

    undisturbed.hours_with_passes(40 * 24).await;
    world.hours(40 * 24);
    let pass = world.charge().await;

    assert_eq!(
        (pass.charges, world.count("select count(*) from charges").await),
        (0, 0),
        "nothing before a person looked"
    );
    let waiting = held(&world).await;
    assert_eq!((waiting.kind, waiting.projected_wallets), (Kind::CatchUp, 2));
    assert_eq!((waiting.from, waiting.through), (at("2026-11-10T12:17:23.456789Z"), at("2026-12-20T12:00:00Z")));
    assert!(waiting.projected_amount > "7".parse().unwrap(), "{}", waiting.projected_amount);
    world.hours_with_passes(3).await;
    undisturbed.hours_with_passes(3).await;
    assert_eq!(world.count("select count(*) from charges").await, 0, "and it waits as long as it takes");
    let admin = world.admin().await;
    decide(&world, &admin, Decision::Approve).await;
    world.charge().await;

    for (number, name) in ["ann", "bob"].iter().enumerate() {
        let (expected, customer) = (&customers[0][number], &customers[1][number]);
        assert_eq!(charges_of(&world, customer).await, charges_of(&undisturbed, expected).await, "{name}");
        assert_eq!(world.balance(customer).await, undisturbed.balance(expected).await, "{name}");
    }
    assert_ne!(world.balance(&customers[1][0]).await, "50.000000");
    assert!(world.wallet(&customers[1][1]).await.exhausted_at.is_some(), "bob's credit ended on the way");
    for world in [undisturbed, world] {
        world.settle().await;
        world.finish().await;
    }
}

#[tokio::test]
async fn missed_time_can_be_waived_and_is_listed_as_not_charged() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(1).await;
    let before = world.balance(&ann).await;
    world.hours(100);
    world.charge().await;
    assert_eq!(world.balance(&ann).await, before);

    let admin = world.admin().await;
    decide(&world, &admin, Decision::Waive).await;
    world.charge().await;

    assert_eq!(world.balance(&ann).await, before, "the time went by without a charge");
    assert_eq!(world.wallet(&ann).await.charged_through, world.now());
    let times = metering::uncharged::latest(&world.app).await.unwrap();
    assert_eq!(times.len(), 1);
    assert_eq!((times[0].from, times[0].to), (at("2026-11-10T13:00:00Z"), Some(world.now())));
    world.hours_with_passes(2).await;
    assert_eq!(world.balance(&ann).await, "49.940000", "three hours of a hundred and three");
    assert!(world.events().await.contains(&"pass.waived".to_owned()));
    world.finish().await;
}

/// A platform on which 24 hours were charged for two customers, whose prices then become ten times as high.
async fn with_odd_prices() -> (World, Customer, Customer) {
    let world = World::new().await;
    world.execute("update settings set breaker_vms_min = 2").await;
    let (ann, bob) = (world.customer("ann", "50").await, world.customer("bob", "0.57").await);
    world.running_vm(&ann, "web").await;
    world.running_vm(&bob, "web").await;
    world.hours_with_passes(24).await;
    new_version(&world, "2026-11-11T12:30:00Z", "hourly_rate * 10", "true").await;
    (world, ann, bob)
}

#[tokio::test]
async fn a_pass_that_would_charge_far_more_than_usual_waits_for_a_person() {
    let (world, ann, _bob) = with_odd_prices().await;
    world.hours(1);

    let pass = world.charge().await;

    assert_eq!(pass.charges, 0, "nothing is written");
    assert_eq!(world.balance(&ann).await, "49.520000");
    let waiting = held(&world).await;
    assert_eq!((waiting.kind, waiting.status), (Kind::Hourly, Status::Held));
    assert_eq!(waiting.usual_amount, Some("0.04".parse().unwrap()));
    assert!(waiting.projected_amount > "0.12".parse().unwrap(), "{}", waiting.projected_amount);
    let admin = world.admin().await;
    decide(&world, &admin, Decision::Refuse).await;
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "49.520000", "refused is still held");
    assert_eq!(held(&world).await.hours, 2, "and the next hour waits with it");
    decide(&world, &admin, Decision::Approve).await;
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "49.210000", "half an hour at 0.02, one and a half at 0.2");
    assert!(passes::held(&world.app).await.unwrap().is_empty());
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn the_end_of_a_credit_does_not_wait_for_a_held_pass() {
    let (world, _ann, bob) = with_odd_prices().await;
    world.hours(1);
    world.charge().await;
    assert_eq!(held(&world).await.status, Status::Held);
    let end = world.wallet(&bob).await.runs_out_at.unwrap();

    world.app.clock.set(end.max(world.now()) + TimeDelta::seconds(30));
    world.charge().await;

    assert!(world.wallet(&bob).await.exhausted_at.is_some());
    assert_eq!(held(&world).await.status, Status::Held, "the hour of the others still waits");
    // This time with a program.
    let admin = world.admin().await;
    let decision = format!("/admin/passes/{}/decision", held(&world).await.id);
    let body = json!({ "decision": "approve", "reason": "Looked at it" });
    assert_eq!(world.post(&admin, &decision, &body).await.status, 204);
    world.charge().await;
    world.settle().await;
    world.finish().await;
}

#[tokio::test]
async fn more_ends_of_credit_at_once_than_usual_wait_for_a_person() {
    let world = World::new().await;
    world.execute("update settings set breaker_vms_min = 4").await;
    let mut customers = Vec::new();
    for number in 0..4 {
        let customer = world.customer(&format!("customer-{number}"), "5").await;
        world.running_vm(&customer, "web").await;
        customers.push(customer);
    }
    // Two of four lose their credit but for a little, as a mistake of ours would do it.
    for customer in customers.iter().take(2) {
        drain(&world, customer, "4.97").await;
    }
    world.hours_with_passes(1).await;
    world.advance(TimeDelta::minutes(31));

    world.charge().await;

    let waiting = held(&world).await;
    assert_eq!((waiting.kind, waiting.projected_stops, waiting.running_vms), (Kind::RunOuts, 2, 4));
    assert!(world.wallet(&customers[0]).await.exhausted_at.is_none());
    let admin = world.admin().await;
    decide(&world, &admin, Decision::Approve).await;
    world.charge().await;
    assert!(world.wallet(&customers[0]).await.exhausted_at.is_some());
    assert!(world.wallet(&customers[1]).await.exhausted_at.is_some());
    world.settle().await;
    world.finish().await;
}

/// Takes credit out of a wallet, as a refund would.
pub async fn drain(world: &World, customer: &Customer, amount: &str) {
    let mut transaction = world.app.pool.begin().await.unwrap();
    for sql in [
        "insert into transfers (id, posting, debit_account, credit_account, amount, code, source, at, memo)
         select gen_random_uuid(), gen_random_uuid(), account_id, '00000000-0000-7000-8000-000000000002', $2::numeric, 'manual_debit', 'drain:' || organisation_id, charged_through, ''
         from wallets where organisation_id = $1",
        "update wallets set balance = balance - $2::numeric where organisation_id = $1",
    ] {
        sqlx::query(sql).bind(customer.organisation.uuid()).bind(amount.parse::<rust_decimal::Decimal>().unwrap()).execute(&mut *transaction).await.unwrap();
    }
    uni_manager::runway::recompute(&world.app, &mut transaction, customer.organisation, world.now()).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_wallet_that_is_refused_by_the_database_is_found_among_many_and_parked() {
    let world = World::new().await;
    let mut customers = Vec::new();
    for number in 0..5 {
        let customer = world.customer(&format!("customer-{number}"), "5").await;
        world.running_vm(&customer, "web").await;
        customers.push(customer);
    }
    let odd = &customers[3];
    let refuse = format!(
        "alter table wallets add constraint odd check (organisation_id <> '{}' or balance >= 5) not valid",
        odd.organisation
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse)).execute(&world.app.pool).await.unwrap();

    world.hours(1);
    let pass = world.charge().await;

    assert_eq!((pass.charges, pass.failed), (4, 1), "the others are charged");
    for _ in 0..4 {
        world.advance(TimeDelta::minutes(16));
        world.charge().await;
    }
    assert_eq!(
        world.text("select string_agg(organisation_id::text, ' ') from wallets where parked_at is not null").await,
        odd.organisation.to_string()
    );
    world.hours_with_passes(3).await;
    assert_eq!(
        world.text("select charging_tries::text from wallets where parked_at is not null").await,
        "5",
        "nobody tries any more"
    );
    world.execute("alter table wallets drop constraint odd").await;
    let admin = world.admin().await;
    let retry = format!("/admin/customers/{}/charging/retry", odd.organisation);
    Browser::logged_in(&world, &admin).await.does(&world, "/admin", &retry, &[]).await;
    let retry = format!("/admin/organisations/{}/charging/retry", odd.organisation);
    assert_eq!(world.post(&admin, &retry, &json!({})).await.status, 204, "once more, with a program, is no trouble");
    world.charge().await;

    for customer in &customers {
        assert_eq!(world.balance(customer).await, "4.900000", "five hours for everybody");
    }
    assert_eq!(
        world.count("select count(*) from wallets where parked_at is not null or charging_error is not null").await,
        0
    );
    world.finish().await;
}

#[tokio::test]
async fn a_clock_that_jumps_charges_no_time_twice_and_none_before_it_has_come() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    world.hours_with_passes(2).await;

    world.app.clock.set(at("2026-11-10T20:00:30Z"));
    world.charge().await;
    assert_eq!(world.balance(&ann).await, "4.840000");
    world.app.clock.set(at("2026-11-10T15:10:00Z"));
    world.charge().await;
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.tell(&ann, &vm, "start").await.expect(202);
    world.run_due_jobs().await;
    for _ in 0..5 {
        world.hours(1);
        world.charge().await;
    }
    assert_eq!(world.balance(&ann).await, "4.840000", "what was charged ahead is not charged again");
    world.app.clock.set(at("2026-11-10T21:00:00Z"));
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "4.820000");
    world.finish().await;
}

#[tokio::test]
async fn resize_stop_price_change_and_delete_within_one_hour_cost_their_seconds() {
    let world = World::starting(Start { now: at("2026-11-10T14:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "50").await;
    sell(&world, "small", "0.36", "0.036", None).await;
    sell(&world, "large", "0.72", "0.072", None).await;
    let vm = machine(&world, &ann, "web", "small").await;
    // Ten minutes of small, stopped and resized for ten, ten of large, ten of large at twice the price, then gone.
    new_version(&world, "2026-11-10T14:30:00Z", "hourly_rate * 2", "true").await;
    world.advance(TimeDelta::minutes(10));
    world.tell(&ann, &vm, "shutdown").await.expect(202);
    world.run_due_jobs().await;
    world.post(&ann, &format!("/vms/{vm}/resize"), &json!({ "plan": world.plan("large").await })).await.expect(202);
    world.run_due_jobs().await;
    world.advance(TimeDelta::minutes(10));
    world.tell(&ann, &vm, "start").await.expect(202);
    world.run_due_jobs().await;
    world.advance(TimeDelta::minutes(20));
    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;
    world.hours_with_passes(2).await;

    // 0.06 + 0.012 + 0.12 + 0.24
    assert_eq!(world.balance(&ann).await, "49.568000", "{}", charges_of(&world, &ann).await);
    world.finish().await;
}

#[tokio::test]
async fn what_costs_nothing_runs_on_an_empty_wallet() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    sell(&world, "free", "0", "0", None).await;
    let vm = machine(&world, &ann, "web", "free").await;
    assert_eq!(world.state(&ann, &vm).await, "running");

    world.hours_with_passes(30).await;

    assert_eq!(world.balance(&ann).await, "0.000000");
    assert_eq!(world.state(&ann, &vm).await, "running");
    let wallet = world.wallet(&ann).await;
    assert!(wallet.exhausted_at.is_none() && wallet.runs_out_at.is_none());
    assert_eq!(world.count("select count(*) from transfers").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_new_month_has_a_partition_that_refuses_changes_too() {
    let world = World::starting(Start { now: at("2026-12-31T22:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "web").await;
    world.hours_with_passes(4).await;

    for month in ["2026_12", "2027_01", "2027_02", "2027_03"] {
        let there: bool = sqlx::query_scalar("select to_regclass('charges_' || $1) is not null")
            .bind(month)
            .fetch_one(&world.app.pool)
            .await
            .unwrap();
        assert!(there, "{month}");
    }
    assert_eq!(world.count("select count(*) from charges_2027_01").await, 2);
    for statement in [
        "update charges_2027_01 set amount = 0",
        "delete from charges_2027_01",
        "truncate charges_2027_01",
        "truncate charges_2027_02",
    ] {
        assert!(sqlx::query(statement).execute(&world.app.pool).await.is_err(), "{statement} must be refused");
    }
    assert_eq!(world.balance(&ann).await, "4.920000");
    world.finish().await;
}

#[tokio::test]
async fn time_that_we_could_not_see_is_listed() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.running_vm(&ann, "web").await;
    world.look().await;
    world.simulator.faults().inject(Fault { times: 100, ..Fault::once("GET", "/", FaultKind::DropBefore) });
    world.hours(1);
    world.look().await;

    let times = metering::uncharged::latest(&world.app).await.unwrap();
    assert_eq!((times.len(), times[0].vms, times[0].to), (1, 1, None), "{times:?}");
    world.simulator.faults().clear();
    world.advance(TimeDelta::minutes(30));
    world.look().await;
    world.hours_with_passes(2).await;

    let its = world.get(&ann, &format!("/uncharged-times?vm={vm}")).await.expect(200);
    let expected = json!([{ "vm_id": vm, "vm_name": "web", "from": "2026-11-10T12:00:00Z", "to": "2026-11-10T13:30:00Z", "reason": "cluster_away" }]);
    assert_eq!(its["items"], expected);
    let page = Browser::logged_in(&world, &ann).await.get(&world, "/wallet/charges").await.text;
    assert!(page.contains("The cluster did not answer"), "{page}");
    assert_eq!(text(&world.vm(&ann, &vm).await, "/state"), "running");
    assert_eq!(world.balance(&ann).await, "4.970000", "an hour and a half of three and a half");
    world.finish().await;
}
