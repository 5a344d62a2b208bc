//! Figures of a benchmark: medians and percentiles, and the machine they were measured on.

use std::time::Duration;

use sqlx::PgPool;

/// The value below which `percent` of the measurements lie.
pub fn percentile(measured: &[Duration], percent: usize) -> Duration {
    let mut sorted = measured.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

/// Milliseconds with a decimal.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// How one time relates to another.
pub fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// Processor, memory and database server, on one line.
///
/// # Errors
/// When the server does not answer.
pub async fn machine(pool: &PgPool) -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory: u64 =
        field("/proc/meminfo", "MemTotal").and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let version: String = sqlx::query_scalar("show server_version").fetch_one(pool).await?;
    let buffers: String = sqlx::query_scalar("show shared_buffers").fetch_one(pool).await?;
    let durable: String =
        sqlx::query_scalar("select current_setting('fsync') || '/' || current_setting('synchronous_commit')")
            .fetch_one(pool)
            .await?;
    Ok(format!(
        "{cores} × {model}, {} GiB, PostgreSQL {version} (shared_buffers {buffers}, fsync/synchronous_commit {durable})",
        memory.div_ceil(1 << 20)
    ))
}

/// A field of one of the kernel's lists.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned()))
}
