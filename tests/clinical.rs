//! From bytes to what a clinician reads: genuine samples, generated records,
//! anomalies, documents, summaries, and the registry's rules.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

mod harness;

#[path = "clinical/anomalies.rs"]
mod anomalies;
#[path = "clinical/documents.rs"]
mod documents;
#[path = "clinical/generated.rs"]
mod generated;
#[path = "clinical/registry.rs"]
mod registry;
#[path = "clinical/samples.rs"]
mod samples;
#[path = "clinical/shared.rs"]
mod shared;
#[path = "clinical/summaries.rs"]
mod summaries;
