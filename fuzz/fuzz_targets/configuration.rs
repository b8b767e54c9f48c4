//! Any text as a configuration: a configuration, or an error that names the
//! file.
#![no_main]

use std::path::Path;

use hikae::config::{Config, FILE_NAME};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse(Path::new("/home-of-a-node"), text) {
        Ok(config) => assert!(config.store.starts_with("/")),
        Err(error) => assert!(error.to_string().contains(FILE_NAME), "{error}"),
    }
});
