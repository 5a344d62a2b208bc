//! Organisations: who belongs to one and as what, how somebody comes in, and turning from one to another.

mod invitations;
mod members;
mod roles;
mod switching;

use reqwest::Method;
use serde_json::Value;
use uni_manager::ids::OrganisationId;
use uni_manager::mail;

use crate::world::{Answer, Customer, World, send};

/// A request to the API by somebody for one of his organisations.
pub async fn ask(world: &World, who: &Customer, of: OrganisationId, method: &str, path: &str, body: &Value) -> Answer {
    let method: Method = method.parse().unwrap();
    let request = world.api(who, method.clone(), path).await.header("x-organisation", of.to_string());
    send(if method == Method::GET { request } else { request.json(body) }).await
}

/// Somebody new, who belongs to this organisation with this role and to no other.
pub async fn member(world: &World, name: &str, organisation: OrganisationId, role: &str) -> Customer {
    let mut customer = world.customer(name, "0").await;
    sqlx::query("update members set organisation_id = $2, role = $3 where user_id = $1")
        .bind(customer.user.id.uuid())
        .bind(organisation.uuid())
        .bind(role)
        .execute(&world.app.pool)
        .await
        .unwrap();
    customer.organisation = organisation;
    customer
}

/// The role of somebody, by its name; empty for who is no member.
pub async fn role_of(world: &World, who: &Customer, organisation: OrganisationId) -> String {
    sqlx::query_scalar("select coalesce(m.role, r.name) from members m left join roles r on r.id = m.role_id where m.user_id = $1 and m.organisation_id = $2")
        .bind(who.user.id.uuid())
        .bind(organisation.uuid())
        .fetch_optional(&world.app.pool)
        .await
        .unwrap()
        .unwrap_or_default()
}

/// The text of the latest mail to an address, as its reader has it.
pub async fn latest_mail(world: &World, address: &str) -> String {
    let id: uuid::Uuid = sqlx::query_scalar("select id from mails where to_address = $1 order by id desc limit 1")
        .bind(address)
        .fetch_one(&world.app.pool)
        .await
        .unwrap();
    mail::find(&world.app, id.into()).await.unwrap().body
}

/// The token of the latest invitation to an address.
pub async fn token_of(world: &World, address: &str) -> String {
    let text = latest_mail(world, address).await;
    let after = text.split("/invitation?token=").nth(1).unwrap_or_else(|| panic!("no invitation: {text}"));
    after.split_whitespace().next().unwrap().to_owned()
}
