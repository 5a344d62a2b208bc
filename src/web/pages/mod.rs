//! HTML for people. Each handler reads the request, calls one operation of a noun and shows the result.

pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod clusters;
pub mod consoles;
pub mod customers;
pub mod docs;
pub mod drift;
pub mod errors;
pub mod exceptions;
pub mod foreign_guests;
mod frames;
pub mod jobs;
pub mod mails;
pub mod notifications;
pub mod passes;
pub mod plans;
pub mod price_lists;
pub mod prices;
pub mod revenue;
pub mod settings;
pub mod ssh_keys;
pub mod vms;
pub mod vouchers;
pub mod wallet;
pub mod zero;
