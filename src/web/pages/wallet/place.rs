//! Where a page about money stands. The owner sees his own in the portal; operators see the same pages of any organisation in
//! the admin panel.

use std::sync::Arc;

use anyhow::Context;
use askama::Template;
use axum::response::Response;

use crate::app::App;
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::organisations;
use crate::web::pages::exceptions::count;
use crate::web::pages::frames::{self, Notice, portal, render_with};
use crate::web::session::{Customer, Staff};
use crate::web::views::frame::{AdminSection, Link, Section};
use crate::web::views::markup::Markup;
use crate::web::views::wallet::{InAdmin, InPortal, Place};

/// Who looks at the money of an organisation.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    /// One of its people.
    Owner(Box<Customer>),
    /// An operator.
    Operator(Box<Staff>, OrganisationId),
}

impl Reader {
    pub(super) fn owner(customer: Customer) -> Self {
        Self::Owner(Box::new(customer))
    }

    pub(super) fn operator(staff: Staff, organisation: OrganisationId) -> Self {
        Self::Operator(Box::new(staff), organisation)
    }

    pub(super) fn organisation(&self) -> OrganisationId {
        match self {
            Self::Owner(customer) => customer.organisation(),
            Self::Operator(_, organisation) => *organisation,
        }
    }

    /// What the URLs of its pages begin with.
    pub(super) fn base(&self) -> String {
        match self {
            Self::Owner(_) => "/wallet".into(),
            Self::Operator(_, organisation) => format!("/admin/customers/{organisation}"),
        }
    }

    /// The way to a page; an operator's begins with the customer.
    ///
    /// # Errors
    /// `NotFound` without such an organisation.
    pub(super) async fn place(&self, app: &App, further: Vec<Link>) -> Result<Place> {
        let base = self.base();
        let mut crumbs = match self {
            Self::Owner(_) => vec![link("Wallet", &base)],
            Self::Operator(_, organisation) => {
                let organisation = organisations::line(app, *organisation).await?;
                vec![link("Customers", "/admin/customers"), link(&organisation.name, &base)]
            }
        };
        crumbs.extend(further);
        Ok(Place { base, crumbs })
    }

    /// The page with what stands around it.
    pub(super) async fn page(&self, app: &Arc<App>, title: &str, body: &impl Template) -> Result<Response> {
        let body = Markup::new(body.render().context("a page could not be rendered")?);
        let notice = Notice::default();
        Ok(match self {
            Self::Owner(customer) => {
                let frame = portal(app, customer, title, Section::Wallet, &notice).await?;
                render_with(app, &notice, &InPortal { frame, body })
            }
            Self::Operator(staff, _) => {
                let waiting = count(app).await?;
                let frame = frames::admin(app, staff, title, AdminSection::Customers, waiting, &notice);
                render_with(app, &notice, &InAdmin { frame, body })
            }
        })
    }
}

/// A word that leads somewhere.
pub(super) fn link(text: &str, url: &str) -> Link {
    Link { text: text.to_owned(), url: url.to_owned() }
}
