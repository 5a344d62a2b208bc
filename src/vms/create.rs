//! Ordering a machine: checked, placed, paid for a day, and handed to a job, in one transaction. Nothing is sent to Proxmox
//! here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use super::burn::burn_of;
use super::db::{self, NewRow};
use super::estimate::new_parts;
use super::seed;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::{Image, PowerState};
use crate::clusters::Order;
use crate::clusters::placement::Need;
use crate::error::{Error, Problem, Result};
use crate::ids::{ImageId, JobId, LocationId, OrganisationId, PlanId, SshKeyId, VmId};
use crate::jobs::{self, Kind, NewJob};
use crate::ledger;
use crate::permissions::{Permission, Permissions};
use crate::quotas::{Amounts, Quota};
use crate::{addresses, catalog, clusters, live, quotas, spending, ssh_keys, users};

/// A label of a host name, RFC 1123.
pub(super) const NAME_CHARACTERS_MAX: usize = 63;
/// The longest key of an order. PostgreSQL's indexes take no entry that is much longer.
const ORDER_KEY_BYTES_MAX: usize = 200;
/// The longest placement group.
const GROUP_CHARACTERS_MAX: usize = 40;
/// The most keys one machine gets.
const KEYS_MAX: usize = 20;

/// What a customer orders.
// No Debug: there is a secret in it.
#[derive(Clone, Deserialize, Serialize, utoipa::ToSchema)]
pub struct NewVm {
    /// The name, also the host name in the guest.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", example = "web-1")]
    pub name: String,
    /// Where.
    pub location: Option<LocationId>,
    /// From which image.
    pub image: Option<ImageId>,
    /// Which size.
    pub plan: Option<PlanId>,
    /// Keys of the organisation that it lets in.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub ssh_keys: Vec<SshKeyId>,
    /// A key to add to the organisation's and let in.
    #[serde(default)]
    pub new_key: Option<NewKey>,
    /// Machines of the organisation with the same group are placed on different hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z0-9-]{1,40}$")]
    pub placement_group: Option<String>,
    /// What cloud-init does at the first start: a `#cloud-config`, a script, or another of its kinds, at most 32 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 32_768)]
    pub user_data: Option<String>,
}

impl NewVm {
    /// Checks what needs another permission than that to order: a key that comes with an order becomes the organisation's.
    ///
    /// # Errors
    /// `NotPermitted` for who may not add keys.
    pub fn check_permitted(&self, may: Permissions) -> Result<()> {
        if self.new_key.is_some() && !may.has(Permission::SshKeyManage) {
            return Err(Error::NotPermitted(Permission::SshKeyManage));
        }
        Ok(())
    }
}

/// A key that is added with the order.
#[derive(Debug, Clone, Deserialize, Serialize, utoipa::ToSchema)]
#[schema(as = NewSshKey)]
pub struct NewKey {
    /// Its name; the key's comment when empty.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub name: String,
    /// The key itself.
    #[schema(
        max_length = 8192,
        example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann"
    )]
    pub public_key: String,
}

/// What became of an order.
#[derive(Debug, Clone, Copy)]
pub struct Ordered {
    /// The machine.
    pub vm: VmId,
    /// The job that makes it; none when the same order was taken before.
    pub job: Option<JobId>,
}

/// Orders a machine. The same `order_key` with the same order is the same machine.
///
/// # Errors
/// `Invalid` with a problem per field, `QuotaExceeded`, `NotEnoughCredit` with what is missing, `SpendingLimit` when it is too
/// much for the key that orders, `Unavailable` when nothing has room, `Conflict` when the order key was used for another
/// order, `Forbidden` to who has not confirmed his address.
pub async fn create(
    app: &App,
    organisation: OrganisationId,
    new: &NewVm,
    order_key: Option<&str>,
    actor: &Actor,
) -> Result<Ordered> {
    let (name, location, image, plan) = checked(app, organisation, new).await?;
    users::require_verified(app, actor).await?;
    let user_data = seed::checked(new.user_data.as_deref()).map_err(|problem| Error::invalid("user_data", problem))?;
    let order_key = order_key.map(str::trim).filter(|key| !key.is_empty());
    if order_key.is_some_and(|key| key.len() > ORDER_KEY_BYTES_MAX) {
        return Err(Error::invalid("Idempotency-Key", format!("At most {ORDER_KEY_BYTES_MAX} characters.")));
    }
    let order_hash = Sha256::digest(serde_json::to_vec(new).map_err(anyhow::Error::new)?).to_vec();
    let now = app.clock.now();

    let mut transaction = app.pool.begin().await?;
    // The wallet's lock also makes two submits of one order wait for each other.
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    if let Some(key) = order_key
        && let Some((vm, known)) = db::select_by_order(&mut transaction, organisation, key).await?
    {
        if known == order_hash {
            return Ok(Ordered { vm, job: None });
        }
        return Err(Error::conflict("This order was sent before with other content. Reload the page and order again."));
    }
    quotas::check(&mut transaction, organisation, whole_machine(&plan)).await?;
    let book = catalog::price_book_for(&mut transaction, organisation).await?;
    let lines = new_parts(plan.id, Some(&image), PowerState::Running).on(book.list());
    let rate = burn_of(&book, &lines, now)?.rate();
    let hold = billing::hold_for(rate);
    let image = image.id;
    if wallet.exhausted_at.is_some() || hold > wallet.available() {
        return Err(Error::NotEnoughCredit { short_by: hold - wallet.available() });
    }
    if user_data.is_some() && !clusters::takes_user_data(&mut transaction, location, image).await? {
        return Err(Error::invalid("user_data", "User data is not offered at this location with this image."));
    }
    let mut keys = ssh_keys::pick(&mut transaction, organisation, &new.ssh_keys).await?;
    if let Some(key) = &new.new_key {
        keys.push(
            ssh_keys::insert(
                app,
                &mut transaction,
                organisation,
                ("new_key_name", &key.name),
                ("new_key", &key.public_key),
                actor,
            )
            .await?,
        );
    }
    // From here on every order of the location waits for this one: what can be asked before is asked before.
    let need = Need { vcpu: plan.vcpu, memory_mib: i64::from(plan.memory_mib), disk_gib: i64::from(plan.disk_gib) };
    let group = new.placement_group.as_deref().map(str::trim).filter(|group| !group.is_empty());
    let order = Order { location, image, organisation, group, user_data: user_data.is_some() };
    let place = clusters::find_place(&mut transaction, &order, need).await??;

    let authorized_keys: Vec<_> = keys.iter().map(|key| key.public_key.as_str()).collect();
    let id = VmId::new();
    let row = NewRow {
        id,
        organisation,
        name: &name,
        plan: plan.id,
        disk_gib: plan.disk_gib,
        image,
        location,
        cluster: place.cluster,
        node: &place.node,
        authorized_keys: &authorized_keys.join("\n"),
        placement_group: group,
        user_data: user_data.as_deref(),
        order_key,
        order_hash: order_key.map(|_| order_hash),
    };
    db::insert(&mut transaction, &row, now).await?;
    spending::allow(app, &mut transaction, &wallet, actor, id, rate).await?;
    addresses::assign(&mut transaction, location, id, now).await?;
    ledger::hold(&mut transaction, organisation, id, hold, now).await?;
    let job = jobs::enqueue(
        app,
        &mut transaction,
        NewJob { kind: Kind::VmCreate, organisation, vm: id, payload: Map::new(), requested_by: actor.user() },
    )
    .await?;
    let detail = json!({ "plan": plan.slug, "location": location, "image": image, "placement_group": group, "user_data": user_data.is_some(), "ssh_keys": keys.iter().map(|key| &key.fingerprint).collect::<Vec<_>>() });
    audit::record(
        &mut transaction,
        now,
        actor,
        Some(organisation),
        Event::VmOrdered,
        Subject::new("vm", id, &name),
        detail,
    )
    .await?;
    let told = ["vms", "wallet"].map(|topic| (Some(organisation), topic.to_owned()));
    live::announce_all(&mut transaction, told, false).await?;
    transaction.commit().await?;
    Ok(Ordered { vm: id, job: Some(job) })
}

/// What a new machine of a plan uses of the organisation's quotas.
#[must_use]
pub fn whole_machine(plan: &catalog::Plan) -> Amounts {
    Amounts::NONE
        .with(Quota::Vms, 1)
        .with(Quota::Vcpu, plan.vcpu.into())
        .with(Quota::Memory, plan.memory_mib.into())
        .with(Quota::Disk, plan.disk_gib.into())
        .with(Quota::Addresses, 1)
}

/// Checks every field, so that all problems are told at once.
async fn checked(
    app: &App,
    organisation: OrganisationId,
    new: &NewVm,
) -> Result<(String, LocationId, Image, catalog::Plan)> {
    let mut problems = Vec::new();
    let name = new.name.trim().to_ascii_lowercase();
    if let Err(problem) = check_name(&name) {
        problems.push(Problem::new("name", problem));
    }
    let location = catalog::locations(app).await?.into_iter().find(|known| Some(known.id) == new.location);
    if location.is_none() {
        problems.push(Problem::new("location", "Choose one of the locations."));
    }
    let image = catalog::images(app).await?.into_iter().find(|known| Some(known.id) == new.image);
    if image.is_none() {
        problems.push(Problem::new("image", "Choose one of the images."));
    }
    let plan = catalog::plans_for(app, organisation).await?.into_iter().find(|known| Some(known.id) == new.plan);
    if plan.is_none() {
        problems.push(Problem::new("plan", "Choose one of the plans."));
    }
    if let (Some(plan), Some(image)) = (&plan, &image)
        && plan.disk_gib < image.minimum_disk_gib
    {
        problems.push(Problem::new(
            "plan",
            format!("{} needs a disk of at least {} GiB.", image.name, image.minimum_disk_gib),
        ));
    }
    let keys = new.ssh_keys.len() + usize::from(new.new_key.is_some());
    if keys == 0 {
        problems.push(Problem::new("ssh_keys", "Choose or add an SSH key: it is the only way to log in."));
    } else if keys > KEYS_MAX {
        problems.push(Problem::new("ssh_keys", format!("At most {KEYS_MAX} keys.")));
    }
    if let Some(group) = new.placement_group.as_deref().map(str::trim).filter(|group| !group.is_empty())
        && !is_group(group)
    {
        problems.push(Problem::new(
            "placement_group",
            format!("At most {GROUP_CHARACTERS_MAX} small letters, digits and dashes."),
        ));
    }
    if let Err(problem) = seed::checked(new.user_data.as_deref()) {
        problems.push(Problem::new("user_data", problem));
    }
    match (location, image, plan) {
        (Some(location), Some(image), Some(plan)) if problems.is_empty() => Ok((name, location.id, image, plan)),
        _ => Err(Error::Invalid(problems)),
    }
}

/// The name of a placement group: small letters, digits, dashes.
fn is_group(group: &str) -> bool {
    (1..=GROUP_CHARACTERS_MAX).contains(&group.len())
        && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A label of a host name: letters, digits, dashes inside.
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("Give it a name.");
    }
    if name.len() > NAME_CHARACTERS_MAX {
        return Err("At most 63 characters.");
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Err("Only letters, digits and dashes: it is also the host name.");
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err("A dash stands only between letters or digits.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label_of_a_host_name() {
        assert_eq!(check_name("web-1"), Ok(()));
        assert_eq!(check_name(&"a".repeat(63)), Ok(()));
        for wrong in ["", "-web", "web-", "web_1", "web.example", "wéb", &"a".repeat(64)] {
            assert!(check_name(wrong).is_err(), "{wrong:?} must be refused");
        }
    }
}
