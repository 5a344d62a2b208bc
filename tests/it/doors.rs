//! Who may enter where. Every route of the house has a line in `table.rs`, and a test insists on it.

mod keys;
mod nested;
mod roles;
mod somebody;
mod strangers;
mod table;

use reqwest::Method;

pub use keys::{Key, made as made_key, new_key};
pub use somebody::{Somebody, browser, is_in, is_refused, is_unknown, with_ids_of_nothing};
pub use table::{CONFIRMED, DOORS};

use crate::world::{PASSWORD, World, send, text};

/// Every door: who may enter, method, path with ids of nothing.
fn doors() -> impl Iterator<Item = (&'static str, Method, String)> {
    DOORS.iter().map(|(who, method, path)| (*who, method.parse().unwrap(), with_ids_of_nothing(path)))
}

#[test]
fn every_route_has_a_line_here() {
    let mut routes: Vec<_> =
        uni_manager::web::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let mut known: Vec<_> = DOORS.iter().map(|(_, method, path)| format!("{method} {path}")).collect();
    routes.sort();
    known.sort();

    assert!(routes.len() > 150, "the routes were found");
    assert_eq!(routes, known);
}

#[tokio::test]
async fn nobody_enters_without_saying_who_he_is() {
    let world = World::new().await;

    for (who, method, path) in doors() {
        let answer = send(world.request(method.clone(), &path)).await;
        if who == "anybody" {
            let may_say_so = path.starts_with("/api/v1/auth");
            assert!(![401, 500, 501].contains(&answer.status) || may_say_so, "{method} {path}: {}", answer.status);
        } else if path.starts_with("/api/") {
            drop(answer.problem(401));
        } else {
            assert!(is_unknown(&answer), "{method} {path}: {} {}", answer.status, answer.text);
        }
    }
    send(world.request(Method::GET, "/api/v1/nothing")).await.problem(404);
    assert_eq!(send(world.request(Method::GET, "/nothing")).await.status, 404);
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
        if who != "anybody" && method == Method::POST && !path.starts_with("/api/") {
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
    assert!(is_unknown(&send(world.request(Method::GET, "/vms").header("cookie", &cookie)).await));
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
