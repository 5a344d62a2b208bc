//! Vouchers: bearer money that is redeemed once, however often and by how many it is tried.

use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::audit::{Actor, Named};
use uni_manager::error::{Error, Result};
use uni_manager::ids::{OrganisationId, UserId};
use uni_manager::organisations;
use uni_manager::vouchers::{self, NewVouchers, Redeemed, WRONG_TRIES_MAX};

use crate::doors::browser;
use crate::world::{Answer, Customer, World, at, send, text};

const UNKNOWN: &str = "No voucher has this code. Look at each character again.";

/// Makes vouchers and answers with their codes.
pub async fn codes(world: &World, amount: &str, count: i64, uses_max: i64) -> Vec<String> {
    let new =
        NewVouchers { amount: amount.into(), count, uses_max, expires_at: None, note: String::new(), order: None };
    let created = vouchers::create(&world.app, &new, &Actor::system()).await.unwrap();
    created.codes.iter().map(vouchers::Code::reveal).collect()
}

async fn redeem(world: &World, customer: &Customer, code: &str) -> Answer {
    world.post(customer, "/vouchers/redeem", &json!({ "code": code })).await
}

/// What a refused code was answered with.
async fn refusal(world: &World, customer: &Customer, code: &str) -> String {
    text(&redeem(world, customer, code).await.problem(422), "/errors/0/problem").to_owned()
}

/// People with an organisation each, made without the work of hashing a password.
async fn crowd(world: &World, count: usize) -> Vec<(OrganisationId, Actor)> {
    let mut connection = world.app.pool.acquire().await.unwrap();
    let mut people = Vec::new();
    for number in 0..count {
        let (user, name) = (UserId::new(), format!("person-{number}"));
        sqlx::query("insert into users (id, email, name, password_hash, created_at) values ($1, $2, $2, '', $3)")
            .bind(user.uuid())
            .bind(&name)
            .bind(world.now())
            .execute(&mut *connection)
            .await
            .unwrap();
        let organisation = organisations::create(&mut connection, &name, user, world.now()).await.unwrap();
        people.push((organisation, Actor::person(Named::new(user, name))));
    }
    people
}

async fn all_at_once(world: &World, people: &[(OrganisationId, Actor)], code: &str) -> Vec<Result<Redeemed>> {
    let tasks = people.iter().cloned().map(|(organisation, actor)| {
        let (app, code) = (Arc::clone(&world.app), code.to_owned());
        tokio::spawn(async move { vouchers::redeem(&app, organisation, &code, &actor).await })
    });
    join_all(tasks).await.into_iter().map(|answer| answer.unwrap()).collect()
}

fn is_used_up(answer: &Result<Redeemed>) -> bool {
    matches!(answer, Err(Error::Invalid(problems)) if problems[0].problem == "This voucher has been used up.")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_organisation_that_redeems_a_voucher_a_hundred_times_at_once_gets_it_once() {
    let world = World::new().await;
    let people = crowd(&world, 1).await;
    let code = codes(&world, "7.25", 1, 50).await.remove(0);

    let answers = all_at_once(&world, &vec![people[0].clone(); 100], &code).await;

    let redeemed: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(redeemed.iter().filter(|answer| !answer.repeated).count(), 1);
    assert_eq!(world.text("select string_agg(balance::text, ' ') from wallets").await, "7.250000");
    assert_eq!(world.count("select count(*) from transfers").await, 1);
    assert_eq!(world.count("select uses::bigint from vouchers").await, 1);
    assert_eq!(world.events().await.iter().filter(|event| *event == "voucher.redeemed").count(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_organisations_at_once_as_many_win_as_the_voucher_has_uses() {
    let world = World::new().await;
    let people = crowd(&world, 100).await;

    for uses in [1, 7] {
        let code = codes(&world, "3", 1, uses).await.remove(0);
        let answers = all_at_once(&world, &people, &code).await;

        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(i64::try_from(won).unwrap(), uses, "exactly as many as may");
        assert_eq!(answers.iter().filter(|answer| is_used_up(answer)).count(), 100 - won, "the others are told why");
    }
    assert_eq!(world.text("select sum(balance)::text from wallets").await, "24.000000");
    assert_eq!(world.count("select count(*) from transfers where code = 'voucher'").await, 8);
    assert_eq!(world.count("select count(*) from voucher_redemptions").await, 8);
    world.finish().await;
}

#[tokio::test]
async fn a_voucher_is_good_until_the_instant_it_expires_and_not_in_it() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let admin = world.admin().await;
    let ends = "2026-11-10T18:00:00Z";
    let body = json!({ "amount": "5", "uses_max": 10, "expires_at": ends });
    let made = world.post(&admin, "/admin/vouchers", &body).await.expect(201);
    let code = text(&made, "/items/0/code");

    world.app.clock.set(at(ends) - TimeDelta::microseconds(1));
    redeem(&world, &ann, code).await.expect(201);
    world.app.clock.set(at(ends));

    assert_eq!(refusal(&world, &bob, code).await, "This voucher has expired.");
    assert!(redeem(&world, &ann, code).await.expect(200)["repeated"].as_bool().unwrap(), "she is told that she had it");
    assert_eq!((world.balance(&ann).await, world.balance(&bob).await), ("5.000000".into(), "0.000000".into()));
    let late = world.post(&admin, "/admin/vouchers", &body).await.problem_fields();
    assert_eq!(late, ["expires_at"], "none is made that is over already");
    world.finish().await;
}

#[tokio::test]
async fn a_voucher_starts_again_what_was_stopped_for_credit() {
    let world = World::new().await;
    let ann = world.customer("ann", "0.48").await;
    let vm = world.running_vm(&ann, "web").await;
    world.hours_with_passes(24).await;
    world.advance(TimeDelta::seconds(2));
    world.charge().await;
    world.run_due_jobs().await;
    assert_eq!(world.state(&ann, &vm).await, "stopped");
    let code = codes(&world, "2", 1, 1).await.remove(0);

    let redeemed = redeem(&world, &ann, &code).await.expect(201);
    world.run_due_jobs().await;

    assert_eq!(redeemed["started"], 1);
    assert_eq!(world.state(&ann, &vm).await, "running");
    assert!(world.wallet(&ann).await.runs_out_at.is_some());
    let transfers = world.get(&ann, "/transfers").await.expect(200);
    let prefix = &code[..4];
    assert_eq!(
        (text(&transfers, "/items/0/code"), text(&transfers, "/items/0/memo"), text(&transfers, "/items/0/amount")),
        ("voucher", format!("Voucher {prefix}…").as_str(), "2.000000")
    );
    let events = world.events().await;
    assert!(events.contains(&"wallet.resumed".to_owned()));
    world.hours_with_passes(1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_code_may_be_typed_badly_and_a_revoked_one_looks_like_none() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "0").await, world.customer("bob", "0").await);
    let admin = world.admin().await;
    let made =
        world.post(&admin, "/admin/vouchers", &json!({ "amount": "1", "count": 2, "uses_max": 2 })).await.expect(201);
    let [code, other] = [0, 1].map(|item| text(&made, &format!("/items/{item}/code")).to_owned());

    let badly = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "i");
    redeem(&world, &ann, &badly).await.expect(201);
    for path in ["/items/0/id", "/items/1/id"] {
        let revoke = format!("/admin/vouchers/{}/revoke", text(&made, path));
        for _ in 0..2 {
            assert_eq!(text(&world.post(&admin, &revoke, &json!({})).await.expect(200), "/state"), "revoked");
        }
    }

    assert_eq!(refusal(&world, &bob, &code).await, UNKNOWN);
    assert_eq!(refusal(&world, &bob, &other).await, UNKNOWN);
    assert_eq!(refusal(&world, &bob, "00000-00000-00000-00000").await, UNKNOWN);
    assert_eq!(refusal(&world, &bob, "hello").await, "A code has 20 letters and digits.");
    assert_eq!(world.balance(&ann).await, "1.000000", "what was redeemed stays");
    assert_eq!(world.events().await.iter().filter(|event| *event == "voucher.revoked").count(), 2, "once each");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_has_ten_tries_an_hour_however_many_he_sends_at_once() {
    let world = World::new().await;
    let people = crowd(&world, 2).await;
    let code = codes(&world, "1", 1, 5).await.remove(0);
    let (organisation, guesser) = people[0].clone();
    let right = async || vouchers::redeem(&world.app, organisation, &code, &guesser).await;

    let guesses = all_at_once(&world, &vec![people[0].clone(); 60], "00000-00000-00000-00000").await;

    let wrong = guesses.iter().filter(|answer| matches!(answer, Err(Error::Invalid(_)))).count();
    assert_eq!(i32::try_from(wrong).unwrap(), WRONG_TRIES_MAX);
    for answer in guesses {
        if let Err(Error::TooManyTries { retry_after_seconds, .. }) = answer {
            assert_eq!(retry_after_seconds, 3601);
        }
    }
    assert!(matches!(right().await, Err(Error::TooManyTries { .. })), "not even the right one");
    vouchers::redeem(&world.app, people[1].0, &code, &people[1].1).await.unwrap();
    world.advance(TimeDelta::minutes(59));
    assert!(matches!(right().await, Err(Error::TooManyTries { .. })));
    world.advance(TimeDelta::minutes(1));
    right().await.unwrap();
    world.finish().await;
}

#[tokio::test]
async fn too_many_wrong_codes_are_answered_with_when_to_come_back() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    for _ in 0..WRONG_TRIES_MAX {
        assert_eq!(refusal(&world, &ann, "00000-00000-00000-00000").await, UNKNOWN);
    }

    let request = world.api(&ann, Method::POST, "/vouchers/redeem").await;
    let response = request.json(&json!({ "code": "00000-00000-00000-00000" })).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "3601"));
    let (cookie, csrf) = browser(&world, &ann).await;
    let form = [("csrf", csrf.as_str()), ("code", "00000-00000-00000-00000")];
    let page = world.request(Method::POST, "/vouchers/redeem").header("cookie", &cookie).form(&form);
    let page = page.send().await.unwrap();
    assert_eq!((page.status().as_u16(), page.headers()["retry-after"].to_str().unwrap()), (429, "3601"));
    assert!(page.text().await.unwrap().contains("Too many wrong codes."));
    world.finish().await;
}

#[tokio::test]
async fn operators_make_vouchers_once_per_order_and_read_how_they_stand() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let body =
        json!({ "amount": "12.5", "count": 3, "uses_max": 2, "expires_at": "2027-01-01T00:00:00Z", "note": "Fair" });
    let make = async || {
        send(world.api(&admin, Method::POST, "/admin/vouchers").await.header("idempotency-key", "fair-1").json(&body))
            .await
    };

    let made = make().await.expect(201);
    let again = make().await.expect(200);
    assert_eq!(again["items"], made["items"], "within minutes with the same codes");
    assert!(again["repeated"].as_bool().unwrap());
    world.advance(TimeDelta::minutes(5));
    assert!(make().await.expect(200)["items"][0]["code"].is_null(), "later without");
    let different = json!({ "amount": "13", "count": 3, "order": "fair-1" });
    world.post(&admin, "/admin/vouchers", &different).await.problem(409);
    assert_eq!(world.count("select count(*) from vouchers").await, 3);

    let code = text(&made, "/items/0/code").to_owned();
    redeem(&world, &ann, &code).await.expect(201);
    let shown = world.get(&admin, &format!("/admin/vouchers/{}", text(&made, "/items/0/id"))).await.expect(200);
    assert_eq!(
        shown,
        json!({
            "id": made["items"][0]["id"], "prefix": &code[..4], "amount": "12.500000", "state": "open",
            "uses": 1, "uses_max": 2, "expires_at": "2027-01-01T00:00:00Z", "revoked_at": null, "note": "Fair",
            "created_by": "admin@example.org", "created_at": "2026-11-10T12:00:00Z",
            "redemptions": [{
                "organisation": ann.organisation, "organisation_name": "ann's", "redeemed_at": "2026-11-10T12:05:00Z",
                "redeemed_by": "ann@example.org",
            }],
        })
    );
    let redeemed = redeem(&world, &ann, &code).await.expect(200);
    assert_eq!(
        redeemed,
        json!({
            "voucher": made["items"][0]["id"], "amount": "12.500000", "redeemed_at": "2026-11-10T12:05:00Z",
            "started": 0, "repeated": true,
        })
    );
    // The code itself is nowhere: not in a table, not in the log.
    let bare = code.replace('-', "");
    for table in ["vouchers", "voucher_redemptions", "audit_events", "transfers"] {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t")))
            .fetch_all(&world.app.pool)
            .await
            .unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| !row.contains(&code) && !row.contains(&bare)), "{table}");
    }
    world.finish().await;
}

#[tokio::test]
async fn vouchers_are_listed_by_how_they_stand() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let make = async |body: Value| world.post(&admin, "/admin/vouchers", &body).await.expect(201)["items"][0].clone();
    let open = make(json!({ "amount": "1" })).await;
    let used = make(json!({ "amount": "2" })).await;
    let expired = make(json!({ "amount": "3", "expires_at": "2026-11-10T13:00:00Z" })).await;
    let revoked = make(json!({ "amount": "4" })).await;
    redeem(&world, &ann, text(&used, "/code")).await.expect(201);
    world.post(&admin, &format!("/admin/vouchers/{}/revoke", text(&revoked, "/id")), &json!({})).await.expect(200);
    world.hours(1);

    for (state, voucher) in [("open", &open), ("used_up", &used), ("expired", &expired), ("revoked", &revoked)] {
        let list = world.get(&admin, &format!("/admin/vouchers?state={state}")).await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{state}: {list}");
        assert_eq!((text(&list, "/items/0/id"), text(&list, "/items/0/state")), (text(voucher, "/id"), state));
    }
    let all = world.get(&admin, "/admin/vouchers?limit=3").await.expect(200);
    let rest = world.get(&admin, &format!("/admin/vouchers?after={}", text(&all, "/next"))).await.expect(200);
    assert_eq!(text(&all, "/items/0/id"), text(&revoked, "/id"), "newest first");
    assert_eq!(text(&rest, "/items/0/id"), text(&open, "/id"));
    assert_eq!(world.get(&admin, "/admin/vouchers?state=lost").await.problem_fields(), ["state"]);
    for (wrong, field) in [
        (json!({ "amount": "0" }), "amount"),
        (json!({ "amount": "1", "count": 0 }), "count"),
        (json!({ "amount": "1", "count": 501 }), "count"),
        (json!({ "amount": "1", "uses_max": 100_001 }), "uses_max"),
        (json!({ "amount": "1", "note": "x".repeat(201) }), "note"),
    ] {
        assert_eq!(world.post(&admin, "/admin/vouchers", &wrong).await.problem_fields(), [field]);
    }
    world.finish().await;
}

#[tokio::test]
async fn vouchers_are_made_redeemed_and_revoked_on_pages() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let (cookie, csrf) = browser(&world, &admin).await;
    let post = async |cookie: &str, csrf: &str, path: &str, fields: &[(&str, &str)]| {
        let mut form = vec![("csrf", csrf)];
        form.extend_from_slice(fields);
        send(world.request(Method::POST, path).header("cookie", cookie).form(&form)).await
    };
    let get = async |cookie: &str, path: &str| send(world.request(Method::GET, path).header("cookie", cookie)).await;

    let wrong = [("amount", "a lot"), ("count", "many"), ("uses_max", "1"), ("expires_on", "")];
    let refused = post(&cookie, &csrf, "/admin/vouchers", &wrong).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("value=\"a lot\"") && refused.text.contains("A whole number from 1 to 500."));
    let right = [("amount", "5"), ("count", "2"), ("uses_max", "1"), ("expires_on", "2026-12-31"), ("order", "one")];
    let made = post(&cookie, &csrf, "/admin/vouchers", &right).await;
    assert_eq!(made.status, 201);
    let again = post(&cookie, &csrf, "/admin/vouchers", &right).await;
    let found = |page: &str| page.split("<td class=\"number\">").nth(1).map(|rest| rest[..23].to_owned());
    let code = found(&made.text).unwrap();
    assert_eq!(found(&again.text), Some(code.clone()), "a button pressed twice shows the same codes");
    let csv = made.text.split("href=\"data:text/csv;charset=utf-8,").nth(1).unwrap().split('"').next().unwrap();
    let csv = percent_encoding::percent_decode_str(csv).decode_utf8().unwrap();
    assert!(csv.contains(&format!("{code},5.000000,EUR,1,2027-01-01T00:00:00Z\r\n")), "{csv}");
    world.advance(TimeDelta::minutes(5));
    assert_eq!(post(&cookie, &csrf, "/admin/vouchers", &right).await.location, "/admin/vouchers");

    let (anns, token) = browser(&world, &ann).await;
    let unknown = post(&anns, &token, "/vouchers/redeem", &[("code", "00000-00000-00000-0000O")]).await;
    assert_eq!(unknown.status, 422);
    assert!(unknown.text.contains(UNKNOWN) && unknown.text.contains("value=\"00000-00000-00000-0000O\""));
    for _ in 0..2 {
        assert_eq!(post(&anns, &token, "/vouchers/redeem", &[("code", &code)]).await.location, "/wallet");
    }
    assert_eq!(world.balance(&ann).await, "5.000000");
    assert!(get(&anns, "/wallet").await.text.contains(&format!("Voucher {}…", &code[..4])));
    assert!(get(&anns, "/audit").await.text.contains("got €5.00 for the voucher"));

    let list = get(&cookie, "/admin/vouchers?state=used_up").await.text;
    assert!(list.contains(&format!("{}…", &code[..4])) && list.contains("Used up"));
    let open = world.text("select id::text from vouchers where uses = 0").await;
    let page = get(&cookie, &format!("/admin/vouchers/{open}")).await.text;
    assert!(page.contains("Nobody has redeemed it yet.") && page.contains("/revoke"));
    assert_eq!(post(&cookie, &csrf, &format!("/admin/vouchers/{open}/revoke"), &[]).await.status, 303);
    assert!(!get(&cookie, &format!("/admin/vouchers/{open}")).await.text.contains("/revoke"));
    let used = world.text("select id::text from vouchers where uses = 1").await;
    let page = get(&cookie, &format!("/admin/vouchers/{used}")).await.text;
    assert!(page.contains("ann@example.org") && page.contains(&format!("/admin/customers/{}", ann.organisation)));
    world.finish().await;
}

#[tokio::test]
async fn a_redemption_and_a_transfer_without_each_other_are_found() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let code = codes(&world, "5", 1, 3).await.remove(0);
    redeem(&world, &ann, &code).await.expect(201);
    let difference = async || vouchers::first_difference(&world.app.pool).await.unwrap().unwrap_or_default();
    assert_eq!(difference().await, "");

    for refused in [
        "update vouchers set amount = 6",
        "update vouchers set uses = 4",
        "delete from vouchers",
        "delete from voucher_redemptions",
        "update voucher_redemptions set redeemed_at = redeemed_at + interval '1 hour'",
    ] {
        assert!(sqlx::query(refused).execute(&world.app.pool).await.is_err(), "{refused} must be refused");
    }
    world.execute("update vouchers set uses = 2").await;
    assert!(difference().await.contains("counts 2 uses, but was redeemed by 1 organisations"));
    world.execute("update vouchers set uses = 0").await;
    world.execute("alter table voucher_redemptions disable trigger all").await;
    world.execute("create table kept as select * from voucher_redemptions").await;
    world.execute("delete from voucher_redemptions").await;
    assert!(difference().await.contains("but no such voucher was redeemed"));
    world.execute("insert into voucher_redemptions select voucher_id, organisation_id, redeemed_at - interval '1 hour', redeemed_by from kept").await;
    world.execute("update vouchers set uses = 1").await;
    assert!(difference().await.contains("its amount was not posted then"));
    world.execute("update voucher_redemptions set redeemed_at = redeemed_at + interval '1 hour'").await;
    world.finish().await;
}
