//! Which columns hold encrypted secrets, and giving all of them the newest key. Each room names its own columns; this one
//! knows how keys are changed, and nothing of what the secrets are for.

use anyhow::{Context, Result, bail};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::config::Vault;
use crate::database::EncryptedColumn;
use crate::{clusters, jobs, mail, second_factor, sessions};

/// How many rows are locked at once.
const BATCH: i64 = 100;

/// Every column of the database that holds encrypted secrets. A room that begins to keep some adds its own here.
pub const COLUMNS: [EncryptedColumn; 5] =
    [clusters::SECRETS, jobs::SECRETS, mail::SECRETS, second_factor::SECRETS, sessions::SECRETS];

/// What was done to one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// `table.column`.
    pub column: &'static str,
    /// How many secrets it has.
    pub all: usize,
    /// How many got the newest key; the others had it already.
    pub rotated: usize,
}

/// Encrypts every secret with the newest key of the vault. All are read first: when one cannot be decrypted nothing is
/// changed. Then they are changed in batches, so that a running platform waits for a moment only; what was changed until
/// an interruption stays changed, and the next run does the rest.
///
/// # Errors
/// Names the column and the row of a secret that no key decrypts; or when PostgreSQL fails.
pub async fn rotate(pool: &PgPool, vault: &Vault) -> Result<Vec<Rotated>> {
    for column in COLUMNS {
        pass(pool, vault, column, false).await?;
    }
    let mut done = Vec::new();
    for column in COLUMNS {
        done.push(pass(pool, vault, column, true).await?);
    }
    Ok(done)
}

/// Goes through a column once; each batch is a transaction.
async fn pass(pool: &PgPool, vault: &Vault, column: EncryptedColumn, write: bool) -> Result<Rotated> {
    let mut done = Rotated { column: column.name, all: 0, rotated: 0 };
    let mut after = Uuid::nil();
    loop {
        let mut transaction = pool.begin().await?;
        let rows: Vec<(Uuid, String)> = sqlx::query_as(column.select)
            .bind(after)
            .bind(BATCH)
            .fetch_all(&mut *transaction)
            .await
            .with_context(|| format!("while reading {}", column.name))?;
        let Some((last, _)) = rows.last() else { return Ok(done) };
        after = *last;
        for (id, encrypted) in &rows {
            done.all += 1;
            if rotate_one(&mut transaction, vault, column, *id, encrypted, write).await? {
                done.rotated += 1;
            }
        }
        transaction.commit().await?;
    }
}

/// Answers whether the secret had an older key.
async fn rotate_one(
    connection: &mut PgConnection,
    vault: &Vault,
    column: EncryptedColumn,
    id: Uuid,
    encrypted: &str,
    write: bool,
) -> Result<bool> {
    let Ok(secret) = vault.decrypt(encrypted) else {
        bail!("{} of {id} cannot be decrypted with any of the secret keys that are set", column.name);
    };
    if vault.is_newest(encrypted) {
        return Ok(false);
    }
    if write {
        sqlx::query(column.update)
            .bind(id)
            .bind(vault.encrypt(&secret))
            .execute(connection)
            .await
            .with_context(|| format!("while writing {}", column.name))?;
    }
    Ok(true)
}
