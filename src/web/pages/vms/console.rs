//! The page of a machine's console. It waits for nobody: its script asks for the console, and is told in a sentence when
//! there is none.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::Rng;
use serde::Deserialize;

use super::vm_status;
use crate::app::App;
use crate::error::Result;
use crate::ids::VmId;
use crate::permissions::Permission;
use crate::vms::{self, ConsoleKind, Vm};
use crate::web::error::PageError;
use crate::web::pages::frames::{Notice, bare, render_with};
use crate::web::read::{Path, Query};
use crate::web::session::Customer;
use crate::web::views::consoles::{ConsoleNotice, ConsolePage};
use crate::web::views::vms::{Offer, PendingPower, VmOffers};

/// What to show first.
#[derive(Debug, Deserialize)]
pub struct Shown {
    #[serde(default)]
    pub(in crate::web::pages) kind: ConsoleKind,
}

/// `GET /vms/{id}/console?kind=`
pub async fn console(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<VmId>,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let mut page = page(&app, &notice, &vm, shown.kind);
    page.csrf.clone_from(&customer.session.csrf_token);
    if !customer.session.permissions.has(Permission::VmPower) {
        page.notice.start = Offer::Hidden;
    }
    Ok(render_console(&app, &notice, &page))
}

/// The page as its owner sees it, without his token.
pub(in crate::web::pages) fn page(app: &App, notice: &Notice, vm: &Vm, kind: ConsoleKind) -> ConsolePage {
    let mut nonce = [0_u8; 16];
    rand::rng().fill_bytes(&mut nonce);
    ConsolePage {
        frame: bare(app, format!("Console of {}", vm.name), notice),
        style_nonce: BASE64_STANDARD.encode(nonce),
        id: vm.id.to_string(),
        name: vm.name.clone(),
        kind,
        ticket_url: format!("/vms/{}/console/ticket", vm.id),
        csrf: String::new(),
        back_url: format!("/vms/{}", vm.id),
        reason: String::new(),
        notice: notice_of(vm),
    }
}

/// The terminal brings style elements of its own, so this page lets in those that carry its nonce.
pub(in crate::web::pages) fn render_console(app: &App, notice: &Notice, page: &ConsolePage) -> Response {
    let mut response = render_with(app, notice, page);
    let nonce = &page.style_nonce;
    let policy = format!("{}; style-src 'self' 'nonce-{nonce}'", crate::web::layers::CONTENT_SECURITY_POLICY);
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn notice_of(vm: &Vm) -> ConsoleNotice {
    let status = vm_status(vm);
    let sentence = match (vms::check_console(vm), status.pending) {
        (Ok(()), _) => None,
        (Err(_), Some(PendingPower::Starting)) => {
            Some(format!("{} is being started. Its console opens by itself when it runs.", vm.name))
        }
        (Err(error), _) => Some(error.to_string()),
    };
    let start = match status.pending {
        Some(_) => Offer::Hidden,
        None => VmOffers::of(&status, vm.protected, None).start,
    };
    ConsoleNotice { state: status.state, sentence, start }
}
