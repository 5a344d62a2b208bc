//! A platform of its own for one test: database, clock, simulated cluster, catalogue, and the HTTP door on a free port.
//! It ends with [`World::finish`], which proves that nothing leaked and that the books add up.

mod check;
mod database;
mod door;
pub mod form;
mod mail;
mod people;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proxmox_simulator::{Guest, Options, Simulator, Timing};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uni_manager::app::App;
use uni_manager::audit::Actor;
use uni_manager::charging::{self, Pass};
use uni_manager::clock::Clock;
use uni_manager::clusters::{self, NewCluster};
use uni_manager::commands::sell_examples;
use uni_manager::config::{self, Guards, Settings, Vault};
use uni_manager::ids::{ClusterId, ImageId, LocationId};
use uni_manager::invoices::{self, InvoiceSettings};
use uni_manager::mail::Mailer;
use uni_manager::{vms, web, worker};

pub use database::Database;
pub use door::{Answer, send};
pub use mail::{MailServer, Mood, Sent, token_in};
pub use people::{Customer, PASSWORD};

/// How many rounds of waiting a job may need in a test: each moves the clock further than any pause between attempts.
const ROUNDS_MAX: usize = 40;
/// Longer than the longest pause between two attempts, and than a lease.
const ROUND_SECONDS: i64 = 61;
/// Signs access tokens in tests.
pub const TOKEN_KEY: &str = "0123456789abcdef0123456789abcdef";

/// How a world begins.
pub struct Start {
    /// What the clock shows.
    pub now: DateTime<Utc>,
    /// How long the tasks of the cluster take.
    pub timing: Timing,
    /// What a new organisation gets.
    pub sign_up_credit: &'static str,
    /// Whether strangers may register.
    pub registration_open: bool,
    /// What is on the cluster already.
    pub state: Option<Value>,
    /// Whose months are billing months.
    pub time_zone: chrono_tz::Tz,
    /// Whether the tables belong to a role that may do no more than its database allows, as in production.
    pub plain_owner: bool,
    /// Where mails go.
    pub mailer: Mailer,
    /// What guards the door; nobody asks too often unless it is said.
    pub guards: Guards,
    /// With accounts of whom people may log in besides.
    pub oidc: Option<uni_manager::oidc::Provider>,
    /// Where browsers would reach it; where it listens, unless it is said.
    pub public_url: Option<String>,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            now: at("2026-11-10T12:00:00Z"),
            timing: Timing::instant(),
            sign_up_credit: "0",
            registration_open: true,
            state: None,
            time_zone: chrono_tz::UTC,
            plain_owner: false,
            mailer: Mailer::Kept,
            oidc: None,
            guards: Guards {
                requests_per_key: u32::MAX,
                requests_per_network: u32::MAX,
                requests_per_person: u32::MAX,
                ..Guards::default()
            },
            public_url: None,
        }
    }
}

/// Reads an instant.
pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The time of the machine, for worlds that real processes share.
pub fn machine_time() -> DateTime<Utc> {
    DateTime::from(std::time::SystemTime::now())
}

/// A platform of its own.
pub struct World {
    pub app: Arc<App>,
    pub simulator: Simulator,
    pub cluster: ClusterId,
    pub location: LocationId,
    pub images: Vec<ImageId>,
    pub url: String,
    pub http: reqwest::Client,
    pub database: Database,
    pub secret_key: SecretString,
    stop: Option<oneshot::Sender<()>>,
    finished: bool,
}

impl World {
    /// A platform at noon of a November day, with one cluster of two nodes.
    pub async fn new() -> Self {
        Self::starting(Start::default()).await
    }

    /// A platform that begins as told.
    pub async fn starting(start: Start) -> Self {
        let database = if start.plain_owner { Database::of_plain_owner().await } else { Database::new().await };
        let pool = uni_manager::database::connect(&database.url, 12).await.unwrap();
        let secret_key = Vault::generate_key();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings {
            public_url: start.public_url.unwrap_or_else(|| url.clone()),
            guards: start.guards,
            currency: "EUR".into(),
            time_zone: start.time_zone,
            sign_up_credit: start.sign_up_credit.parse().unwrap(),
            registration_open: start.registration_open,
            credit_contact: "Write to the operator.".into(),
            vault: Vault::from_keys(&secret_key).unwrap(),
            token_key: config::token_key(TOKEN_KEY.to_owned()).unwrap(),
            mailer: start.mailer,
            oidc: start.oidc,
            demo: false,
            charging_workers: 2,
        };
        let app = App::new(pool, Clock::set_to(start.now), settings);
        // Admins of these tests work with their password, unless a test is about that.
        sqlx::query("update settings set staff_second_factor = false").execute(&app.pool).await.unwrap();
        let simulator =
            Simulator::start(Options { nodes: 2, timing: start.timing, state: start.state, ..Options::default() })
                .unwrap();

        let mut transaction = app.pool.begin().await.unwrap();
        let examples = sell_examples(&mut transaction, start.now).await.unwrap();
        transaction.commit().await.unwrap();
        let cluster = clusters::add(&app, &new_cluster(&simulator, examples.location), &Actor::system()).await.unwrap();
        let templates: Vec<_> = examples.images.iter().map(|(image, vmid)| (*image, Some(*vmid))).collect();
        clusters::set_templates(&app, cluster, &templates, &Actor::system()).await.unwrap();

        let (stop, stopped) = oneshot::channel::<()>();
        let served = Arc::clone(&app);
        tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            web::serve(served, listener, stop).await.unwrap();
        });
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let images = examples.images.into_iter().map(|(image, _)| image).collect();
        Self {
            app,
            simulator,
            cluster,
            location: examples.location,
            images,
            url,
            http,
            database,
            secret_key,
            stop: Some(stop),
            finished: false,
        }
    }

    /// What the clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        self.app.clock.now()
    }

    /// Lets time pass in which nobody does anything.
    pub fn advance(&self, by: TimeDelta) {
        self.app.clock.advance(by);
    }

    /// Lets whole hours pass.
    pub fn hours(&self, hours: i64) {
        self.advance(TimeDelta::hours(hours));
    }

    /// Runs the jobs that are due now.
    pub async fn run_due_jobs(&self) -> usize {
        worker::run_due_jobs(&self.app).await.unwrap()
    }

    /// Runs jobs and lets time pass until none is left that could go on by itself.
    pub async fn settle(&self) {
        for _ in 0..ROUNDS_MAX {
            self.run_due_jobs().await;
            if self.count("select count(*) from jobs where status in ('pending', 'running')").await == 0 {
                return;
            }
            self.advance(TimeDelta::seconds(ROUND_SECONDS));
        }
        panic!("jobs still wait after {ROUNDS_MAX} rounds: {}", self.text("select string_agg(kind || ' ' || coalesce(error, waiting_for, ''), '; ') from jobs where status in ('pending', 'running')").await);
    }

    /// Charges what is due.
    pub async fn charge(&self) -> Pass {
        charging::run(&self.app).await.unwrap()
    }

    /// Gives and withdraws the notices that are due, and does what is due on empty wallets.
    pub async fn zero(&self) -> charging::Looked {
        charging::run_zero(&self.app).await.unwrap()
    }

    /// Looks at every cluster now, whether its look is due or not. What went wrong is written down.
    pub async fn look(&self) {
        for cluster in clusters::list(&self.app).await.unwrap() {
            let _ = vms::reconcile(&self.app, cluster.id).await;
        }
    }

    /// Lets hours pass as in production: a pass at each full hour.
    pub async fn hours_with_passes(&self, hours: i64) {
        for _ in 0..hours {
            self.hours(1);
            self.charge().await;
        }
    }

    /// A count out of the database.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.app.pool).await.unwrap()
    }

    /// A text out of the database; empty for null.
    pub async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar::<_, Option<String>>(sql).fetch_one(&self.app.pool).await.unwrap().unwrap_or_default()
    }

    /// A statement that must work.
    pub async fn execute(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.app.pool).await.unwrap();
    }

    /// The events of the audit log, oldest first.
    pub async fn events(&self) -> Vec<String> {
        sqlx::query_scalar("select event from audit_events order by id").fetch_all(&self.app.pool).await.unwrap()
    }

    /// The guests on the cluster that say they are ours.
    pub fn our_guests(&self) -> Vec<Guest> {
        let ours = |guest: &Guest| {
            let says = |option: &str, what: &str| guest.config.get(option).is_some_and(|value| value.contains(what));
            !guest.is_template() && (says("tags", "uni-manager") || says("description", "Uni-Manager VM"))
        };
        self.simulator.guests().into_iter().filter(ours).collect()
    }

    /// The guest of a machine.
    pub fn guest(&self, vm: &str) -> Option<Guest> {
        self.our_guests()
            .into_iter()
            .find(|guest| guest.config.get("description").is_some_and(|text| text.contains(vm)))
    }

    /// The VMID of a machine's guest.
    pub fn vmid(&self, vm: &str) -> u32 {
        self.guest(vm).unwrap().vmid
    }

    /// The environment of a real process on this world's database.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("UNI_MANAGER_PUBLIC_URL", self.url.clone()),
            ("UNI_MANAGER_SECRET_KEYS", self.secret_key.expose_secret().to_owned()),
            ("UNI_MANAGER_TOKEN_KEY", TOKEN_KEY.to_owned()),
            ("RUST_LOG", "off".to_owned()),
        ]
    }

    /// Issues the invoices that are due.
    pub async fn issue(&self) -> invoices::Issued {
        invoices::issue_due(&self.app).await.unwrap()
    }

    /// Says who issues invoices, with so much tax in all prices.
    pub async fn says_who_issues(&self, tax: &str) {
        let new = InvoiceSettings {
            issuer_name: "Cloud Ltd".into(),
            issuer_address: "1 Rack Row\nServerton".into(),
            issuer_tax_id: "XX123".into(),
            number_prefix: String::new(),
            tax_rate: tax.parse().unwrap(),
            currency_places: 2,
        };
        invoices::change_settings(&self.app, &new, &Actor::system()).await.unwrap();
    }

    /// Proves that nothing leaked and the books add up, and takes the world down. What is due to be invoiced is, before.
    pub async fn finish(self) {
        if invoices::current_settings(&self.app).await.unwrap().issuer().is_none() {
            self.says_who_issues("19").await;
        }
        assert_eq!(self.issue().await.failed, 0, "everything charged can be invoiced");
        self.check().await;
        self.finish_unchecked().await;
    }

    /// Takes down a world in which somebody has tampered with what is checked.
    pub async fn finish_unchecked(mut self) {
        self.finished = true;
        drop(self.stop.take());
        self.app.pool.close().await;
        self.database.drop_it().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test must end with `finish`, which checks the books");
    }
}

/// The cluster as an operator would type it.
pub fn new_cluster(simulator: &Simulator, location: LocationId) -> NewCluster {
    let (token_id, token_secret) = simulator.token().split_once('=').unwrap();
    NewCluster {
        name: "first".into(),
        location: Some(location),
        endpoint: simulator.url(),
        token_id: token_id.into(),
        token_secret: token_secret.into(),
        fingerprint: simulator.fingerprint().into(),
        storage: "shared".into(),
        bridge: "vmbr0".into(),
        vmid_from: "10000".into(),
        vmid_to: "99999".into(),
    }
}

/// A text inside a JSON answer.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
}
