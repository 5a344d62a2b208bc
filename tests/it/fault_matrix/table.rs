//! The matrix as a table: step × fault → outcome.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::mishap::Mishap;
use super::operation::Operation;

type Key = (Operation, usize);

/// A step's name and its outcomes by fault.
#[derive(Default)]
struct Line {
    step: &'static str,
    outcomes: BTreeMap<&'static str, String>,
}

static LINES: Mutex<BTreeMap<Key, Line>> = Mutex::new(BTreeMap::new());
const KILLED: &str = "kill -9";
const KILLED_UNDOING: &str = "kill -9, undoing";

/// Notes an outcome; none where the fault cannot happen.
pub fn note(operation: Operation, step: usize, name: &'static str, fault: &'static str, outcome: Option<String>) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let line = lines.entry((operation, step)).or_default();
    line.step = name;
    line.outcomes.insert(fault, outcome.unwrap_or_else(|| "—".to_owned()));
}

/// Notes at which points the process was killed, and that each time the work was finished or undone.
pub fn note_kills(points: &[impl AsRef<str>], outcome: &str) {
    let mut counts: BTreeMap<(Operation, usize, &'static str), usize> = BTreeMap::new();
    for point in points {
        let parts: Vec<&str> = point.as_ref().splitn(4, '.').collect();
        let operation = Operation::ALL.into_iter().find(|known| known.kind().name() == parts[..2].join("."));
        let operation = operation.unwrap_or_else(|| panic!("whose point is {}", point.as_ref()));
        let steps = operation.kind().steps();
        // The end of an operation belongs to its last step; that of undoing it, to its first.
        let end = if matches!(parts[2], "undone" | "given_up") { 0 } else { steps.len() - 1 };
        let step = steps.iter().position(|step| step.name == parts[2]).unwrap_or(end);
        *counts.entry((operation, step, steps[step].name)).or_default() += 1;
    }
    let column = if outcome == "done" { KILLED } else { KILLED_UNDOING };
    for ((operation, step, name), times) in counts {
        note(operation, step, name, column, Some(format!("{outcome} ×{times}")));
    }
    write();
}

/// Writes what is known so far to the file that `scripts/test` shows.
pub fn write() {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let faults: Vec<&str> = Mishap::ALL.iter().map(|mishap| mishap.title()).chain([KILLED, KILLED_UNDOING]).collect();
    let width = |fault: &str| {
        let cells = lines.values().filter_map(|line| line.outcomes.get(fault));
        cells.map(|cell| cell.chars().count()).chain([fault.chars().count()]).max().unwrap_or(0)
    };
    let mut text = format!("{:<22}", "step");
    for fault in &faults {
        let _ = write!(text, "  {fault:<width$}", width = width(fault));
    }
    for ((operation, _), line) in lines.iter() {
        let _ = write!(text, "\n{:<22}", format!("{}.{}", operation.kind().name(), line.step));
        for fault in &faults {
            let cell = line.outcomes.get(fault).map_or("", String::as_str);
            let _ = write!(text, "  {cell:<width$}", width = width(fault));
        }
    }
    text.push('\n');
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    std::fs::write(target.join("fault-matrix.txt"), text).expect("the table is written");
}
