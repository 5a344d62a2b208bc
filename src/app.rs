//! What every operation is given: the database, the time, the settings, the way to the clusters and to open pages.

use std::sync::Arc;

use sqlx::PgPool;

use crate::api_keys::Uses;
use crate::clock::Clock;
use crate::clusters::Connections;
use crate::config::Settings;
use crate::consoles::Desk;
use crate::live::Hub;
use crate::oidc::Directory;
use crate::rates::Rates;
use crate::sessions::TokenKeys;
use crate::vouchers::JustMade;

/// The application. Operations take `&App`, open their own transaction and commit it.
#[derive(Debug)]
pub struct App {
    /// Connections to PostgreSQL.
    pub pool: PgPool,
    /// The only source of time.
    pub clock: Clock,
    /// What the operator has set.
    pub settings: Settings,
    /// Clients of the Proxmox clusters.
    pub connections: Connections,
    /// Tells open pages and sleeping workers what has changed.
    pub hub: Hub,
    /// Consoles that are open in this process, and one-time addresses of further ones.
    pub consoles: Desk,
    /// The keys that sign access tokens, as this process has read them.
    pub token_keys: TokenKeys,
    /// What is known of the identity provider in this process.
    pub oidc: Directory,
    /// The codes of vouchers that were made in this process a moment ago.
    pub vouchers_just_made: JustMade,
    /// Which uses of API keys this process wrote down a moment ago.
    pub key_uses: Uses,
    /// Who has asked how often lately.
    pub rates: Rates,
}

impl App {
    /// Puts the house together; talks to nobody yet.
    #[must_use]
    pub fn new(pool: PgPool, clock: Clock, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            pool,
            clock,
            settings,
            connections: Connections::default(),
            hub: Hub::default(),
            consoles: Desk::default(),
            token_keys: TokenKeys::default(),
            oidc: Directory::default(),
            vouchers_just_made: JustMade::default(),
            key_uses: Uses::default(),
            rates: Rates::default(),
        })
    }
}
