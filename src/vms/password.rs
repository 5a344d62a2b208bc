//! Setting the password of a machine's user: by the guest's agent while it runs, else by cloud-init at the next start. The
//! password is encrypted with the job and forgotten with it.

use proxmox_client::{ConfigChange, Error as ProxmoxError, PowerState};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, json};

use super::machine::{Machine, Progress, Step};
use super::{State, find_within};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::clusters::Trouble;
use crate::error::{Error, Result};
use crate::ids::{JobId, OrganisationId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::{fault, ledger, live};

/// The shortest password, in characters.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// The longest, in characters: crypt and cloud-init take more, people do not.
pub const PASSWORD_CHARACTERS_MAX: usize = 72;
/// What the log says when the guest took it at once, and when it will.
const SET_NOW: &str = "The guest's agent has set the password.";
const SET_AT_START: &str =
    "The guest's agent does not answer, or may not be used for it: cloud-init sets the password at the next start.";

/// Asks for a new password of the machine's user.
///
/// # Errors
/// `Invalid` for a password that is too short, too long or not one line of printable characters; `Conflict` when
/// busy, and when it is off and was made with user data: it has no drive through which cloud-init would hear of it.
pub async fn set_password(
    app: &App,
    organisation: OrganisationId,
    vm: VmId,
    password: &SecretString,
    actor: &Actor,
) -> Result<JobId> {
    let text = password.expose_secret();
    let length = text.chars().count();
    if !(PASSWORD_CHARACTERS_MIN..=PASSWORD_CHARACTERS_MAX).contains(&length) {
        let sentence = format!("{PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters.");
        return Err(Error::invalid("password", sentence));
    }
    // What a keyboard at a console can type, and no colon or line feed that would break out of chpasswd's line.
    if !text.chars().all(|character| character.is_ascii_graphic() || character == ' ') || text.contains(':') {
        return Err(Error::invalid("password", "Letters, digits and signs of a plain keyboard, without a colon."));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    found.check_free()?;
    found.check_exists()?;
    if found.user_data_bytes.is_some() && found.state != State::Running {
        let name = found.name;
        return Err(Error::conflict(format!(
            "{name} was made with user data, so only the agent in it can set a password. Start it first."
        )));
    }
    let new = NewJob { kind: Kind::VmPassword, organisation, vm, payload: Map::new(), requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    jobs::entrust(app, &mut transaction, job, password).await?;
    let subject = Subject::new("vm", vm, found.name);
    let detail = json!({ "user": found.login });
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmPassword, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    transaction.commit().await?;
    Ok(job)
}

/// The step. Setting the same password twice is the same.
pub(super) async fn run(app: &App, job: &mut Job) -> Step {
    let password = jobs::secret(app, job.id).await?;
    let password = password.ok_or_else(|| Trouble::Refused("the job has lost its password".into()))?;
    let machine = Machine::load(app, job.vm).await?;
    let (node, config) = machine.our_guest(app).await?;
    let vmid = machine.vmid()?;
    // The privilege to change a guest from inside (VM.GuestAgent.Unrestricted) is a wide one that operators may keep back.
    // Whatever the agent says: cloud-init must not set the old one again at the next start.
    machine.write(&node, &config, ConfigChange::new().ci_password(&password)).await?;
    fault::point("vm.password.password.written");
    if machine.client.vm_status(&node, vmid).await?.status == PowerState::Running {
        match machine.client.agent_set_password(&node, vmid, &machine.row.login, &password, false).await {
            Ok(()) => {
                jobs::log(app, job, SET_NOW).await?;
                return Ok(Progress::Done);
            }
            Err(ProxmoxError::Refused(refusal))
                if refusal.is_agent_not_ready() || refusal.is_agent_not_configured() || refusal.is_forbidden() => {}
            Err(error) => return Err(error.into()),
        }
    }
    if machine.row.user_data.is_some() {
        return Err(Trouble::Refused("the guest's agent does not answer, and its seed CD carries no password".into()));
    }
    jobs::log(app, job, SET_AT_START).await?;
    Ok(Progress::Done)
}
