//! The house as its users meet it: a real PostgreSQL with a database per test, a clock that stands until it is moved, a
//! Proxmox that answers like Proxmox, and the doors of the product. Nothing sleeps; time is moved and due work is run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod proxmox;
mod world;

mod accounts;
mod adopt;
mod api_keys;
mod attacks;
mod audit_chain;
mod audit_coverage;
mod audit_log;
mod bad_cluster;
mod bad_luck;
mod bad_money;
mod bad_passes;
mod clusters;
mod console;
mod credit_notices;
mod debits;
mod delete;
mod demo;
mod documented_role;
mod doors;
mod drift;
mod fault_matrix;
mod feature_pages;
mod features;
mod grace;
mod guards;
mod kill;
mod kill_charging;
mod ledger_export;
mod ledger_proof;
mod mails;
mod money;
mod money_pages;
mod money_rules;
mod notifications;
mod offers;
mod orders;
mod organisations;
mod power;
mod prices;
mod provision_faults;
mod quotas;
mod reconcile;
mod reconcile_many;
mod rotate_keys;
mod second_factor;
mod serve;
mod spending;
mod user_data;
mod vouchers;
mod zero;
mod zero_pages;
