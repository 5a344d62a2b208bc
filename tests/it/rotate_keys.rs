//! Keys of secrets are changed while the platform runs, by the real command.

use std::process::Command;

use secrecy::ExposeSecret;
use uni_manager::config::Vault;

use crate::world::World;

/// Runs the real binary.
fn rotate(world: &World, keys: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_uni-manager"))
        .arg("rotate-keys")
        .envs(world.environment())
        .env("UNI_MANAGER_SECRET_KEYS", keys)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn secrets_get_the_newest_key_and_the_older_one_is_not_needed_any_more() {
    let world = World::new().await;
    let stored = async || world.text("select token_secret_encrypted from clusters").await;
    let (a, b) = (world.secret_key.expose_secret().to_owned(), Vault::generate_key());
    let before = stored().await;

    let (ok, said) = rotate(&world, b.expose_secret());
    assert!(
        !ok && said.contains("clusters.token_secret_encrypted") && said.contains(&world.cluster.to_string()),
        "{said}"
    );
    assert_eq!(stored().await, before, "nothing was changed");
    let both = format!("{},{a}", b.expose_secret());
    let (ok, said) = rotate(&world, &both);
    assert!(ok && said.contains("clusters.token_secret_encrypted: 1 of 1"), "{said}");
    let (ok, said) = rotate(&world, &both);
    assert!(ok && said.contains("0 of 1"), "a second time does nothing: {said}");

    let only_b = Vault::from_keys(&b).unwrap();
    let secret = world.simulator.token().split_once('=').unwrap().1;
    assert_eq!(only_b.decrypt(&stored().await).unwrap().expose_secret(), secret);
    let (ok, said) = rotate(&world, b.expose_secret());
    assert!(ok, "{said}");
    world.finish().await;
}
