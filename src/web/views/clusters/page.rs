//! One cluster in detail: what it has, what of it is sold, how it is reached, what is offered on it.

use askama::Template;

use super::{ClusterHealth, ClusterRow, ConnectionTestCard, TemplateFound};
use crate::web::format;
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::AdminFrame;
use crate::web::views::markup::{self, Markup};

/// How much there is of something, how much may be sold, is sold, is in use; all in one unit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauge {
    /// What there is.
    pub total: u64,
    /// At most this may be sold.
    pub limit: u64,
    /// Sold.
    pub sold: u64,
    /// In use.
    pub used: u64,
}

impl Gauge {
    pub(super) fn drawing(&self, label: &str) -> Markup {
        markup::gauge(self.sold, self.limit, self.used, self.total, label)
    }

    /// The sum of two.
    pub fn plus(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            limit: self.limit + other.limit,
            sold: self.sold + other.sold,
            used: self.used + other.used,
        }
    }
}

/// A node, as it was last seen.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Is it online?
    pub online: bool,
    /// Processors.
    pub cpus: u32,
    /// Guests of ours.
    pub vms: u64,
    /// Memory, MiB.
    pub memory: Gauge,
    /// Virtual processors; in use: hundredths of all processors.
    pub cpu: Gauge,
    /// Load of all processors, percent.
    pub load: u64,
}

/// A storage, as it was last seen; a shared one once for the cluster.
#[derive(Clone, Debug)]
pub struct StorageRow {
    /// Its name.
    pub name: String,
    /// The node, or that it is shared.
    pub place: String,
    /// Its type.
    pub kind: String,
    /// Can it be used?
    pub available: bool,
    /// Are disks of guests made on it?
    pub holds_disks: bool,
    /// GiB.
    pub space: Gauge,
}

/// An endpoint of the API.
#[derive(Clone, Debug)]
pub struct EndpointRow {
    /// Where it is.
    pub url: String,
    /// Its pinned certificate.
    pub fingerprint: Option<String>,
    /// Is it asked first?
    pub current: bool,
    /// Failures in a row.
    pub failures: u32,
    /// What was last wrong.
    pub last_error: Option<String>,
    /// Does it show another certificate?
    pub certificate_differs: bool,
    /// Is it a further one, that can be taken away here?
    pub further: bool,
}

/// Which template an image is cloned from here.
#[derive(Clone, Debug)]
pub struct ImageTemplate {
    /// Id of the image; the field is named `template_<id>`.
    pub image_id: String,
    /// Its name.
    pub image: String,
    /// VMID of the template, or empty.
    pub vmid: String,
}

/// A CD image. Fields: `name_<id>`, `offered` (its id), `rescue` (its id).
#[derive(Clone, Debug)]
pub struct IsoRow {
    /// Id.
    pub id: String,
    /// As Proxmox names it.
    pub volume: String,
    /// What customers read.
    pub name: String,
    /// Size, bytes.
    pub size: u64,
    /// Are customers offered it?
    pub offered: bool,
    /// Does it rescue?
    pub rescue: bool,
}

/// “Would it fit?” Fields: `plan`, `count`, `apart`.
#[derive(Clone, Debug, Default)]
pub struct FitForm {
    /// Plans to choose from.
    pub plans: Vec<SelectOption>,
    /// Id of the chosen plan.
    pub plan: String,
    /// How many.
    pub count: String,
    /// All on different nodes?
    pub apart: bool,
    /// The answer, when it was asked.
    pub answer: Option<FitAnswer>,
    /// What is wrong with the question.
    pub errors: FormErrors,
}

/// Where machines would go.
#[derive(Clone, Debug)]
pub struct FitAnswer {
    /// How many were asked for.
    pub wanted: u64,
    /// How many have a place.
    pub fits: u64,
    /// Node and how many.
    pub places: Vec<(String, u32)>,
    /// What a customer would read, when not all have a place.
    pub sentence: Option<&'static str>,
    /// Node and why the next one has no place there.
    pub passed_over: Vec<(String, String)>,
}

/// `GET /admin/clusters/{id}`, and whatever was refused on it.
#[derive(Debug, Template)]
#[template(path = "clusters/show.html")]
pub struct ClusterPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The cluster.
    pub cluster: ClusterRow,
    /// `user@realm!id`
    pub token_id: String,
    /// Where disks go.
    pub storage: String,
    /// Where CD images are.
    pub iso_storage: Option<String>,
    /// What network cards are tied to.
    pub bridge: String,
    /// First VMID we may use.
    pub vmid_from: u32,
    /// Last VMID we may use.
    pub vmid_to: u32,
    /// The limits, in one line.
    pub limits: String,
    /// As last seen.
    pub nodes: Vec<NodeRow>,
    /// As last seen.
    pub storages: Vec<StorageRow>,
    /// In the order they are asked.
    pub endpoints: Vec<EndpointRow>,
    /// Typed, when it was refused.
    pub endpoint_url: String,
    /// Typed, when it was refused.
    pub endpoint_fingerprint: String,
    /// By name.
    pub isos: Vec<IsoRow>,
    /// Would it fit?
    pub fit: FitForm,
    /// The last test, if one was made.
    pub test: Option<ConnectionTestCard>,
    /// One per image.
    pub images: Vec<ImageTemplate>,
    /// Templates known on the cluster, to choose from; none: a number is typed.
    pub templates: Vec<TemplateFound>,
    /// Fields: `template_<image id>`, `endpoint`, `fingerprint`, `name_<CD image id>`, `rescue`, `iso_storage`.
    pub errors: FormErrors,
}

impl ClusterPage {
    fn template_field(&self, image: &ImageTemplate) -> String {
        format!("template_{}", image.image_id)
    }

    fn name_field(&self, iso: &IsoRow) -> String {
        format!("name_{}", iso.id)
    }

    fn has_rescue(&self) -> bool {
        self.isos.iter().any(|iso| iso.rescue)
    }

    fn is_chosen(&self, template: &TemplateFound, image: &ImageTemplate) -> bool {
        template.vmid.to_string() == image.vmid
    }
}
