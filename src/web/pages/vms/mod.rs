//! Machines of a customer: the list, making one, one machine, power, deletion. What a machine is called here has no word of
//! Proxmox in it.

mod console;
mod delete;
mod list;
mod new;
mod power;
mod rebuild;
mod resize;
mod settings;
mod show;
mod status;
mod timeline;

pub use console::console;
pub use delete::{confirm_delete, delete};
pub use list::{list, row, summary};
pub use new::{cost, create, new};
pub use power::{reboot, reset, resume, shutdown, start, stop, suspend};
pub use rebuild::{boot, choose_image, rebuild};
pub use resize::{choose_size, resize, resize_cost};
pub use settings::{configure, set_password, settings};
pub use show::{panel, show, status, user_data};

pub(super) use console::{page as console_page, render_console};
pub(super) use status::{progress, vm_status};
