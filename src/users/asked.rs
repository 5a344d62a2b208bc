//! How often anybody may ask for what costs something and proves nothing: mails, accounts, ways to the identity provider,
//! questions for a passkey. A browser that was given a token here is counted by that, whatever its neighbours do; everybody else
//! by his line, and more loosely with all that are around it, for one may have hundreds of addresses or thousands of networks.

use super::db;
use super::limits::{Counter, NETWORK, Place, Rule, SITE, admit, failed, networks};
use crate::app::App;
use crate::error::{Error, Result};

/// Mails about one address that are asked for from one line, or with one browser of its owner.
const MAILS: Rule = Rule { free: 3, free_again: 1, delay_minutes: 15, delay_minutes_max: 60 };
/// Ways to the identity provider that are begun on one line, which many may share, or with one browser.
const JOURNEYS: Rule = Rule { free: 200, free_again: 200, delay_minutes: 5, delay_minutes_max: 60 };
/// The same, from everywhere around.
const JOURNEYS_AROUND: Rule = Rule { free: 1_000, free_again: 1_000, delay_minutes: 5, delay_minutes_max: 60 };
/// Questions for a passkey that anybody may have put to him, on one line or with one browser: each is a row for some minutes.
const QUESTIONS: Rule = Rule { free: 100, free_again: 100, delay_minutes: 5, delay_minutes_max: 60 };
/// The same, from everywhere around.
const QUESTIONS_AROUND: Rule = Rule { free: 500, free_again: 500, delay_minutes: 5, delay_minutes_max: 60 };

/// Counts a mail that is asked for about an address, or says how long to wait. Known addresses and unknown ones alike; only who
/// asks with a browser of the owner's own is counted by that.
///
/// # Errors
/// `TooManyTries`.
pub(crate) async fn count_mail(app: &App, email: &str, place: &Place) -> Result<()> {
    let email = email.to_lowercase();
    let knows_device = db::limits::select_knows_device(&app.pool, &email, &place.device_key(app)).await?;
    let counters = match place.device().filter(|_| knows_device) {
        Some(device) => vec![Counter::new(app, MAILS, &["mail", "device", &email, device])],
        None => {
            let about_it = Counter::new(app, MAILS, &["mail", "line", &email, place.line()]);
            lines(app, "mails", place, NETWORK, SITE).into_iter().chain([about_it]).collect()
        }
    };
    admit(app, &counters).await?;
    failed(app, &counters).await
}

/// Counts an account that is opened from a network, or says how long to wait.
///
/// # Errors
/// `TooManyTries`.
pub(super) async fn count_registration(app: &App, address: Option<&str>) -> Result<()> {
    let sentence = "Many accounts were opened from your network just now. Wait a few minutes, then try again.";
    let counters = networks(app, "registrations", &Place::new(address, None));
    admit(app, &counters).await.map_err(|error| match error {
        Error::TooManyTries { retry_after_seconds, .. } => Error::TooManyTries { sentence, retry_after_seconds },
        other => other,
    })?;
    failed(app, &counters).await
}

/// Counts a way to the identity provider that begins, or says how long to wait.
///
/// # Errors
/// `TooManyTries`.
pub(crate) async fn count_journey(app: &App, place: &Place) -> Result<()> {
    count(app, "journeys", place, JOURNEYS, JOURNEYS_AROUND).await
}

/// Counts a question for a passkey that a stranger asks for, or says how long to wait.
///
/// # Errors
/// `TooManyTries`.
pub(crate) async fn count_question(app: &App, place: &Place) -> Result<()> {
    count(app, "questions", place, QUESTIONS, QUESTIONS_AROUND).await
}

async fn count(app: &App, what: &str, place: &Place, one: Rule, around: Rule) -> Result<()> {
    let counters = match place.device().filter(|device| super::devices::is_ours(app, device)) {
        Some(device) => vec![Counter::new(app, one, &[what, "device", device])],
        None => lines(app, what, place, one, around),
    };
    admit(app, &counters).await?;
    failed(app, &counters).await
}

/// What counts for a line, and for all that are around it.
fn lines(app: &App, what: &str, place: &Place, one: Rule, around: Rule) -> Vec<Counter> {
    vec![
        Counter::new(app, one, &[what, "line", place.line()]),
        Counter::new(app, around, &[what, "around", place.around()]),
    ]
}
