//! What customers are told around zero, in sentences.

use billing::Notice as Lead;
use chrono::{DateTime, TimeDelta, Utc};

use super::{DeletionNotice, Exhausted, key};
use crate::app::App;
use crate::ledger::Wallet;
use crate::notifications::{Notice, Severity};

/// The credit ends soon.
pub(super) fn ends_soon(
    app: &App,
    id: i64,
    lead: Lead,
    wallet: &Wallet,
    ends: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Notice {
    let floor = if wallet.credit_limit.is_positive() {
        format!(" It may go down to −{} {}.", wallet.credit_limit.to_decimal().normalize(), app.settings.currency)
    } else {
        String::new()
    };
    let body = format!(
        "At what your VMs cost now, your credit lasts until {}. The balance is {} {}.{floor}\n\n\
         Then they are shut down in the order that you can set on the wallet's page. Disks and addresses are kept for a time, and \
         VMs start again when credit arrives. {}",
        instant(app, ends),
        wallet.balance.to_decimal().round_dp(2),
        app.settings.currency,
        app.settings.credit_contact,
    );
    Notice {
        key: soon_key(id),
        kind: "wallet.runs_out",
        severity: match lead {
            Lead::SevenDays => Severity::Info,
            Lead::ThreeDays | Lead::OneDay => Severity::Warning,
            Lead::OneHour => Severity::Urgent,
        },
        title: format!("Your credit ends in {}", span(ends - now)),
        body: body.trim_end().to_owned(),
        link: Some("/wallet".to_owned()),
    }
}

/// The key of a notice that the credit ends soon.
pub(super) fn soon_key(id: i64) -> String {
    format!("credit_ends:{id}:")
}

/// The credit has ended. `deletion` is the first notice of a deletion, when there will be one.
pub(super) fn ended(app: &App, known: &Exhausted, stopped: usize, deletion: Option<DeletionNotice>) -> Notice {
    let what = match stopped {
        0 => "No VM had to be shut down.".to_owned(),
        1 => "One VM is being shut down.".to_owned(),
        stopped => format!("{stopped} VMs are being shut down."),
    };
    let then = match deletion {
        Some(deletion) => deletion_words(app, deletion.deletion_on),
        None => "Disks and addresses are kept.".to_owned(),
    };
    Notice {
        key: format!("{}{}:", key(known.id), deletion.map_or(0, |deletion| deletion.number)),
        kind: "wallet.ran_out",
        severity: Severity::Urgent,
        title: if stopped == 0 { "Your credit has ended" } else { "Your credit has ended: VMs are being shut down" }
            .to_owned(),
        body: format!(
            "Your credit ended on {}. {what} {then}\n\nAny credit starts again what was shut down, in your order, as far as it \
             carries a day of it. If you need your data now, you can ask for rescue time on the wallet's page, once. {}",
            instant(app, known.at),
            app.settings.credit_contact,
        )
        .trim_end()
        .to_owned(),
        link: Some("/wallet".to_owned()),
    }
}

/// VMs will be deleted.
pub(super) fn deletion(app: &App, known: &Exhausted, notice: DeletionNotice) -> Notice {
    Notice {
        key: format!("{}{}:", key(known.id), notice.number),
        kind: "wallet.deletion",
        severity: Severity::Urgent,
        title: format!("Your VMs will be deleted on {}", day(app, notice.deletion_on)),
        body: format!(
            "Your credit ended on {}. {}\n\nAny credit prevents it. {}",
            instant(app, known.at),
            deletion_words(app, notice.deletion_on),
            app.settings.credit_contact,
        )
        .trim_end()
        .to_owned(),
        link: Some("/wallet".to_owned()),
    }
}

fn deletion_words(app: &App, on: DateTime<Utc>) -> String {
    format!(
        "Without credit your VMs are deleted with their disks on {} at the earliest. Protected VMs are not deleted.",
        instant(app, on)
    )
}

/// VMs were deleted.
pub(super) fn deleted(app: &App, known: &Exhausted, names: &[String], at: DateTime<Utc>) -> Notice {
    Notice {
        // Withdrawn by nothing: it stays true.
        key: format!("credit_deleted:{}:{}:", known.id, at.timestamp_micros()),
        kind: "wallet.deleted",
        severity: Severity::Urgent,
        title: if names.len() == 1 { "A VM was deleted" } else { "VMs were deleted" }.to_owned(),
        body: format!(
            "Your credit ended on {} and none has come since. Deleted with their disks: {}.",
            instant(app, known.at),
            names.join(", ")
        ),
        link: Some("/vms".to_owned()),
    }
}

/// Credit has come. `counts` says how many machines start again, and how many the credit does not carry.
pub(super) fn resumed(known: &Exhausted, counts: (usize, usize)) -> Notice {
    let (started, left_off) = counts;
    let mut body = match started {
        0 => "Credit has arrived. No VM was started.".to_owned(),
        1 => "Credit has arrived, and one VM is being started again.".to_owned(),
        started => format!("Credit has arrived, and {started} VMs are being started again."),
    };
    if left_off > 0 {
        let vms = if left_off == 1 { "one VM".to_owned() } else { format!("{left_off} VMs") };
        body.push_str(&format!(" It does not carry a day of {vms} more: they stay off until there is more."));
    }
    Notice {
        key: format!("credit_resumed:{}:", known.id),
        kind: "wallet.resumed",
        severity: if left_off > 0 { Severity::Warning } else { Severity::Info },
        title: if started > 0 { "Your VMs are starting again" } else { "Credit has arrived" }.to_owned(),
        body,
        link: Some("/vms".to_owned()),
    }
}

/// An instant in the platform's time zone, which it names.
fn instant(app: &App, at: DateTime<Utc>) -> String {
    let zone = app.settings.time_zone;
    format!("{} ({})", at.with_timezone(&zone).format("%-d %B %Y at %H:%M"), zone.name())
}

fn day(app: &App, at: DateTime<Utc>) -> String {
    at.with_timezone(&app.settings.time_zone).format("%-d %B %Y").to_string()
}

/// A span of time as people say it, longer than it is by a minute at most.
fn span(span: TimeDelta) -> String {
    let nearly = span + TimeDelta::minutes(1);
    let (count, one) = if nearly >= TimeDelta::hours(48) {
        (nearly.num_days(), "day")
    } else if nearly >= TimeDelta::hours(1) {
        (nearly.num_hours(), "hour")
    } else {
        (span.num_minutes().max(1), "minute")
    };
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_as_people_say_it() {
        let said = |minutes| span(TimeDelta::minutes(minutes));
        assert_eq!(said(7 * 1440), "7 days");
        assert_eq!(said(7 * 1440 - 1), "7 days");
        assert_eq!(said(7 * 1440 - 2), "6 days");
        assert_eq!(said(1440), "24 hours");
        assert_eq!(said(60), "1 hour");
        assert_eq!(said(0), "1 minute");
    }
}
