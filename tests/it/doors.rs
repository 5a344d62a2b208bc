//! Who may enter where. Every route of the house has a line here, and a test insists on it.

use reqwest::Method;

use crate::world::{Answer, Customer, PASSWORD, World, send, text};

/// Who may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Anybody.
    Anybody,
    /// A browser that is logged in.
    Customer,
    /// A browser of an admin.
    Staff,
    /// A program with a token.
    Program,
    /// A program with a token of an admin.
    Operator,
}

use Who::{Anybody, Customer as Person, Operator, Program, Staff};

/// Every route, in the order of `router.rs`.
const DOORS: &[(Who, &str, &str)] = &[
    (Anybody, "GET", "/healthz"),
    (Anybody, "GET", "/readyz"),
    (Person, "GET", "/live"),
    (Anybody, "GET", "/assets/{*name}"),
    (Anybody, "GET", "/"),
    (Anybody, "GET", "/login"),
    (Anybody, "POST", "/login"),
    (Anybody, "GET", "/register"),
    (Anybody, "POST", "/register"),
    (Person, "POST", "/logout"),
    (Person, "GET", "/vms"),
    (Person, "POST", "/vms"),
    (Person, "GET", "/vms/new"),
    (Person, "GET", "/vms/new/cost"),
    (Person, "GET", "/vms/summary"),
    (Person, "GET", "/vms/{id}"),
    (Person, "GET", "/vms/{id}/row"),
    (Person, "GET", "/vms/{id}/status"),
    (Person, "GET", "/vms/{id}/user-data"),
    (Person, "GET", "/vms/{id}/panel"),
    (Person, "GET", "/vms/{id}/console"),
    (Person, "POST", "/vms/{id}/console/ticket"),
    (Person, "GET", "/vms/{id}/console/socket"),
    (Person, "POST", "/vms/{id}/start"),
    (Person, "POST", "/vms/{id}/shutdown"),
    (Person, "POST", "/vms/{id}/stop"),
    (Person, "POST", "/vms/{id}/reboot"),
    (Person, "POST", "/vms/{id}/reset"),
    (Person, "POST", "/vms/{id}/suspend"),
    (Person, "POST", "/vms/{id}/resume"),
    (Person, "GET", "/vms/{id}/settings"),
    (Person, "POST", "/vms/{id}/settings"),
    (Person, "POST", "/vms/{id}/password"),
    (Person, "GET", "/vms/{id}/resize"),
    (Person, "POST", "/vms/{id}/resize"),
    (Person, "GET", "/vms/{id}/resize/cost"),
    (Person, "GET", "/vms/{id}/rebuild"),
    (Person, "POST", "/vms/{id}/rebuild"),
    (Person, "POST", "/vms/{id}/boot"),
    (Person, "GET", "/vms/{id}/delete"),
    (Person, "POST", "/vms/{id}/delete"),
    (Person, "GET", "/ssh-keys"),
    (Person, "POST", "/ssh-keys"),
    (Person, "POST", "/ssh-keys/{id}/delete"),
    (Person, "GET", "/prices"),
    (Person, "GET", "/wallet"),
    (Person, "GET", "/wallet/header"),
    (Person, "GET", "/wallet/ledger"),
    (Person, "GET", "/wallet/ledger.csv"),
    (Person, "GET", "/wallet/charges"),
    (Person, "GET", "/wallet/charges.csv"),
    (Person, "GET", "/wallet/charges/{meter}/{from}"),
    (Person, "GET", "/wallet/order"),
    (Person, "POST", "/wallet/order"),
    (Person, "POST", "/wallet/rescue"),
    (Person, "POST", "/vouchers/redeem"),
    (Person, "GET", "/audit"),
    (Person, "GET", "/notifications"),
    (Person, "GET", "/notifications/bell"),
    (Person, "GET", "/notifications/urgent"),
    (Person, "POST", "/notifications/read"),
    (Person, "POST", "/notifications/{id}/read"),
    (Staff, "GET", "/admin"),
    (Staff, "GET", "/admin/exceptions/list"),
    (Staff, "GET", "/admin/customers"),
    (Staff, "GET", "/admin/customers/{id}"),
    (Staff, "POST", "/admin/customers/{id}/credits"),
    (Staff, "POST", "/admin/customers/{id}/price-list"),
    (Staff, "GET", "/admin/price-lists"),
    (Staff, "POST", "/admin/price-lists"),
    (Staff, "GET", "/admin/price-lists/{id}"),
    (Staff, "GET", "/admin/price-lists/{id}/change"),
    (Staff, "POST", "/admin/price-lists/{id}/change"),
    (Staff, "POST", "/admin/price-lists/{id}/versions/{number}/withdraw"),
    (Staff, "GET", "/admin/price-lists/{id}/what-if"),
    (Staff, "GET", "/admin/plans"),
    (Staff, "POST", "/admin/plans"),
    (Staff, "GET", "/admin/plans/new"),
    (Staff, "POST", "/admin/plans/{id}/retire"),
    (Staff, "POST", "/admin/plans/{id}/sell"),
    (Staff, "GET", "/admin/customers/{id}/ledger"),
    (Staff, "GET", "/admin/customers/{id}/ledger.csv"),
    (Staff, "GET", "/admin/customers/{id}/charges"),
    (Staff, "GET", "/admin/customers/{id}/charges.csv"),
    (Staff, "GET", "/admin/customers/{id}/charges/{meter}/{from}"),
    (Staff, "GET", "/admin/wallets"),
    (Staff, "GET", "/admin/revenue"),
    (Staff, "POST", "/admin/customers/{id}/debits"),
    (Staff, "POST", "/admin/customers/{id}/zero"),
    (Staff, "POST", "/admin/customers/{id}/keep"),
    (Staff, "GET", "/admin/vouchers"),
    (Staff, "POST", "/admin/vouchers"),
    (Staff, "GET", "/admin/vouchers/new"),
    (Staff, "GET", "/admin/vouchers/{id}"),
    (Staff, "POST", "/admin/vouchers/{id}/revoke"),
    (Staff, "GET", "/admin/vms/{id}/console"),
    (Staff, "POST", "/admin/vms/{id}/console"),
    (Staff, "POST", "/admin/vms/{id}/console/ticket"),
    (Staff, "GET", "/admin/vms/{id}/migrate"),
    (Staff, "POST", "/admin/vms/{id}/migrate"),
    (Staff, "GET", "/admin/clusters"),
    (Staff, "POST", "/admin/clusters"),
    (Staff, "GET", "/admin/clusters/new"),
    (Staff, "POST", "/admin/clusters/test"),
    (Staff, "GET", "/admin/clusters/{id}"),
    (Staff, "GET", "/admin/clusters/{id}/vms"),
    (Staff, "GET", "/admin/clusters/{id}/settings"),
    (Staff, "POST", "/admin/clusters/{id}/settings"),
    (Staff, "POST", "/admin/clusters/{id}/maintenance"),
    (Staff, "POST", "/admin/clusters/{id}/certificate"),
    (Staff, "POST", "/admin/clusters/{id}/look"),
    (Staff, "POST", "/admin/clusters/{id}/endpoints"),
    (Staff, "POST", "/admin/clusters/{id}/isos"),
    (Staff, "POST", "/admin/clusters/{id}/isos/refresh"),
    (Staff, "POST", "/admin/clusters/{id}/remove"),
    (Staff, "POST", "/admin/clusters/{id}/test"),
    (Staff, "POST", "/admin/clusters/{id}/templates"),
    (Staff, "GET", "/admin/drift"),
    (Staff, "POST", "/admin/drift/{id}/accept"),
    (Staff, "POST", "/admin/drift/{id}/enforce"),
    (Staff, "POST", "/admin/drift/{id}/adopt"),
    (Staff, "GET", "/admin/foreign-guests"),
    (Staff, "GET", "/admin/foreign-guests/{cluster}/{vmid}"),
    (Staff, "POST", "/admin/foreign-guests/{cluster}/{vmid}"),
    (Staff, "POST", "/admin/vms/{id}/release"),
    (Staff, "GET", "/admin/jobs"),
    (Staff, "GET", "/admin/jobs/rows"),
    (Staff, "GET", "/admin/jobs/{id}"),
    (Staff, "POST", "/admin/jobs/{id}/retry"),
    (Staff, "POST", "/admin/jobs/{id}/undo"),
    (Staff, "GET", "/admin/mails"),
    (Staff, "GET", "/admin/mails/rows"),
    (Staff, "GET", "/admin/mails/{id}"),
    (Staff, "POST", "/admin/mails/{id}/retry"),
    (Staff, "GET", "/admin/settings"),
    (Staff, "POST", "/admin/settings"),
    (Staff, "GET", "/admin/audit"),
    (Anybody, "POST", "/api/v1/auth/register"),
    (Anybody, "POST", "/api/v1/auth/login"),
    (Anybody, "POST", "/api/v1/auth/refresh"),
    (Anybody, "POST", "/api/v1/auth/logout"),
    (Program, "GET", "/api/v1/auth/me"),
    (Program, "GET", "/api/v1/locations"),
    (Program, "GET", "/api/v1/plans"),
    (Program, "GET", "/api/v1/images"),
    (Program, "GET", "/api/v1/prices"),
    (Program, "POST", "/api/v1/estimate"),
    (Program, "GET", "/api/v1/vms"),
    (Program, "POST", "/api/v1/vms"),
    (Program, "GET", "/api/v1/vms/{id}"),
    (Program, "PATCH", "/api/v1/vms/{id}"),
    (Program, "DELETE", "/api/v1/vms/{id}"),
    (Program, "GET", "/api/v1/vms/{id}/user-data"),
    (Program, "POST", "/api/v1/vms/{id}/console"),
    (Program, "POST", "/api/v1/vms/{id}/start"),
    (Program, "POST", "/api/v1/vms/{id}/shutdown"),
    (Program, "POST", "/api/v1/vms/{id}/stop"),
    (Program, "POST", "/api/v1/vms/{id}/reboot"),
    (Program, "POST", "/api/v1/vms/{id}/reset"),
    (Program, "POST", "/api/v1/vms/{id}/suspend"),
    (Program, "POST", "/api/v1/vms/{id}/resume"),
    (Program, "POST", "/api/v1/vms/{id}/resize"),
    (Program, "POST", "/api/v1/vms/{id}/rebuild"),
    (Program, "POST", "/api/v1/vms/{id}/boot"),
    (Program, "POST", "/api/v1/vms/{id}/password"),
    (Program, "GET", "/api/v1/vms/{id}/iso-images"),
    (Program, "GET", "/api/v1/ssh-keys"),
    (Program, "POST", "/api/v1/ssh-keys"),
    (Program, "DELETE", "/api/v1/ssh-keys/{id}"),
    (Program, "GET", "/api/v1/jobs"),
    (Program, "GET", "/api/v1/jobs/{id}"),
    (Program, "DELETE", "/api/v1/jobs/{id}"),
    (Program, "GET", "/api/v1/jobs/{id}/log"),
    (Program, "GET", "/api/v1/wallet"),
    (Program, "GET", "/api/v1/wallet/zero"),
    (Program, "GET", "/api/v1/wallet/order"),
    (Program, "PUT", "/api/v1/wallet/order"),
    (Program, "POST", "/api/v1/wallet/rescue"),
    (Program, "GET", "/api/v1/transfers"),
    (Program, "GET", "/api/v1/transfers.csv"),
    (Program, "GET", "/api/v1/charges"),
    (Program, "GET", "/api/v1/charges.csv"),
    (Program, "GET", "/api/v1/charges/{meter}/{from}"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/wallet"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/transfers"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/transfers.csv"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/charges"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/charges.csv"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/charges/{meter}/{from}"),
    (Operator, "GET", "/api/v1/admin/revenue"),
    (Operator, "GET", "/api/v1/admin/wallets"),
    (Program, "POST", "/api/v1/vouchers/redeem"),
    (Program, "GET", "/api/v1/notifications"),
    (Program, "POST", "/api/v1/notifications/read"),
    (Program, "POST", "/api/v1/notifications/{id}/read"),
    (Operator, "GET", "/api/v1/admin/organisations"),
    (Operator, "POST", "/api/v1/admin/organisations/{id}/credits"),
    (Operator, "PUT", "/api/v1/admin/organisations/{id}/price-list"),
    (Operator, "GET", "/api/v1/admin/price-lists"),
    (Operator, "POST", "/api/v1/admin/price-lists"),
    (Operator, "GET", "/api/v1/admin/price-lists/{id}"),
    (Operator, "POST", "/api/v1/admin/price-lists/{id}/versions"),
    (Operator, "DELETE", "/api/v1/admin/price-lists/{id}/versions/{number}"),
    (Operator, "GET", "/api/v1/admin/price-lists/{id}/what-if"),
    (Operator, "GET", "/api/v1/admin/plans"),
    (Operator, "POST", "/api/v1/admin/plans"),
    (Operator, "POST", "/api/v1/admin/plans/{id}/retire"),
    (Operator, "POST", "/api/v1/admin/plans/{id}/sell"),
    (Operator, "POST", "/api/v1/admin/organisations/{id}/debits"),
    (Operator, "GET", "/api/v1/admin/organisations/{id}/zero"),
    (Operator, "PUT", "/api/v1/admin/organisations/{id}/zero"),
    (Operator, "POST", "/api/v1/admin/organisations/{id}/keep"),
    (Operator, "GET", "/api/v1/admin/settings"),
    (Operator, "PUT", "/api/v1/admin/settings"),
    (Operator, "GET", "/api/v1/admin/vouchers"),
    (Operator, "POST", "/api/v1/admin/vouchers"),
    (Operator, "GET", "/api/v1/admin/vouchers/{id}"),
    (Operator, "POST", "/api/v1/admin/vouchers/{id}/revoke"),
    (Operator, "GET", "/api/v1/admin/clusters"),
    (Operator, "POST", "/api/v1/admin/clusters"),
    (Operator, "GET", "/api/v1/admin/clusters/{id}"),
    (Operator, "PATCH", "/api/v1/admin/clusters/{id}"),
    (Operator, "DELETE", "/api/v1/admin/clusters/{id}"),
    (Operator, "POST", "/api/v1/admin/clusters/{id}/test"),
    (Operator, "POST", "/api/v1/admin/clusters/{id}/look"),
    (Operator, "PUT", "/api/v1/admin/clusters/{id}/endpoints"),
    (Operator, "GET", "/api/v1/admin/clusters/{id}/isos"),
    (Operator, "PUT", "/api/v1/admin/clusters/{id}/isos"),
    (Operator, "POST", "/api/v1/admin/clusters/{id}/isos/refresh"),
    (Operator, "GET", "/api/v1/admin/clusters/{id}/fit"),
    (Operator, "GET", "/api/v1/admin/drift"),
    (Operator, "POST", "/api/v1/admin/drift/{id}/accept"),
    (Operator, "POST", "/api/v1/admin/drift/{id}/enforce"),
    (Operator, "POST", "/api/v1/admin/drift/{id}/adopt"),
    (Operator, "GET", "/api/v1/admin/foreign-guests"),
    (Operator, "POST", "/api/v1/admin/foreign-guests/{cluster}/{vmid}/adopt"),
    (Operator, "POST", "/api/v1/admin/vms/{id}/release"),
    (Operator, "POST", "/api/v1/admin/vms/{id}/migrate"),
    (Operator, "GET", "/api/v1/admin/jobs"),
    (Operator, "POST", "/api/v1/admin/jobs/{id}/retry"),
    (Operator, "GET", "/api/v1/admin/mails"),
    (Operator, "GET", "/api/v1/admin/mails/{id}"),
    (Operator, "POST", "/api/v1/admin/mails/{id}/retry"),
    (Operator, "GET", "/api/v1/admin/audit-events"),
];

fn doors() -> impl Iterator<Item = (Who, Method, String)> {
    DOORS.iter().map(|(who, method, path)| {
        let id = "01a1fbed-31c8-742a-973c-6a7a37dc7ee6";
        let path = path
            .replace("{id}", id)
            .replace("{cluster}", id)
            .replace("{vmid}", "300")
            .replace("{number}", "1")
            .replace("{*name}", "nothing.js");
        let path =
            path.replace("{id}", id).replace("{cluster}", id).replace("{vmid}", "300").replace("{*name}", "nothing.js");
        let path = path.replace("{meter}", id).replace("{from}", "2026-11-10T12:00:00Z");
        (*who, method.parse().unwrap(), path)
    })
}

#[test]
fn every_route_has_a_line_here() {
    let source = include_str!("../../src/web/router.rs");
    let mut routes = Vec::new();
    let mut prefix = "";
    for line in source.lines() {
        if line.starts_with("fn ") || line.starts_with("pub fn ") {
            prefix = if line.contains("api_v1") { "/api/v1" } else { "" };
        }
        if let Some((_, route)) = line.split_once(".route(\"") {
            let (path, handlers) = route.split_once('"').unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if handlers.contains(&format!("{method}(")) {
                    routes.push(format!("{} {prefix}{path}", method.to_uppercase()));
                }
            }
        }
    }
    let mut known: Vec<_> = DOORS.iter().map(|(_, method, path)| format!("{method} {path}")).collect();
    routes.sort();
    known.sort();

    assert!(routes.len() > 50, "the routes were found");
    assert_eq!(routes, known);
}

/// Logs in through the form; answers with the cookie and the session's form token.
pub async fn browser(world: &World, customer: &Customer) -> (String, String) {
    let page = send(world.request(Method::GET, "/login")).await;
    let token = page.cookie("csrf").unwrap();
    let form = [("csrf", token.as_str()), ("email", &customer.user.email), ("password", PASSWORD)];
    let entered =
        send(world.request(Method::POST, "/login").header("cookie", format!("csrf={token}")).form(&form)).await;
    assert_eq!((entered.status, entered.location.as_str()), (303, "/vms"), "{}", entered.text);
    let cookie = format!("session={}", entered.cookie("session").unwrap());
    let csrf = world.text("select csrf_token from sessions order by created_at desc, id desc limit 1").await;
    (cookie, csrf)
}

/// Whether a browser was sent to the login, or told that it is logged out.
fn is_shown_the_door(answer: &Answer) -> bool {
    (answer.status == 303 && answer.location.starts_with("/login?next=")) || answer.status == 401
}

#[tokio::test]
async fn nobody_enters_without_saying_who_he_is() {
    let world = World::new().await;

    for (who, method, path) in doors() {
        let answer = send(world.request(method.clone(), &path)).await;
        match who {
            Anybody => assert!(
                ![401, 500, 501].contains(&answer.status) || path.starts_with("/api/v1/auth"),
                "{method} {path}: {}",
                answer.status
            ),
            Person | Staff => assert!(is_shown_the_door(&answer), "{method} {path}: {} {}", answer.status, answer.text),
            Program | Operator => drop(answer.problem(401)),
        }
    }
    send(world.request(Method::GET, "/api/v1/nothing")).await.problem(404);
    assert_eq!(send(world.request(Method::GET, "/nothing")).await.status, 404);
    world.finish().await;
}

#[tokio::test]
async fn customers_do_not_enter_where_operators_work() {
    let world = World::new().await;
    let (ann, admin) = (world.customer("ann", "0").await, world.admin().await);
    let (cookie, csrf) = browser(&world, &ann).await;
    let (admins, _) = browser(&world, &admin).await;

    for (who, method, path) in doors() {
        match who {
            Staff => {
                let request = || world.request(method.clone(), &path);
                let answer = send(request().header("cookie", &cookie).form(&[("csrf", &csrf)])).await;
                assert_eq!(answer.status, 403, "{method} {path}");
                if method == Method::GET {
                    let entered = send(request().header("cookie", &admins)).await;
                    assert!(matches!(entered.status, 200 | 404), "{method} {path}: {}", entered.status);
                }
            }
            Operator => {
                let request = || world.request(method.clone(), &path).json(&serde_json::json!({}));
                drop(send(request().bearer_auth(world.token(&ann).await)).await.problem(403));
                let entered = send(request().bearer_auth(world.token(&admin).await)).await;
                assert!(matches!(entered.status, 200 | 404 | 409 | 422), "{method} {path}: {}", entered.status);
            }
            Anybody | Person | Program => {}
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_form_counts_only_with_the_token_of_its_own_session() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let vm = world.running_vm(&ann, "web").await;
    let (cookie, csrf) = browser(&world, &ann).await;
    let (_, bobs) = browser(&world, &bob).await;
    let post = async |path: &str, token: &str| {
        send(world.request(Method::POST, path).header("cookie", &cookie).form(&[("csrf", token)])).await
    };

    for (who, method, path) in doors() {
        if who == Person && method == Method::POST {
            for token in ["", "nonsense", &bobs] {
                let answer = post(&path, token).await;
                assert_eq!(answer.status, 403, "{path} with {token:?}: {}", answer.text);
            }
        }
    }
    let shutdown = format!("/vms/{vm}/shutdown");
    assert_eq!(post(&shutdown, &bobs).await.status, 403);
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.shutdown'").await, 0);
    let accepted = post(&shutdown, &csrf).await;
    assert!(matches!(accepted.status, 200 | 303), "{} {}", accepted.status, accepted.text);
    assert_eq!(world.count("select count(*) from jobs where kind = 'vm.shutdown'").await, 1);
    assert_eq!(post("/logout", &csrf).await.status, 303);
    assert!(is_shown_the_door(&send(world.request(Method::GET, "/vms").header("cookie", &cookie)).await));
    world.run_due_jobs().await;
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_changed_because_another_sites_page_asked_for_it() {
    let world = World::new().await;
    let ann = world.customer("ann", "5").await;
    let (cookie, csrf) = browser(&world, &ann).await;

    for (_, method, path) in doors() {
        if method == Method::GET {
            continue;
        }
        for site in ["cross-site", "same-site"] {
            let request = world.request(method.clone(), &path).header("cookie", &cookie).header("sec-fetch-site", site);
            let answer = send(request.bearer_auth(world.token(&ann).await).form(&[("csrf", &csrf)])).await;
            assert_eq!(answer.status, 403, "{method} {path} from {site}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn a_login_that_fails_keeps_what_was_typed_and_says_why() {
    let world = World::new().await;
    world.customer("ann", "0").await;
    let page = send(world.request(Method::GET, "/login")).await;
    assert_eq!(page.status, 200);
    let token = page.cookie("csrf").unwrap();
    assert!(page.text.contains(&token) && page.text.contains("name=\"password\""));
    let flags = page.cookies.iter().find(|cookie| cookie.starts_with("csrf=")).unwrap();
    assert!(flags.contains("HttpOnly") && flags.contains("SameSite=Lax"), "{flags}");
    let typed = async |password: &str, cookie: &str| {
        let form = [("csrf", token.as_str()), ("email", "ann@example.org"), ("password", password)];
        send(world.request(Method::POST, "/login").header("cookie", cookie.to_owned()).form(&form)).await
    };

    let wrong = typed("not the password", &format!("csrf={token}")).await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.text.contains("ann@example.org")
            && wrong.text.contains("is wrong")
            && !wrong.text.contains("not the password")
    );
    assert_eq!(typed(PASSWORD, "").await.status, 403, "without the page's cookie");
    assert_eq!(typed(PASSWORD, &format!("csrf={token}")).await.status, 303);
    world.finish().await;
}

#[tokio::test]
async fn every_answer_says_what_browsers_may_do_with_it() {
    let world = World::new().await;
    for path in ["/login", "/healthz", "/api/v1/plans", "/nothing"] {
        let response = world.request(Method::GET, path).send().await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        assert!(header("content-security-policy").contains("default-src 'self'"), "{path}");
        assert_eq!(
            (header("x-content-type-options"), header("x-frame-options")),
            ("nosniff".into(), "DENY".into()),
            "{path}"
        );
        assert_eq!(header("x-request-id").len(), 32, "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn an_open_page_hears_of_its_own_changes_and_of_nobody_elses() {
    let world = World::new().await;
    let (ann, bob) = (world.customer("ann", "5").await, world.customer("bob", "5").await);
    let listening = tokio::spawn(world.app.hub.clone().listen(world.app.pool.clone()));
    let (cookie, _) = browser(&world, &ann).await;
    let mut stream = world.request(Method::GET, "/live").header("cookie", cookie).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    // The first word proves that the page is listening.
    let hears = async |stream: &mut reqwest::Response, what: &str| {
        let mut heard = String::new();
        let reading = async {
            while let Some(chunk) = stream.chunk().await.unwrap() {
                heard.push_str(&String::from_utf8_lossy(&chunk));
                if heard.contains(what) {
                    break;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), reading)
            .await
            .unwrap_or_else(|_| panic!("{what} was never heard"));
        heard
    };
    world.credit(&ann, "1").await;
    world.credit(&ann, "1").await;

    let bobs = world.running_vm(&bob, "theirs").await;
    let anns = world.order(&ann, "mine").await;
    let heard = hears(&mut stream, &anns).await;
    world.run_due_jobs().await;

    assert!(!heard.contains(&bobs), "{heard}");
    assert_eq!(text(&world.vm(&ann, &anns).await, "/state"), "running");
    listening.abort();
    drop(stream);
    world.finish().await;
}
