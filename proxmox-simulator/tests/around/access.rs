//! Logins, users, tokens, roles and the access control list.

use std::time::Duration;

use proxmox_simulator::{Options, Release, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, Client, read};
use crate::{machine, refused, start};

/// A login as a browser holds it.
struct Session {
    client: Client,
    ticket: String,
    csrf: String,
}

async fn login(client: &Client, user: &str, password: &str) -> Answer {
    client.with(None).post("/access/ticket", &[("username", user), ("password", password)]).await
}

impl Session {
    async fn open(client: &Client, user: &str, password: &str) -> Self {
        let answer = login(client, user, password).await;
        let text = |name: &str| answer.data()[name].as_str().unwrap().to_owned();
        Self { client: client.with(None), ticket: text("ticket"), csrf: text("CSRFPreventionToken") }
    }

    async fn send(&self, method: &str, path: &str, form: &[(&str, &str)], csrf: Option<&str>) -> Answer {
        let ticket = self.ticket.replace('+', "%2B").replace('=', "%3D");
        let mut request =
            self.client.http.request(method.parse().unwrap(), format!("{}/api2/json{path}", self.client.url));
        request = request.header("Cookie", format!("PVEAuthCookie={ticket}"));
        if let Some(csrf) = csrf {
            request = request.header("CSRFPreventionToken", csrf);
        }
        if !form.is_empty() {
            request = request.form(form);
        }
        read(request.send().await.unwrap()).await.unwrap()
    }
}

fn with_password() -> Options {
    Options { root_password: Some("secret".to_owned()), ..Options::default() }
}

#[tokio::test]
async fn a_login_gives_a_ticket_that_writes_only_with_its_csrf_token() {
    let (simulator, client) = start(with_password());
    assert_eq!(simulator.root_password(), "secret");
    for (user, password) in [("root@pam", "wrong"), ("root@nope", "secret"), ("root", "secret"), ("no@pve", "secret")] {
        let answer = login(&client, user, password).await;
        refused(&answer, 401, "authentication failure");
        assert_eq!(answer.body["message"], "authentication failure\n");
    }
    let missing = client.with(None).post("/access/ticket", &[("username", "root@pam")]).await;
    assert_eq!(missing.body["errors"]["password"], "property is missing and it is not optional");
    let session = Session::open(&client, "root@pam", "secret").await;
    assert!(session.ticket.starts_with("PVE:root@pam:"));
    assert_eq!(session.send("GET", "/version", &[], None).await.data()["release"], "9.2");
    let form = [("poolid", "p")];
    for csrf in [None, Some("00000000:x")] {
        let answer = session.send("POST", "/pools", &form, csrf).await;
        refused(&answer, 401, "Permission denied - invalid csrf token");
        assert_eq!(answer.text, "");
    }
    session.send("POST", "/pools", &form, Some(&session.csrf)).await.data();
    let renewed = Session::open(&client, "root@pam", &session.ticket).await;
    simulator.advance(Duration::from_secs(7190));
    assert_eq!(renewed.send("GET", "/version", &[], None).await.status, 200);
    simulator.advance(Duration::from_secs(10));
    refused(&renewed.send("GET", "/version", &[], None).await, 401, "Authentication failed!");
    let session = Session::open(&client, "root@pam", "secret").await;
    simulator.expire_tickets();
    refused(&session.send("GET", "/version", &[], None).await, 401, "Authentication failed!");
}

#[tokio::test]
async fn root_itself_may_what_no_token_may() {
    let (_simulator, client) = start(with_password());
    machine(&client).await;
    let session = Session::open(&client, "root@pam", "secret").await;
    let config = "/nodes/pve1/qemu/100/config";
    refused(&client.send("PUT", config, &[("args", "-S")]).await, 500, "only root can set 'args' config");
    session.send("PUT", config, &[("args", "-S"), ("lock", "backup")], Some(&session.csrf)).await.data();
    assert_eq!(client.get(config).await.data()["args"], "-S");
    let password = [("userid", "root@pam"), ("password", "othersecret")];
    refused(&client.send("PUT", "/access/password", &password).await, 403, "Permission check failed");
    session.send("PUT", "/access/password", &password, Some(&session.csrf)).await.data();
    refused(&login(&client, "root@pam", "secret").await, 401, "authentication failure");
    assert_eq!(login(&client, "root@pam", "othersecret").await.status, 200);
}

#[tokio::test]
async fn users_can_log_in_until_they_are_disabled_expire_or_go() {
    let (simulator, client) = start(Options::default());
    let user = [("userid", "a@pve"), ("password", "abcdefgh"), ("email", "a@example.com"), ("comment", "hello")];
    client.post("/access/users", &user).await.data();
    refused(&client.post("/access/users", &user).await, 500, "create user failed: user 'a@pve' already exists");
    let short = client.post("/access/users", &[("userid", "b@pve"), ("password", "a")]).await;
    assert_eq!(short.body["errors"]["password"], "value must be at least 8 characters long");
    let nameless = client.post("/access/users", &[("userid", "nobody")]).await;
    assert_eq!(
        nameless.body["errors"]["userid"],
        "invalid format - value 'nobody' does not look like a valid user name\n"
    );
    assert_eq!(login(&client, "a@pve", "abcdefgh").await.data()["cap"]["vms"], json!({}));
    client.post("/access/groups", &[("groupid", "g")]).await.data();
    client.send("PUT", "/access/users/a@pve", &[("groups", "g"), ("enable", "0")]).await.data();
    refused(&login(&client, "a@pve", "abcdefgh").await, 401, "authentication failure");
    let shown = client.get("/access/users/a@pve").await;
    assert_eq!(
        shown.data(),
        &json!({ "enable": 0, "expire": 0, "email": "a@example.com", "comment": "hello", "groups": ["g"], "tokens": {} })
    );
    let soon = simulator.now_seconds() + 100;
    client.send("PUT", "/access/users/a@pve", &[("enable", "1"), ("expire", &soon.to_string())]).await.data();
    assert_eq!(login(&client, "a@pve", "abcdefgh").await.status, 200);
    simulator.advance(Duration::from_secs(101));
    refused(&login(&client, "a@pve", "abcdefgh").await, 401, "authentication failure");
    assert_eq!(client.get("/access/groups/g").await.data(), &json!({ "members": ["a@pve"] }));
    client.send("DELETE", "/access/users/a@pve", &[]).await.data();
    assert_eq!(client.get("/access/groups/g").await.data(), &json!({ "members": [] }));
    assert_eq!(client.get("/access/users/a@pve").await.reason, "no such user ('a@pve')");
}

async fn token(client: &Client, user: &str, form: &[(&str, &str)]) -> Client {
    let answer = client.post(&format!("/access/users/{user}/token/app"), form).await;
    assert_eq!(answer.data()["full-tokenid"], format!("{user}!app"));
    client.with(Some(&format!("PVEAPIToken={user}!app={}", answer.data()["value"].as_str().unwrap())))
}

#[tokio::test]
async fn a_separated_token_may_what_both_it_and_its_user_may() {
    let (simulator, client) = start(Options::default());
    machine(&client).await;
    client.post("/access/users", &[("userid", "a@pve")]).await.data();
    let own = token(&client, "a@pve", &[("privsep", "1")]).await;
    let current = "/nodes/pve1/qemu/100/status/current";
    let acl = |kind: &'static str, id: &'static str, path: &'static str, role: &'static str| {
        let client = client.clone();
        async move { client.send("PUT", "/access/acl", &[("path", path), (kind, id), ("roles", role)]).await }
    };
    acl("tokens", "a@pve!app", "/vms/100", "PVEVMUser").await.data();
    refused(&own.get(current).await, 403, "Permission check failed (/vms/100, VM.Audit)");
    acl("users", "a@pve", "/vms", "PVEAuditor").await.data();
    assert_eq!(own.get(current).await.data()["vmid"], 100);
    let start = own.post("/nodes/pve1/qemu/100/status/start", &[]).await;
    refused(&start, 403, "Permission check failed (/vms/100, VM.PowerMgmt)");
    let listed = own.get("/nodes/pve1/qemu").await;
    assert_eq!(listed.data().as_array().unwrap().len(), 1, "the templates are not the token's");
    assert_eq!(
        own.get("/access/permissions").await.data(),
        &json!({ "/vms/100": { "VM.Audit": 1, "VM.GuestAgent.Audit": 1 } })
    );
    client.send("PUT", "/access/users/a@pve/token/app", &[("privsep", "0")]).await.data();
    assert_eq!(own.get("/nodes/pve1/qemu").await.data().as_array().unwrap().len(), 4);
    let soon = (simulator.now_seconds() + 50).to_string();
    client.send("PUT", "/access/users/a@pve/token/app", &[("expire", &soon)]).await.data();
    assert_eq!(own.get("/version").await.status, 200);
    simulator.advance(Duration::from_secs(60));
    refused(&own.get("/version").await, 401, "Authentication failed!");
    let new = client.send("PUT", "/access/users/a@pve/token/app", &[("regenerate", "1"), ("expire", "0")]).await;
    assert_ne!(new.data()["value"], Value::Null);
    refused(&own.get("/version").await, 401, "Authentication failed!");
    let again = client.post("/access/users/a@pve/token/app", &[]).await;
    assert_eq!(again.body["errors"]["tokenid"], "Token already exists.");
    client.send("DELETE", "/access/users/a@pve/token/app", &[]).await.data();
    let acls = client.get("/access/acl").await;
    assert!(acls.data().as_array().unwrap().iter().all(|entry| entry["ugid"] == "a@pve"), "{}", acls.text);
}

#[tokio::test]
async fn the_most_specific_path_wins_and_users_go_before_groups() {
    let (_simulator, client) = start(Options::default());
    machine(&client).await;
    client.post("/access/groups", &[("groupid", "g")]).await.data();
    client.post("/access/users", &[("userid", "a@pve"), ("groups", "g")]).await.data();
    let own = token(&client, "a@pve", &[("privsep", "0")]).await;
    let put = |form: &'static [(&'static str, &'static str)]| client.send("PUT", "/access/acl", form);
    put(&[("path", "/"), ("groups", "g"), ("roles", "PVEVMAdmin"), ("propagate", "0")]).await.data();
    let config = "/nodes/pve1/qemu/100/config";
    refused(&own.get(config).await, 403, "Permission check failed (/vms/100, VM.Audit)");
    put(&[("path", "/"), ("groups", "g"), ("roles", "PVEVMAdmin"), ("propagate", "1")]).await.data();
    assert_eq!(own.get(config).await.status, 200);
    put(&[("path", "/vms"), ("groups", "g"), ("roles", "PVEVMAdmin")]).await.data();
    put(&[("path", "/vms"), ("users", "a@pve"), ("roles", "PVEVMUser")]).await.data();
    let cores = own.send("PUT", config, &[("cores", "3")]).await;
    refused(&cores, 403, "Permission check failed (/vms/100, VM.Config.CPU)");
    put(&[("path", "/vms/100"), ("groups", "g"), ("roles", "PVEVMAdmin,NoAccess")]).await.data();
    refused(&own.get(config).await, 403, "Permission check failed (/vms/100, VM.Audit)");
    put(&[("path", "/vms/100"), ("groups", "g"), ("roles", "NoAccess"), ("delete", "1")]).await.data();
    own.send("PUT", config, &[("cores", "3")]).await.data();
    let upid = client.send("DELETE", "/nodes/pve1/qemu/100", &[]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
    let paths = client.get("/access/acl").await;
    assert!(paths.data().as_array().unwrap().iter().all(|entry| entry["path"] != "/vms/100"), "it goes with its guest");
    let wrong = put(&[("path", "/nonsense"), ("users", "a@pve"), ("roles", "PVEAdmin")]).await;
    assert_eq!(wrong.body["errors"]["path"], "invalid ACL path '/nonsense'");
    let nobody = put(&[("path", "/"), ("roles", "PVEAdmin")]).await;
    assert_eq!(nobody.body["errors"]["users"], "either 'users', 'groups' or 'tokens' is required.");
    let unknown = put(&[("path", "/"), ("users", "x@pve"), ("roles", "PVEAdmin")]).await;
    refused(&unknown, 500, "ACL update failed: user 'x@pve' does not exist");
}

#[tokio::test]
async fn each_release_has_its_own_privileges() {
    for (release, known, unknown) in
        [(Release::V8_4, "VM.Monitor", "VM.GuestAgent.Audit"), (Release::V9_2, "VM.GuestAgent.Audit", "VM.Monitor")]
    {
        let (_simulator, client) = start(Options { release, ..Options::default() });
        let roles = client.get("/access/roles").await;
        let admin = roles.data().as_array().unwrap().iter().find(|role| role["roleid"] == "Administrator").unwrap();
        let privileges: Vec<&str> = admin["privs"].as_str().unwrap().split(',').collect();
        assert!(privileges.contains(&known) && !privileges.contains(&unknown), "{privileges:?}");
        client.post("/access/roles", &[("roleid", "Panel"), ("privs", &format!("VM.Audit,{known}"))]).await.data();
        let answer = client.post("/access/roles", &[("roleid", "Other"), ("privs", unknown)]).await;
        assert_eq!(answer.body["errors"]["privs"], format!("invalid format - invalid privilege '{unknown}'\n"));
        assert_eq!(client.get("/access/roles/Panel").await.data(), &json!({ "VM.Audit": 1, known: 1 }));
        client.send("PUT", "/access/roles/Panel", &[("privs", "VM.Clone"), ("append", "1")]).await.data();
        assert_eq!(client.get("/access/roles/Panel").await.data().as_object().unwrap().len(), 3);
        let fixed = client.send("DELETE", "/access/roles/PVEAdmin", &[]).await;
        refused(&fixed, 500, "delete role failed: auto-generated role 'PVEAdmin' cannot be modified");
        client.send("DELETE", "/access/roles/Panel", &[]).await.data();
    }
}

#[tokio::test]
async fn users_tokens_and_rights_survive_a_snapshot() {
    let (first, client) = start(with_password());
    client.post("/access/users", &[("userid", "a@pve"), ("password", "abcdefgh")]).await.data();
    let own = token(&client, "a@pve", &[("privsep", "0")]).await;
    let acl = [("path", "/"), ("users", "a@pve"), ("roles", "PVEAuditor")];
    client.send("PUT", "/access/acl", &acl).await.data();
    let (second, client) = start(Options { state: Some(first.snapshot()), ..Options::default() });
    assert_eq!(second.root_password(), "secret");
    assert_eq!(login(&client, "a@pve", "abcdefgh").await.status, 200);
    let own = client.with(own.authorization.as_deref());
    assert_eq!(own.get("/nodes/pve1/status").await.status, 200);
    assert!(!format!("{:?}", second.inspect(Clone::clone)).contains("abcdefgh"), "passwords do not show themselves");
    drop::<Simulator>(second);
}
