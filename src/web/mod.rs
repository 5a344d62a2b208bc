//! The door for requests: pages for people, JSON for programs, both faces of the same operations.

pub mod api;
mod assets;
mod back;
mod bodies;
pub mod code;
mod console;
mod cors;
mod csv;
pub mod doors;
mod error;
pub mod format;
mod forms;
mod health;
mod hosts;
mod kept_forms;
mod layers;
mod limits;
mod listen;
mod live;
pub mod openapi;
pub mod pages;
mod patience;
mod read;
mod request;
mod router;
mod session;
pub mod views;

pub(crate) use cors::is_origin;
pub use layers::router;
pub use listen::serve;
pub use router::routes;
