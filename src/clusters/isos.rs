//! CD images of a cluster: what its storage has, which of them customers are offered, and which one rescues an ill machine.

use std::collections::{BTreeMap, HashSet};

use proxmox_client::{Client, ContentFilter};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{ClusterId, IsoImageId};
use crate::live;

/// How many images of a storage are listed.
const IMAGES_MAX: usize = 500;
/// How the CDs with user data begin on that storage: they are no images for anybody else.
pub(crate) const SEED_PREFIX: &str = "uni-manager-";
/// The longest name of one.
const NAME_CHARACTERS_MAX: usize = 120;
/// The longest volume, as Proxmox names it.
const VOLUME_CHARACTERS_MAX: usize = 400;
/// How many nodes with a storage of their own are asked.
const NODES_MAX: usize = 32;

/// A CD image of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct IsoImage {
    /// Its id.
    pub id: IsoImageId,
    /// Its cluster.
    #[serde(skip)]
    pub cluster: ClusterId,
    /// As Proxmox names it, such as `local:iso/debian-12.11.0-amd64-netinst.iso`.
    pub volume: String,
    /// What customers read.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: i64,
    /// Whether customers are offered it.
    pub offered: bool,
    /// Whether it is what a machine boots to be rescued.
    pub rescue: bool,
}

/// An image in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundIso {
    /// As Proxmox names it.
    pub volume: String,
    /// Its file name without the ending.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: i64,
}

/// What an operator decides of an image.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct IsoChoice {
    /// The image.
    pub id: IsoImageId,
    /// What customers read.
    #[schema(max_length = 120)]
    pub name: String,
    /// Whether customers are offered it.
    #[serde(default)]
    pub offered: bool,
}

/// The CD images of a cluster as the last listing had them, by name.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn isos(app: &App, cluster: ClusterId) -> Result<Vec<IsoImage>> {
    db::isos::select(&app.pool, cluster).await
}

/// The CD images that customers are offered on a cluster, by name.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn offered_isos(app: &App, cluster: ClusterId) -> Result<Vec<IsoImage>> {
    Ok(isos(app, cluster).await?.into_iter().filter(|image| image.offered).collect())
}

/// The image that a machine of this cluster boots to be rescued, if the operator has named one.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn rescue_iso(app: &App, cluster: ClusterId) -> Result<Option<IsoImage>> {
    Ok(isos(app, cluster).await?.into_iter().find(|image| image.rescue))
}

/// A CD image. Whether it is offered, and of which cluster it is, is the caller's to ask.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn iso(connection: &mut PgConnection, id: IsoImageId) -> Result<IsoImage> {
    db::isos::select_one(connection, id).await?.ok_or(Error::NotFound("CD image"))
}

/// Lists the CD images on the cluster's storage for them and writes the list down. An image that only some nodes have is
/// left out: a machine could not start on the others. Answers with how many were left out for that.
///
/// # Errors
/// `Invalid` while the cluster has no storage for CD images; `Unavailable` when it does not answer.
pub async fn refresh_isos(app: &App, id: ClusterId, actor: &Actor) -> Result<usize> {
    let cluster = super::find(app, id).await?;
    let Some(storage) = cluster.iso_storage else {
        return Err(Error::invalid("iso_storage", "Say first on which storage CD images are."));
    };
    let holders: Vec<_> = super::storages(app, id).await?.into_iter().filter(|known| known.name == storage).collect();
    let nodes: Vec<_> = super::nodes(app, id).await?.into_iter().filter(|node| node.online).collect();
    let mut asked: Vec<&str> = nodes
        .iter()
        .map(|node| node.name.as_str())
        .filter(|node| holders.iter().any(|holder| holder.node == *node))
        .collect();
    if asked.is_empty() {
        return Err(Error::Unavailable(format!("No node that is online has the storage {storage}.")));
    }
    asked.truncate(if holders.iter().any(|holder| holder.shared) { 1 } else { NODES_MAX });
    let client = app.connections.client(app, id).await?;
    let (found, left_out) = list(&client, &asked, &storage).await?;
    let mut transaction = app.pool.begin().await?;
    db::isos::upsert(&mut transaction, id, &found, app.clock.now()).await?;
    let detail = json!({ "storage": storage, "found": found.len(), "left_out": left_out });
    let subject = Subject::new("cluster", id, cluster.name);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::ClusterIsosRefreshed, subject, detail).await?;
    live::announce(&mut transaction, None, "clusters").await?;
    transaction.commit().await?;
    Ok(left_out)
}

/// The images that every one of these nodes has, and how many only some have. What holds a customer's user data is none.
async fn list(client: &Client, nodes: &[&str], storage: &str) -> Result<(Vec<FoundIso>, usize)> {
    let mut holders: BTreeMap<String, (usize, i64)> = BTreeMap::new();
    for node in nodes {
        let volumes =
            client.storage_content(node, storage, &ContentFilter::all().content("iso")).await.map_err(|error| {
                Error::Unavailable(format!("The cluster could not be asked for its CD images: {error}"))
            })?;
        for volume in volumes {
            let fits = is_plain_line(&volume.volid) && volume.volid.chars().count() <= VOLUME_CHARACTERS_MAX;
            let is_seed = volume.volid.contains(&format!(":iso/{SEED_PREFIX}"));
            if fits && !is_seed && (holders.len() < IMAGES_MAX || holders.contains_key(&volume.volid)) {
                let size = volume.size.and_then(|size| i64::try_from(size).ok()).unwrap_or(0);
                let holder = holders.entry(volume.volid).or_insert((0, size));
                holder.0 += 1;
            }
        }
    }
    let all = holders.len();
    let found: Vec<_> = holders
        .into_iter()
        .filter(|(_, (count, _))| *count == nodes.len())
        .map(|(volume, (_, size_bytes))| FoundIso { name: name_of(&volume), volume, size_bytes })
        .collect();
    let left_out = all - found.len();
    Ok((found, left_out))
}

/// The file name of a volume, without its ending.
fn name_of(volume: &str) -> String {
    let file = volume.rsplit(['/', ':']).next().unwrap_or(volume);
    let stem = file.strip_suffix(".iso").or(file.strip_suffix(".ISO")).filter(|stem| !stem.is_empty()).unwrap_or(file);
    let name: String = stem.chars().take(NAME_CHARACTERS_MAX).collect();
    if name.is_empty() { "CD image".to_owned() } else { name }
}

/// Saves which images are offered, under which names, and which one is the rescue image.
///
/// # Errors
/// `Invalid` with a problem per image: the field is `name_` and its id, or `rescue`; `NotFound` without such a cluster.
pub async fn set_isos(
    app: &App,
    id: ClusterId,
    choices: &[IsoChoice],
    rescue: Option<IsoImageId>,
    actor: &Actor,
) -> Result<()> {
    let mut problems = Vec::new();
    let mut chosen = HashSet::new();
    for choice in choices {
        let name = choice.name.trim();
        let field = || format!("name_{}", choice.id);
        if name.is_empty() {
            problems.push(Problem::new(field(), "Give it a name."));
        } else if name.chars().count() > NAME_CHARACTERS_MAX {
            problems.push(Problem::new(field(), format!("At most {NAME_CHARACTERS_MAX} characters.")));
        } else if !is_plain_line(name) {
            problems.push(Problem::new(field(), NOT_A_PLAIN_LINE));
        }
        if !chosen.insert(choice.id) {
            problems.push(Problem::new(field(), "It is named twice."));
        }
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let before = db::isos::select(&app.pool, id).await?;
    let mut transaction = app.pool.begin().await?;
    let cluster = db::lock_settings(&mut transaction, id).await?.ok_or(Error::NotFound("cluster"))?;
    for choice in choices {
        if !db::isos::update(&mut transaction, id, choice.id, choice.name.trim(), choice.offered).await? {
            return Err(Error::NotFound("CD image"));
        }
    }
    if !db::isos::set_rescue(&mut transaction, id, rescue).await? {
        return Err(Error::invalid("rescue", "Choose one of the images."));
    }
    let mut offered: Vec<_> = choices.iter().filter(|choice| choice.offered).map(|choice| choice.name.trim()).collect();
    offered.sort_unstable();
    let mut offered_before: Vec<_> =
        before.iter().filter(|image| image.offered).map(|image| image.name.as_str()).collect();
    offered_before.sort_unstable();
    let rescue_before = before.iter().find(|image| image.rescue).map(|image| image.id);
    let detail = Changes::of("offered", &offered_before, &offered)?.and("rescue", &rescue_before, &rescue)?;
    let subject = Subject::new("cluster", id, cluster.name);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::ClusterIsosChanged, subject, detail).await?;
    live::announce(&mut transaction, None, "clusters").await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_like_its_file_until_somebody_names_it() {
        assert_eq!(name_of("local:iso/debian-12.iso"), "debian-12");
        assert_eq!(name_of("cds:memtest.ISO"), "memtest");
        assert_eq!(name_of("local:iso/.iso"), ".iso");
        assert_eq!(name_of("local:"), "CD image");
    }
}
