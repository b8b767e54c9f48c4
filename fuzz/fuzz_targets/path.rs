//! Any bytes as paths: what is accepted joins back and leads nowhere else.
#![no_main]

use hikae_protocol::objectpath::{LeafKey, ObjectPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = ObjectPath::parse(data) {
        assert!(path.as_bytes().split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")));
        let (key, object) = LeafKey::of_file(b"F/L", data).expect("a path has a leaf");
        let parts = [b"F/L", key.directory(), object.as_bytes()];
        let joined: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        assert_eq!(joined.join(&b'/'), [b"F/L/", data].concat());
    }
    let _ = LeafKey::parse(data);
});
