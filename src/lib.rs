//! Uni-Manager sells virtual machines on Proxmox VE: customers drive them, credits are debited every hour, at zero the
//! machines are shut down. This is the map of the house: nouns in the middle, the doors `web` and `worker` at the edges.
//! `docs/architecture.md` has the rules that hold it up.

pub mod app;
pub mod clock;
pub mod config;
pub mod error;
pub mod fault;
pub mod ids;
pub mod network;
pub mod random_tokens;

/// The pool, the migrations, and the private PostgreSQL of demo and tests.
pub mod database;

/// What a person changes of his own account: password, address, name, links that were sent to him.
pub mod accounts;
/// Pools of addresses, and who has which.
pub mod addresses;
/// Keys with which programs act for an organisation.
pub mod api_keys;
/// Who did what to what, appended with the change itself.
pub mod audit;
/// Locations, plans, prices and images.
pub mod catalog;
/// The charge of every hour, and what happens at zero.
pub mod charging;
/// Proxmox clusters: connections, health, capacity, placement.
pub mod clusters;
/// Consoles that are open, and one-time addresses of further ones.
pub mod consoles;
/// What needs a person of the operator.
pub mod exceptions;
/// What was charged for the time of a month, as documents that never change.
pub mod invoices;
/// Durable work: enqueue, claim, log, retry, park.
pub mod jobs;
/// Accounts, transfers, wallets and holds.
pub mod ledger;
/// What changed, told to open pages.
pub mod live;
/// Mails that are owed to somebody, and the way to the mail server.
pub mod mail;
/// What ran from when to when, and the charge for it.
pub mod metering;
/// What an organisation should know: in its portal, and by mail.
pub mod notifications;
/// Coming in with an account at the operator's identity provider.
pub mod oidc;
/// What customers own everything through, and who belongs to it.
pub mod organisations;
/// Key pairs on people's devices: a second factor, and a login by themselves.
pub mod passkeys;
/// What customers have paid, and what of it went back.
pub mod payments;
/// What somebody may do: every permission with its purpose, and the roles made of them.
pub mod permissions;
/// What operators set for the whole platform while it runs.
pub mod platform_settings;
/// Price lists as operators change them, who is told of it, and what other prices would have brought.
pub mod pricing;
/// How much an organisation may have at once, and who says so.
pub mod quotas;
/// How often somebody may ask.
pub mod rates;
/// Figures for operators: what was charged by day and plan, which wallets end soon.
pub mod revenue;
/// When a wallet runs out, and what happens then.
pub mod runway;
/// The second proof of who somebody is: codes of an app, recovery codes, and who demands it.
pub mod second_factor;
/// Which columns hold encrypted secrets, and giving them the newest key.
pub mod secrets;
/// Staying logged in: web sessions, access and refresh tokens.
pub mod sessions;
/// What the machines of an API key cost in a day, and the limit of that.
pub mod spending;
/// Public keys that new machines let in.
pub mod ssh_keys;
/// What the operator's people do to people: standing, looking as a customer, platform roles.
pub mod staff;
/// People: registering, and proving who they are.
pub mod users;
/// Machines: ordering, provisioning, power, deletion, and what the cluster says about them.
pub mod vms;
/// Codes that are worth credit: making them, redeeming them.
pub mod vouchers;

/// The door for requests.
pub mod web;
/// The door for time: jobs, the billing clock, the looks at clusters.
pub mod worker;

/// What the binary can be told to do.
pub mod commands;
