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
    customer: Customer,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    let open = app.hub.open_stream(customer.session.user.id).ok_or(StatusCode::TOO_MANY_REQUESTS)?;
    let organisation = customer.organisation();
    let is_staff = customer.session.user.platform_role.is_some();
    let changes = BroadcastStream::new(app.hub.subscribe())
        // Who lags behind is cut off: the browser comes back and looks at everything again.
        .take_while(|change| std::future::ready(change.is_ok()))
        .filter_map(move |change| {
            std::future::ready(change.ok().filter(|change| may_hear(change, organisation, is_staff)))
        })
        .map(move |change| {
            // The stream is counted as open as long as it lives.
            let _open = &open;
            Ok(Event::default().event("changed").data(change.topic))
        })
        .take_until(tokio::time::sleep(Duration::from_secs(STREAM_MINUTES_MAX * 60)));
    Ok(Sse::new(changes).keep_alive(KeepAlive::new().interval(Duration::from_secs(KEEP_ALIVE_SECONDS))))
}

/// A customer hears of his own things, and of what concerns all customers; staff hears of everything.
fn may_hear(change: &Change, organisation: crate::ids::OrganisationId, is_staff: bool) -> bool {
    match change.organisation {
        Some(owner) => owner == organisation || is_staff,
        None => is_staff || matches!(change.topic.as_str(), "wallet" | "vms"),
    }
}
