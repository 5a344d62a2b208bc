//! The hourly charge, to the last digit: the example of the books, passes that repeat, race, or come late, and caps.

use billing::{Money, Rate};
use chrono::TimeDelta;
use serde_json::json;
use uni_manager::catalog::{self, NewPlan};
use uni_manager::charging;
use uni_manager::metering::{self, Whose};

use crate::world::{Customer, Start, World, at, text};

/// Puts a small plan on sale.
pub async fn sell(world: &World, slug: &str, running: &str, stopped: &str, cap: Option<&str>) {
    let rate = |text: &str| text.parse::<Rate>().unwrap();
    let plan = NewPlan {
        slug,
        name: slug,
        vcpu: 1,
        memory_mib: 512,
        disk_gib: 10,
        running: rate(running),
        stopped: rate(stopped),
        monthly_cap: cap.map(|cap| cap.parse::<Money>().unwrap()),
    };
    let mut connection = world.app.pool.acquire().await.unwrap();
    catalog::ensure_plan(&mut connection, &plan, 9, at("2026-01-01T00:00:00Z")).await.unwrap();
}

/// Orders a machine of a plan and lets it be made.
pub async fn machine(world: &World, customer: &Customer, name: &str, plan: &str) -> String {
    let mut body = world.new_vm(customer, name).await;
    body["plan"] = json!(world.plan(plan).await);
    let accepted = world.post(customer, "/vms", &body).await.expect(202);
    world.run_due_jobs().await;
    text(&accepted, "/vm/id").to_owned()
}

async fn power(world: &World, customer: &Customer, vm: &str, what: &str) {
    world.tell(customer, vm, what).await.expect(202);
    world.run_due_jobs().await;
}

#[tokio::test]
async fn an_hour_with_a_pause_costs_what_the_worked_example_says() {
    let world = World::starting(Start { now: at("2026-11-10T14:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "1").await;
    sell(&world, "example", "0.0083", "0.0021", Some("5.60")).await;
    let vm = machine(&world, &ann, "web", "example").await;
    assert_eq!(world.wallet(&ann).await.burn_per_hour, "0.0083".parse().unwrap());

    world.advance(TimeDelta::minutes(20));
    power(&world, &ann, &vm, "shutdown").await;
    world.advance(TimeDelta::minutes(30));
    power(&world, &ann, &vm, "start").await;
    world.advance(TimeDelta::minutes(10));
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "0.994800");
    let transfers = world.get(&ann, "/transfers").await.expect(200);
    assert_eq!(text(&transfers, "/items/0/amount"), "-0.005200", "one transfer for the hour");
    assert_eq!(transfers["items"].as_array().unwrap().len(), 2);
    let charges = world.get(&ann, "/charges").await.expect(200);
    assert_eq!(charges["items"].as_array().unwrap().len(), 3, "a charge for each piece: {charges}");
    world.finish().await;
}

#[tokio::test]
async fn an_hour_is_charged_once_however_often_a_pass_runs() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "web").await;

    for _ in 0..6 {
        world.advance(TimeDelta::minutes(20));
        world.charge().await;
        world.charge().await;
    }

    assert_eq!(world.balance(&ann).await, "4.960000");
    assert_eq!(world.count("select count(*) from transfers where code = 'charge'").await, 2);
    world.finish().await;
}

#[tokio::test]
async fn the_sum_of_a_meter_is_written_when_its_machine_changes_and_not_every_hour() {
    let world = World::starting(Start { now: at("2026-11-10T12:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "50").await;
    sell(&world, "capped", "1", "0.5", Some("3.25")).await;
    let vm = machine(&world, &ann, "web", "capped").await;
    let sums = async || {
        world.text("select concat_ws(' ', accrued::float8, cap::float8, to_char(accrued_through at time zone 'UTC', 'DD HH24:MI')) from meters where kind = 'vm'").await
    };
    let begun = sums().await;

    for _ in 0..3 {
        world.hours(1);
        assert_eq!(world.charge().await.charges, 1);
        assert_eq!(sums().await, begun, "the intervals say it");
    }
    world.advance(TimeDelta::minutes(30));
    power(&world, &ann, &vm, "stop").await;
    assert_eq!(sums().await, begun, "only charging writes it");
    world.hours(1);
    world.charge().await;

    assert_eq!(sums().await, "11700 3.25 10 15:30", "3.25 × 3600, where it was stopped");
    assert_eq!(world.balance(&ann).await, "46.750000", "three hours, and what the cap left of the fourth");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_that_run_at_once_charge_each_wallet_once() {
    let world = World::new().await;
    let mut customers = Vec::new();
    for number in 0..6 {
        let customer = world.customer(&format!("customer-{number}"), "5").await;
        world.running_vm(&customer, "web").await;
        customers.push(customer);
    }
    world.hours(2);

    let passes = (0..4).map(|_| {
        let app = std::sync::Arc::clone(&world.app);
        tokio::spawn(async move { charging::run(&app).await.unwrap() })
    });
    let charged: usize =
        futures_util::future::join_all(passes).await.into_iter().map(|pass| pass.unwrap().charges).sum();

    assert_eq!(charged, 12);
    for customer in &customers {
        assert_eq!(world.balance(customer).await, "4.960000");
    }
    world.finish().await;
}

#[tokio::test]
async fn catching_up_forty_days_charges_exactly_what_hourly_passes_charge() {
    let world = World::starting(Start { now: at("2026-11-10T12:17:23.456789Z"), ..Start::default() }).await;
    // Awkward on purpose: every hour rounds.
    sell(&world, "odd", "0.0077777777", "0.0012345678", Some("6.123457")).await;
    let (hourly, late) = (world.customer("hourly", "50").await, world.customer("late", "50").await);
    let mut machines = Vec::new();
    for customer in [&hourly, &late] {
        machines.push(machine(&world, customer, "web", "odd").await);
    }
    // The late one's wallet is only looked at at the end.
    let hide = "update wallets set parked_at = charged_through where organisation_id = (select id from organisations where name = 'late''s')";
    world.execute(hide).await;

    for day in 0..40 {
        world.hours_with_passes(24).await;
        if day % 9 == 4 {
            for (customer, vm) in [(&hourly, &machines[0]), (&late, &machines[1])] {
                power(&world, customer, vm, if day % 2 == 0 { "shutdown" } else { "start" }).await;
            }
            world.execute(hide).await;
        }
    }
    assert_eq!(world.balance(&late).await, "50.000000");
    world.execute("update wallets set parked_at = null, due_at = '2026-11-10T13:00:00Z', approved_through = '2027-01-01T00:00:00Z' where parked_at is not null").await;
    world.charge().await;

    assert_eq!(world.balance(&late).await, world.balance(&hourly).await);
    assert_ne!(world.balance(&late).await, "50.000000");
    let pieces = "select string_agg(c.period_start || ' ' || c.amount, E'\\n' order by c.period_start) from charges c join organisations o on o.id = c.organisation_id where o.name = ";
    let of = async |name: &str| {
        sqlx::query_scalar::<_, Option<String>>(sqlx::AssertSqlSafe(format!("{pieces}'{name}''s'")))
            .fetch_one(&world.app.pool)
            .await
            .unwrap()
    };
    assert_eq!(of("late").await, of("hourly").await, "the same charges, hour for hour");
    world.finish().await;
}

#[tokio::test]
async fn a_monthly_cap_holds_over_stops_and_starts_and_begins_anew_with_the_month() {
    let world = World::starting(Start { now: at("2026-11-28T00:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "100").await;
    sell(&world, "capped", "1", "0.5", Some("10")).await;
    let vm = machine(&world, &ann, "web", "capped").await;

    world.hours_with_passes(8).await;
    assert_eq!(world.balance(&ann).await, "92.000000");
    power(&world, &ann, &vm, "shutdown").await;
    world.hours_with_passes(2).await;
    power(&world, &ann, &vm, "start").await;
    assert_eq!(world.balance(&ann).await, "91.000000");
    world.hours_with_passes(5).await;
    assert_eq!(world.balance(&ann).await, "90.000000", "the cap is reached and holds");
    power(&world, &ann, &vm, "shutdown").await;
    power(&world, &ann, &vm, "start").await;
    world.hours_with_passes(57).await;
    assert_eq!((world.now(), world.balance(&ann).await), (at("2026-12-01T00:00:00Z"), "90.000000".to_owned()));
    world.hours_with_passes(3).await;

    assert_eq!(world.balance(&ann).await, "87.000000", "a new month begins at zero");
    world.finish().await;
}

#[tokio::test]
async fn a_machine_born_in_a_month_that_its_wallet_has_not_reached_is_charged_with_the_others() {
    // In India November begins at half past six in the evening of UTC, in the middle of an hour.
    let (now, india) = (at("2026-10-31T18:10:00Z"), chrono_tz::Asia::Kolkata);
    let world = World::starting(Start { now, time_zone: india, ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "old").await;
    world.advance(TimeDelta::minutes(30));
    world.running_vm(&ann, "new").await;
    world.advance(TimeDelta::minutes(20));

    let pass = world.charge().await;

    assert_eq!((pass.failed, pass.charges), (0, 3), "{pass:?}");
    // At 0.02: 20 minutes of October, 30 of November, and 20 of the new one.
    assert_eq!(world.balance(&ann).await, "4.976666");
    world.hours_with_passes(1).await;
    assert_eq!(world.balance(&ann).await, "4.936666");
    world.finish().await;

    // Elsewhere a pass that is late is enough.
    let world = World::starting(Start { now: at("2026-11-30T22:00:00Z"), ..Start::default() }).await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "old").await;
    world.hours_with_passes(1).await;
    world.advance(TimeDelta::minutes(70));
    world.running_vm(&ann, "new").await;
    assert_eq!(world.charge().await.failed, 0);
    assert_eq!(world.balance(&ann).await, "4.960000", "through midnight");
    world.hours_with_passes(1).await;
    // An hour of the old one, 50 minutes of the new one.
    assert_eq!(world.balance(&ann).await, "4.923333");
    world.finish().await;
}

#[tokio::test]
async fn a_life_shorter_than_a_minute_costs_a_minute() {
    let world = World::new().await;
    let ann = world.customer("ann", "50").await;
    sell(&world, "dear", "0.6", "0.1", None).await;
    let vm = machine(&world, &ann, "web", "dear").await;
    world.advance(TimeDelta::seconds(5));

    world.delete(&ann, &format!("/vms/{vm}")).await.expect(202);
    world.run_due_jobs().await;
    world.hours(2);
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "49.990000");
    world.finish().await;
}

/// A version of the price list in force from an instant on: the prices before it with this rate, where the filter holds.
pub async fn new_version(world: &World, from: &str, rate: &str, filter: &str) {
    let insert = format!(
        "with latest as (select * from price_list_versions order by effective_from desc limit 1),
              added as (insert into price_list_versions (id, price_list_id, number, effective_from, created_at)
                        select gen_random_uuid(), price_list_id, (select max(number) + 1 from price_list_versions), '{from}', '{from}' from latest returning id)
         insert into prices (id, price_list_version_id, kind, plan_id, image_id, hourly_rate, monthly_cap)
         select gen_random_uuid(), added.id, kind, plan_id, image_id, {rate}, monthly_cap
         from added, latest, prices left join plans on plans.id = plan_id where price_list_version_id = latest.id and {filter}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&world.app.pool).await.unwrap();
}

#[tokio::test]
async fn a_price_change_holds_from_its_instant_on() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    world.running_vm(&ann, "web").await;
    // From 12:30 on plan S costs 0.03.
    new_version(
        &world,
        "2026-11-10T12:30:00Z",
        "case when kind = 'vm_running' and slug = 's' then 0.03 else hourly_rate end",
        "true",
    )
    .await;

    world.hours(1);
    world.charge().await;

    assert_eq!(world.balance(&ann).await, "4.975000");
    world.finish().await;
}

#[tokio::test]
async fn what_is_not_settled_is_the_same_by_keys_and_as_a_range_of_them() {
    let world = World::new().await;
    let mut all = Vec::new();
    for name in ["ann", "bob", "carl", "dora", "emil"] {
        let customer = world.customer(name, "5").await;
        let vm = world.running_vm(&customer, "web").await;
        all.push((customer.organisation.uuid(), customer, vm));
    }
    all.sort_by_key(|(organisation, ..)| *organisation);
    // One that was stopped and started, one with two, one that is gone; nothing of the hour is charged yet.
    world.advance(TimeDelta::minutes(10));
    power(&world, &all[1].1, &all[1].2, "shutdown").await;
    world.advance(TimeDelta::minutes(10));
    world.tell(&all[1].1, &all[1].2, "start").await.expect(202);
    world.running_vm(&all[2].1, "second").await;
    world.delete(&all[3].1, &format!("/vms/{}", all[3].2)).await.expect(202);
    world.run_due_jobs().await;

    let mut connection = world.app.pool.acquire().await.unwrap();
    let book = catalog::price_book(&mut connection).await.unwrap();
    let wanted: Vec<_> = all[1..4].iter().map(|(organisation, ..)| *organisation).collect();
    let mut read = Vec::new();
    for whose in [Whose::Of(&wanted), Whose::Between(wanted[0], wanted[2])] {
        let found = metering::checkpoints(&mut connection, &book, whose).await.unwrap();
        let mut lines = Vec::new();
        for (organisation, meters) in found {
            lines.extend(meters.iter().map(|meter| format!("{organisation} {meter:?}")));
        }
        lines.sort();
        read.push(lines);
    }
    drop(connection);

    assert_eq!(read[0].len(), 5, "one of each, the second, and the address that the deleted one had");
    assert_eq!(read[0], read[1]);
    world.finish().await;
}
