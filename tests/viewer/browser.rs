//! A real browser: Debian's chromium, driven by playwright-core. It runs
//! `tests/browser/browse.js`, which says what it saw.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Site, has_program, skipped};
use crate::shelter::{FACILITIES, Shelter};

/// What would run, if anything of a record were taken for markup.
pub const PAYLOAD: &str = "\"'><img src=x onerror=\"window.__xss=1\"><svg/onload=window.__xss=1>";
/// The patient whose records have it in every field.
pub const PATIENT: &str = "66600013";

const TABS: [&str; 9] = [
    "summary",
    "calendar",
    "medication",
    "laboratory",
    "examinations",
    "problems",
    "stays",
    "documents",
    "records",
];
/// Kind, message, segments with their number of fields.
const MESSAGES: [(&str, &str, &[&str]); 16] = [
    (
        "ADT-00",
        "ADT^A08",
        &["PV1", "NK1", "DB1", "OBX", "AL1", "IN1"],
    ),
    ("ADT-01", "ADT^A54", &["PV1"]),
    ("ADT-12", "ADT^A04", &["PV1", "PV2", "DG1"]),
    ("ADT-22", "ADT^A01", &["PV1", "PV2", "DG1"]),
    ("ADT-52", "ADT^A03", &["PV1", "DG1"]),
    ("ADT-61", "ADT^A60", &["IAM"]),
    ("PPR-01", "PPR^ZD1", &["PRB", "ZPR"]),
    ("OMD", "OMD^O03", &["ORC", "TQ1", "ODS"]),
    (
        "OMP-01",
        "RDE^O11",
        &["ORC", "RXE", "TQ1", "RXR", "RXC", "NTE"],
    ),
    (
        "OMP-02",
        "RDE^O11",
        &["ORC", "RXE", "TQ1", "RXR", "RXC", "NTE"],
    ),
    ("OMP-11", "RAS^O17", &["ORC", "RXA", "RXR", "NTE"]),
    ("OML-01", "OML^O33", &["SPM", "ORC", "OBR"]),
    ("OML-11", "OUL^R22", &["SPM", "OBR", "ORC", "OBX", "NTE"]),
    ("OMG-01", "OMG^O19", &["ORC", "TQ1", "OBR", "OBX"]),
    ("OMG-11", "OMI^Z23", &["ORC", "OBR", "ZE1", "OBX", "IPC"]),
    ("OMG-13", "ORU^R01", &["ORC", "OBR", "OBX"]),
];

fn undated(kind: &str) -> bool {
    ["ADT-00", "ADT-01", "ADT-61", "PPR-01"].contains(&kind)
}

/// Writes a patient with the payload in every field of every kind, in a
/// document, and in the names of files.
pub fn plant(site: &Site) {
    let facility = FACILITIES[0];
    let (one, two) = (&PATIENT[..3], &PATIENT[3..6]);
    for (kind, trigger, segments) in MESSAGES {
        let field = format!("{PAYLOAD}^{PAYLOAD}^{PAYLOAD}^{PAYLOAD}^{PAYLOAD}^{PAYLOAD}");
        let mut text = format!(
            "MSH|^~\\&|{PAYLOAD}|{PAYLOAD}|{PAYLOAD}|{PAYLOAD}|20260301120000||{trigger}|1|P|2.5\r\
             PID|1||{PATIENT}||{PAYLOAD}^{PAYLOAD}||19500102|{PAYLOAD}|||{field}||{field}|{field}\r"
        );
        for segment in segments {
            let fields: Vec<String> = (1..30).map(|_| field.clone()).collect();
            text += &format!("{segment}|{}\r", fields.join("|"));
        }
        let date = if undated(kind) { "-" } else { "20260301" };
        let name = format!("{PATIENT}_{date}_{kind}_000000000000001_20260301120000000_01_1");
        site.put(
            &format!("{facility}/STD01/{one}/{two}/{PATIENT}/{date}/{kind}/{name}"),
            text.as_bytes(),
        );
    }
    let safe = PAYLOAD.replace('/', "");
    let content = format!("{PATIENT}_20260302_18842-5_000000000000002_20260302120000000_01_1");
    let escaped = PAYLOAD.replace('<', "&lt;").replace('"', "&quot;");
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\">\
         <title>{escaped}</title><recordTarget><patientRole><id extension=\"{PATIENT}\"/></patientRole></recordTarget>\
         <component><structuredBody><component><section><title>{escaped}</title><text>{escaped}\
         <paragraph onclick=\"window.__xss=1\">x<script>window.__xss=1</script>\
         <linkHtml href=\"javascript:window.__xss=1\">link</linkHtml><a href=\"javascript:window.__xss=1\">b</a>\
         <img src=\"https://evil.example/x\" onerror=\"window.__xss=1\"/></paragraph></text></section></component>\
         </structuredBody></component></ClinicalDocument>"
    );
    let folder = format!(
        "{facility}/ANX01/{one}/{two}/{PATIENT}/20260302/^{safe}^^18842-5^{safe}^LN/{content}"
    );
    site.put(&format!("{folder}/main_document.xml"), document.as_bytes());
    site.put(
        &format!("{folder}/{safe}.png"),
        b"<script>window.__xss=1</script>",
    );
    site.put(
        &format!("{facility}/STD01/{one}/{two}/{PATIENT}/20260302/OMP-01/{safe}.txt"),
        b"<script>window.__xss=1</script>",
    );
}

fn modules() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    folder
        .join("node_modules/playwright-core")
        .is_dir()
        .then_some(folder)
}

fn browse(folder: &Path, job: &Value) -> Value {
    let mut child = Command::new("node")
        .arg(folder.join("browse.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(job.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{}", seen["failed"]);
    seen
}

/// Looks at everything in a browser. With `HIKAE_SHOTS` in the environment it
/// leaves pictures of the pages there.
pub fn check(shelter: &Shelter) {
    let (true, Some(folder)) = (has_program("chromium") && has_program("node"), modules()) else {
        assert!(
            std::env::var_os("HIKAE_NO_BROWSER").is_some(),
            "no browser: run tests/run, or set HIKAE_NO_BROWSER=1"
        );
        skipped("the viewer in a browser", "HIKAE_NO_BROWSER is set");
        return;
    };
    let own = FACILITIES[0];
    let patient = shelter
        .patients(own)
        .into_iter()
        .find(|one| one != PATIENT)
        .unwrap();
    let chromium = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("chromium"))
        .find(|path| path.is_file());
    let attacked = |tab: &&str| format!("/p/{own}/{PATIENT}/{tab}");
    let job = json!({
        "url": shelter.url, "facility": own, "patient": patient, "words": patient,
        "browser": chromium, "tabs": TABS, "shots": std::env::var("HIKAE_SHOTS").ok(),
        "addresses": TABS.iter().map(attacked).collect::<Vec<_>>(),
        "follow": format!("/p/{own}/{PATIENT}/records"),
    });
    let seen = browse(&folder, &job);
    let serious: Vec<&Value> = seen["axe"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| ["serious", "critical"].contains(&one["impact"].as_str().unwrap_or("")))
        .collect();
    assert!(serious.is_empty(), "axe: {serious:#?}");
    assert!(
        seen["judged"].as_u64().unwrap() as usize > TABS.len(),
        "axe looked at nothing"
    );
    for empty in ["dialogs", "foreign", "scripts", "errors"] {
        assert_eq!(seen[empty], json!([]), "{empty}");
    }
    assert!(
        seen["followed"].as_u64().unwrap() >= MESSAGES.len() as u64,
        "{}",
        seen["followed"]
    );
    let pages = seen["pages"].as_array().unwrap();
    let text_of = |name: &str| {
        let page = pages.iter().find(|page| page["name"] == name).unwrap();
        page["text"].as_str().unwrap().to_string()
    };
    assert!(
        text_of(&attacked(&"medication")).contains("onerror"),
        "the payload is shown as text"
    );
    assert!(text_of("english").contains("Sign out"));
    assert!(text_of("by keyboard").contains("処方"));
    assert_eq!(seen["ring"], "solid", "the focus can be seen");
    assert_eq!(seen["printed"]["bar"], "none");
    assert_eq!(
        seen["printed"]["pages"], 1,
        "the summary fits on one page of A4"
    );
    assert!(
        seen["phone"]["wide"].as_u64() <= seen["phone"]["view"].as_u64(),
        "{}",
        seen["phone"]
    );
    assert_eq!(seen["storage"], json!({ "local": 0, "session": 0 }));
}
