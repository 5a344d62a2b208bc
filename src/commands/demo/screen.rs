//! What the person at the terminal sees: progress while things start, then one short screen.

use std::io::{IsTerminal, Write, stdout};
use std::path::Path;

use secrecy::ExposeSecret;

use super::folder::Secrets;
use super::{ADMIN_EMAIL, CUSTOMER_EMAIL};

/// Says what is being done; on a terminal in place of what was said before.
#[expect(clippy::print_stdout, reason = "this is the screen")]
pub(super) fn progress(what: &str) {
    if stdout().is_terminal() {
        print!("\r\x1b[K  {what} …");
        let _ = stdout().flush();
    } else {
        println!("{what} …");
    }
}

/// The one short screen.
#[expect(clippy::print_stdout, reason = "this is the screen")]
pub(super) fn ready(url: &str, secrets: &Secrets, folder: &Path, speed: u32) {
    if stdout().is_terminal() {
        print!("\r\x1b[K");
    }
    let pace = if speed == 1 {
        "The books run in real time; --speed 3600 bills an hour every second.".to_owned()
    } else {
        format!("The books run {speed} times faster than life.")
    };
    println!(
        "\n  Uni-Manager demo   {url}\n\n  customer   {CUSTOMER_EMAIL}   {}\n  admin      {ADMIN_EMAIL}   {}\n\n  {pace}\n  Everything is in {} (log, demo.json). Ctrl-C stops it; the next start goes on from here.\n",
        secrets.customer_password.expose_secret(),
        secrets.admin_password.expose_secret(),
        folder.display(),
    );
    let _ = stdout().flush();
}

/// The end.
#[expect(clippy::print_stdout, reason = "this is the screen")]
pub(super) fn stopping() {
    println!("\r  Stopping …");
}
