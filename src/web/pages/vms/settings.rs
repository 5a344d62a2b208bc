//! The settings of a machine: name, tags, keys, password, CD drive and protection. Each form of the page sends only its part.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::power::refused;
use super::show::{cd, head, is_made};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::VmId;
use crate::vms::{self, Changes, PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN, Vm};
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, form_errors, portal, redirect_with, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::vms::change::VmSettingsPage;
use crate::web::views::vms::new::KeyChoice;
use crate::web::views::vms::show::Tab;
use crate::{clusters, ssh_keys};

/// One of the forms, as it was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    part: String,
    name: String,
    tags: Vec<String>,
    new_tags: String,
    ssh_keys: Vec<String>,
    iso_image: String,
    protected: Option<String>,
}

impl Typed {
    /// What this form changes. What is no id is left out.
    fn changes(&self) -> Result<Changes> {
        match self.part.as_str() {
            "naming" => {
                let new = self.new_tags.split(|character: char| character == ',' || character.is_whitespace());
                let tags = self.tags.iter().map(String::as_str).chain(new).map(str::to_owned).collect();
                Ok(Changes { name: Some(self.name.clone()), tags: Some(tags), ..Changes::default() })
            }
            "keys" => {
                let keys = self.ssh_keys.iter().filter_map(|id| id.parse().ok()).collect();
                Ok(Changes { ssh_keys: Some(keys), ..Changes::default() })
            }
            "cd" if self.iso_image.is_empty() => Ok(Changes { iso_image: Some(None), ..Changes::default() }),
            "cd" => match self.iso_image.parse() {
                Ok(image) => Ok(Changes { iso_image: Some(Some(image)), ..Changes::default() }),
                Err(_) => Err(Error::invalid("iso_image", "Choose one of the CD images.")),
            },
            "protection" => Ok(Changes { protected: Some(self.protected.is_some()), ..Changes::default() }),
            _ => Err(Error::invalid("", "The form could not be read. Reload the page and try again.")),
        }
    }

    /// What is said when it is done.
    fn saved(&self) -> &'static str {
        match self.part.as_str() {
            "naming" => "Saved. Its host name changes at its next start.",
            "keys" => "Saved. The keys are put in at its next start.",
            "cd" if self.iso_image.is_empty() => "The CD is taken out of the drive.",
            "cd" => "The CD is put into the drive.",
            "protection" if self.protected.is_some() => "It is protected now: nobody can delete or rebuild it.",
            _ => "It is not protected any more.",
        }
    }
}

/// A new password.
#[derive(Debug, Deserialize)]
pub struct NewPassword {
    #[serde(default)]
    password: SecretString,
}

/// `GET /vms/{id}/settings`
pub async fn settings(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    if !is_made(&vm) {
        return Ok(not_made(&app, &vm));
    }
    Ok(render_with(&app, &notice, &page(&app, &customer, &notice, &vm, FormErrors::none()).await?))
}

/// Leads to the page of a machine that has nothing to be changed yet, or any more.
pub(super) fn not_made(app: &App, vm: &Vm) -> Response {
    let sentence = format!("{} is {}: it can be changed when it is there.", vm.name, vm.state.name());
    redirect_with(app, &format!("/vms/{}", vm.id), FlashKind::Warning, sentence)
}

/// `POST /vms/{id}/settings`
pub async fn configure(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let back = format!("/vms/{id}/settings");
    let done = match typed.changes() {
        Ok(changes) => vms::configure(&app, customer.organisation(), id, &changes, &customer.actor).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(Some(_)) => Ok(redirect_with(&app, &back, FlashKind::Success, typed.saved())),
        Ok(None) => Ok(redirect_with(&app, &back, FlashKind::Info, "Nothing was changed: it was so already.")),
        Err(error @ Error::Invalid(_)) => {
            let vm = vms::find(&app, customer.organisation(), id).await?;
            let status = status(&error);
            let mut page = page(&app, &customer, &Notice::default(), &vm, form_errors(error)?).await?;
            if typed.part == "naming" {
                (page.name, page.new_tags) = (typed.name, typed.new_tags);
            }
            Ok((status, render_with(&app, &Notice::default(), &page)).into_response())
        }
        Err(error) => refused(&app, &back, error),
    }
}

/// `POST /vms/{id}/password`
pub async fn set_password(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(typed): CsrfForm<NewPassword>,
) -> Result<Response, PageError> {
    let back = format!("/vms/{id}/settings");
    match vms::set_password(&app, customer.organisation(), id, &typed.password, &customer.actor).await {
        Ok(_) => Ok(redirect_with(&app, &back, FlashKind::Success, "The password is being set.")),
        Err(error @ Error::Invalid(_)) => {
            let vm = vms::find(&app, customer.organisation(), id).await?;
            let status = status(&error);
            let page = page(&app, &customer, &Notice::default(), &vm, form_errors(error)?).await?;
            Ok((status, render_with(&app, &Notice::default(), &page)).into_response())
        }
        Err(error) => refused(&app, &back, error),
    }
}

async fn page(app: &App, customer: &Customer, notice: &Notice, vm: &Vm, errors: FormErrors) -> Result<VmSettingsPage> {
    let (keys, other_keys) = key_choices(app, vm).await?;
    let cds = clusters::offered_isos(app, vm.cluster).await?;
    let in_drive = vm.iso_image.filter(|id| cds.iter().all(|offered| offered.id != *id));
    Ok(VmSettingsPage {
        frame: portal(app, customer, format!("Settings of {}", vm.name), Section::Vms, notice).await?,
        head: head(app, customer, vm, Tab::Settings).await?,
        id: vm.id.to_string(),
        name: vm.name.clone(),
        tags: vm.tags.clone(),
        new_tags: String::new(),
        protected: vm.protected,
        keys,
        other_keys: u64::try_from(other_keys).unwrap_or(0),
        foreign_cd: if in_drive.is_some() { cd(app, vm).await? } else { None },
        cd: vm.iso_image.map_or_else(String::new, |id| id.to_string()),
        cds: cds
            .into_iter()
            .map(|offered| SelectOption { value: offered.id.to_string(), text: offered.name })
            .collect(),
        login: vm.login.clone(),
        password_min: PASSWORD_CHARACTERS_MIN,
        password_max: PASSWORD_CHARACTERS_MAX,
        errors,
    })
}

/// The organisation's keys, those of the machine chosen, and how many the machine has beside.
pub(super) async fn key_choices(app: &App, vm: &Vm) -> Result<(Vec<KeyChoice>, usize)> {
    let keys = ssh_keys::list(app, vm.organisation).await?;
    let given: Vec<&str> = vm.authorized_keys.lines().collect();
    let others = given.iter().filter(|line| keys.iter().all(|key| key.public_key != **line)).count();
    let choices = keys
        .iter()
        .map(|key| KeyChoice {
            id: key.id.to_string(),
            name: key.name.clone(),
            chosen: given.contains(&key.public_key.as_str()),
        })
        .collect();
    Ok((choices, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_ticked_and_those_typed() {
        let typed = Typed {
            part: "naming".into(),
            name: "web".into(),
            tags: vec!["db".into()],
            new_tags: "production, eu  west".into(),
            ..Typed::default()
        };
        let tags = typed.changes().unwrap().tags.unwrap();
        let tags: Vec<_> = tags.iter().filter(|tag| !tag.is_empty()).collect();
        assert_eq!(tags, ["db", "production", "eu", "west"]);
    }

    #[test]
    fn a_form_changes_only_its_part() {
        let eject = Typed { part: "cd".into(), ..Typed::default() }.changes().unwrap();
        assert!(eject.iso_image == Some(None) && eject.name.is_none() && eject.protected.is_none());
        let off = Typed { part: "protection".into(), ..Typed::default() }.changes().unwrap();
        assert!(off.protected == Some(false) && off.ssh_keys.is_none() && off.iso_image.is_none());
        assert!(Typed::default().changes().is_err());
    }
}
