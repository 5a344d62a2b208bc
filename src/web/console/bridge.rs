//! What goes between a browser and a console, in both directions, one piece at a time: nothing piles up, and who does not
//! read is cut off. It ends with either side, with the login, with the machine, after long silence or a long time.

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::screen::{self, Greeting};
use super::serial;
use super::upstream::Upstream;
use super::{CHECK_PAUSE, IDLE_MAX, OPEN_MAX, SEND_MAX};
use crate::app::App;
use crate::consoles::{Leave, Place};
use crate::error::Error;
use crate::live;
use crate::vms::{self, ConsoleKind, State};

/// How often either side is told that the other one is still there.
const SIGN_OF_LIFE_PAUSE: std::time::Duration = std::time::Duration::from_secs(30);

/// One open console.
#[derive(Debug)]
pub(super) struct Visit {
    pub place: Place,
    pub leave: Leave,
    /// The machine's name.
    pub name: String,
}

/// Why a console ended. The code and the sentence go to the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Browser,
    FarSide,
    Stopped,
    Gone,
    LoggedOut,
    Idle,
    TooLong,
    Restarting,
    Nonsense,
    NotReading,
    Unchecked,
}

impl End {
    /// The word in the audit log.
    fn word(self) -> &'static str {
        match self {
            Self::Browser => "left",
            Self::FarSide => "ended by the VM",
            Self::Stopped => "VM stopped",
            Self::Gone => "VM deleted",
            Self::LoggedOut => "logged out",
            Self::Idle => "idle",
            Self::TooLong => "open too long",
            Self::Restarting => "platform restarted",
            Self::Nonsense => "not understood",
            Self::NotReading => "page did not read",
            Self::Unchecked => "could not be checked",
        }
    }

    /// The code of the close frame (4000 to 4999 are for applications) and what it says, at most 123 bytes.
    fn close(self) -> (u16, &'static str) {
        match self {
            Self::Browser => (1000, ""),
            Self::FarSide => (4000, "The VM ended the connection. It may have been stopped or moved."),
            Self::Stopped => (4001, "The VM was stopped."),
            Self::Gone => (4002, "The VM was deleted."),
            Self::LoggedOut => (4003, "You were logged out."),
            Self::Idle => (4004, "Nothing was typed for half an hour."),
            Self::TooLong => (4005, "The console was open for eight hours, the longest it may be."),
            Self::Restarting => (1012, "The platform is being restarted."),
            Self::Nonsense => (4006, "The page sent something that was not understood."),
            Self::NotReading => (4007, "The page did not take what the VM sent."),
            Self::Unchecked => (4008, "It could not be checked whether the console may stay open."),
        }
    }
}

/// Passes bytes on until something ends it; gives the visit back with the word for the audit log.
pub(super) async fn run(
    app: &App,
    mut browser: WebSocket,
    mut upstream: Upstream,
    mut visit: Visit,
) -> (Visit, &'static str) {
    let end = match converse(app, &mut browser, &mut upstream, &mut visit).await {
        Ok(never) => match never {},
        Err(end) => end,
    };
    let (code, reason) = end.close();
    // Who is gone already cannot be told.
    let _ = timeout(SEND_MAX, browser.send(Message::Close(Some(CloseFrame { code, reason: reason.into() })))).await;
    (visit, end.word())
}

enum Never {}

async fn converse(
    app: &App,
    browser: &mut WebSocket,
    upstream: &mut Upstream,
    visit: &mut Visit,
) -> Result<Never, End> {
    let began = Instant::now();
    let latest = began + OPEN_MAX;
    let mut idle = began + IDLE_MAX;
    let every = |pause| {
        let mut ticks = interval_at(began + pause, pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let (mut checks, mut signs) = (every(CHECK_PAUSE), every(SIGN_OF_LIFE_PAUSE));
    let mut changes = app.hub.subscribe();
    let of_him = live::of_person(visit.leave.person);
    let kind = visit.leave.kind;
    let mut greeting = Greeting::Version;
    let mut greeted = Vec::new();
    if kind == ConsoleKind::Screen {
        send(browser, Message::Binary(Bytes::from_static(Greeting::FIRST))).await?;
    }
    loop {
        // Until the browser has been greeted there is nothing that the cluster's bytes could mean to it.
        let flows = kind == ConsoleKind::Serial || greeting.is_done();
        tokio::select! {
            message = browser.recv() => {
                let message = match message {
                    Some(Ok(message)) => message,
                    Some(Err(_)) | None => return Err(End::Browser),
                };
                match (message, kind) {
                    (Message::Close(_), _) => return Err(End::Browser),
                    (Message::Ping(_) | Message::Pong(_), _) => {}
                    (Message::Text(text), ConsoleKind::Serial) => {
                        let size = serial::resized(&text).map_err(|_| End::Nonsense)?;
                        upstream.send(size).await.map_err(|_| End::FarSide)?;
                    }
                    (Message::Text(_), ConsoleKind::Screen) => return Err(End::Nonsense),
                    (Message::Binary(bytes), ConsoleKind::Serial) => {
                        idle = Instant::now() + IDLE_MAX;
                        upstream.send(serial::typed(&bytes)).await.map_err(|_| End::FarSide)?;
                    }
                    (Message::Binary(bytes), ConsoleKind::Screen) if !flows => {
                        greeted.extend_from_slice(&bytes);
                        let answer = greeting.take(&mut greeted).map_err(|_| End::Nonsense)?;
                        if !answer.is_empty() {
                            send(browser, Message::Binary(answer.into())).await?;
                        }
                        if greeting.is_done() {
                            upstream.send(std::mem::take(&mut greeted).into()).await.map_err(|_| End::FarSide)?;
                        }
                    }
                    (Message::Binary(bytes), ConsoleKind::Screen) => {
                        if screen::is_of_person(&bytes) {
                            idle = Instant::now() + IDLE_MAX;
                        }
                        upstream.send(bytes).await.map_err(|_| End::FarSide)?;
                    }
                }
            }
            bytes = upstream.next(), if flows => match bytes {
                Ok(Some(bytes)) => send(browser, Message::Binary(bytes)).await?,
                // Better than that it ended is to say why.
                Ok(None) | Err(_) => return Err(check(app, &visit.leave).await.err().unwrap_or(End::FarSide)),
            },
            _ = checks.tick() => check(app, &visit.leave).await?,
            // What he may do is another: that is looked at now.
            change = changes.recv() => if change.is_ok_and(|change| change.topic == of_him) {
                check(app, &visit.leave).await?;
            },
            _ = signs.tick() => {
                send(browser, Message::Ping(Bytes::new())).await?;
                if kind == ConsoleKind::Serial {
                    let sign = Bytes::from_static(serial::SIGN_OF_LIFE);
                    upstream.send(sign).await.map_err(|_| End::FarSide)?;
                }
            }
            () = sleep_until(idle) => return Err(End::Idle),
            () = sleep_until(latest) => return Err(End::TooLong),
            () = visit.place.is_closing() => return Err(End::Restarting),
        }
    }
}

async fn send(browser: &mut WebSocket, message: Message) -> Result<(), End> {
    match timeout(SEND_MAX, browser.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Browser),
        Err(_) => Err(End::NotReading),
    }
}

/// Whether the console may stay open: somebody is still logged in and belongs there, and the machine is there and runs.
async fn check(app: &App, leave: &Leave) -> Result<(), End> {
    let unchecked = |error: Error| {
        tracing::error!(?error, vm = %leave.vm, "a console could not be checked");
        End::Unchecked
    };
    if !leave.standing.is_good_for_console(app, leave.organisation).await.map_err(unchecked)? {
        return Err(End::LoggedOut);
    }
    match vms::find(app, leave.organisation, leave.vm).await {
        Ok(vm) => match vm.state {
            State::Running => Ok(()),
            State::Stopped => Err(End::Stopped),
            State::Provisioning | State::Failed | State::Deleting | State::Deleted => Err(End::Gone),
        },
        Err(Error::NotFound(_)) => Err(End::Gone),
        Err(error) => Err(unchecked(error)),
    }
}
