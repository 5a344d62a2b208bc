//! Hashing and checking passwords with Argon2id. It runs on threads of its own that give way to everything else, one for each
//! processor, so that logins cannot starve the rest; who would have to wait too long is told so at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};

use anyhow::{Context, anyhow};
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::error::{Error, Result};

/// OWASP's recommendation for Argon2id: 19 MiB, two passes, one lane. Who raises these raises them for everybody: a weaker hash
/// is made anew when its owner logs in.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most hashes that are computed at once, however many processors there are. Each takes 19 MiB.
const THREADS_MAX: usize = 8;
/// How many wait for their turn; further ones are sent away. With 20 ms each that is about a second.
const WAITING_MAX: usize = 64;
/// How many passwords are hashed or wait for it at once that are new ones: a quarter, so that whoever opens accounts by the dozen
/// leaves the logins their places.
const NEW_MAX: usize = WAITING_MAX / 4;
/// How many tries that will most likely be told to wait are hashed or wait for it at once: whoever floods from a network that has
/// to wait leaves the others their places.
const HELD_MAX: usize = WAITING_MAX / 4;
/// How far the threads step back behind those that serve requests: `nice`, of at most 19.
const NICENESS: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// The threads that hash.
struct Hashers {
    turns: Semaphore,
    new: Semaphore,
    held: Semaphore,
    waiting: AtomicUsize,
    work: mpsc::Sender<Work>,
}

static HASHERS: LazyLock<Hashers> = LazyLock::new(Hashers::start);

/// What an unknown e-mail address is checked against, so that it takes as long as a known one.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash_now("nobody has this password").unwrap_or_default());

impl Hashers {
    fn start() -> Self {
        // One processor is left to those who serve requests.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.saturating_sub(1).clamp(1, THREADS_MAX);
        let (work, received) = mpsc::channel::<Work>();
        let received = Arc::new(Mutex::new(received));
        for number in 0..threads {
            let received = Arc::clone(&received);
            let started = std::thread::Builder::new().name(format!("hasher-{number}")).spawn(move || {
                // On Linux this is about the calling thread. Where it is refused, hashing is only less polite.
                let _ = rustix::process::setpriority_process(None, NICENESS);
                loop {
                    let next = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = next else { return };
                    // Who waits for it learns of a panic by the end of his channel; the thread goes on.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                }
            });
            if let Err(error) = started {
                tracing::error!(%error, "a thread for hashing passwords could not be started");
            }
        }
        let [turns, new, held] = [threads, NEW_MAX, HELD_MAX].map(Semaphore::new);
        Self { turns, new, held, waiting: AtomicUsize::new(0), work }
    }
}

/// Counts who waits, until he waits no more.
struct Waiting(&'static AtomicUsize);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody's turn to hash.
#[expect(dead_code, reason = "what is held is given back when it is dropped")]
pub(super) struct Turn {
    turn: SemaphorePermit<'static>,
    held: Option<SemaphorePermit<'static>>,
}

/// What a check found.
pub(super) struct Checked {
    /// Whether it is the password.
    pub is_right: bool,
    /// The same password under today's parameters, when it is right and was stored under weaker ones.
    pub stronger: Option<String>,
}

/// Waits for a turn.
///
/// # Errors
/// `Unavailable` when too many wait already.
pub(super) async fn turn() -> Result<Turn> {
    let hashers = &*HASHERS;
    let before = hashers.waiting.fetch_add(1, Ordering::Relaxed);
    let _waiting = Waiting(&hashers.waiting);
    if before >= WAITING_MAX {
        return Err(Error::Unavailable("Too many people are logging in just now. Try again in a moment.".into()));
    }
    let turn = hashers.turns.acquire().await.context("the semaphore is never closed")?;
    Ok(Turn { turn, held: None })
}

/// The same, for a try that will most likely be told to wait; none when there are many of those already.
///
/// # Errors
/// `Unavailable` when too many wait already.
pub(super) async fn turn_of_held() -> Result<Option<Turn>> {
    let Ok(place) = HASHERS.held.try_acquire() else { return Ok(None) };
    Ok(Some(Turn { held: Some(place), ..turn().await? }))
}

impl Turn {
    /// Hashes a password for the database.
    pub async fn hash(&self, password: SecretString) -> anyhow::Result<String> {
        self.run(move || hash_now(password.expose_secret())).await?
    }

    /// Checks a password against a stored hash; without one, takes the same time and says no.
    pub async fn check(&self, password: SecretString, stored: Option<String>) -> anyhow::Result<Checked> {
        self.run(move || check_now(password.expose_secret(), stored.as_deref())).await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
        let (done, result) = oneshot::channel();
        let work: Work = Box::new(move || {
            let _ = done.send(work());
        });
        HASHERS.work.send(work).map_err(|_| anyhow!("no thread hashes passwords"))?;
        result.await.context("while hashing a password")
    }
}

/// Hashes a new password for the database, when it is its turn.
///
/// # Errors
/// `Unavailable` when too many new ones, or too many in all, wait already.
pub(super) async fn hash(password: SecretString) -> Result<String> {
    let busy = |_| Error::Unavailable("Too many passwords are being set just now. Try again in a moment.".into());
    let _place = HASHERS.new.try_acquire().map_err(busy)?;
    Ok(turn().await?.hash(password).await?)
}

fn hasher() -> anyhow::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| anyhow!("argon2 parameters: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &str) -> anyhow::Result<String> {
    let hash: PasswordHash =
        hasher()?.hash_password(password.as_bytes()).map_err(|error| anyhow!("while hashing a password: {error}"))?;
    Ok(hash.to_string())
}

fn check_now(password: &str, stored: Option<&str>) -> anyhow::Result<Checked> {
    // Made before either way, so that the first check of a process is as slow for a known address.
    let nobody = LazyLock::force(&NOBODY);
    let parsed = PasswordHash::new(stored.unwrap_or(nobody))
        .map_err(|error| anyhow!("a stored password hash is unreadable: {error}"))?;
    let is_right = hasher()?.verify_password(password.as_bytes(), &parsed).is_ok() && stored.is_some();
    let stronger = if is_right && is_weak(&parsed) { Some(hash_now(password)?) } else { None };
    Ok(Checked { is_right, stronger })
}

/// Whether a hash costs less to guess than one of today.
fn is_weak(hash: &PasswordHash) -> bool {
    let is_of_today = Algorithm::try_from(hash.algorithm.as_str()) == Ok(Algorithm::Argon2id);
    let costs = Params::try_from(&hash.params).map(|params| (params.m_cost(), params.t_cost()));
    !is_of_today || costs.map_or(true, |(memory, passes)| memory < MEMORY_KIB || passes < PASSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored_with(memory_kib: u32, passes: u32) -> String {
        let params = Params::new(memory_kib, passes, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: PasswordHash = hasher.hash_password(b"correct horse").unwrap();
        hash.to_string()
    }

    #[test]
    fn a_right_password_under_weak_parameters_is_hashed_again_and_a_wrong_one_is_not() {
        let weak = stored_with(64, 1);

        let checked = check_now("correct horse", Some(&weak)).unwrap();
        let stronger = checked.stronger.unwrap();
        assert!(checked.is_right && stronger.contains("m=19456,t=2"), "{stronger}");
        assert!(check_now("correct horse", Some(&stronger)).unwrap().stronger.is_none());
        let wrong = check_now("wrong horse", Some(&weak)).unwrap();
        assert!(!wrong.is_right && wrong.stronger.is_none());
    }

    #[test]
    fn nobodys_password_is_no_password() {
        assert!(!check_now("nobody has this password", None).unwrap().is_right);
    }

    // One test, for both use the queue that the whole process shares.
    #[tokio::test]
    async fn a_panic_ends_one_turn_and_no_thread_and_who_would_wait_too_long_is_sent_away() {
        for _ in 0..2 * THREADS_MAX {
            let outcome = turn().await.unwrap().run(|| panic!("on purpose")).await;
            assert!(outcome.is_err());
        }
        assert!(turn().await.unwrap().run(|| true).await.unwrap());

        let mut taken = Vec::new();
        while HASHERS.turns.available_permits() > 0 {
            taken.push(turn().await.unwrap());
        }
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| tokio::spawn(turn())).collect();
        while HASHERS.waiting.load(Ordering::Relaxed) < WAITING_MAX {
            tokio::task::yield_now().await;
        }
        assert!(matches!(turn().await, Err(Error::Unavailable(_))));
        drop(taken);
        for one in waiting {
            assert!(one.await.unwrap().is_ok());
        }

        // New passwords take a part of the places, and leave the rest to logins.
        let mut taken = Vec::new();
        while HASHERS.turns.available_permits() > 0 {
            taken.push(turn().await.unwrap());
        }
        let new: Vec<_> = (0..NEW_MAX).map(|_| tokio::spawn(hash("correct horse".into()))).collect();
        while HASHERS.waiting.load(Ordering::Relaxed) < NEW_MAX {
            tokio::task::yield_now().await;
        }
        assert!(matches!(hash("correct horse".into()).await, Err(Error::Unavailable(_))));
        let login = tokio::spawn(turn());
        while HASHERS.waiting.load(Ordering::Relaxed) <= NEW_MAX {
            tokio::task::yield_now().await;
        }
        drop(taken);
        assert!(login.await.unwrap().is_ok());
        for one in new {
            assert!(one.await.unwrap().is_ok());
        }
        assert!(turn().await.is_ok());
    }
}
