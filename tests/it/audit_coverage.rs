//! Nothing is changed that is not told: every changing route has a line in `table.rs` that says which event it writes. While
//! all tests run it is written down which routes were performed and wrote theirs, so that at the end of a whole run a route
//! that tells nothing is found, and one that no test performs too.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use reqwest::Method;
use table::{TOLD, Told};
use uni_manager::audit::Event;

use crate::world::World;

/// A changing request that was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// Method and path of its route, such as `POST /vms/{id}/start`.
    route: String,
    request_id: String,
}

/// The requests that were done, by the port of the world they were sent to.
static DONE: Mutex<BTreeMap<u16, Vec<Done>>> = Mutex::new(BTreeMap::new());

/// Writes down that a request was done, if it is one that changes something.
pub fn note(method: &Method, url: &reqwest::Url, status: u16, request_id: &str) {
    let changes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let dry = url.query().is_some_and(|query| query.contains("dry_run=true"));
    let (Some(port), true) = (url.port(), changes && !dry && status < 400) else { return };
    let Some(route) = route_of(method, url.path()) else { return };
    let done = Done { route, request_id: request_id.to_owned() };
    DONE.lock().unwrap().entry(port).or_default().push(done);
}

/// The route that a path belongs to: the one with the fewest names in it.
fn route_of(method: &Method, path: &str) -> Option<String> {
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        pattern.len() == path.len()
            && pattern.iter().zip(&path).all(|(pattern, part)| pattern.starts_with('{') || pattern == part)
    };
    let routes = uni_manager::web::routes();
    let found = routes.iter().filter(|route| route.method == *method && fits(&route.path));
    let route = found.min_by_key(|route| route.path.matches('{').count())?;
    Some(format!("{method} {}", route.path))
}

fn told(route: &str) -> Option<&'static Told> {
    TOLD.iter().find(|(method, path, _)| format!("{method} {path}") == route).map(|(.., told)| told)
}

/// Writes down which routes were performed in a world and wrote the event that the table names. A request may have found
/// nothing to do, so of all requests of a run one has to have.
pub async fn check(world: &World) {
    let port = world.url.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
    let done = DONE.lock().unwrap().remove(&port).unwrap_or_default();
    let mut routes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for done in &done {
        routes.entry(&done.route).or_default().push(&done.request_id);
    }
    for (route, requests) in routes {
        let Some(Told::Events(events)) = told(route) else { continue };
        let written: Vec<String> =
            sqlx::query_scalar("select distinct event from audit_events where request_id = any($1)")
                .bind(&requests)
                .fetch_all(&world.app.pool)
                .await
                .unwrap();
        if written.iter().any(|event| events.contains(&event.as_str())) {
            std::fs::write(folder().join(file_name(route)), "").unwrap();
        }
    }
}

/// Where it is written down which routes were performed.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audited");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn file_name(route: &str) -> String {
    route.replace(['/', ' '], "+")
}

#[test]
fn every_changing_route_says_what_it_tells() {
    let changing = uni_manager::web::routes();
    let changing = changing.iter().filter(|route| route.method != Method::GET);
    let routes: BTreeSet<_> = changing.map(|route| format!("{} {}", route.method, route.path)).collect();
    let lines: BTreeSet<_> = TOLD.iter().map(|(method, path, _)| format!("{method} {path}")).collect();

    assert_eq!(routes, lines, "each changing route has one line in tests/it/audit_coverage/table.rs");
    assert_eq!(lines.len(), TOLD.len(), "none has two");
    for (method, path, told) in TOLD {
        match told {
            Told::Events(events) => {
                let known = |name: &&str| Event::ALL.iter().any(|event| event.name() == *name);
                assert!(!events.is_empty() && events.iter().all(known), "{method} {path}: {events:?}");
            }
            Told::Nothing(reason) => assert!(reason.ends_with('.') && reason.len() > 20, "{method} {path}: {reason}"),
        }
    }
}

#[test]
fn every_event_is_written_somewhere() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/audit/event.rs");
    let text = std::fs::read_to_string(&table).unwrap();
    let mut names = BTreeSet::new();
    for event in Event::ALL {
        let variant = format!("{event:?}");
        assert!(text.contains(&format!("{variant} = \"{}\"", event.name())));
        assert!(names.insert(event.name()), "{} is there twice", event.name());
        let used = format!("Event::{variant}");
        let is_written = sources.iter().filter(|(path, _)| *path != table).any(|(_, source)| {
            source.match_indices(&used).any(|(at, _)| {
                !source[at + used.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
            })
        });
        assert!(is_written, "{variant} is written by nothing");
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// Run by `scripts/test` when everything else has run.
#[test]
#[ignore = "only after all other tests of a run"]
fn every_changing_route_was_performed_by_a_test() {
    let missing: Vec<_> = TOLD
        .iter()
        .filter(|(.., told)| matches!(told, Told::Events(_)))
        .map(|(method, path, _)| format!("{method} {path}"))
        .filter(|route| !folder().join(file_name(route)).exists())
        .collect();
    assert!(missing.is_empty(), "no test has performed and seen the event of:\n{}", missing.join("\n"));
}
