//! Mails: each is sent once for its cause, waits while the mail server is away, and is an operator's when it is refused.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use uni_manager::ids::OrganisationId;
use uni_manager::mail::{self, Mailer, NewMail, Recipient};

use crate::doors::browser;
use crate::kill::die_with;
use crate::world::{MailServer, Mood, Start, World, machine_time, send};

/// Longer than any pause between two tries.
const LONGEST_PAUSE_SECONDS: i64 = 15 * 60 + 1;

async fn world_with(mailer: Mailer) -> World {
    World::starting(Start { mailer, ..Start::default() }).await
}

fn mail_of(key: &str) -> NewMail {
    let to = Recipient { address: "ann@example.org".into(), name: "Änn".into(), user: None };
    let organisation: Option<OrganisationId> = None;
    NewMail {
        key: key.into(),
        kind: "test",
        to,
        organisation,
        subject: "Guthaben läuft ab".into(),
        body: "Grüße.\n".into(),
        secret: None,
    }
}

async fn enqueue(world: &World, key: &str) -> bool {
    let mut transaction = world.app.pool.begin().await.unwrap();
    let is_new = mail::enqueue(&mut transaction, mail_of(key), world.now()).await.unwrap();
    transaction.commit().await.unwrap();
    is_new
}

async fn statuses(world: &World) -> String {
    world.text("select string_agg(status, ' ' order by id) from mails").await
}

#[tokio::test]
async fn a_mail_leaves_once_for_its_cause_and_only_when_its_cause_was_committed() {
    let server = MailServer::start().await;
    let world = world_with(server.mailer()).await;
    let mut transaction = world.app.pool.begin().await.unwrap();
    assert!(mail::enqueue(&mut transaction, mail_of("never"), world.now()).await.unwrap());
    transaction.rollback().await.unwrap();

    assert!(enqueue(&world, "a").await);
    assert!(!enqueue(&world, "a").await, "one cause, one mail");
    // Two workers at once.
    let (one, other) = tokio::join!(mail::send_due(&world.app), mail::send_due(&world.app));
    assert_eq!(one.unwrap().sent + other.unwrap().sent, 1);
    world.mails().await;

    let received = server.received();
    assert_eq!(received.len(), 1);
    let mail = &received[0];
    assert_eq!(mail.to, "ann@example.org");
    assert!(mail.text.is_ascii() && mail.header("Subject").contains("=?utf-8?"), "{}", mail.text);
    assert_eq!(mail.header("Message-ID"), format!("<{}@example.org>", world.text("select id::text from mails").await));
    let mut connection = world.app.pool.acquire().await.unwrap();
    let delivered = mail::delivered(&mut connection, &["a".into(), "never".into()]).await.unwrap();
    assert_eq!(delivered.into_iter().collect::<Vec<_>>(), [("a".to_owned(), world.now())]);
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn mails_wait_while_the_server_is_away_and_leave_when_it_is_back() {
    let port = MailServer::free_port().await;
    let world = world_with(MailServer::mailer_to(port)).await;
    for number in 0..20 {
        enqueue(&world, &format!("k{number:02}")).await;
    }

    for _ in 0..200 {
        let done = mail::send_due(&world.app).await.unwrap();
        assert!(done.sent == 0 && done.failed == 0 && (done.is_away || done.put_off == 0), "{done:?}");
        world.advance(TimeDelta::seconds(LONGEST_PAUSE_SECONDS));
    }
    assert_eq!(
        world.count("select count(*) from mails where status = 'pending'").await,
        20,
        "two days and none is lost"
    );
    let (cookie, _) = browser(&world, &world.admin().await).await;
    let page = send(world.request(Method::GET, "/admin").header("cookie", &cookie)).await;
    assert!(page.text.contains("waiting for the mail server"), "{}", page.text);

    let server = MailServer::start_at(port).await;
    world.advance(TimeDelta::seconds(LONGEST_PAUSE_SECONDS));
    world.mails().await;
    assert_eq!(server.received().len(), 20);
    assert_eq!(world.count("select count(*) from mails where status = 'sent' and error is null").await, 20);
    world.finish().await;
}

#[tokio::test]
async fn a_mail_that_is_put_off_is_tried_again_later_and_given_up_in_the_end() {
    let server = MailServer::start().await;
    let world = world_with(server.mailer()).await;
    server.set(Mood::Refuses("451 greylisted, come again"));
    enqueue(&world, "a").await;
    world.mails().await;
    assert_eq!(statuses(&world).await, "pending");
    assert!(world.text("select error from mails").await.contains("greylisted, come again"));
    assert_eq!(mail::send_due(&world.app).await.unwrap().put_off, 0, "not before its time");

    server.set(Mood::Good);
    world.advance(TimeDelta::seconds(31));
    world.mails().await;
    assert_eq!(statuses(&world).await, "sent");

    server.set(Mood::Refuses("451 greylisted, come again"));
    enqueue(&world, "b").await;
    for _ in 0..100 {
        world.mails().await;
        world.advance(TimeDelta::seconds(LONGEST_PAUSE_SECONDS));
    }
    assert_eq!(statuses(&world).await, "sent failed");
    world.finish().await;
}

#[tokio::test]
async fn a_refused_mail_is_shown_with_the_servers_words_and_sent_again_when_told() {
    let server = MailServer::start().await;
    let world = world_with(server.mailer()).await;
    let admin = world.admin().await;
    let (cookie, csrf) = browser(&world, &admin).await;
    let get = async |path: String| send(world.request(Method::GET, &path).header("cookie", &cookie)).await;
    let post = async |path: String| {
        let form = [("csrf", csrf.as_str())];
        send(world.request(Method::POST, &path).header("cookie", &cookie).form(&form)).await
    };
    server.set(Mood::Refuses("550 5.1.1 no <such> mailbox"));
    enqueue(&world, "a").await;
    world.mails().await;

    assert_eq!(statuses(&world).await, "failed");
    let id = world.text("select id::text from mails").await;
    let home = get("/admin".into()).await.text;
    assert!(
        home.contains("Not delivered: 1 mail refused") && home.contains("no &lt;such&gt; mailbox")
            || home.contains("no &#60;such&#62; mailbox"),
        "{home}"
    );
    let list = get("/admin/mails?status=failed".into()).await.text;
    assert!(list.contains(&format!("/admin/mails/{id}")) && list.contains("Guthaben läuft ab"), "{list}");
    assert!(!get("/admin/mails?status=sent".into()).await.text.contains(&id));
    let page = get(format!("/admin/mails/{id}")).await.text;
    assert!(page.contains("Grüße.") && page.contains("Send again"), "{page}");
    let listed = world.get(&admin, "/admin/mails?status=failed").await.expect(200);
    assert_eq!(listed["items"][0]["id"], id.as_str(), "{listed}");
    assert_eq!(world.get(&admin, "/admin/mails?status=lost").await.problem_fields(), ["status"]);

    server.set(Mood::Good);
    assert_eq!(post(format!("/admin/mails/{id}/retry")).await.status, 303);
    world.mails().await;
    assert_eq!(server.received().len(), 1);
    assert_eq!(world.get(&admin, &format!("/admin/mails/{id}")).await.expect(200)["status"], "sent");
    world.post(&admin, &format!("/admin/mails/{id}/retry"), &serde_json::json!({})).await.problem(409);
    assert!(world.events().await.contains(&"mail.retried".to_owned()));
    assert!(!get("/admin".into()).await.text.contains("Not delivered"));
    world.finish().await;
}

#[tokio::test]
async fn a_server_that_hangs_or_hangs_up_gets_the_same_mail_again_under_the_same_id() {
    let server = MailServer::start().await;
    let world = world_with(server.mailer()).await;
    enqueue(&world, "a").await;
    for mood in [Mood::Hangs, Mood::DropsAfterData, Mood::Refuses("535 wrong login"), Mood::Good] {
        server.set(mood);
        world.mails().await;
        world.advance(TimeDelta::seconds(LONGEST_PAUSE_SECONDS));
    }

    let received = server.received();
    assert_eq!(statuses(&world).await, "sent");
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("Message-ID"), received[1].header("Message-ID"));
    world.finish().await;
}

#[tokio::test]
async fn a_worker_killed_between_sending_and_writing_it_down_repeats_one_mail_under_the_same_id() {
    let server = MailServer::start().await;
    let world = World::starting(Start { now: machine_time(), mailer: server.mailer(), ..Start::default() }).await;
    enqueue(&world, "a").await;
    let settings = [
        ("UNI_MANAGER_SMTP_URL", MailServer::url_of(server.port)),
        ("UNI_MANAGER_MAIL_FROM", "panel@example.org".into()),
    ];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));

    die_with(&world, "mail.claimed", &settings).await;
    assert_eq!(server.received().len(), 0);
    world.execute("update mails set leased_until = leased_until - interval '1 hour'").await;
    die_with(&world, "mail.sent", &settings).await;
    assert_eq!(server.received().len(), 1);
    assert_eq!(statuses(&world).await, "pending");
    world.mails().await;
    assert_eq!(server.received().len(), 1, "the dead worker's lease lasts");
    world.app.clock.set(machine_time() + TimeDelta::seconds(181));
    world.mails().await;

    let received = server.received();
    assert_eq!(statuses(&world).await, "sent");
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("Message-ID"), received[1].header("Message-ID"));
    world.finish().await;
}

#[tokio::test]
async fn what_was_withdrawn_does_not_leave_and_what_has_left_stays_sent() {
    let server = MailServer::start().await;
    let world = world_with(server.mailer()).await;
    enqueue(&world, "ends:1:").await;
    world.mails().await;
    for key in ["ends:2:", "ends:20:", "other:2:"] {
        enqueue(&world, key).await;
    }
    let mut connection = world.app.pool.acquire().await.unwrap();
    assert_eq!(mail::withdraw(&mut connection, "", world.now()).await.unwrap(), 0);
    assert_eq!(mail::withdraw(&mut connection, "ends:1:", world.now()).await.unwrap(), 0);
    assert_eq!(mail::withdraw(&mut connection, "ends:2:", world.now()).await.unwrap(), 1);
    drop(connection);
    world.mails().await;

    assert_eq!(statuses(&world).await, "sent withdrawn sent sent");
    assert_eq!(server.received().len(), 3);
    assert!(!enqueue(&world, "ends:2:").await, "a cause is told once, also when it was taken back");
    world.finish().await;
}

#[tokio::test]
async fn without_a_mail_server_mails_are_kept_count_as_not_delivered_and_operators_are_told() {
    let world = world_with(Mailer::None).await;
    enqueue(&world, "a").await;
    world.mails().await;

    assert_eq!(statuses(&world).await, "unsent");
    let mut connection = world.app.pool.acquire().await.unwrap();
    assert!(mail::delivered(&mut connection, &["a".into()]).await.unwrap().is_empty());
    drop(connection);
    let (cookie, _) = browser(&world, &world.admin().await).await;
    for (path, words) in [("/admin", "1 mail without a mail server"), ("/admin/mails", "No mail server is set up.")] {
        let page = send(world.request(Method::GET, path).header("cookie", &cookie)).await;
        assert!(page.text.contains(words), "{path}: {}", page.text);
    }
    world.finish().await;
}

#[tokio::test]
async fn a_link_goes_where_it_belongs_whatever_somebody_is_called() {
    let world = World::new().await;
    let name = "[a link that only the recipient of this mail gets]";
    let body = json!({ "email": "ann@example.org", "name": name, "password": crate::world::PASSWORD });
    send(world.request(Method::POST, "/api/v1/auth/register").json(&body)).await.expect(201);

    let mail = world.text("select id::text from mails").await;
    let body = mail::find(&world.app, mail.parse().unwrap()).await.unwrap().body;

    let lines: Vec<_> = body.lines().collect();
    assert_eq!(lines[0], format!("Hello {name},"));
    let link = format!("{}/verify-email?token=", world.url);
    assert!(lines.iter().any(|line| line.starts_with(&link)) && !body.contains('\u{1}'), "{body}");
    let wrong = json!({ "email": "bob@example.org", "name": "\u{1}", "organisation": "Bob", "password": crate::world::PASSWORD });
    let refused = send(world.request(Method::POST, "/api/v1/auth/register").json(&wrong)).await;
    assert_eq!(refused.problem_fields(), ["name"]);
    world.finish().await;
}
