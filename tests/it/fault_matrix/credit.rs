//! Credit.
