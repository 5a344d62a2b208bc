//! Somebody at the doors: a browser and a program of one person.

use reqwest::Method;
use serde_json::{Value, json};
use uni_manager::audit::Actor;
use uni_manager::ids::OrganisationId;
use uni_manager::sessions;
use uni_manager::users::User;

use crate::world::{Answer, Customer, PASSWORD, World, send, text};

/// A person who is logged in with a browser and with a program.
pub struct Somebody {
    pub user: User,
    cookie: String,
    token: String,
}

impl Somebody {
    /// Logs a person in without the work of a password.
    pub async fn enters(world: &World, user: &User) -> Self {
        let cookie = sessions::start(&world.app, user, Actor::system(), None).await.unwrap();
        let token = sessions::issue(&world.app, user).await.unwrap().access_token;
        Self { user: user.clone(), cookie, token }
    }

    /// Somebody new, who becomes a member of an organisation with a role of its own that allows nothing yet.
    pub async fn joins(world: &World, name: &str, organisation: OrganisationId) -> Self {
        let body = json!({ "email": format!("{name}@example.org"), "name": name, "password": PASSWORD });
        send(world.request(Method::POST, "/api/v1/auth/register").json(&body)).await.expect(201);
        world.trust(&format!("{name}@example.org")).await;
        let id: uuid::Uuid = sqlx::query_scalar("select id from users where name = $1")
            .bind(name)
            .fetch_one(&world.app.pool)
            .await
            .unwrap();
        sqlx::query("delete from members where user_id = $1").bind(id).execute(&world.app.pool).await.unwrap();
        for sql in [
            "insert into roles (id, organisation_id, name, permissions, created_at, changed_at) values ($1, $2, 'test', '{none}', $3, $3)",
            "insert into members (organisation_id, user_id, role_id, created_at) values ($2, $1, $1, $3)",
        ] {
            sqlx::query(sql)
                .bind(id)
                .bind(organisation.uuid())
                .bind(world.now())
                .execute(&world.app.pool)
                .await
                .unwrap();
        }
        let mut connection = world.app.pool.acquire().await.unwrap();
        let user = uni_manager::users::find(&mut connection, id.to_string().parse().unwrap()).await.unwrap().unwrap();
        drop(connection);
        Self::enters(world, &user).await
    }

    /// Gives his role other patterns.
    pub async fn may(&self, world: &World, patterns: &[&str]) {
        sqlx::query("update roles set permissions = $2 where id = $1")
            .bind(self.user.id.uuid())
            .bind(patterns)
            .execute(&world.app.pool)
            .await
            .unwrap();
    }

    /// Gives him one of the roles that every organisation has.
    pub async fn has_role(&self, world: &World, role: &str) {
        sqlx::query("update members set role = $2, role_id = null where user_id = $1")
            .bind(self.user.id.uuid())
            .bind(role)
            .execute(&world.app.pool)
            .await
            .unwrap();
    }

    /// Asks at a door: as a browser for pages, as a program for the API.
    pub async fn asks(&self, world: &World, method: &str, path: &str, body: &Value) -> Answer {
        let method: Method = method.parse().unwrap();
        let request = world.request(method.clone(), path);
        let request = if path.starts_with("/api/") {
            let request = request.bearer_auth(&self.token);
            if method == Method::GET { request } else { request.json(body) }
        } else {
            // Of the page that he sees now: it changes with the organisation.
            let session = sessions::find(&world.app, &self.cookie).await.unwrap();
            let csrf = session.map(|session| session.csrf_token).unwrap_or_default();
            let mut form = vec![("csrf".to_owned(), csrf)];
            for (name, value) in body.as_object().unwrap() {
                form.push((name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
            let request = request.header("cookie", format!("session={}", self.cookie)).header("origin", &world.url);
            if method == Method::GET { request } else { request.form(&form) }
        };
        if path == "/live" { hear_nothing(request).await } else { send(request).await }
    }
}

/// A stream never ends, so only its head is read.
async fn hear_nothing(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    Answer {
        status: response.status().as_u16(),
        kind: String::new(),
        location: location.unwrap_or_default(),
        cookies: Vec::new(),
        text: String::new(),
    }
}

/// Logs in through the form; answers with the cookie and the session's form token.
pub async fn browser(world: &World, customer: &Customer) -> (String, String) {
    let page = send(world.request(Method::GET, "/login")).await;
    let token = page.cookie("csrf").unwrap();
    let form = [("csrf", token.as_str()), ("email", &customer.user.email), ("password", PASSWORD)];
    let entered =
        send(world.request(Method::POST, "/login").header("cookie", format!("csrf={token}")).form(&form)).await;
    assert_eq!((entered.status, entered.location.as_str()), (303, "/"), "{}", entered.text);
    let token = entered.cookie("session").unwrap();
    let csrf = sessions::find(&world.app, &token).await.unwrap().unwrap().csrf_token;
    (format!("session={token}"), csrf)
}

/// Whether somebody was told that nobody knows him.
pub fn is_unknown(answer: &Answer) -> bool {
    (answer.status == 303 && answer.location.starts_with("/login?next=")) || answer.status == 401
}

/// Whether somebody known was refused for what he is.
pub fn is_refused(answer: &Answer) -> bool {
    answer.status == 403
}

/// Whether somebody came in, though what he asked for may not be there or not be right.
pub fn is_in(answer: &Answer) -> bool {
    !is_unknown(answer) && !is_refused(answer) && answer.status < 500
}

/// A path with ids of nothing.
pub fn with_ids_of_nothing(path: &str) -> String {
    let id = "01a1fbed-31c8-742a-973c-6a7a37dc7ee6";
    [("{id}", id), ("{user}", id), ("{cluster}", id), ("{meter}", id), ("{vmid}", "300"), ("{number}", "1")]
        .into_iter()
        .chain([("{from}", "2026-11-10T12:00:00Z"), ("{*name}", "nothing.js")])
        .fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// The name of the permission that a refusal of the API names.
pub fn permission_in(answer: &Answer) -> String {
    text(&answer.problem(403), "/permission").to_owned()
}
