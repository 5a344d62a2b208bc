//! Machines that are deleted soon because no credit has come, or would be if nothing were in the way.

use super::open;
use crate::charging::Waiting;
use crate::exceptions::Exceptions;
use crate::web::format;
use crate::web::views::exceptions::{Exception, ExceptionKind};

pub(super) fn exceptions(current: &Exceptions) -> impl Iterator<Item = Exception> {
    current.deletions.iter().map(exception)
}

fn exception(waiting: &Waiting) -> Exception {
    let vms = format::count(&format::unsigned(waiting.vms), "VM", "VMs");
    let on = format::time(&waiting.deletion_on);
    let text = match (&waiting.waits, waiting.deletion_at) {
        (Some(_), _) => format!("The time for which disks are kept is over, but {vms} cannot be deleted."),
        (None, Some(_)) => format!("{vms} being deleted: no credit has come."),
        (None, None) => format!("{vms} will be deleted on {on} UTC at the earliest, unless credit comes before."),
    };
    Exception {
        kind: ExceptionKind::Deletion,
        title: format!("{} has no credit", waiting.organisation_name),
        text,
        words: waiting.waits.clone(),
        since: Some(waiting.exhausted_at),
        buttons: vec![open(format!("/admin/customers/{}", waiting.organisation))],
    }
}
