//! The door for requests: pages for people, JSON for programs, both faces of the same operations.

pub mod api;
mod assets;
pub mod code;
mod console;
mod csv;
pub mod doors;
mod error;
pub mod format;
mod forms;
mod listen;
mod live;
pub mod openapi;
pub mod pages;
mod read;
mod request;
mod router;
mod session;
pub mod views;

pub use listen::serve;
pub use router::{router, routes};
