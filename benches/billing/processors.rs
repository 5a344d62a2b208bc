//! How busy the processors are, as the kernel counts, and how much faster two of them are than one.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds of arithmetic in one measurement: some tenths of a second.
const ARITHMETIC: u64 = 200_000_000;

/// Ticks of all processors since the machine started.
#[derive(Clone, Copy)]
pub struct Ticks {
    busy: u64,
    all: u64,
}

impl Ticks {
    /// Reads them; zero where the kernel does not tell.
    pub fn now() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).take(8).collect();
        let all = ticks.iter().sum();
        // The fourth is idle, the fifth waits for disks.
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Self { busy: all - idle, all }
    }

    /// Which part of the time since then they were busy, in percent.
    pub fn busy_since(self) -> f64 {
        let now = Self::now();
        100.0 * (now.busy - self.busy) as f64 / (now.all - self.all).max(1) as f64
    }
}

/// How many times as much two threads compute as one, in the same time: two, where processors share nothing.
pub fn speed_of_two() -> f64 {
    let (one, two) = (computed_by(1), computed_by(2));
    2.0 * one.as_secs_f64() / two.as_secs_f64()
}

fn computed_by(threads: usize) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut state = black_box(1_u64);
                for _ in 0..ARITHMETIC {
                    // A generator of pseudo-random numbers, each from the one before: xorshift by Marsaglia.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                }
                black_box(state)
            });
        }
    });
    start.elapsed()
}
