//! The key file, and what is sealed with the key in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::keyfile::KeyFile;
use super::*;
use crate::disk::StoreFolder;
use crate::disk::golden::{assert_golden, golden};

const STORE: [u8; 16] = [7; 16];

fn files(folder: &Path) -> StoreFolder {
    StoreFolder::open(folder, &["segments"]).unwrap()
}

fn options(text: &str) -> SealOptions {
    SealOptions {
        passphrase: Passphrase::of_text(text),
        ..SealOptions::cheap()
    }
}

fn open(folder: &Path, text: &str) -> Result<Seal, SealError> {
    Seal::open(&files(folder), STORE, &Passphrase::of_text(text))
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let items = fs::read_dir(folder.join("segments")).unwrap();
    let paths = items.map(|item| item.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

/// A store with a key and a block that was sealed with it.
fn made(folder: &Path) -> Vec<u8> {
    let seal = Seal::create(&files(folder), STORE, &options("open sesame")).unwrap();
    seal.seal_block(b"fields", b"coded").unwrap()
}

/// [S9-20] [S9-21] the key file in golden bytes, and the keys derived from
/// the key in it.
#[test]
fn golden_bytes() {
    let options = SealOptions {
        passphrase: Passphrase::of_text("開けゴマ"),
        cost: Cost {
            memory_kib: 64,
            passes: 2,
            lanes: 1,
        },
    };
    let file = KeyFile::wrap_with(&[9; 32], &STORE, &options, [5; 16], [6; 24]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_record(&files(folder.path()), KEY_FILES[0], &file).unwrap();
    let written = fs::read(folder.path().join(KEY_FILES[0])).unwrap();
    assert_golden("store_key", &written);

    let other = tempfile::tempdir().unwrap();
    let other_files = files(other.path());
    fs::write(other.path().join(KEY_FILES[0]), golden("store_key")).unwrap();
    let seal = Seal::open(&other_files, STORE, &options.passphrase).unwrap();
    assert_eq!(*seal.data, [9; 32]);
    let again = Seal::with_key(STORE, [9; 32]);
    let sealed = seal.seal_value("leaves", b"key", b"value").unwrap();
    assert_eq!(
        again.open_value("leaves", b"key", &sealed).unwrap(),
        b"value"
    );
}

/// [S9-20] a new key for each store, and only the passphrase gives it back.
#[test]
fn only_the_passphrase_opens_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sealed = made(folder);
    let before = contents(folder);
    let opened = open(folder, "open sesame").unwrap();
    assert_eq!(opened.open_block(b"fields", &sealed).unwrap(), b"coded");
    for wrong in ["open", "open sesame ", "Open sesame", "\n"] {
        let error = open(folder, wrong).unwrap_err();
        assert!(matches!(error, SealError::Passphrase { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("the passphrase does not open this store"),
            "{text}"
        );
    }
    let other = Seal::open(&files(folder), [8; 16], &Passphrase::of_text("open sesame"));
    assert!(matches!(other, Err(SealError::Passphrase { .. })));
    assert_eq!(contents(folder), before, "something was changed");
    let another = tempfile::tempdir().unwrap();
    made(another.path());
    let another = open(another.path(), "open sesame").unwrap();
    assert!(another.open_block(b"fields", &sealed).is_err());
}

/// [S9-22] of two key files one is enough, and the other is made anew, but
/// not before the passphrase was the right one.
#[test]
fn a_key_file_that_is_lost_is_made_anew_from_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    made(folder);
    let whole = contents(folder);
    assert_eq!(whole.len(), 2);
    for name in KEY_FILES {
        let path = folder.join(name);
        for harm in ["absent", "garbled", "cut"] {
            match harm {
                "absent" => fs::remove_file(&path).unwrap(),
                "garbled" => fs::write(&path, [1; 120]).unwrap(),
                _ => fs::write(&path, &whole["store.key"][..90]).unwrap(),
            }
            let harmed = contents(folder);
            assert!(open(folder, "wrong").is_err());
            assert_eq!(contents(folder), harmed, "{name} {harm}");
            open(folder, "open sesame").unwrap();
            assert_eq!(contents(folder), whole, "{name} {harm}");
        }
    }
    for name in KEY_FILES {
        fs::write(folder.join(name), "x").unwrap();
    }
    let error = open(folder, "open sesame").unwrap_err();
    assert!(matches!(error, SealError::Garbled { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("nothing of the store can be read")
    );
    for name in KEY_FILES {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let error = open(folder, "open sesame").unwrap_err();
    assert!(matches!(error, SealError::Absent { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("nothing of the store can be read")
    );
    assert!(contents(folder).is_empty());
}

/// [S9-23] what a key file asks for is compared with the bounds before memory
/// is taken for it, and bound to the key.
#[test]
fn a_key_file_that_asks_for_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    made(folder);
    let files = files(folder);
    let Record::Value(file) = read_record::<KeyFile>(&files, KEY_FILES[0]).unwrap() else {
        panic!("no key file");
    };
    let of = |memory_kib, passes, lanes| Cost {
        memory_kib,
        passes,
        lanes,
    };
    let refused = [
        of(1024 * 1024 + 1, 1, 1),
        of(u32::MAX, 1, 1),
        of(7, 1, 1),
        of(8, 0, 1),
        of(8, 101, 1),
        of(8, 1, 0),
        of(15, 1, 2),
        of(8 * 17, 1, 17),
        of(8, 1, u32::MAX),
    ];
    for cost in refused {
        write_record(&files, KEY_FILES[0], &file.clone().asking(cost)).unwrap();
        let error = open(folder, "open sesame").unwrap_err();
        assert!(matches!(error, SealError::Cost { .. }), "{error}");
    }
    write_record(&files, KEY_FILES[0], &file.asking(of(9, 1, 1))).unwrap();
    let error = open(folder, "open sesame").unwrap_err();
    assert!(matches!(error, SealError::Passphrase { .. }), "{error}");
}

/// [S9-24] another passphrase changes the key files and nothing else: what
/// was sealed before is opened after.
#[test]
fn a_passphrase_is_changed_by_wrapping_the_key_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let sealed = made(folder);
    let old = contents(folder);
    let seal = open(folder, "open sesame").unwrap();
    seal.change_passphrase(&files(folder), &options("another"))
        .unwrap();
    let error = open(folder, "open sesame").unwrap_err();
    assert!(matches!(error, SealError::Passphrase { .. }), "{error}");
    let opened = open(folder, "another").unwrap();
    assert_eq!(opened.open_block(b"fields", &sealed).unwrap(), b"coded");
    let new = contents(folder);
    assert!(new.iter().all(|(name, bytes)| *bytes != old[name]));
    // Cut off between the two files: the new one counts, and the copy of the
    // old one does not last.
    fs::write(folder.join(KEY_FILES[1]), &old["store.key.copy"]).unwrap();
    open(folder, "another").unwrap();
    assert_eq!(contents(folder), new);
}

/// [S9-25] any flipped bit of what is sealed is noticed, and other fields,
/// and bytes that are too few; each has a nonce of its own.
#[test]
fn what_is_sealed_is_not_changed_nor_taken_for_something_else() {
    let seal = Seal::with_key(STORE, [9; 32]);
    let sealed = seal.seal_block(b"fields", b"coded").unwrap();
    assert_eq!(sealed.len(), 5 + SEALED_MORE_BYTES);
    assert_ne!(
        seal.seal_block(b"fields", b"coded").unwrap()[..24],
        sealed[..24]
    );
    assert_eq!(seal.open_block(b"fields", &sealed).unwrap(), b"coded");
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(seal.open_block(b"fields", &bad).is_err(), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert!(seal.open_block(b"fields", &sealed[..length]).is_err());
    }
    assert!(seal.open_block(b"fieldz", &sealed).is_err());
    assert!(seal.open_value("fields", b"", &sealed).is_err());
    for other in [
        Seal::with_key([8; 16], [9; 32]),
        Seal::with_key(STORE, [8; 32]),
    ] {
        assert!(other.open_block(b"fields", &sealed).is_err());
    }
}

#[test]
fn a_passphrase_is_a_file_without_its_last_line_feed() {
    let bytes = |text: &str| {
        let phrase = Passphrase::of_file(text.as_bytes().to_vec());
        phrase.map(|phrase| phrase.as_bytes().to_vec())
    };
    assert_eq!(bytes("a b\n").unwrap(), b"a b");
    assert_eq!(bytes("a\n\n").unwrap(), b"a\n");
    assert_eq!(bytes(" ").unwrap(), b" ");
    assert!(matches!(bytes(""), Err(SealError::Empty)));
    assert!(matches!(bytes("\n"), Err(SealError::Empty)));
    let shown = format!("{:?}", options("secret"));
    assert!(!shown.contains("secret"), "{shown}");
    let seal = format!("{:?}", Seal::with_key(STORE, [9; 32]));
    assert_eq!(seal, "Seal");
}
