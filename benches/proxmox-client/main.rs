//! A thousand calls of `proxmox-client`, and the same of Python's proxmoxer: processor seconds, time and memory.
//!
//! Both are processes of their own, run by turns, and talk to the same simulated cluster, which runs in this process, over
//! TLS with a token. Both start with none of the calls too, so that what starting takes can be told apart.
#![expect(clippy::print_stdout, reason = "it reports to a person at a terminal")]
#![expect(clippy::float_arithmetic, reason = "ratios of measurements are not money")]

mod calls;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use proxmox_client::{ApiToken, Client, CloneVm, Settings, TaskWait, Trust};
use proxmox_simulator::{Options, Simulator};

/// How many calls each makes in one run.
const CALLS: u32 = 1_000;
/// How often each is run.
const RUNS: usize = 5;
/// How many guests there are to be listed, besides the templates.
const GUESTS: u32 = 100;
const FIRST: u32 = 1_000;
const TEMPLATE: u32 = 9000;
/// The largest time a clone may take here.
const CLONE: Duration = Duration::from_secs(30);
/// The least relation of processor seconds, theirs to ours.
const TARGET: f64 = 5.0;
/// The argument that makes this program the one that is measured.
const MEASURED: &str = "--measured";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, measured, count] = arguments.as_slice()
        && measured == MEASURED
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        println!("{}", runtime.block_on(calls::run(count.parse()?, FIRST, GUESTS))?);
        return Ok(());
    }
    tokio::runtime::Runtime::new()?.block_on(compare())
}

async fn compare() -> anyhow::Result<()> {
    let python = python()?;
    let simulator = Simulator::start(Options::default())?;
    furnish(&simulator).await?;
    let folder = Folder::new()?;
    let certificate = folder.0.join("certificate.pem");
    std::fs::write(&certificate, simulator.certificate_pem())?;
    let measure = Measure { python: &python, simulator: &simulator, certificate: &certificate };

    let mut ours = Figures::default();
    let mut theirs = Figures::default();
    for run in 0..RUNS {
        let (our_sums, their_sums) = (ours.take(&measure, Which::Ours)?, theirs.take(&measure, Which::Theirs)?);
        ensure!(our_sums == their_sums, "they read different things: {our_sums} and {their_sums}");
        if run == 0 {
            let listed = our_sums.split(' ').next().unwrap_or_default();
            println!("{CALLS} calls, {GUESTS} guests, {listed} entries listed; {RUNS} runs each, by turns");
        }
    }
    println!(
        "                   processor, whole process   processor, calls alone   time, whole process   peak memory"
    );
    for (name, figures) in [("proxmox-client", &ours), ("proxmoxer", &theirs)] {
        println!(
            "  {name:<16} {:>17.3} s {:>24.3} s {:>20.3} s {:>14.1} MB",
            seconds(&figures.processor),
            seconds(&figures.calls),
            seconds(&figures.time),
            figures.peak_megabytes
        );
    }
    let calls = seconds(&theirs.calls) / seconds(&ours.calls);
    println!("ratio: {calls:.2}");
    println!(
        "  (processor seconds of the calls alone, theirs / ours, of the medians: higher is better; target: at least {TARGET:.0}: {})",
        if calls >= TARGET { "reached" } else { "missed" }
    );
    println!(
        "  whole process: {:.2}; time: {:.2}",
        seconds(&theirs.processor) / seconds(&ours.processor),
        seconds(&theirs.time) / seconds(&ours.time)
    );
    simulator.shutdown();
    Ok(())
}

/// The median, in seconds.
fn seconds(measured: &[Duration]) -> f64 {
    let mut sorted = measured.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default().as_secs_f64()
}

/// The Python that has proxmoxer.
fn python() -> anyhow::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let python = std::path::absolute(target.join("proxmoxer/bin/python"))?;
    ensure!(
        python.exists(),
        "{} does not exist: benches/proxmox-client/prepare installs proxmoxer (scripts/bench proxmox-client calls it)",
        python.display()
    );
    Ok(python)
}

async fn furnish(simulator: &Simulator) -> anyhow::Result<()> {
    let trust = Trust::Fingerprint(simulator.fingerprint().parse()?);
    let client = Client::new(Settings::new(simulator.url(), ApiToken::parse(simulator.token())?, trust))?;
    for vmid in FIRST..FIRST + GUESTS {
        let task = client.clone_vm(calls::NODE, TEMPLATE, &CloneVm::new(vmid).name(&format!("guest-{vmid}"))).await?;
        client.wait_for_task(&task, &TaskWait::new(CLONE)).await?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Which {
    Ours,
    Theirs,
}

struct Measure<'a> {
    python: &'a Path,
    simulator: &'a Simulator,
    certificate: &'a Path,
}

/// What one process took.
struct Taken {
    processor: Duration,
    time: Duration,
    peak_megabytes: f64,
    sums: String,
}

impl Measure<'_> {
    fn run(&self, which: Which, count: u32) -> anyhow::Result<Taken> {
        let files = Path::new("benches/proxmox-client");
        let mut command = Command::new(self.python);
        command.arg(files.join("measured.py"));
        match which {
            Which::Ours => command.arg(std::env::current_exe()?).args([MEASURED, &count.to_string()]),
            Which::Theirs => command.arg(self.python).arg(files.join("calls.py")).args([
                &count.to_string(),
                &FIRST.to_string(),
                &GUESTS.to_string(),
            ]),
        };
        command
            .env(calls::URL, self.simulator.url())
            .env(calls::TOKEN, self.simulator.token())
            .env(calls::CERTIFICATE, self.certificate);
        let start = Instant::now();
        let output = command.output()?;
        let time = start.elapsed();
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("a measured process failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        }
        let lines: Vec<&str> = text.lines().collect();
        let [sums, usage] = lines.as_slice() else {
            bail!("a measured process printed {text:?}");
        };
        let usage: Vec<f64> = usage.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [user, system, peak] = usage.as_slice() else {
            bail!("its usage is {usage:?}");
        };
        Ok(Taken {
            processor: Duration::try_from_secs_f64(user + system)?,
            time,
            peak_megabytes: peak * 1024.0 / 1e6,
            sums: (*sums).to_owned(),
        })
    }
}

#[derive(Default)]
struct Figures {
    processor: Vec<Duration>,
    /// Without what a process takes that makes no call.
    calls: Vec<Duration>,
    time: Vec<Duration>,
    peak_megabytes: f64,
}

impl Figures {
    fn take(&mut self, measure: &Measure<'_>, which: Which) -> anyhow::Result<String> {
        let start = measure.run(which, 0)?;
        let whole = measure.run(which, CALLS)?;
        self.processor.push(whole.processor);
        self.calls.push(whole.processor.checked_sub(start.processor).context("the calls took less than none")?);
        self.time.push(whole.time);
        self.peak_megabytes = self.peak_megabytes.max(whole.peak_megabytes);
        Ok(whole.sums)
    }
}

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let place = std::env::temp_dir().join(format!("proxmox-client-bench-{}", std::process::id()));
        std::fs::create_dir(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
