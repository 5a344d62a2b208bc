//! A browser that keeps its cookies and sends the token of the form on the page it shows.

use std::collections::BTreeMap;

use reqwest::Method;

use crate::world::{Answer, Customer, PASSWORD, World, form, send};

/// A browser of one person.
#[derive(Default)]
pub struct Browser {
    cookies: BTreeMap<String, String>,
    /// The address of the page that it shows.
    page: String,
    csrf: String,
}

impl Browser {
    /// Sends a request with the cookies, and keeps what is set.
    async fn send(&mut self, request: reqwest::RequestBuilder) -> Answer {
        let jar: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = send(request.header("cookie", jar.join("; "))).await;
        for set in &answer.cookies {
            let (name, rest) = set.split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// Opens a page, without following where it leads.
    pub async fn get(&mut self, world: &World, path: &str) -> Answer {
        let answer = self.send(world.request(Method::GET, path)).await;
        if answer.status == 200 {
            self.shows(world, path, &answer);
        }
        answer
    }

    fn shows(&mut self, world: &World, path: &str, answer: &Answer) {
        self.page = format!("{}{path}", world.app.settings.public_url);
        if let Some(csrf) = between(&answer.text, "name=\"csrf\" value=\"", "\"") {
            self.csrf = csrf;
        }
    }

    /// Sends a form of the page that it shows.
    pub async fn post(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = vec![("csrf", self.csrf.clone())];
        form.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let request = world.request(Method::POST, path).header("referer", &self.page).form(&form);
        let answer = self.send(request).await;
        if answer.text.contains("name=\"csrf\"") {
            self.shows(world, path, &answer);
        }
        answer
    }

    /// Opens a page, fills in the form of an action, and sends it: what is not named stays as it stands there.
    pub async fn fills_in(&mut self, world: &World, page: &str, action: &str, changes: &[(&str, &str)]) -> Answer {
        let opened = self.get(world, page).await;
        assert_eq!(opened.status, 200, "{page}: {}", opened.text);
        let Some(mut fields) = form::of_page(&opened.text, action) else {
            panic!("{page} has no form {action}: {}", opened.text)
        };
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let request = world.request(Method::POST, action).header("referer", &self.page).form(&fields);
        self.send(request).await
    }

    /// The same, where it must be done.
    pub async fn does(&mut self, world: &World, page: &str, action: &str, changes: &[(&str, &str)]) {
        let answer = self.fills_in(world, page, action, changes).await;
        assert!(answer.status == 303 && !answer.location.starts_with("/confirm"), "{action}: {}", answer.text);
    }

    /// Gives the password, and says where that leads.
    pub async fn gives_password(&mut self, world: &World, customer: &Customer) -> String {
        self.get(world, "/login").await;
        let email = customer.user.email.clone();
        let answer = self.post(world, "/login", &[("email", &email), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        answer.location
    }

    /// A browser of somebody who needs no more than his password.
    pub async fn logged_in(world: &World, customer: &Customer) -> Self {
        let mut browser = Self::default();
        assert_eq!(browser.gives_password(world, customer).await, "/");
        browser
    }

    /// Whether it is let in.
    pub async fn is_in(&mut self, world: &World) -> bool {
        self.get(world, "/vms").await.status == 200
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    /// All cookies that it holds.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cookies.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Holds a cookie of another one.
    pub fn steals(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }
}

/// The first text between two others.
pub fn between(text: &str, before: &str, after: &str) -> Option<String> {
    Some(text.split_once(before)?.1.split_once(after)?.0.to_owned())
}
