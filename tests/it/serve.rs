//! The commands of production, as real processes: what they refuse, and that they end when told to.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::world::{Database, TOKEN_KEY, World};

const END_SECONDS_MAX: u64 = 30;

fn uni_manager() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uni-manager"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a command to its end: whether it went well, and what it said.
async fn run(command: &mut Command) -> (bool, String) {
    let output = tokio::time::timeout(Duration::from_secs(END_SECONDS_MAX), command.output()).await.unwrap().unwrap();
    (
        output.status.success(),
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    )
}

#[tokio::test]
async fn serve_refuses_a_database_without_migrations_in_words_until_it_is_migrated() {
    // Makes the server of this run.
    let world = World::new().await;
    let database = Database::empty().await;
    let environment = || world.environment().into_iter().filter(|(name, _)| *name != "DATABASE_URL");

    let (served, words) = run(uni_manager()
        .args(["serve", "--listen", "127.0.0.1:0"])
        .envs(environment())
        .env("DATABASE_URL", &database.url))
    .await;
    assert!(!served && words.contains("run `uni-manager migrate` first"), "{words}");
    let (seeded, words) = run(uni_manager().arg("seed").env("DATABASE_URL", &database.url)).await;
    assert!(!seeded && words.contains("migrate"), "{words}");
    for said in ["Applied", "up to date"] {
        let (migrated, words) = run(uni_manager().arg("migrate").env("DATABASE_URL", &database.url)).await;
        assert!(migrated && words.contains(said), "{words}");
    }
    for _ in 0..2 {
        let (seeded, words) = run(uni_manager().arg("seed").env("DATABASE_URL", &database.url)).await;
        assert!(seeded, "{words}");
    }
    let admin = ["create-admin", "--email", "root@example.org"];
    let (made, words) = run(uni_manager().args(admin).envs(environment()).env("DATABASE_URL", &database.url)).await;
    assert!(made && words.contains("shown once"), "{words}");
    let (made, words) = run(uni_manager().args(admin).envs(environment()).env("DATABASE_URL", &database.url)).await;
    assert!(!made && words.contains("already an account"), "{words}");
    let (proved, words) = run(uni_manager().arg("ledger-verify").env("DATABASE_URL", &database.url)).await;
    assert!(proved, "{words}");
    database.drop_it().await;
    world.finish().await;
}

#[tokio::test]
async fn wrong_settings_are_refused_in_words_without_telling_secrets() {
    let world = World::new().await;
    for (name, value, words) in [
        ("UNI_MANAGER_TOKEN_KEY", "short", "at least 32"),
        ("UNI_MANAGER_SECRET_KEYS", "not-a-fernet-key", "Fernet"),
        ("UNI_MANAGER_CURRENCY", "euro", "ISO 4217"),
        ("UNI_MANAGER_TIME_ZONE", "Middle-earth", "Europe/Paris"),
        ("UNI_MANAGER_SIGN_UP_CREDIT", "-1", "negative"),
    ] {
        let (served, said) =
            run(uni_manager().args(["serve", "--listen", "127.0.0.1:0"]).envs(world.environment()).env(name, value))
                .await;
        assert!(!served && said.contains(words), "{name}: {said}");
        assert!(!said.contains(TOKEN_KEY) && (value.len() < 10 || !said.contains("not-a-fernet-key")), "{said}");
    }
    let (served, said) =
        run(uni_manager().args(["serve", "--web=false", "--worker=false"]).envs(world.environment())).await;
    assert!(!served && said.contains("nothing is left to do"), "{said}");
    world.finish().await;
}

#[tokio::test]
async fn a_worker_by_itself_does_the_work_and_ends_when_it_is_told_to() {
    let world = crate::kill::real_world().await;
    let ann = world.customer("ann", "5").await;
    let vm = world.order(&ann, "web").await;
    let mut worker = uni_manager()
        .args(["serve", "--web=false"])
        .envs(world.environment())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    let made = async {
        while world.state(&ann, &vm).await != "running" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(END_SECONDS_MAX), made).await.unwrap();
    let process = rustix::process::Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(END_SECONDS_MAX), worker.wait()).await.unwrap().unwrap();

    assert!(status.success(), "{status}");
    world.finish().await;
}

#[tokio::test]
async fn a_head_far_larger_than_any_request_has_is_refused() {
    let world = World::new().await;

    let answer = world.http.get(format!("{}/healthz", world.url)).header("x-long", "a".repeat(200_000)).send().await;

    assert_eq!(answer.unwrap().status(), 431);
    world.finish().await;
}
