//! What events are looked for by: on the pages, in files, and by programs, in the same words.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::audit::{ActorKind, Event, Filter};
use crate::error::{Error, Problem, Result};
use crate::ids::AuditEventId;

/// The longest text that is looked for, in characters.
const TEXT_CHARACTERS_MAX: usize = 200;

/// What is looked for; what is empty is not.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// Before this event.
    pub after: Option<AuditEventId>,
    /// Anywhere in an event.
    #[serde(default)]
    #[param(max_length = 200)]
    pub text: String,
    /// The name of the event.
    #[serde(default)]
    #[param(example = "vm.created")]
    pub event: String,
    /// The kind of actor.
    #[serde(default)]
    #[param(pattern = "^(person|key|staff|system|stranger)?$")]
    pub kind: String,
    /// In the name of the actor.
    #[serde(default)]
    #[param(max_length = 200)]
    pub actor: String,
    /// The id of what was acted on.
    #[serde(default)]
    #[param(max_length = 200)]
    pub subject: String,
    /// In the name of the organisation, for staff.
    #[serde(default)]
    #[param(max_length = 200)]
    pub organisation: String,
    /// From this day on, UTC.
    #[serde(default)]
    #[param(example = "2026-11-01")]
    pub from: String,
    /// Through this day, UTC.
    #[serde(default)]
    #[param(example = "2026-11-30")]
    pub to: String,
}

impl Search {
    /// The filter, on top of one that says whose events.
    ///
    /// # Errors
    /// `Invalid` with a problem per field.
    pub fn filter(&self, of: Filter) -> Result<Filter> {
        let mut problems = Vec::new();
        let mut text = |field: &'static str, text: &str| {
            let text = text.trim();
            if text.chars().count() > TEXT_CHARACTERS_MAX {
                problems.push(Problem::new(field, format!("At most {TEXT_CHARACTERS_MAX} characters.")));
            }
            Some(text.to_owned()).filter(|text| !text.is_empty())
        };
        let filter = Filter {
            text: text("text", &self.text),
            actor: text("actor", &self.actor),
            subject: text("subject", &self.subject),
            organisation_name: text("organisation", &self.organisation),
            event: text("event", &self.event),
            after: self.after,
            ..of
        };
        if filter.event.as_ref().is_some_and(|name| !Event::ALL.iter().any(|event| event.name() == name)) {
            problems.push(Problem::new("event", "There is no such event."));
        }
        let kind = ActorKind::ALL.iter().copied().find(|kind| kind.name() == self.kind);
        if kind.is_none() && !self.kind.is_empty() {
            problems.push(Problem::new("kind", "One of person, key, staff, system and stranger."));
        }
        let mut day = |field: &'static str, text: &str, days_later: u64| {
            let day = text.parse::<NaiveDate>().ok().filter(|day| (1970..9999).contains(&day.year()));
            if day.is_none() && !text.is_empty() {
                problems.push(Problem::new(field, "A day such as 2026-11-21."));
            }
            day.map(|day| midnight(day + chrono::Days::new(days_later)))
        };
        let (from, to) = (day("from", self.from.trim(), 0), day("to", self.to.trim(), 1));
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            problems.push(Problem::new("to", "The last day is not before the first."));
        }
        if problems.is_empty() { Ok(Filter { kind, from, to, ..filter }) } else { Err(Error::Invalid(problems)) }
    }

    /// Whether anything is looked for.
    pub fn is_empty(&self) -> bool {
        self.fields().iter().all(|(_, value)| value.is_empty())
    }

    fn fields(&self) -> [(&'static str, &str); 8] {
        [
            ("text", &self.text),
            ("event", &self.event),
            ("kind", &self.kind),
            ("actor", &self.actor),
            ("subject", &self.subject),
            ("organisation", &self.organisation),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    /// As the query of a URL, without where in the list it is.
    pub fn query(&self) -> String {
        let named = self.fields().into_iter().filter(|(_, value)| !value.is_empty());
        let parts = named.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        parts.collect::<Vec<_>>().join("&")
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
