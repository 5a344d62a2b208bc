//! agent/exec and exec-status: a shell of a few commands. What it does not know ends with 127, as a shell says it.

use serde_json::{Map, json};

use super::agent::{answering, answering_mut};
use super::agent_state::Command;
use crate::call::Call;
use crate::clock::Micros;
use crate::cluster::guest::Guest;
use crate::failure::{Failure, Outcome, Reply};
use crate::parameters::Given;

/// Longest `sleep`, in seconds.
const SLEEP_MAX: u64 = 3_600;

/// POST agent/exec
pub(crate) fn start(call: &mut Call<'_>) -> Outcome {
    let guest = answering(call)?;
    let words: Vec<String> = match call.parameters.get("command") {
        Some(Given::List(words)) => words.clone(),
        Some(Given::Text(word)) => vec![word.clone()],
        _ => Vec::new(),
    };
    let input = call.parameters.text("input-data").unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = run(guest, &words, input, call.now)?;
    let pid = answering_mut(call)?.inside.start(command);
    Ok(Reply::data(json!({ "pid": pid })))
}

fn run(guest: &Guest, words: &[&str], input: &str, now: Micros) -> Result<Command, Failure> {
    let [program, arguments @ ..] = words else { return Ok(Command::default()) };
    let name = program.rsplit('/').next().unwrap_or_default();
    let said = |out: String| Command { ends: now, out, ..Command::default() };
    Ok(match (name, arguments) {
        ("sh" | "bash", ["-c", line]) => {
            let words: Vec<&str> = line.split_whitespace().collect();
            run(guest, &words, input, now).unwrap_or_else(|_| {
                let name = words.first().copied().unwrap_or_default();
                Command { ends: now, code: 127, error: format!("sh: 1: {name}: not found\n"), ..Command::default() }
            })
        }
        ("echo", words) => said(format!("{}\n", words.join(" "))),
        ("cat", []) => said(input.to_owned()),
        ("cat", paths) => {
            let mut command = said(String::new());
            for path in paths {
                match guest.inside.files.get(*path) {
                    Some(content) => command.out.push_str(&String::from_utf8_lossy(content)),
                    None => {
                        command.code = 1;
                        command.error.push_str(&format!("cat: {path}: No such file or directory\n"));
                    }
                }
            }
            command
        }
        ("hostname", _) => said(format!("{}\n", super::agent_facts::host_name(guest))),
        ("uname", _) => said("Linux\n".to_owned()),
        ("whoami", _) => said("root\n".to_owned()),
        ("true", _) => said(String::new()),
        ("false", _) => Command { code: 1, ..said(String::new()) },
        ("sleep", [seconds]) => {
            let seconds: u64 = seconds.parse().unwrap_or(0);
            Command { ends: now.saturating_add(seconds.min(SLEEP_MAX) * 1_000_000), ..Command::default() }
        }
        ("sh" | "bash" | "sleep", _) => said(String::new()),
        // The agent itself starts the program, without a shell that could say 127.
        _ if program.contains('/') => {
            Command { ends: now, code: 127, error: format!("{program}: not found\n"), ..Command::default() }
        }
        _ => Command { ends: now, code: 127, error: format!("{name}: command not found\n"), ..Command::default() },
    })
}

/// GET agent/exec-status: the result of a command that ended is told once.
pub(crate) fn status(call: &mut Call<'_>) -> Outcome {
    let (pid, now): (u32, Micros) = (call.parameters.number("pid").unwrap_or_default(), call.now);
    let guest = answering_mut(call)?;
    let Some(command) = guest.inside.commands.get(&pid).cloned() else {
        return Err(Failure::died("Agent error: Invalid parameter 'pid'"));
    };
    if command.ends > now {
        return Ok(Reply::data(json!({ "exited": 0 })));
    }
    guest.inside.commands.remove(&pid);
    let mut answer = Map::from_iter([("exited".to_owned(), json!(1)), ("exitcode".to_owned(), json!(command.code))]);
    for (name, text) in [("out", command.out), ("err", command.error)] {
        if !text.is_empty() {
            answer.insert(format!("{name}-data"), json!(text));
            answer.insert(format!("{name}-truncated"), json!(0));
        }
    }
    Ok(Reply::data(answer))
}
