//! What a month would have brought under other prices: figures, by plan, by customer, and a file of it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::super::exceptions::count;
use super::super::frames::{self, Notice, decimal, form_errors, render};
use super::list_option;
use crate::app::App;
use crate::error::Result;
use crate::ids::PriceListId;
use crate::pricing::{self, List, WhatIf};
use crate::web::api::prices::{Asked, csv, last_month};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::AdminSection;
use crate::web::views::prices::{WhatIfPage, WhatIfRow};

/// `GET /admin/price-lists/{id}/what-if?month=&version=&of=&format=csv`
pub async fn what_if(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PriceListId>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let list = pricing::show(&app, id, None).await?;
    let answer = match asked.question(&app, id) {
        Ok(question) => pricing::what_if(&app, question).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) if asked.format.as_deref() == Some("csv") => Ok(csv(&answer)),
        Ok(answer) => {
            let page = what_if_page(&app, &staff, &list, &asked, Some(answer), FormErrors::none()).await?;
            Ok((StatusCode::OK, render(&page)).into_response())
        }
        Err(error) => {
            let status = status(&error);
            let page = what_if_page(&app, &staff, &list, &asked, None, form_errors(error)?).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

async fn what_if_page(
    app: &App,
    staff: &Staff,
    list: &List,
    asked: &Asked,
    answer: Option<WhatIf>,
    errors: FormErrors,
) -> Result<WhatIfPage> {
    let versions: Vec<_> = list.timeline.iter().filter(|version| version.withdrawn_at.is_none()).collect();
    let version = asked.version.or_else(|| versions.first().map(|version| version.number));
    let version = version.map(|number| number.to_string()).unwrap_or_default();
    let month = asked.month.clone().unwrap_or_else(|| last_month(app).to_string());
    let of_list = asked.of.clone().unwrap_or_default();
    let id = list.line.id;
    Ok(WhatIfPage {
        csv_url: format!("/admin/price-lists/{id}/what-if?month={month}&version={version}&of={of_list}&format=csv"),
        id: id.to_string(),
        list: list.line.name.clone(),
        month,
        versions: versions
            .iter()
            .map(|version| SelectOption {
                value: version.number.to_string(),
                text: format!("version {}, from {}", version.number, format::date(&version.effective_from)),
            })
            .collect(),
        version,
        of: pricing::lists(app)
            .await?
            .iter()
            .map(list_option)
            .map(|choice| SelectOption { text: format!("what is on {}", choice.text), ..choice })
            .collect(),
        of_list,
        customers: answer.as_ref().map_or((0, 0), |answer| (answer.customers, answer.dearer)),
        until: answer.as_ref().map(|answer| answer.until),
        total: answer.as_ref().map(|answer| WhatIfRow {
            name: String::new(),
            url: None,
            machines: None,
            charged: decimal(answer.charged),
            would_be: decimal(answer.would_be),
            difference: decimal(answer.difference),
        }),
        by_plan: answer.iter().flat_map(|answer| &answer.by_plan).map(plan_row).collect(),
        by_customer: answer.iter().flat_map(|answer| &answer.by_customer).map(customer_row).collect(),
        errors,
        frame: frames::admin(app, staff, "What if", AdminSection::Prices, count(app).await?, &Notice::default()),
    })
}

fn plan_row(plan: &pricing::ByPlan) -> WhatIfRow {
    WhatIfRow {
        name: plan.name.clone(),
        url: None,
        machines: Some(plan.vms),
        charged: decimal(plan.charged),
        would_be: decimal(plan.would_be),
        difference: decimal(plan.difference),
    }
}

fn customer_row(customer: &pricing::ByCustomer) -> WhatIfRow {
    WhatIfRow {
        name: customer.name.clone(),
        url: Some(format!("/admin/customers/{}", customer.organisation)),
        machines: None,
        charged: decimal(customer.charged),
        would_be: decimal(customer.would_be),
        difference: decimal(customer.difference),
    }
}
