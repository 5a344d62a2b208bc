//! The laws of the money core, each for many inputs: what must be true however time is cut, whatever the caps and wherever
//! the platform stands. Single examples are beside the code.

mod amounts;
mod draw;
mod dunning;
mod estimates;
mod holding;
mod invoices;
mod periods;
mod postings;
mod quantities;
mod rating;
mod running_out;
mod stopping;
