//! Who loses his place while his request is still on its way, or waits behind another, does not act by what he was.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uni_manager::ids::OrganisationId;

use crate::organisations::{ask, member};
use crate::second_factor::Phone;
use crate::world::{Customer, World, text};

/// A request whose head and half of whose body have been sent.
struct HalfSent {
    stream: TcpStream,
    rest: String,
}

impl HalfSent {
    /// Begins to send, and waits until the platform asks for the body: by then the head has been looked at.
    async fn begin(world: &World, token: &str, of: OrganisationId, method: &str, path: &str, body: &Value) -> Self {
        let body = body.to_string();
        let mut stream = TcpStream::connect(world.url.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nexpect: 100-continue\r\nauthorization: Bearer {token}\r\nx-organisation: {of}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut goes_on = [0; 25];
        stream.read_exact(&mut goes_on).await.unwrap();
        assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        let (half, rest) = body.split_at(body.len() / 2);
        stream.write_all(half.as_bytes()).await.unwrap();
        Self { stream, rest: rest.to_owned() }
    }

    /// Sends the rest. Answers with the status.
    async fn ends(mut self) -> u16 {
        self.stream.write_all(self.rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap().parse().unwrap()
    }
}

/// Sends somewhat more than is accepted, without saying how much it is. Answers with what comes back.
async fn endless(world: &World, head: &str) -> String {
    let mut stream = TcpStream::connect(world.url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = format!("{head}host: 127.0.0.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let body = format!("{}0\r\n\r\n", chunk.repeat(257));
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Somebody who was made an admin of the platform.
async fn another_admin(world: &World, admin: &Customer) -> Customer {
    let other = world.customer("otto", "0").await;
    world.post(admin, "/admin/staff", &json!({ "email": "otto@example.org", "role": "admin" })).await.expect(201);
    other
}

/// Does something while a connection of the test's own holds what a request needs, once that request waits for it. Both then end.
pub async fn overtaken<T>(
    world: &World,
    holds: &'static str,
    request: impl Future<Output = T>,
    does: impl AsyncFnOnce(&mut PgConnection),
) -> T {
    let mut pool_connection = world.app.pool.acquire().await.unwrap();
    let mut transaction = pool_connection.begin().await.unwrap();
    sqlx::query(holds).execute(&mut *transaction).await.unwrap();
    let first = async {
        let waits = "select exists (select from pg_locks l join pg_stat_activity a using (pid) where a.datname = current_database() and not l.granted)";
        let began = std::time::Instant::now();
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&world.app.pool).await.unwrap() {
            assert!(began.elapsed().as_secs() < 20, "nobody waits");
            tokio::task::yield_now().await;
        }
        does(&mut transaction).await;
        transaction.commit().await.unwrap();
    };
    tokio::join!(request, first).0
}

#[tokio::test]
async fn an_admin_who_is_none_any_more_when_his_request_has_come_changes_nobody() {
    let world = World::new().await;
    let admin = world.admin().await;
    let (otto, carl) = (another_admin(&world, &admin).await, world.customer("carl", "0").await);
    let token = world.token(&otto).await;
    let staff = format!("/admin/staff/{}", carl.user.id);
    let standing = format!("/admin/organisations/{}/people/{}/standing", carl.organisation, carl.user.id);
    let recovery = format!("/admin/organisations/{}/people/{}/second-factor/reset", carl.organisation, carl.user.id);
    let (role, ban, reason) =
        (json!({ "role": "admin" }), json!({ "state": "banned", "reason": "Because" }), json!({ "reason": "Because" }));
    let mut half_sent = Vec::new();
    for (method, path, body) in [("PUT", &staff, &role), ("PUT", &standing, &ban), ("POST", &recovery, &reason)] {
        half_sent.push(HalfSent::begin(&world, &token, otto.organisation, method, path, body).await);
    }

    let demoted = world.put(&admin, &format!("/admin/staff/{}", otto.user.id), &json!({ "role": null })).await;
    demoted.expect(200);

    for request in half_sent {
        assert_eq!(request.ends().await, 403);
    }
    let carl = world.known(&carl).await;
    assert_eq!((carl.platform_role, carl.state.name()), (None, "active"));
    world.finish().await;
}

#[tokio::test]
async fn an_admin_who_is_demoted_or_banned_while_his_request_waits_changes_nobody() {
    for done in ["platform_role = null", "state = 'suspended', state_reason = 'a test', state_since = now()"] {
        let world = World::new().await;
        let admin = world.admin().await;
        let (otto, carl) = (another_admin(&world, &admin).await, world.customer("carl", "0").await);
        let standing = format!("/admin/organisations/{}/people/{}/standing", carl.organisation, carl.user.id);
        let factor = format!("/admin/organisations/{}/people/{}/second-factor/reset", carl.organisation, carl.user.id);
        let staff = format!("/admin/staff/{}", carl.user.id);
        let ban = json!({ "state": "banned", "reason": "Because" });
        for (method, path, body) in [
            (Method::PUT, &staff, json!({ "role": "support" })),
            (Method::PUT, &standing, ban),
            (Method::POST, &factor, json!({ "reason": "Because" })),
        ] {
            let request = crate::world::send(world.api(&otto, method, path).await.json(&body));
            let sql = format!("update users set {done} where id = $1");
            let answer =
                overtaken(&world, "select pg_advisory_xact_lock(hashtext('staff'))", request, async |holder| {
                    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(otto.user.id.uuid()).execute(holder).await.unwrap();
                })
                .await;
            answer.problem(403);
            let as_before = "update users set platform_role = 'admin', state = 'active', state_reason = null, state_since = null where email = 'otto@example.org'";
            world.execute(as_before).await;
        }
        let carl = world.known(&carl).await;
        assert_eq!((carl.platform_role, carl.state.name()), (None, "active"), "{done}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_member_who_is_out_when_his_request_has_come_makes_no_key() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let adam = member(&world, "adam", home, "admin").await;
    let token = world.token(&adam).await;
    let new = json!({ "name": "deploy", "permissions": ["vm.*"] });
    let half_sent = HalfSent::begin(&world, &token, home, "POST", "/api-keys", &new).await;
    // Of what nothing looks at again.
    let key = json!({ "name": "his", "public_key": adam.public_key.replace("HR4f", "HR4g") });
    let half_sent_too = HalfSent::begin(&world, &token, home, "POST", "/ssh-keys", &key).await;

    let removed = ask(&world, &ann, home, "DELETE", &format!("/members/{}", adam.user.id), &json!({})).await;
    assert_eq!(removed.status, 204, "{}", removed.text);

    assert_eq!((half_sent.ends().await, half_sent_too.ends().await), (404, 404));
    assert_eq!(world.count("select count(*) from ssh_keys where name = 'his'").await, 0);
    assert_eq!(world.count("select count(*) from api_keys").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_key_is_no_wider_than_its_maker_is_when_it_is_made() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let home = ann.organisation;
    let adam = member(&world, "adam", home, "admin").await;
    // A role that makes keys and may do little else.
    let sql = "insert into roles (id, organisation_id, name, permissions, created_at, changed_at) select '00000000-0000-4000-8000-000000000001', id, 'Keys', array['api_key.manage', 'vm.view'], now(), now() from organisations where name = 'ann''s'";
    world.execute(sql).await;
    let removed = "delete from members where user_id = (select id from users where name = 'adam')";
    let less = "update members set role = 'viewer' where user_id = (select id from users where name = 'adam')";
    let only_keys = "update members set role = null, role_id = '00000000-0000-4000-8000-000000000001' where user_id = (select id from users where name = 'adam')";
    let suspended =
        "update users set state = 'suspended', state_reason = 'a test', state_since = now() where name = 'adam'";
    let as_before = [
        "update users set state = 'active', state_reason = null, state_since = null where name = 'adam'",
        "delete from members where user_id = (select id from users where name = 'adam')",
        "insert into members (organisation_id, user_id, role, created_at) select o.id, u.id, 'admin', now() from organisations o, users u where o.name = 'ann''s' and u.name = 'adam'",
    ];
    for (done, status) in [(removed, 404), (less, 403), (suspended, 403), (only_keys, 422)] {
        let new = json!({ "name": "deploy", "permissions": ["vm.*"] });
        let locked = "select id from organisations where name = 'ann''s' for no key update";
        let request = ask(&world, &adam, home, "POST", "/api-keys", &new);
        let answer = overtaken(&world, locked, request, async |holder| {
            sqlx::query(done).execute(holder).await.unwrap();
        })
        .await;
        answer.problem(status);
        assert_eq!(world.count("select count(*) from api_keys").await, 0, "{done}");
        for sql in as_before {
            world.execute(sql).await;
        }
    }
    // Who was suspended does nothing else there either.
    let invited = json!({ "email": "another@example.org", "role": "viewer" });
    let request = ask(&world, &adam, home, "POST", "/invitations", &invited);
    let locked = "select id from organisations where name = 'ann''s' for no key update";
    let answer = overtaken(&world, locked, request, async |holder| {
        sqlx::query(suspended).execute(holder).await.unwrap();
    })
    .await;
    answer.problem(403);
    world.execute(as_before[0]).await;
    let new = json!({ "name": "deploy", "permissions": ["vm.*"] });
    ask(&world, &adam, home, "POST", "/api-keys", &new).await.expect(201);
    world.finish().await;
}

#[tokio::test]
async fn a_factor_that_is_added_while_all_logins_end_is_not_added() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let setup = world.post(&ann, "/auth/totp", &json!({})).await.expect(201);
    let code = json!({ "code": Phone::scans(text(&setup, "/secret")).shows(&world) });

    let confirms = world.api(&ann, Method::POST, "/auth/totp/confirm").await.json(&code);
    let locked = "select id from users where name = 'ann' for no key update";
    let answer = overtaken(&world, locked, crate::world::send(confirms), async |holder| {
        sqlx::query("update users set epoch = epoch + 1 where name = 'ann'").execute(holder).await.unwrap();
    })
    .await;

    answer.problem(401);
    assert_eq!(world.count("select count(*) from totp_secrets where confirmed_at is not null").await, 0);
    world.finish().await;
}

#[tokio::test]
async fn who_sends_half_and_no_more_is_told_so_as_before() {
    let world = World::new().await;
    let ann = world.customer("ann", "0").await;
    let token = world.token(&ann).await;
    let new = json!({ "name": "deploy", "permissions": ["vm.view"] });
    let whole = HalfSent::begin(&world, &token, ann.organisation, "POST", "/api-keys", &new).await;
    assert_eq!(whole.ends().await, 201, "slow is not wrong");
    let of_program =
        endless(&world, &format!("POST /api/v1/api-keys HTTP/1.1\r\nauthorization: Bearer {token}\r\n")).await;
    assert!(of_program.starts_with("HTTP/1.1 413") && of_program.contains("application/problem+json"), "{of_program}");
    let of_page = endless(&world, "POST /ssh-keys HTTP/1.1\r\naccept: text/html\r\n").await;
    assert!(of_page.starts_with("HTTP/1.1 413") && of_page.contains("larger than is accepted"), "{of_page}");
    world.finish().await;
}
