//! The token that a browser is given when somebody logs in with it. That it was given here can be seen on the token itself,
//! without a look at the database; whose browser it is, only there.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::Rng;

use super::{User, db, limits};
use crate::app::App;
use crate::error::Result;

/// How much of a token is random, and how much proves that it was made here, in bytes.
const HALF_BYTES: usize = 16;

/// A token for a browser.
fn make(app: &App) -> String {
    let mut random = [0_u8; HALF_BYTES];
    rand::rng().fill_bytes(&mut random);
    BASE64_URL_SAFE_NO_PAD.encode([random, proof(app, &random)].concat())
}

/// Whether a token was made here. A stranger cannot make one, only be given one when he logs in to an account of his own.
pub(super) fn is_ours(app: &App, token: &str) -> bool {
    let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(token) else { return false };
    let Some((random, shown)) = bytes.split_at_checked(HALF_BYTES) else { return false };
    let expected = proof(app, random);
    // Without telling by the time it takes how much agreed.
    shown.len() == HALF_BYTES && shown.iter().zip(expected).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

fn proof(app: &App, random: &[u8]) -> [u8; HALF_BYTES] {
    let whole = limits::keyed(app, &["device made here", &BASE64_URL_SAFE_NO_PAD.encode(random)]);
    std::array::from_fn(|index| whole[index])
}

/// Remembers the browser that somebody has just logged in with, so that no stranger's tries keep him waiting there. Answers with
/// the token to give it when it has none of ours yet.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn remember_device(app: &App, user: &User, device: Option<&str>) -> Result<Option<String>> {
    let known = device.filter(|token| is_ours(app, token));
    let new = known.is_none().then(|| make(app));
    let token = known.or(new.as_deref()).unwrap_or_default();
    let mut connection = app.pool.acquire().await?;
    db::limits::remember(&mut connection, user.id, &limits::device_key(app, token), app.clock.machine_now()).await?;
    Ok(new)
}
