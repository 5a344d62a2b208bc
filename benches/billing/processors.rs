//! How busy the processors are, as the kernel counts.

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
