//! Machines of a customer: the list, making one, one machine, power, deletion. What a machine is called here has no word of
//! Proxmox in it.

mod console;
mod delete;
mod list;
mod new;
mod power;
mod show;
mod status;
mod timeline;

pub use console::console;
pub use delete::{confirm_delete, delete};
pub use list::{list, row, summary};
pub use new::{cost, create, new};
pub use power::{reboot, shutdown, start, stop};
pub use show::{panel, show, status, user_data};

pub(super) use console::{page as console_page, render_console};
pub(super) use status::{progress, vm_status};
