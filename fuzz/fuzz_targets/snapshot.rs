//! Snapshots: any bytes as a signed one, and any two in order. Nothing is
//! believed that the trusted key did not sign; standings agree both ways.
#![no_main]

use arbitrary::Arbitrary;
use ed25519_dalek::SigningKey;
use hikae_protocol::digest::Digest;
use hikae_protocol::message::decode;
use hikae_protocol::snapshot::{
    Cursor, Epoch, NodeId, SignedSnapshot, Snapshot, Standing, VerifiedSnapshot, standing,
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Case {
    raw: Vec<u8>,
    one: (u8, u8, u8, u8),
    two: (u8, u8, u8, u8),
    harm: Option<(bool, u8, u8)>,
}

fn snapshot((counter, random, sequence, root): (u8, u8, u8, u8)) -> Snapshot {
    Snapshot {
        cursor: Cursor {
            epoch: Epoch {
                counter: u64::from(counter % 3),
                random: [random % 3; 16],
            },
            sequence: u64::from(sequence % 4),
        },
        root: Digest([root % 3; 32]),
        leaves: 1,
        entries: 2,
        bytes: 3,
        time_ms: 4,
        previous: None,
    }
}

fuzz_target!(|case: Case| {
    let key = SigningKey::from_bytes(&[1; 32]);
    let trusted = NodeId(key.verifying_key().to_bytes());
    if let Ok(signed) = decode::<SignedSnapshot>(&case.raw) {
        assert!(VerifiedSnapshot::verify(signed, &trusted).is_err(), "nobody signed this");
    }
    let (one, two) = (snapshot(case.one), snapshot(case.two));
    let (there, back) = (standing(Some(&one), &two), standing(Some(&two), &one));
    let fits = match there {
        Standing::Same => back == Standing::Same && one.root == two.root,
        Standing::Newer | Standing::NewEpoch => back == Standing::Stale,
        Standing::Stale => matches!(back, Standing::Newer | Standing::NewEpoch),
        Standing::Equivocation => back == Standing::Equivocation,
    };
    assert!(fits, "{there:?} there and {back:?} back");
    assert_eq!(standing(None, &two), Standing::NewEpoch);
    let signed = VerifiedSnapshot::sign(one.clone(), &key).expect("it encodes").signed().clone();
    let mut harmed = signed.clone();
    if let Some((in_body, at, with)) = case.harm {
        let bytes = if in_body { &mut harmed.body } else { &mut harmed.signature };
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= with;
    }
    let verified = VerifiedSnapshot::verify(harmed.clone(), &trusted);
    assert_eq!(verified.is_ok(), harmed == signed);
});
