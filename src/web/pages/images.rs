//! Images for operators: which of their systems need a licence.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::customers::prefixed;
use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use crate::app::App;
use crate::error::Result;
use crate::ids::ImageId;
use crate::pricing::{self, ImageLine};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::prices::{ImageRow, ImagesPage};

/// `GET /admin/images`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    Ok(render_with(&app, &notice, &page(&app, &staff, &notice).await?))
}

async fn page(app: &App, staff: &Staff, notice: &Notice) -> Result<ImagesPage> {
    Ok(ImagesPage {
        rows: pricing::images(app).await?.into_iter().map(image_row).collect(),
        frame: frames::admin(app, staff, "Images", AdminSection::Prices, count(app).await?, notice),
    })
}

fn image_row(image: ImageLine) -> ImageRow {
    ImageRow {
        id: image.id.to_string(),
        name: image.name,
        slug: image.slug,
        minimum_disk_gib: image.minimum_disk_gib,
        clusters: format::unsigned(image.clusters),
        licensed_vms: format::unsigned(image.licensed_vms),
        licence: image.licence.unwrap_or_default(),
        errors: FormErrors::none(),
    }
}

/// What was typed.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default)]
    licence: String,
}

/// `POST /admin/images/{id}/licence`
pub async fn set_licence(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ImageId>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    match pricing::set_licence(&app, id, &typed.licence, &staff.actor).await {
        Ok(()) => Ok(redirect_with(&app, "/admin/images", FlashKind::Success, "Saved.")),
        Err(error) => {
            let status = status(&error);
            let mut page = page(&app, &staff, &Notice::default()).await?;
            let Some(row) = page.rows.iter_mut().find(|row| row.id == id.to_string()) else { return Err(error.into()) };
            row.errors = form_errors(prefixed(&row.field_prefix(), error))?;
            row.licence = typed.licence;
            Ok((status, render(&page)).into_response())
        }
    }
}
