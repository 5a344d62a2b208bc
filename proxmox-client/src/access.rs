//! What the own token may do. Users, tokens and access lists are not changed here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::as_bool;
use crate::request::Parameters;

/// The privileges of a token: by path, then by privilege, whether it holds for paths below.
pub type Permissions = BTreeMap<String, BTreeMap<String, bool>>;

impl Client {
    /// `GET /access/permissions?path=`. Any token, about itself. With a path such as `/vms/100`
    /// the effective privileges there; without one, all paths that have any. A new token with
    /// privilege separation has none.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn permissions(&self, path: Option<&str>) -> Result<Permissions, Error> {
        let parameters = Parameters::new().maybe("path", path);
        let answer: BTreeMap<String, BTreeMap<String, Value>> =
            self.get(String::from("/access/permissions"), parameters).await?;
        let propagates = |(name, value): (String, Value)| (name, as_bool(&value).unwrap_or(false));
        Ok(answer
            .into_iter()
            .map(|(path, privileges)| (path, privileges.into_iter().map(propagates).collect()))
            .collect())
    }
}
