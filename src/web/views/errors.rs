//! The page for everything that could not be done, in plain words.
//! A cause inside the server is never shown; the request id leads to it in the log.

use askama::Template;

use super::frame::{AssetVersion, BareFrame, Link};
use super::markup;
use crate::web::format;

/// An answer of 4xx or 5xx to a person.
#[derive(Debug, Template)]
#[template(path = "errors/page.html")]
pub struct ErrorPage {
    /// Around the page.
    pub frame: BareFrame,
    /// HTTP status.
    pub status: u16,
    /// What happened, in a few words.
    pub heading: String,
    /// What it means and what to do.
    pub text: String,
    /// For the operator, to find it in the log.
    pub request_id: String,
    /// The way back.
    pub back: Link,
}

impl ErrorPage {
    /// The page of a status in our own words; `detail` replaces the general sentence.
    pub fn of(status: u16, detail: Option<String>, request_id: String, assets: AssetVersion) -> Self {
        let (heading, text) = words(status);
        Self {
            frame: BareFrame { title: heading.into(), assets, flash: None, demo_clock: None },
            status,
            heading: heading.into(),
            text: detail.unwrap_or_else(|| text.into()),
            request_id,
            back: Link { text: "Back to the start".into(), url: "/".into() },
        }
    }

    fn icon(&self) -> markup::Markup {
        match self.status {
            401 | 403 => markup::icon("lock"),
            404 => markup::icon("map-search"),
            429 => markup::icon("hourglass"),
            _ => markup::icon("alert-triangle"),
        }
    }
}

/// Heading and general sentence of a status.
fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("That could not be read", "Something in the request is not as it should be. Go back and try again."),
        401 => ("Please log in", "Your session has ended or you are not logged in yet."),
        402 => ("Not enough credit", "Your wallet does not hold enough credit for this."),
        403 => (
            "Not allowed",
            "Your account may not do this. If the page was open for long, go back, reload it and try again.",
        ),
        404 => ("Not found", "There is nothing at this address, or it is not yours to see."),
        405 => ("That does not work here", "This address does not take that kind of request."),
        409 => (
            "Not possible right now",
            "Something changed in the meantime, or other work is under way. Look again and retry.",
        ),
        413 => ("Too large", "What was sent is larger than is taken here."),
        421 => (
            "Not this host",
            "This server does not answer for the name in your address bar. Use the address you were given.",
        ),
        422 => ("Please check what you entered", "Some values cannot be used as they are."),
        429 => ("Too many tries", "You have tried this too often in a short time. Wait a minute and try again."),
        503 => ("Not available right now", "A part of the platform is away. Nothing is lost; try again in a minute."),
        _ => (
            "Something went wrong here",
            "The fault is ours, and it has been written down. Nothing was changed half-way. Try again; if it stays, give the operator the number below.",
        ),
    }
}
