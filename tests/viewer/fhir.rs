//! The exported audit log by another implementation's rules.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::python;

/// Every event of the log is what FHIR and BALP ask for, and the judge notices
/// what is not.
pub fn check(exported: &Value) {
    let profiles = |name: &str| exported.to_string().matches(name).count();
    assert!(profiles("IHE.BasicAudit.PatientRead") > 100);
    assert!(profiles("IHE.BasicAudit.Query") > 0, "nobody searched");
    let harmed = |harm: &dyn Fn(&mut Value)| {
        let mut events = exported["entry"].as_array().unwrap().iter();
        let read =
            |one: &&Value| one["resource"]["action"] == "R" && one["resource"]["outcome"] == "0";
        let mut event = events.rfind(read).unwrap().clone();
        harm(&mut event["resource"]);
        json!({ "resourceType": "Bundle", "type": "collection", "entry": [event] })
    };
    let bundles = [
        exported.clone(),
        json!({ "resourceType": "Bundle", "type": "collection" }),
        harmed(&|_| {}),
        harmed(&|event| event["outcome"] = "9".into()),
        harmed(&|event| event["recorded"] = "yesterday".into()),
        harmed(&|event| event["entity"] = json!([])),
        harmed(&|event| event["patient"] = "1".into()),
        harmed(&|event| event["agent"].as_array_mut().unwrap().truncate(1)),
        harmed(&|event| event["entity"].as_array_mut().unwrap().truncate(1)),
    ];
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/viewer");
    let mut child = Command::new(python("fhir", &here.join("requirements.txt")))
        .arg(here.join("judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(json!(bundles).to_string().as_bytes())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let judged: Vec<Vec<String>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(judged.len(), bundles.len());
    for fine in &judged[..3] {
        assert!(
            fine.is_empty(),
            "{} faults: {:#?}",
            fine.len(),
            &fine[..fine.len().min(5)]
        );
    }
    for (number, faults) in judged.iter().enumerate().skip(3) {
        assert!(
            !faults.is_empty(),
            "the judge does not notice harm {number}"
        );
    }
}
