//! What the pages show: one file per noun with the template structs and the plain values in them.
//! They know nothing of the database, the session or the nouns' own types; a handler fills them.

pub mod account;
pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod chart;
pub mod clusters;
pub mod consoles;
pub mod customers;
pub mod docs;
pub mod drift;
pub mod errors;
pub mod exceptions;
pub mod foreign_guests;
pub mod form;
pub mod frame;
pub mod invoices;
pub mod jobs;
pub mod mails;
pub mod markup;
pub mod movement;
pub mod notifications;
pub mod organisations;
pub mod passes;
pub mod payments;
pub mod prices;
pub mod quotas;
pub mod revenue;
pub mod security;
pub mod ssh_keys;
pub mod staff;
pub mod vms;
pub mod vouchers;
pub mod wallet;
pub mod zero;
