//! Images and the licences that their systems need. A licence is charged by the hour like a disk, where a price list has a price
//! for it; which image needs one is said here.

use serde::Serialize;

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Result, is_plain_line};
use crate::ids::ImageId;

/// The longest name of a licence, in characters.
pub const LICENCE_CHARACTERS_MAX: usize = 60;

/// An image among the others.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ImageLine {
    /// Its id.
    pub id: ImageId,
    /// Its name in programs.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The smallest disk it fits on, in GiB.
    pub minimum_disk_gib: i32,
    /// The licence that its system needs, if it needs one.
    pub licence: Option<String>,
    /// How many clusters have a template of it.
    pub clusters: i64,
    /// How many machines are charged for a licence of it now.
    pub licensed_vms: i64,
}

/// All images, in the operator's order.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn images(app: &App) -> Result<Vec<ImageLine>> {
    db::images::select(&app.pool).await
}

/// Says which licence the system of an image needs; empty for none. It counts for machines that are made or made anew from now
/// on: what is metered stays as it is.
///
/// # Errors
/// `Invalid` for a name that is too long or no plain line, `NotFound` without such an image.
pub async fn set_licence(app: &App, image: ImageId, licence: &str, actor: &Actor) -> Result<()> {
    let licence = licence.trim();
    if licence.chars().count() > LICENCE_CHARACTERS_MAX {
        return Err(Error::invalid("licence", format!("At most {LICENCE_CHARACTERS_MAX} characters.")));
    }
    if !is_plain_line(licence) {
        return Err(Error::invalid("licence", NOT_A_PLAIN_LINE));
    }
    let licence = Some(licence).filter(|licence| !licence.is_empty());
    let mut transaction = app.pool.begin().await?;
    let (name, before) = db::images::lock(&mut transaction, image).await?.ok_or(Error::NotFound("image"))?;
    if before.as_deref() == licence {
        return Ok(());
    }
    db::images::update_licence(&mut transaction, image, licence).await?;
    let changes = Changes::of("licence", &before.as_deref(), &licence)?;
    let subject = Subject::new("image", image, name);
    let event = Event::ImageLicenceChanged;
    audit::record(&mut transaction, app.clock.now(), actor, None, event, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}
