//! Addresses that machines get: rows that exist beforehand, so that a free one is found and locked without a race, and
//! that rest after use.

mod db;

use std::net::Ipv4Addr;

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::error::{Error, Result};
use crate::ids::{AddressPoolId, LocationId, VmId};

/// How long an address rests before somebody else gets it.
const REST_HOURS: i64 = 24;
/// The largest pool: a /16.
const PREFIX_MIN: u8 = 16;
/// The smallest that has anything to give out besides network, gateway and broadcast.
const PREFIX_MAX: u8 = 29;

/// An address with what the guest needs to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// The address.
    pub address: Ipv4Addr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Where the rest of the world is.
    pub gateway: Ipv4Addr,
    /// Who knows names.
    pub nameserver: Ipv4Addr,
}

/// A pool to add.
#[derive(Debug, Clone, Copy)]
pub struct NewPool<'a> {
    /// Where it is used.
    pub location: LocationId,
    /// Its name.
    pub name: &'a str,
    /// The first address of its network.
    pub network: Ipv4Addr,
    /// The length of the prefix, 16 to 29.
    pub prefix: u8,
    /// The gateway; not given out.
    pub gateway: Ipv4Addr,
    /// The name server.
    pub nameserver: Ipv4Addr,
}

/// Adds a pool with all its addresses, or leaves the one of this name alone.
///
/// # Errors
/// When the network is too large, too small, or the gateway is not in it.
pub async fn ensure_pool(connection: &mut PgConnection, new: &NewPool<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    if !(PREFIX_MIN..=PREFIX_MAX).contains(&new.prefix) {
        bail!("a pool's prefix is between /{PREFIX_MIN} and /{PREFIX_MAX}");
    }
    let size = 1_u32 << (32 - u32::from(new.prefix));
    let first = u32::from(new.network) & !(size - 1);
    let gateway = u32::from(new.gateway);
    if first != u32::from(new.network) || gateway <= first || gateway >= first + size - 1 {
        bail!("the network must begin at its first address and hold the gateway");
    }
    let usable: Vec<String> = (first + 1..first + size - 1)
        .filter(|address| *address != gateway)
        .map(|address| Ipv4Addr::from(address).to_string())
        .collect();
    db::insert_pool(connection, AddressPoolId::new(), new, &usable, now).await?;
    Ok(())
}

/// Gives a machine a free address of its location; the one it has already, if it has one.
///
/// # Errors
/// `Unavailable` when none is free.
pub async fn assign(connection: &mut PgConnection, location: LocationId, vm: VmId, now: DateTime<Utc>) -> Result<()> {
    if db::select_of_vm(&mut *connection, vm).await?.is_some() || db::assign(connection, location, vm, now).await? {
        return Ok(());
    }
    Err(Error::Unavailable(
        "All addresses of this location are in use. Choose another location, or ask the operator for more.".into(),
    ))
}

/// What became of asking for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The machine has it now.
    Assigned,
    /// It is in none of the pools of the location.
    Outside,
    /// Another machine has it.
    Taken,
}

/// Gives a machine the very address that its guest has already. That it rests does not matter then.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn claim(
    connection: &mut PgConnection,
    location: LocationId,
    address: Ipv4Addr,
    vm: VmId,
    now: DateTime<Utc>,
) -> Result<Claimed> {
    if db::claim(&mut *connection, location, address, vm, now).await? {
        return Ok(Claimed::Assigned);
    }
    Ok(if db::exists(connection, location, address).await? { Claimed::Taken } else { Claimed::Outside })
}

/// The address of a machine.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_vm(connection: &mut PgConnection, vm: VmId) -> Result<Option<Assigned>> {
    db::select_of_vm(connection, vm).await
}

/// Takes a machine's address back. One that was in use rests before it is given out again. Fine when it has none.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn release(connection: &mut PgConnection, vm: VmId, was_in_use: bool, now: DateTime<Utc>) -> Result<()> {
    let rest = if was_in_use { TimeDelta::hours(REST_HOURS) } else { TimeDelta::zero() };
    db::release(connection, vm, now + rest).await
}
