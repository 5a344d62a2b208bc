//! Invented load: processor use, memory, traffic. The same guest at the same time always has the same figures, and
//! counters only grow while a process lives. The only file with floating-point arithmetic.

use crate::clock::Micros;
use crate::cluster::guest::Guest;

/// Seconds over which a guest's load wavers once.
const WAVE_SECONDS: u64 = 600;
/// Seconds until a booted guest has taken the memory it uses.
const WARM_UP_SECONDS: u64 = 60;

/// Seconds since a guest's process started.
pub(crate) fn uptime(guest: &Guest, now: Micros) -> u64 {
    guest.process.as_ref().map_or(0, |process| now.saturating_sub(process.started) / 1_000_000)
}

fn character(guest: &Guest, what: u64) -> u64 {
    let mixed = (u64::from(guest.vmid) << 8 | what).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// Permille of its processors a guest uses.
fn processors_permille(guest: &Guest, now: Micros) -> u64 {
    let paused = guest.process.as_ref().is_none_or(|process| process.paused || process.prelaunch);
    let uptime = uptime(guest, now);
    if paused || uptime < 2 {
        return 0;
    }
    let base = 5 + character(guest, 1) % 120;
    let position = (uptime + character(guest, 2)) % WAVE_SECONDS;
    let wave = if position < WAVE_SECONDS / 2 { position } else { WAVE_SECONDS - position };
    base + wave * 150 / WAVE_SECONDS
}

/// Part of its processors a guest uses, 0 to 1.
#[expect(clippy::float_arithmetic, reason = "a load is a fraction; no money and no sizes depend on it")]
pub(crate) fn processors(guest: &Guest, now: Micros) -> f64 {
    small(processors_permille(guest, now)) / 1000.0
}

/// Part of a node's processors in use, 0 to 1.
#[expect(clippy::float_arithmetic, reason = "a load is a fraction; no money and no sizes depend on it")]
pub(crate) fn node_processors<'a>(guests: impl Iterator<Item = &'a Guest>, cores: u32, now: Micros) -> f64 {
    let permille: u64 = guests.map(|guest| processors_permille(guest, now) * guest.config.cpus()).sum();
    (0.01 + small(permille) / 1000.0 / f64::from(cores.max(1))).min(1.0)
}

/// A load average as Proxmox prints it.
#[expect(clippy::float_arithmetic, reason = "a load is a fraction; no money and no sizes depend on it")]
pub(crate) fn average(processors: f64, cores: u32) -> String {
    format!("{:.2}", processors * f64::from(cores))
}

/// `part` of `whole`, 0 to 1.
#[expect(clippy::float_arithmetic, reason = "Proxmox reports this fraction; nobody computes with it")]
pub(crate) fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { small(part >> 20) / small((whole >> 20).max(1)) }
}

/// Bytes per second.
#[expect(clippy::float_arithmetic, reason = "a rate is a fraction; nobody computes with it")]
pub(crate) fn rate(bytes: u64, seconds: u64) -> f64 {
    small(bytes) / small(seconds.max(1))
}

/// Figures here are far below 2^32; larger ones are cut.
fn small(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Bytes of memory a running guest uses.
pub(crate) fn memory(guest: &Guest, now: Micros) -> u64 {
    if guest.process.is_none() {
        return 0;
    }
    let all = guest.config.memory_mib() << 20;
    let share = 15 + character(guest, 3) % 50;
    let warmth = uptime(guest, now).min(WARM_UP_SECONDS);
    all / 100 * share / WARM_UP_SECONDS * warmth + all / 50
}

/// Bytes since the process started: to the guest, from the guest, read, written.
pub(crate) fn traffic(guest: &Guest, now: Micros) -> [u64; 4] {
    let uptime = if guest.process.as_ref().is_some_and(|process| process.prelaunch) { 0 } else { uptime(guest, now) };
    [(4, 40_000), (5, 12_000), (6, 90_000), (7, 30_000)]
        .map(|(what, most)| uptime * (100 + character(guest, what) % most))
}
