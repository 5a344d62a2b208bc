//! Pools: named groups of guests that rights can be given on. A guest is in one pool at most.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::cluster::Resource;
use crate::error::{Error, NeverSentCause};
use crate::lenient;
use crate::request::Parameters;

/// A pool.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Pool {
    /// Its name; with slashes in it when it is inside others.
    pub poolid: String,
    /// A remark.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub comment: Option<String>,
    /// Guests and storages in it; only where one pool was asked for.
    #[serde(default)]
    pub members: Vec<Resource>,
}

const PATH: &str = "/pools";

impl Client {
    /// `GET /pools`. Any token; only pools with Pool.Audit or Pool.Allocate, without members.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pools(&self) -> Result<Vec<Pool>, Error> {
        self.get(String::from(PATH), Parameters::new()).await
    }

    /// `GET /pools?poolid=`. Needs Pool.Audit on it. With its members. `None` when the answer has no
    /// such pool; an unknown one is refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pool(&self, pool: &str) -> Result<Option<Pool>, Error> {
        let found: Vec<Pool> = self.get(String::from(PATH), Parameters::new().with("poolid", pool)).await?;
        Ok(found.into_iter().find(|one| one.poolid == pool))
    }

    /// `POST /pools`. Needs Pool.Allocate on it. A name that is taken is refused (500).
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// client.create_pool("customer-7", Some("all of their machines")).await?;
    /// client.add_to_pool("customer-7", &[101, 102], false).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_pool(&self, pool: &str, comment: Option<&str>) -> Result<(), Error> {
        let parameters = Parameters::new().with("poolid", pool).maybe("comment", comment);
        let _: IgnoredAny = self.post(String::from(PATH), parameters).await?;
        Ok(())
    }

    /// `PUT /pools` with `vms`. Needs Pool.Allocate on it and the right to change permissions on
    /// each guest. Takes guests in; one of another pool is refused (500) unless `move_here`, and so
    /// is one that is in it already.
    ///
    /// # Errors
    /// See [`Error`]; an empty list is not sent.
    pub async fn add_to_pool(&self, pool: &str, vmids: &[u32], move_here: bool) -> Result<(), Error> {
        self.change_pool(pool, vmids, "allow-move", move_here).await
    }

    /// `PUT /pools` with `vms` and `delete`. Privileges as [`Client::add_to_pool`]. Takes guests
    /// out; one that is not in it is refused (500).
    ///
    /// # Errors
    /// See [`Error`]; an empty list is not sent.
    pub async fn remove_from_pool(&self, pool: &str, vmids: &[u32]) -> Result<(), Error> {
        self.change_pool(pool, vmids, "delete", true).await
    }

    async fn change_pool(&self, pool: &str, vmids: &[u32], key: &'static str, on: bool) -> Result<(), Error> {
        if vmids.is_empty() {
            return Err(Error::never_sent("PUT /pools", NeverSentCause::Argument, "there is no guest to change"));
        }
        let vmids: Vec<String> = vmids.iter().map(u32::to_string).collect();
        let parameters =
            Parameters::new().with("poolid", pool).with("vms", vmids.join(",")).flag(key, on.then_some(true));
        let _: IgnoredAny = self.put(String::from(PATH), parameters).await?;
        Ok(())
    }

    /// `DELETE /pools?poolid=`. Needs Pool.Allocate on it. One with members is refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_pool(&self, pool: &str) -> Result<(), Error> {
        let _: IgnoredAny = self.delete(String::from(PATH), Parameters::new().with("poolid", pool)).await?;
        Ok(())
    }
}
