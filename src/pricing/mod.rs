//! What operators do with prices: lists, their versions, who is on which, plans, and what would have been charged under other
//! prices. A change is one version with all its prices; nothing that is metered is touched, and nothing that was charged.
//! What a price is, and looking one up, is `catalog`.

mod announce;
mod assign;
mod change;
mod db;
mod form;
mod images;
mod lists;
mod names;
mod offer;
mod plans;
mod what_if;

pub use announce::announce_due;
pub use assign::assign;
pub use change::{ItemChange, NewPrice, NewVersion, Preview, can_be_withdrawn, change, preview, withdraw};
pub use form::{FormRow, form_rows, notice_days};
pub use images::{ImageLine, LICENCE_CHARACTERS_MAX, images, set_licence};
pub use lists::{List, ListLine, NAME_CHARACTERS_MAX, NewList, PricedItem, Version, add_list, lists, show};
pub use names::Names;
pub use offer::{Announced, AnnouncedPrice, Offer, offer_for};
pub use plans::{NewPlan, NewPlanPrice, PlanLine, add_plan, plans, retire, sell_again};
pub use what_if::{ByCustomer, ByPlan, Question, WhatIf, what_if};
