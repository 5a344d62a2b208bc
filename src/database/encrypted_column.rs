//! What the rotation of keys must know of a column with secrets. It lies here, below all rooms, so that each room names its own.

/// A column with secrets, and the statements of its room that read and write it. The rows have a UUID.
#[derive(Debug, Clone, Copy)]
pub struct EncryptedColumn {
    /// `table.column`, for people.
    pub name: &'static str,
    /// Reads id and secret of the rows after the id `$1`, at most `$2`, by id, and locks them. Rows without a secret are left out.
    pub select: &'static str,
    /// Writes the secret `$2` of the row `$1`.
    pub update: &'static str,
}
