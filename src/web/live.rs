//! Tells open pages what has changed, as server-sent events. An event only names what changed; the page asks again for the
//! part that shows it, and is checked again then.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;

use super::request::Origin;
use super::session::Customer;
use crate::app::App;
use crate::live::Change;

/// How often an idle stream says that it is alive.
const KEEP_ALIVE_SECONDS: u64 = 15;
/// How long one stream lasts; the browser opens the next one by itself, and its session is checked again.
const STREAM_MINUTES_MAX: u64 = 30;

/// The stream of changes.
pub async fn changes(
    State(app): State<Arc<App>>,
    origin: Origin,
    customer: Customer,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    let open = app.hub.open_stream(customer.session.user.id, origin.ip).ok_or(StatusCode::TOO_MANY_REQUESTS)?;
    let organisation = customer.organisation();
    let is_staff = customer.session.user.platform_role.is_some();
    let behalf = customer.session.on_behalf.as_ref().map(|behalf| behalf.staff.id);
    let of_him: Vec<String> =
        [Some(customer.session.user.id), behalf].into_iter().flatten().map(crate::live::of_person).collect();
    // Who looks as a customer hears of his things no longer than he may look.
    let left = customer.session.on_behalf.as_ref().map(|behalf| behalf.until - app.clock.machine_now());
    let longest = Duration::from_secs(STREAM_MINUTES_MAX * 60);
    let longest = left.map_or(longest, |left| longest.min(left.to_std().unwrap_or_default()));
    let changes = BroadcastStream::new(app.hub.subscribe())
        // Who lags behind is cut off, and so is who may do something else now: the browser comes back, is checked again, and
        // looks at everything again.
        .take_while(move |change| {
            std::future::ready(change.as_ref().is_ok_and(|change| !of_him.contains(&change.topic)))
        })
        .filter_map(move |change| {
            std::future::ready(change.ok().filter(|change| may_hear(change, organisation, is_staff)))
        })
        .map(move |change| {
            // The stream is counted as open as long as it lives.
            let _open = &open;
            Ok(Event::default().event("changed").data(change.topic))
        })
        .take_until(tokio::time::sleep(longest));
    Ok(Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(KEEP_ALIVE_SECONDS))))
}

/// A customer hears of his own things, and of what concerns all customers; staff hears of everything.
fn may_hear(change: &Change, organisation: crate::ids::OrganisationId, is_staff: bool) -> bool {
    match change.organisation {
        Some(owner) => owner == organisation || is_staff,
        None => is_staff || matches!(change.topic.as_str(), "wallet" | "vms"),
    }
}
