//! Turns what agents say into signals, incidents and remedies.
//!
//! The judgement itself is `tallylight-decide`; this crate feeds it, carries out what it decides and shows what it knows. Only
//! [`io`] touches the outside.
#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod calendar;
pub mod config;
pub mod dedupe;
pub mod exposition;
pub mod io;
pub mod maintenance;

pub mod panel;
pub mod thumbnails;
pub mod view;
