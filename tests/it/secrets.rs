//! Secrets where they must not be: in the log, in refusals, in what staff and the audit log show, in the tables, in what
//! `Debug` prints. Somebody goes through a whole life on the platform, and every secret that was shown to him or that he gave is
//! looked for afterwards.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proxmox_simulator::{Options, Simulator};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use uni_manager::users;

use crate::second_factor::Phone;
use crate::second_factor::browser::Browser;
use crate::world::{Answer, Customer, MailServer, PASSWORD, Start, World, new_cluster, send, text, token_in};

const FIRST_PASSWORD: &str = "seven-quiet-lanterns";
const MISTYPED: &str = "corect-horse-batery";
const VM_PASSWORD: &str = "tangerine-dream-77";
const USER_DATA: &str = "#cloud-config\nhostname: only-for-its-owner\n";
const WRONG_TOKEN: &str = "00000000-dead-4bad-8bad-000000000000";
/// No secret at all.
const PUBLIC_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann@example";
/// Shorter ones could stand anywhere by chance.
const CHARACTERS_MIN: usize = 12;

/// What stands readable in the database all the same, and why. Nothing else does.
const READABLE: [(&str, &str, &str); 1] = [(
    "vms.user_data",
    "user data",
    "its owner reads it again, and it goes to the guest on a CD that anybody in the guest reads",
)];

/// Every secret that was shown or given, with what it is.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn keep(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= CHARACTERS_MIN, "{what} is too short to be looked for: {secret}");
        self.0.push((what.to_owned(), secret.to_owned()));
    }

    /// Those that stand in a text: as they are, without separators, or as PostgreSQL shows bytes.
    fn found_in(&self, text: &str) -> Vec<&str> {
        let is_in = |secret: &str| {
            let bytes: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            let bare = secret.replace('-', "");
            text.contains(secret) || text.contains(&bytes) || text.contains(&bare)
        };
        self.0.iter().filter(|(_, secret)| is_in(secret)).map(|(what, _)| what.as_str()).collect()
    }
}

/// What is logged on this thread, at which everything of a test happens but the hashing of passwords.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Listens to all that our crates say, and to what others say to who looks for a fault. As long as there is one listener only,
    /// the thread that comes first to a place decides for all whether anybody listens there, and it may be another test's: so
    /// there are two.
    fn listen(&self) -> (Dispatch, DefaultGuard) {
        let deaf = Dispatch::new(NoSubscriber::default());
        let log = self.clone();
        let said = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("debug,uni_manager=trace,proxmox_client=trace,billing=trace"))
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || log.clone());
        (deaf, tracing::subscriber::set_default(said.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A life as it goes on, and everything that was written down of it.
struct Life<'a> {
    world: &'a World,
    mails: &'a MailServer,
    secrets: Secrets,
    /// Where somebody could look, with what stands there.
    seen: Vec<(String, String)>,
}

impl Life<'_> {
    /// Asks the API with a token, or without one.
    async fn ask(&mut self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let request = self.world.request(method.clone(), &format!("/api/v1{path}"));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let answer = send(if method == Method::GET { request } else { request.json(body) }).await;
        if answer.status >= 400 {
            self.seen.push((format!("the refusal of {method} {path}"), answer.text.clone()));
        }
        answer
    }

    async fn post(&mut self, path: &str, token: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, token, body).await
    }

    /// Keeps a pair of tokens; answers with it.
    fn tokens(&mut self, when: &str, answer: &Value) -> (String, String) {
        let (access, refresh) = (text(answer, "/access_token").to_owned(), text(answer, "/refresh_token").to_owned());
        self.secrets.keep(&format!("the access token {when}"), &access);
        self.secrets.keep(&format!("the refresh token {when}"), &refresh);
        (access, refresh)
    }

    /// Logs in with the password alone.
    async fn log_in(&mut self, email: &str, when: &str) -> String {
        let login = self.post("/auth/login", "", &json!({ "email": email, "password": PASSWORD })).await.expect(200);
        self.tokens(when, &login).0
    }

    /// The token of the link that was just sent to an address. Its page is opened as a browser does.
    async fn link(&mut self, address: &str, page: &str) -> String {
        self.dump(&format!("while the mail to {page} waits")).await;
        self.world.mails().await;
        let received = self.mails.received();
        let mail = received.iter().rev().find(|mail| mail.to == address).unwrap();
        let token = token_in(&mail.text.replace("=\r\n", "").replace("=3D", "=")).unwrap();
        self.secrets.keep(&format!("the link to {page}"), &token);
        send(self.world.request(Method::GET, &format!("{page}?token={token}"))).await;
        token
    }

    /// Keeps what stands in every column of every table.
    async fn dump(&mut self, when: &str) {
        let sql = "select t.table_name::text, c.column_name::text
                   from information_schema.tables t join information_schema.columns c using (table_schema, table_name)
                   where t.table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')";
        let columns: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(&self.world.app.pool).await.unwrap();
        assert!(columns.len() > 100, "{} columns", columns.len());
        for (table, column) in columns {
            let sql = format!(r#"select coalesce(string_agg("{column}"::text, E'\n'), '') from "{table}""#);
            let all: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.world.app.pool).await.unwrap();
            self.seen.push((format!("{table}.{column} {when}"), all));
        }
    }
}

/// Registers, shows that the address is his, forgets the password, comes back, and turns tokens into others.
async fn arrives(life: &mut Life<'_>) -> Customer {
    let email = "ann@example.org";
    let new = json!({ "email": email, "name": "Ann", "organisation": "Lanterns", "password": FIRST_PASSWORD });
    let registered = life.post("/auth/register", "", &new).await.expect(201);
    let (access, _) = life.tokens("of the registration", &registered);
    let token = life.link(email, "/verify-email").await;
    assert!(life.post("/auth/verify-email", "", &json!({ "token": token })).await.status < 300);
    assert!(life.post("/auth/verify-email", "", &json!({ "token": token })).await.status >= 400);

    assert!(life.post("/auth/forgot-password", "", &json!({ "email": email })).await.status < 300);
    let token = life.link(email, "/reset-password").await;
    let new = json!({ "token": token, "password": PASSWORD });
    assert!(life.post("/auth/reset-password", "", &new).await.status < 300);
    assert!(life.post("/auth/reset-password", "", &new).await.status >= 400);
    life.ask(Method::GET, "/auth/me", &access, &Value::Null).await.problem(401);

    life.post("/auth/login", "", &json!({ "email": email, "password": MISTYPED })).await.problem(401);
    let login = life.post("/auth/login", "", &json!({ "email": email, "password": PASSWORD })).await.expect(200);
    let (_, first) = life.tokens("of a login", &login);
    let refreshed = life.post("/auth/refresh", "", &json!({ "refresh_token": first })).await.expect(200);
    life.tokens("after it", &refreshed);
    life.post("/auth/refresh", "", &json!({ "refresh_token": first })).await.problem(401);

    let access = life.log_in(email, "of another login").await;
    let me = life.ask(Method::GET, "/auth/me", &access, &Value::Null).await.expect(200);
    let mut connection = life.world.app.pool.acquire().await.unwrap();
    let user = users::find(&mut connection, text(&me, "/id").parse().unwrap()).await.unwrap().unwrap();
    let organisation = text(&me, "/organisation/id").parse().unwrap();
    Customer { user, organisation, key: String::new(), public_key: "" }
}

/// Logs in with a browser, whose cookies are as good as a password.
async fn browses(life: &mut Life<'_>, ann: &Customer) {
    let mut browser = Browser::logged_in(life.world, ann).await;
    browser.get(life.world, "/account").await;
    for (name, value) in browser.cookies() {
        life.secrets.keep(&format!("the cookie {name}"), value);
    }
}

/// Makes a key, orders a machine with user data, sets its password, and opens its console.
async fn rents(life: &mut Life<'_>, ann: &Customer) {
    let world = life.world;
    let access = life.log_in("ann@example.org", "for renting").await;
    let new = json!({ "name": "deploy", "permissions": ["vm.*"] });
    let made = life.post("/api-keys", &access, &new).await.expect(201);
    let key = text(&made, "/key").to_owned();
    life.secrets.keep("the API key", &key);
    life.ask(Method::GET, "/vms", &key, &Value::Null).await.expect(200);
    life.ask(Method::GET, "/wallet", &key, &Value::Null).await.problem(403);

    let mut order = world.new_vm(ann, "web").await;
    let public = json!({ "name": "laptop", "public_key": PUBLIC_KEY });
    let public = life.post("/ssh-keys", &access, &public).await.expect(201);
    order["ssh_keys"] = json!([public["id"]]);
    order["user_data"] = json!(USER_DATA);
    life.secrets.keep("user data", "only-for-its-owner");
    let vm = text(&life.post("/vms", &key, &order).await.expect(202), "/vm/id").to_owned();
    world.run_due_jobs().await;
    assert_eq!(world.state(ann, &vm).await, "running");
    let password = json!({ "password": VM_PASSWORD });
    life.post(&format!("/vms/{vm}/password"), &key, &password).await.expect(202);
    life.dump("while the password of a machine waits").await;
    world.run_due_jobs().await;

    let console = life.post(&format!("/vms/{vm}/console"), &access, &json!({})).await.expect(201);
    let url = text(&console, "/url").to_owned();
    let (_, ticket) = url.split_once("ticket=").unwrap();
    life.secrets.keep("the ticket of a console", ticket);
    let path = format!("/vms/{vm}/console/socket?ticket={ticket}");
    for _ in 0..2 {
        let refused = send(world.request(Method::GET, &path)).await;
        assert!(refused.status >= 400, "this is no WebSocket: {}", refused.status);
        life.seen.push(("the refusal of a console".into(), refused.text));
    }
}

/// Invites somebody, who comes.
async fn invites(life: &mut Life<'_>) {
    let access = life.log_in("ann@example.org", "for inviting").await;
    let bob = life.world.customer("bob", "0").await;
    let new = json!({ "email": bob.user.email, "role": "viewer" });
    life.post("/invitations", &access, &new).await.expect(201);
    let token = life.link(&bob.user.email, "/invitation").await;
    let theirs = life.log_in(&bob.user.email, "of who was invited").await;
    assert!(life.post("/invitations/accept", &theirs, &json!({ "token": token })).await.status < 300);
    assert!(life.post("/invitations/accept", &theirs, &json!({ "token": token })).await.status >= 400);
}

/// The operator makes a voucher and adds a cluster, once with a wrong token.
async fn operates(life: &mut Life<'_>, admin: &Customer) {
    let world = life.world;
    let staff = life.log_in(&admin.user.email, "of the operator").await;
    let made = life.post("/admin/vouchers", &staff, &json!({ "amount": "5", "count": 1 })).await.expect(201);
    let voucher = text(&made, "/items/0/code").to_owned();
    life.secrets.keep("the voucher", &voucher);
    let access = life.log_in("ann@example.org", "for redeeming").await;
    assert!(life.post("/vouchers/redeem", &access, &json!({ "code": voucher })).await.status < 300);
    let mistyped = format!("00000{}", &voucher[5..]);
    life.secrets.keep("a mistyped voucher", &mistyped);
    life.post("/vouchers/redeem", &access, &json!({ "code": mistyped })).await.problem(422);

    let other = Simulator::start(Options { identity: None, ..Options::default() }).unwrap();
    let new = new_cluster(&other, world.location);
    let secret = other.token().split_once('=').unwrap().1.to_owned();
    life.secrets.keep("the token of the other cluster", &secret);
    let first = world.simulator.token();
    life.secrets.keep("the token of the first cluster", first.split_once('=').unwrap().1);
    let mut body = json!({
        "name": "second", "location": world.location, "endpoint": new.endpoint, "token_id": new.token_id,
        "token_secret": WRONG_TOKEN, "fingerprint": new.fingerprint, "storage": "shared", "bridge": "vmbr0",
        "vmid_from": "10000", "vmid_to": "19999",
    });
    assert!(life.post("/admin/clusters", &staff, &body).await.status >= 400);
    body["token_secret"] = json!(secret);
    life.post("/admin/clusters", &staff, &body).await.expect(201);
    world.look().await;
}

/// Sets up a second factor, and logs in with a code from paper.
async fn secures(life: &mut Life<'_>) {
    let world = life.world;
    let access = life.log_in("ann@example.org", "for the second factor").await;
    let setup = life.post("/auth/totp", &access, &json!({})).await.expect(201);
    life.secrets.keep("the secret of the app", text(&setup, "/secret"));
    let code = json!({ "code": Phone::scans(text(&setup, "/secret")).shows(world) });
    let added = life.post("/auth/totp/confirm", &access, &code).await.expect(200);
    let codes: Vec<String> = serde_json::from_value(added["recovery_codes"].clone()).unwrap();
    for code in &codes {
        life.secrets.keep("a recovery code", code);
    }
    let login = json!({ "email": "ann@example.org", "password": PASSWORD });
    let pending = text(&life.post("/auth/login", "", &login).await.expect(202), "/pending_token").to_owned();
    life.secrets.keep("the token of a login that waits", &pending);
    life.dump("while a login waits").await;
    let second = json!({ "pending_token": pending, "code": codes[0] });
    let login = life.post("/auth/login/code", "", &second).await.expect(200);
    life.tokens("after the second step", &login);
    life.post("/auth/login/code", "", &second).await.problem(401);
}

/// What the operator and the customer's own people read.
async fn is_looked_at(life: &mut Life<'_>, ann: &Customer, admin: &Customer) {
    for (who, path) in [
        (admin, "/admin/audit-events"),
        (admin, "/admin/clusters"),
        (admin, "/admin/jobs"),
        (admin, "/admin/mails"),
        (admin, "/admin/vouchers"),
        (ann, "/api-keys"),
        (ann, "/audit-events"),
        (ann, "/jobs"),
        (ann, "/vms"),
    ] {
        let seen = life.world.get(who, path).await;
        seen.expect(200);
        life.seen.push((format!("GET {path}"), seen.text));
    }
}

#[tokio::test]
async fn what_is_secret_stands_in_no_log_no_refusal_no_list_and_no_table() {
    let log = Log::default();
    let _listening = log.listen();
    let mails = MailServer::start().await;
    let world = World::starting(Start { mailer: mails.mailer(), ..Start::default() }).await;
    world.execute("update clusters set iso_storage = 'local'").await;
    let admin = world.admin().await;
    let mut life = Life { world: &world, mails: &mails, secrets: Secrets::default(), seen: Vec::new() };
    for (what, secret) in [
        ("the first password", FIRST_PASSWORD),
        ("the password", PASSWORD),
        ("a mistyped password", MISTYPED),
        ("the password of a machine", VM_PASSWORD),
        ("a wrong token of a cluster", WRONG_TOKEN),
    ] {
        life.secrets.keep(what, secret);
    }

    let ann = arrives(&mut life).await;
    browses(&mut life, &ann).await;
    operates(&mut life, &admin).await;
    rents(&mut life, &ann).await;
    invites(&mut life).await;
    secures(&mut life).await;
    is_looked_at(&mut life, &ann, &admin).await;
    world.settle().await;
    life.dump("in the end").await;

    let Life { secrets, seen, .. } = life;
    assert!(secrets.0.len() > 40, "{} secrets", secrets.0.len());
    for (place, all) in &seen {
        let mut found = secrets.found_in(all);
        found.retain(|what| {
            !READABLE.iter().any(|(column, of, _)| place.starts_with(&format!("{column} ")) && of == what)
        });
        assert!(found.is_empty(), "{place}: {found:?}");
    }
    for line in log.text().lines() {
        assert!(secrets.found_in(line).is_empty(), "{:?} in the log: {line}", secrets.found_in(line));
    }
    // Neither of them is empty, and what is to be readable is.
    let said = log.text();
    for part in ["uni_manager", "answered", "/api/v1/auth/login/code", "sqlx::query"] {
        assert!(said.contains(part), "{part} is in the log");
    }
    let shows = |place: &str, what: &str| seen.iter().any(|(known, all)| known == place && all.contains(what));
    assert!(
        shows("users.email in the end", "ann@example.org") && shows("vms.user_data in the end", USER_DATA.trim_end())
    );
    assert!(shows("mails.body while the mail to /verify-email waits", "Confirm that it is yours"));
    world.finish().await;
}

/// Words in the name of a field that holds a secret.
const SECRET_WORDS: [&str; 8] = ["code", "codes", "cookie", "password", "pem", "secret", "ticket", "token"];
/// Ends of names of what only belongs to a secret.
const NO_SECRET: [&str; 5] = ["_encrypted", "_hash", "_id", "_type", "_url"];
/// What has such a name and is none.
const NO_SECRETS: [(&str, &str); 7] = [
    ("TransferView.code", "names a kind of transfer"),
    ("WalletTransfer.code", "likewise"),
    ("Line.code", "likewise"),
    ("ExportedLeg.code", "likewise"),
    ("NewMail.secret", "encrypted already"),
    ("Claimed.secret", "likewise"),
    ("Session.csrf_token", "opens nothing without the cookie"),
];

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The fields with secrets in plain text of structures whose `Debug` would print them.
fn printed(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut prints, mut of) = (false, None);
    for line in source.lines() {
        let words =
            line.trim().trim_start_matches("pub ").trim_start_matches("pub(super) ").trim_start_matches("pub(crate) ");
        if words.starts_with("#[derive(") {
            prints = words.contains("Debug");
        } else if let Some(rest) = words.strip_prefix("struct ") {
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            of = (prints && line.ends_with('{')).then(|| (name.to_owned(), line.len() - line.trim_start().len()));
            prints = false;
        } else if words.starts_with('}') {
            of = of.filter(|(_, depth)| *depth != line.len() - line.trim_start().len());
        } else if let (Some((name, _)), Some((field, kind))) = (&of, words.split_once(": ")) {
            let is_plain = kind.contains("String") && !kind.contains("SecretString") || kind.contains("str");
            let is_secret = field.split('_').any(|word| SECRET_WORDS.contains(&word));
            if is_plain && is_secret && !NO_SECRET.iter().any(|end| field.ends_with(end)) {
                found.push(format!("{name}.{field}"));
            }
        }
    }
    found
}

#[test]
fn no_structure_with_a_secret_in_plain_text_can_be_printed_by_mistake() {
    let bad = "#[derive(Clone, Debug)]\npub struct New {\n    /// One.\n    pub api_token: Option<String>,\n}\n";
    assert_eq!(printed(bad), ["New.api_token"]);
    assert!(printed(&bad.replace("Debug", "Default")).is_empty());
    assert!(printed(&bad.replace("String", "SecretString")).is_empty());

    let mut all = Vec::new();
    for folder in ["src", "proxmox-client/src"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
    }
    assert!(all.len() > 200, "{} files", all.len());
    let mut found: Vec<String> = all.iter().flat_map(|source| printed(source)).collect();
    found.retain(|field| !NO_SECRETS.iter().any(|(known, _)| known == field));
    assert!(found.is_empty(), "give them `SecretString`, no `Debug`, or one by hand: {found:?}");
}
