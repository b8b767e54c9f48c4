//! Golden bytes: what is written to disk, as SPEC.md says it, in files of
//! `testdata`. They are only compared, never written: a difference is a new
//! format, and stores of the old one have to be thought of.

use std::path::Path;

/// The golden bytes of this name.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let text = std::fs::read_to_string(folder.join(format!("{name}.hex"))).unwrap_or_default();
    let digits = text.trim().as_bytes();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// Compares what is written now.
pub(crate) fn assert_golden(name: &str, found: &[u8]) {
    let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(
        golden(name) == found,
        "testdata/{name}.hex is not what is written now:\n{hex}"
    );
}
