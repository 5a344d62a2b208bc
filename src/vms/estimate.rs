//! What a new machine, another size, a start or a rebuild would cost, and how long the credit would last with it. Every estimate
//! counts the same lines as the charge will. Nothing is written.

use billing::{Money, Rate};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::burn::{Burn, BurnLine, burn_of};
use super::resize::{self, NewSize};
use super::{Power, State, Vm, find};
use crate::app::App;
use crate::catalog::{self, Image, Metering, Plan, PowerState, PriceBook};
use crate::error::{Error, Problem, Result};
use crate::ids::{ImageId, LocationId, OrganisationId, PlanId, VmId};
use crate::ledger::{self, Wallet};
use crate::metering::{self, Metered, Parts};
use crate::runway::{self, WouldBe};

/// The most machines one estimate is asked for.
pub const ESTIMATED_VMS_MAX: u32 = 200;
/// The most lines of an estimate.
const ESTIMATED_ENTRIES_MAX: usize = 50;
/// The most GiB of further disk, and the most addresses, of one machine in an estimate.
const EXTRA_DISK_GIB_MAX: u32 = 65_536;
const ADDRESSES_MAX: u32 = 64;

/// A line of what is asked about.
#[derive(Debug, Clone, Copy)]
pub struct CostLine {
    /// Which of the machines asked about, from zero on.
    pub machine: usize,
    /// How many such machines.
    pub machines: u32,
    /// The line of one of them.
    pub burn: BurnLine,
    /// What all of them come to.
    pub cost: billing::Estimate,
}

/// What a change would cost, in all.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Everything that would be metered.
    pub lines: Vec<CostLine>,
    /// What the machines concerned run up per hour now.
    pub rate_from: Rate,
    /// And then.
    pub rate_to: Rate,
    /// The most a month costs then; none: no limit.
    pub monthly_cap: Option<Money>,
    /// An hour, a month, and what is left of this month.
    pub total: billing::Estimate,
    /// Set aside now: a day of what is new.
    pub reserved: Money,
    /// What may be spent now.
    pub available: Money,
    /// What is missing for it; zero when nothing is.
    pub short_by: Money,
    /// When the credit runs out as things are; none: not within the horizon.
    pub runs_out_before: Option<DateTime<Utc>>,
    /// When it would then.
    pub runs_out_after: Option<DateTime<Utc>>,
}

/// What must be in the wallet for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A day of it, which is set aside.
    Day,
    /// An hour of it.
    Hour,
    /// Nothing.
    Nothing,
}

/// A machine that is asked about.
struct Asked {
    vm: Option<VmId>,
    machines: u32,
    rate_from: Rate,
    /// What it would be metered as.
    lines: Vec<Metering>,
}

/// The change of a machine that is there, or a new one.
fn asked(vm: Option<&Vm>, lines: Vec<Metering>) -> Asked {
    Asked { vm: vm.map(|vm| vm.id), machines: 1, rate_from: vm.map_or(Rate::ZERO, |vm| vm.rate), lines }
}

/// Costs of changes that exclude each other: one answer for each.
async fn costs(
    app: &App,
    wallet: &Wallet,
    book: &PriceBook,
    alternatives: &[Vec<Asked>],
    need: Need,
) -> Result<Vec<Cost>> {
    let (now, zone) = (app.clock.now(), app.settings.time_zone);
    let would_be = |asked: &Asked| {
        let machines = std::iter::repeat_with(|| WouldBe { vm: asked.vm, lines: asked.lines.clone() });
        machines.take(usize::try_from(asked.machines).unwrap_or(0)).collect::<Vec<_>>()
    };
    let changes: Vec<Vec<WouldBe>> =
        alternatives.iter().map(|asked| asked.iter().flat_map(would_be).collect()).collect();
    let (before, after) = runway::before_and_after(app, wallet, book, &changes).await?;
    let available = wallet.available();
    let cost = |(alternative, after): (&Vec<Asked>, runway::Outlook)| {
        let mut lines = Vec::new();
        for (machine, asked) in alternative.iter().enumerate() {
            for burn in burn_of(book, &asked.lines, now)?.lines {
                let one = billing::Estimate::of_new(burn.rate, burn.cap, now, zone);
                let cost = (0..asked.machines).map(|_| one).sum();
                lines.push(CostLine { machine, machines: asked.machines, burn, cost });
            }
        }
        let times = |rate: Rate, machines: u32| (0..machines).map(move |_| rate).sum::<Rate>();
        let rate_to: Rate = lines.iter().map(|line| times(line.burn.rate, line.machines)).sum();
        let cap = |line: &CostLine| (0..line.machines).map(|_| line.burn.cap).sum::<Option<Money>>();
        let reserved = if need == Need::Day { billing::hold_for(rate_to) } else { Money::ZERO };
        let needed = match need {
            Need::Day => reserved,
            Need::Hour => rate_to.for_hours(1),
            Need::Nothing => Money::ZERO,
        };
        Ok(Cost {
            monthly_cap: lines.iter().map(cap).sum(),
            total: lines.iter().map(|line| line.cost).sum(),
            rate_from: alternative.iter().map(|asked| asked.rate_from).sum(),
            rate_to,
            reserved,
            available,
            short_by: if needed > available { needed - available } else { Money::ZERO },
            runs_out_before: before.runs_out_at,
            runs_out_after: after.runs_out_at,
            lines,
        })
    };
    alternatives.iter().zip(after).map(cost).collect()
}

async fn only(app: &App, wallet: &Wallet, asked: Asked, need: Need) -> Result<Cost> {
    let book = book(app, wallet.organisation).await?;
    let mut costs = costs(app, wallet, &book, &[vec![asked]], need).await?;
    costs.pop().ok_or_else(|| Error::Internal(anyhow::anyhow!("an estimate has no answer")))
}

async fn book(app: &App, organisation: OrganisationId) -> Result<PriceBook> {
    let mut connection = app.pool.acquire().await?;
    catalog::price_book_for(&mut connection, organisation).await
}

/// What a machine has when it is made: the disk of its plan, an address, and the licence of its image if that needs one.
pub(super) fn new_parts(plan: PlanId, image: Option<&Image>, state: PowerState) -> Parts {
    let licensed = image.filter(|image| image.licence.is_some()).map(|image| image.id);
    Parts { plan, state, extra_disk_gib: 0, addresses: 1, licensed }
}

/// What a new machine of a plan would cost an organisation.
#[derive(Debug, Clone)]
pub struct Estimate {
    /// The plan.
    pub plan: Plan,
    /// Per hour while stopped, all lines together.
    pub stopped: Rate,
    /// What it costs while it runs, and what it does to the wallet.
    pub cost: Cost,
}

/// Estimates a machine of a plan for an organisation.
///
/// # Errors
/// `Invalid` when there is no such plan or image on sale.
pub async fn estimate(
    app: &App,
    organisation: OrganisationId,
    plan: PlanId,
    image: Option<ImageId>,
) -> Result<Estimate> {
    let image = known_image(app, image).await?;
    let plan = catalog::plans_for(app, organisation).await?.into_iter().find(|known| known.id == plan);
    let plan = plan.ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))?;
    let mut found = of_plans(app, organisation, vec![plan], image.as_ref()).await?;
    found.pop().ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))
}

/// Estimates a machine of each plan on sale for an organisation, in the operator's order. An image that is not known is none.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn estimate_all(app: &App, organisation: OrganisationId, image: Option<ImageId>) -> Result<Vec<Estimate>> {
    let image = catalog::images(app).await?.into_iter().find(|known| Some(known.id) == image);
    of_plans(app, organisation, catalog::plans_for(app, organisation).await?, image.as_ref()).await
}

async fn known_image(app: &App, image: Option<ImageId>) -> Result<Option<Image>> {
    let Some(id) = image else { return Ok(None) };
    let known = catalog::images(app).await?.into_iter().find(|known| known.id == id);
    known.map(Some).ok_or_else(|| Error::invalid("image", "Choose one of the images."))
}

async fn of_plans(
    app: &App,
    organisation: OrganisationId,
    plans: Vec<Plan>,
    image: Option<&Image>,
) -> Result<Vec<Estimate>> {
    let (wallet, book) = (ledger::wallet(app, organisation).await?, book(app, organisation).await?);
    let lines = |plan: &Plan, state| new_parts(plan.id, image, state).on(book.list());
    let alternatives: Vec<_> = plans.iter().map(|plan| vec![asked(None, lines(plan, PowerState::Running))]).collect();
    let found = costs(app, &wallet, &book, &alternatives, Need::Day).await?;
    let estimate = |(plan, cost): (Plan, Cost)| {
        let stopped = burn_of(&book, &lines(&plan, PowerState::Stopped), app.clock.now())?.rate();
        Ok(Estimate { plan, stopped, cost })
    };
    plans.into_iter().zip(found).map(estimate).collect()
}

/// What another size of a machine would cost.
#[derive(Debug, Clone)]
pub struct ResizeEstimate {
    /// The plan.
    pub plan: Plan,
    /// The most the machine itself costs per month now.
    pub cap_from: Option<Money>,
    /// Disk now, in GiB.
    pub disk_gib_from: i32,
    /// Disk then, in GiB.
    pub disk_gib_to: i32,
    /// Whether it is shut down for it and started again.
    pub restarts: bool,
    /// What is missing to run it for an hour; zero when nothing is.
    pub short_by: Money,
    /// What it costs in the state it is in, and what that does to the wallet.
    pub cost: Cost,
    /// Why the machine cannot have this plan.
    pub refusal: Option<String>,
}

/// Estimates another size of a machine.
///
/// # Errors
/// `NotFound` for somebody else's machine, `Conflict` when it is none that can be resized, `Invalid` for a plan that it cannot
/// have.
pub async fn estimate_resize(
    app: &App,
    organisation: OrganisationId,
    vm: VmId,
    size: NewSize,
) -> Result<ResizeEstimate> {
    let vm = find(app, organisation, vm).await?;
    vm.check_exists()?;
    let plans = catalog::plans_for(app, organisation).await?;
    let plan = resize::chosen(&vm, &plans, size)?.clone();
    let mut found = of_sizes(app, &vm, vec![plan], size.grow_disk).await?;
    found.pop().ok_or_else(|| Error::invalid("plan", "Choose one of the plans."))
}

/// Estimates a machine with each plan on sale, in the operator's order, also with those that it cannot have.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn estimate_resizes(app: &App, vm: &Vm, grow_disk: bool) -> Result<Vec<ResizeEstimate>> {
    of_sizes(app, vm, catalog::plans_for(app, vm.organisation).await?, grow_disk).await
}

async fn of_sizes(app: &App, vm: &Vm, plans: Vec<Plan>, grow_disk: bool) -> Result<Vec<ResizeEstimate>> {
    let (wallet, book) = (ledger::wallet(app, vm.organisation).await?, book(app, vm.organisation).await?);
    let runs = vm.state == State::Running;
    let now_parts = parts_now(app, vm).await?;
    let disk_to = |plan: &Plan| if grow_disk { plan.disk_gib.max(vm.disk_gib) } else { vm.disk_gib };
    let lines = |plan: &Plan, state| resize::parts_with(now_parts, plan, disk_to(plan), state).on(book.list());
    let state = if runs { PowerState::Running } else { PowerState::Stopped };
    let alternatives: Vec<_> = plans.iter().map(|plan| vec![asked(Some(vm), lines(plan, state))]).collect();
    let found = costs(app, &wallet, &book, &alternatives, Need::Nothing).await?;
    let estimate = |(plan, cost): (Plan, Cost)| {
        let hour = burn_of(&book, &lines(&plan, PowerState::Running), app.clock.now())?.rate().for_hours(1);
        Ok(ResizeEstimate {
            cap_from: vm.monthly_cap,
            disk_gib_from: vm.disk_gib,
            disk_gib_to: disk_to(&plan),
            restarts: runs,
            short_by: if hour > cost.available { hour - cost.available } else { Money::ZERO },
            refusal: resize::why_not(vm, &plan),
            cost,
            plan,
        })
    };
    plans.into_iter().zip(found).map(estimate).collect()
}

async fn parts_now(app: &App, vm: &Vm) -> Result<Parts> {
    let state = if vm.state == State::Running { PowerState::Running } else { PowerState::Stopped };
    let mut connection = app.pool.acquire().await?;
    metering::parts(&mut connection, Metered { vm: vm.id, plan: vm.plan, state }).await
}

/// What a machine runs up now, line by line; what it would if its wallet had not run out.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn burn_now(app: &App, vm: &Vm) -> Result<Burn> {
    let book = book(app, vm.organisation).await?;
    burn_of(&book, &parts_now(app, vm).await?.on(book.list()), app.clock.now())
}

/// Estimates a change of power.
///
/// # Errors
/// `NotFound` for somebody else's machine, `Conflict` when it is not there.
pub async fn estimate_power(app: &App, organisation: OrganisationId, vm: VmId, power: Power) -> Result<Cost> {
    let vm = find(app, organisation, vm).await?;
    vm.check_exists()?;
    let (state, need) = match power {
        Power::Start => (PowerState::Running, Need::Hour),
        Power::Shutdown | Power::Stop => (PowerState::Stopped, Need::Nothing),
        Power::Reboot | Power::Reset | Power::Suspend | Power::Resume => (PowerState::Running, Need::Nothing),
    };
    let wallet = ledger::wallet(app, organisation).await?;
    let parts = Parts { state, ..parts_now(app, &vm).await? };
    only(app, &wallet, asked(Some(&vm), parts.on(wallet.price_list)), need).await
}

/// Estimates making a machine anew from an image.
///
/// # Errors
/// `NotFound` for somebody else's machine, `Conflict` when it is not there, `Invalid` without such an image.
pub async fn estimate_rebuild(app: &App, organisation: OrganisationId, vm: VmId, image: ImageId) -> Result<Cost> {
    let vm = find(app, organisation, vm).await?;
    vm.check_exists()?;
    let image = known_image(app, Some(image)).await?;
    let wallet = ledger::wallet(app, organisation).await?;
    let licensed = new_parts(vm.plan, image.as_ref(), PowerState::Running).licensed;
    let parts = Parts { licensed, ..parts_now(app, &vm).await? };
    only(app, &wallet, asked(Some(&vm), parts.on(wallet.price_list)), Need::Hour).await
}

/// Estimates a guest that would be taken over as a running machine of an organisation.
pub(super) async fn estimate_adoption(
    app: &App,
    organisation: OrganisationId,
    plan: &Plan,
    image: &Image,
    disk_gib: i32,
) -> Result<Cost> {
    let wallet = ledger::wallet(app, organisation).await?;
    let extra_disk_gib = i64::from((disk_gib - plan.disk_gib).max(0));
    let parts = Parts { extra_disk_gib, ..new_parts(plan.id, Some(image), PowerState::Running) };
    only(app, &wallet, asked(None, parts.on(wallet.price_list)), Need::Hour).await
}

/// Machines to estimate, all alike.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct EstimatedVms {
    /// Which size.
    pub plan: PlanId,
    /// How many; one when nothing is said.
    #[schema(minimum = 1, maximum = 200)]
    pub quantity: Option<u32>,
    /// Hours of a month in which each runs; all 730 when nothing is said.
    #[schema(maximum = 730)]
    pub hours_running: Option<u32>,
    /// Hours of a month in which each is stopped; those that are left over it does not exist.
    #[serde(default)]
    #[schema(maximum = 730)]
    pub hours_stopped: u32,
    /// GiB of disk beyond what the plan has.
    #[serde(default)]
    #[schema(maximum = 65_536)]
    pub extra_disk_gib: u32,
    /// How many addresses each has; one when nothing is said.
    #[schema(maximum = 64)]
    pub addresses: Option<u32>,
    /// The image, which may need a licence.
    pub image: Option<ImageId>,
    /// Where.
    pub location: Option<LocationId>,
}

/// What several machines would cost together.
#[derive(Debug, Clone)]
pub struct ManyEstimate {
    /// What they cost while all of them run, and what that does to the wallet.
    pub cost: Cost,
    /// Per hour while all of them are stopped.
    pub stopped: Rate,
    /// What a month costs each of the lines asked about, by the hours it is to run and to be stopped.
    pub months: Vec<Money>,
}

/// Estimates several machines together.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn estimate_many(app: &App, organisation: OrganisationId, wanted: &[EstimatedVms]) -> Result<ManyEstimate> {
    let (plans, images) = (catalog::plans_for(app, organisation).await?, catalog::images(app).await?);
    let locations = catalog::locations(app).await?;
    let mut problems = Vec::new();
    if wanted.is_empty() || wanted.len() > ESTIMATED_ENTRIES_MAX {
        problems.push(Problem::new("vms", format!("Between 1 and {ESTIMATED_ENTRIES_MAX} lines.")));
    }
    let mut vms = 0_u32;
    for (index, one) in wanted.iter().enumerate() {
        let mut wrong =
            |field: &str, problem: String| problems.push(Problem::new(format!("vms[{index}].{field}"), problem));
        if !plans.iter().any(|plan| plan.id == one.plan) {
            wrong("plan", "Choose one of the plans.".into());
        }
        if one.image.is_some_and(|id| !images.iter().any(|image| image.id == id)) {
            wrong("image", "Choose one of the images.".into());
        }
        if one.location.is_some_and(|id| !locations.iter().any(|location| location.id == id)) {
            wrong("location", "Choose one of the locations.".into());
        }
        let hours = i64::from(one.hours_running.unwrap_or(0)) + i64::from(one.hours_stopped);
        if hours > MONTH_HOURS_MAX {
            wrong("hours_running", format!("A month has at most {MONTH_HOURS_MAX} hours."));
        }
        if one.extra_disk_gib > EXTRA_DISK_GIB_MAX {
            wrong("extra_disk_gib", format!("At most {EXTRA_DISK_GIB_MAX}."));
        }
        if one.addresses.is_some_and(|addresses| addresses > ADDRESSES_MAX) {
            wrong("addresses", format!("At most {ADDRESSES_MAX}."));
        }
        vms = vms.saturating_add(one.quantity.unwrap_or(1));
        if one.quantity == Some(0) || vms > ESTIMATED_VMS_MAX {
            wrong("quantity", format!("At least one each, and at most {ESTIMATED_VMS_MAX} VMs in all."));
        }
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let (wallet, book) = (ledger::wallet(app, organisation).await?, book(app, organisation).await?);
    let now = app.clock.now();
    let lines = |one: &EstimatedVms, state| {
        let image = images.iter().find(|image| Some(image.id) == one.image);
        let parts = new_parts(one.plan, image, state);
        let (extra, addresses) = (i64::from(one.extra_disk_gib), i64::from(one.addresses.unwrap_or(1)));
        Parts { extra_disk_gib: extra, addresses, ..parts }.on(book.list())
    };
    let machines = |one: &EstimatedVms| one.quantity.unwrap_or(1);
    let running: Vec<_> = wanted
        .iter()
        .map(|one| Asked { machines: machines(one), ..asked(None, lines(one, PowerState::Running)) })
        .collect();
    let mut found = costs(app, &wallet, &book, &[running], Need::Day).await?;
    let cost = found.pop().ok_or_else(|| Error::Internal(anyhow::anyhow!("an estimate has no answer")))?;
    let (mut stopped, mut months) = (Rate::ZERO, Vec::with_capacity(wanted.len()));
    for one in wanted {
        let off = burn_of(&book, &lines(one, PowerState::Stopped), now)?;
        let on = burn_of(&book, &lines(one, PowerState::Running), now)?;
        stopped = (0..machines(one)).map(|_| off.rate()).fold(stopped, |sum, rate| sum + rate);
        let month: Money = on.lines.iter().zip(&off.lines).map(|(on, off)| month_of(one, on, off)).sum();
        months.push((0..machines(one)).map(|_| month).sum());
    }
    Ok(ManyEstimate { cost, stopped, months })
}

/// The most hours a month has, with the one that the end of summer time adds.
const MONTH_HOURS_MAX: i64 = 745;

/// What a line costs in a month with so many hours on and off, at most its cap.
fn month_of(hours: &EstimatedVms, on: &BurnLine, off: &BurnLine) -> Money {
    let running = hours.hours_running.map_or(billing::ESTIMATE_MONTH_HOURS - i64::from(hours.hours_stopped), i64::from);
    let cost = on.rate.for_hours(running.max(0)) + off.rate.for_hours(i64::from(hours.hours_stopped));
    on.cap.zip(off.cap).map_or(cost, |(on, off)| cost.min(on.max(off)))
}
