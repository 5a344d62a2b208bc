//! Reads the subcommand and starts it.

use std::process::ExitCode;

use clap::Parser;
use uni_manager::commands::Command;

fn main() -> ExitCode {
    let command = Command::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("uni-manager: the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(command.run());
    // What still runs (an open stream, a timer) must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("uni-manager: {error:#}");
            ExitCode::FAILURE
        }
    }
}
