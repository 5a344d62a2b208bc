//! Consoles that are open in this process: how many, for whom, until when; and one-time addresses of further ones. Both
//! live in memory, for a connection lives in one process and ends with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::audit::Actor;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId, VmId};
use crate::sessions::Standing;
use crate::vms::ConsoleKind;

/// How many consoles of one machine may be open at once: each holds a worker and one of 100 ports of its node.
pub const CONSOLES_PER_VM_MAX: usize = 4;
/// How many consoles one person may have open at once.
pub const CONSOLES_PER_PERSON_MAX: usize = 10;
/// How many consoles one process serves at once.
pub const CONSOLES_MAX: usize = 500;
/// How long a one-time address is good, in seconds.
pub const TICKET_SECONDS: i64 = 30;
/// How many one-time addresses may wait to be used.
const TICKETS_MAX: usize = 10_000;
/// How many of them one person may have waiting.
const TICKETS_PER_PERSON_MAX: usize = 50;
/// How long the end of all consoles is waited for when the process ends.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// Leave to open one console once.
#[derive(Debug, Clone)]
pub struct Leave {
    /// Of which machine.
    pub vm: VmId,
    /// Whose that is.
    pub organisation: OrganisationId,
    /// Screen or serial line.
    pub kind: ConsoleKind,
    /// What proves that its holder is still logged in.
    pub standing: Standing,
    /// Who.
    pub person: UserId,
    /// As the audit log has him.
    pub actor: Actor,
    /// Why an operator looks at a customer's machine; none for its owner.
    pub reason: Option<String>,
}

struct Ticket {
    leave: Leave,
    expires_at: DateTime<Utc>,
}

#[derive(Default)]
struct Books {
    /// By the hash of their text.
    tickets: HashMap<Vec<u8>, Ticket>,
    by_vm: HashMap<VmId, usize>,
    by_person: HashMap<UserId, usize>,
    open: usize,
}

/// Where consoles are asked for and counted.
pub struct Desk {
    books: Arc<Mutex<Books>>,
    closing: watch::Sender<bool>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { books: Arc::default(), closing: watch::channel(false).0 }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Desk").field("open", &lock(&self.books).open).finish_non_exhaustive()
    }
}

/// An open console, counted until it is dropped.
#[derive(Debug)]
pub struct Place {
    vm: VmId,
    person: UserId,
    books: Arc<Mutex<Books>>,
    closing: watch::Receiver<bool>,
}

impl fmt::Debug for Books {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Books")
    }
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(ticket: &str) -> Vec<u8> {
    Sha256::digest(ticket).to_vec()
}

impl Desk {
    /// Writes a ticket that opens one console once, within [`TICKET_SECONDS`]. `now` is the machinery's.
    ///
    /// # Errors
    /// `Conflict` when too many wait to be used.
    pub fn give(&self, leave: Leave, now: DateTime<Utc>) -> Result<String> {
        let mut books = lock(&self.books);
        books.tickets.retain(|_, ticket| ticket.expires_at > now);
        let own = books.tickets.values().filter(|ticket| ticket.leave.person == leave.person).count();
        if own >= TICKETS_PER_PERSON_MAX || books.tickets.len() >= TICKETS_MAX {
            return Err(Error::conflict("Too many consoles were asked for at once. Try again in half a minute."));
        }
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        books.tickets.insert(hash(&text), Ticket { leave, expires_at: now + TimeDelta::seconds(TICKET_SECONDS) });
        Ok(text)
    }

    /// Takes a ticket back for what it gives leave to. Whatever follows, it is used.
    ///
    /// # Errors
    /// `Unauthenticated` when it was never given, has expired, was used, or is for another machine.
    pub fn take(&self, ticket: &str, vm: VmId, now: DateTime<Utc>) -> Result<Leave> {
        let taken = lock(&self.books).tickets.remove(&hash(ticket));
        match taken {
            Some(ticket) if ticket.expires_at > now && ticket.leave.vm == vm => Ok(ticket.leave),
            Some(_) | None => Err(Error::Unauthenticated(
                "This address of a console was used already or has expired. Ask for another one.",
            )),
        }
    }

    /// Counts one more console.
    ///
    /// # Errors
    /// `Conflict` when the machine, the person or the process has as many as it may.
    pub fn enter(&self, vm: VmId, person: UserId) -> Result<Place> {
        let mut books = lock(&self.books);
        let of_vm = books.by_vm.get(&vm).copied().unwrap_or(0);
        let of_person = books.by_person.get(&person).copied().unwrap_or(0);
        if of_vm >= CONSOLES_PER_VM_MAX {
            return Err(Error::conflict(format!(
                "{CONSOLES_PER_VM_MAX} consoles of this VM are open already. Close one of them first."
            )));
        }
        if of_person >= CONSOLES_PER_PERSON_MAX {
            return Err(Error::conflict(format!(
                "You have {CONSOLES_PER_PERSON_MAX} consoles open already. Close one of them first."
            )));
        }
        if books.open >= CONSOLES_MAX {
            return Err(Error::Unavailable("Too many consoles are open just now. Try again in a moment.".into()));
        }
        books.open += 1;
        books.by_vm.insert(vm, of_vm + 1);
        books.by_person.insert(person, of_person + 1);
        Ok(Place { vm, person, books: Arc::clone(&self.books), closing: self.closing.subscribe() })
    }

    /// Tells all consoles to end, and waits a moment until they have.
    pub async fn close(&self) {
        if self.closing.send(true).is_ok() && tokio::time::timeout(GOODBYE_MAX, self.closing.closed()).await.is_err() {
            tracing::warn!("some consoles did not end in time");
        }
    }
}

impl Place {
    /// Resolves when the process ends.
    pub async fn is_closing(&mut self) {
        // A desk that is gone has told everything it had to tell.
        let _ = self.closing.wait_for(|closing| *closing).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fn less<Key: std::hash::Hash + Eq>(counts: &mut HashMap<Key, usize>, key: &Key) {
            if let Some(count) = counts.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
        let mut books = lock(&self.books);
        books.open -= 1;
        less(&mut books.by_vm, &self.vm);
        less(&mut books.by_person, &self.person);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(vm: VmId, person: UserId) -> Leave {
        Leave {
            vm,
            organisation: OrganisationId::new(),
            kind: ConsoleKind::Screen,
            standing: Standing::of_cookie("token"),
            person,
            actor: Actor::system(),
            reason: None,
        }
    }

    #[test]
    fn a_ticket_is_used_once_in_time_and_for_its_own_machine() {
        let (desk, vm, person) = (Desk::default(), VmId::new(), UserId::new());
        let now = DateTime::UNIX_EPOCH;
        let late = now + TimeDelta::seconds(TICKET_SECONDS);
        let ticket = desk.give(leave(vm, person), now).unwrap();
        assert!(desk.take(&ticket, vm, now).is_ok());
        assert!(desk.take(&ticket, vm, now).is_err(), "used");
        let ticket = desk.give(leave(vm, person), now).unwrap();
        assert!(desk.take(&ticket, vm, late).is_err(), "expired");
        let ticket = desk.give(leave(vm, person), now).unwrap();
        assert!(desk.take(&ticket, VmId::new(), now).is_err(), "another machine");
        assert!(desk.take(&ticket, vm, now).is_err(), "and used by that");
    }

    #[test]
    fn places_are_limited_per_machine_and_per_person_and_come_back() {
        let (desk, vm) = (Desk::default(), VmId::new());
        let places: Vec<Place> = (0..CONSOLES_PER_VM_MAX).map(|_| desk.enter(vm, UserId::new()).unwrap()).collect();
        assert!(desk.enter(vm, UserId::new()).is_err());
        drop(places);
        assert!(desk.enter(vm, UserId::new()).is_ok());
        let person = UserId::new();
        let places: Vec<Place> =
            (0..CONSOLES_PER_PERSON_MAX).map(|_| desk.enter(VmId::new(), person).unwrap()).collect();
        assert!(desk.enter(VmId::new(), person).is_err());
        drop(places);
        assert_eq!(lock(&desk.books).open, 0);
    }
}
