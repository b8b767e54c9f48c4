//! The log as FHIR R4 AuditEvents, by the profiles of IHE BALP ("Basic Audit
//! Log Patterns"): PatientRead for pages, PatientQuery for searches.

use serde_json::{Value, json};

use super::{Action, Event, Whose};

const PROFILE: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const RESTFUL: &str = "http://hl7.org/fhir/restful-interaction";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
/// DICOM: who sends, and who gets.
const SOURCE: &str = "110153";
const DESTINATION: &str = "110152";

/// The events as a Bundle of AuditEvents; `node` is the node id of the viewer.
pub fn bundle(events: &[Event], node: &str) -> Value {
    let entries: Vec<Value> = events
        .iter()
        .map(|event| json!({ "resource": resource(event, node) }))
        .collect();
    let mut bundle = json!({ "resourceType": "Bundle", "type": "collection" });
    // FHIR's JSON has no empty lists.
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

struct Kind {
    system: &'static str,
    code: &'static str,
    subtype: (&'static str, &'static str),
    action: &'static str,
    profile: Option<&'static str>,
}

fn kind(action: Action) -> Kind {
    let (system, code, subtype, letter, profile) = match action {
        Action::SignedIn | Action::SignInFailed => (DICOM, "110114", (DICOM, "110122"), "E", None),
        Action::SignedOut => (DICOM, "110114", (DICOM, "110123"), "E", None),
        Action::Searched => (
            EVENT_TYPE,
            "rest",
            (RESTFUL, "search"),
            "E",
            Some("IHE.BasicAudit.Query"),
        ),
        Action::Shown => (
            EVENT_TYPE,
            "rest",
            (RESTFUL, "read"),
            "R",
            Some("IHE.BasicAudit.PatientRead"),
        ),
        // The profiles are for what succeeded.
        Action::Refused => (EVENT_TYPE, "rest", (RESTFUL, "read"), "R", None),
        Action::EmergencyDeclared | Action::EmergencyOpened => {
            (DICOM, "110113", (DICOM, "110127"), "E", None)
        }
        Action::EmergencyEnded | Action::EmergencyReviewed => {
            (DICOM, "110113", (DICOM, "110128"), "E", None)
        }
        Action::Exported => (DICOM, "110106", (RESTFUL, "read"), "R", None),
    };
    Kind {
        system,
        code,
        subtype,
        action: letter,
        profile,
    }
}

fn resource(event: &Event, node: &str) -> Value {
    let kind = kind(event.action);
    let subtype = match event.action {
        // BALP speaks of the requests that its profiles are for.
        Action::Exported => None,
        _ => Some(json!([{ "system": kind.subtype.0, "code": kind.subtype.1 }])),
    };
    let recorded = jiff::Timestamp::from_millisecond(event.time_ms).unwrap_or_default();
    let mut resource = json!({
        "resourceType": "AuditEvent",
        "id": format!("hikae-{}", event.number),
        "type": { "system": kind.system, "code": kind.code },
        "action": kind.action,
        "recorded": recorded.to_string(),
        "outcome": if event.action.is_refusal() { "4" } else { "0" },
        "outcomeDesc": format!("{:?}", event.action),
        "agent": agents(event, node),
        "source": {
            "observer": { "identifier": { "system": "urn:hikae:node", "value": node } },
            "type": [{ "system": "http://terminology.hl7.org/CodeSystem/security-source-type", "code": "4" }],
        },
    });
    let entities = entities(event);
    if !entities.is_empty() {
        resource["entity"] = entities.into();
    }
    if let Some(subtype) = subtype {
        resource["subtype"] = subtype;
    }
    if let Some(profile) = kind.profile {
        resource["meta"] = json!({ "profile": [format!("{PROFILE}{profile}")] });
    }
    resource
}

/// The machines, and the person. By BALP the server is the source of what is
/// read, and the client the source of a query.
fn agents(event: &Event, node: &str) -> Value {
    let (server, client) = match event.action {
        Action::Searched => (DESTINATION, SOURCE),
        _ => (SOURCE, DESTINATION),
    };
    let network = match event.from.is_empty() {
        true => json!({ "address": "unknown", "type": "1" }),
        false => json!({ "address": event.from, "type": "2" }),
    };
    let mut agents = vec![
        json!({
            "type": { "coding": [{ "system": DICOM, "code": server }] },
            "who": { "identifier": { "system": "urn:hikae:node", "value": node } },
            "requestor": false,
            "network": { "address": format!("urn:hikae:node:{node}"), "type": "5" },
        }),
        json!({
            "type": { "coding": [{ "system": DICOM, "code": client }] },
            "who": { "display": network["address"] },
            "requestor": event.user.is_none(),
            "network": network,
        }),
    ];
    if let Some(who) = event.user.as_ref().filter(|who| !who.user.is_empty()) {
        agents.push(json!({
            "type": { "coding": [{ "system": PARTICIPATION, "code": "IRCP" }] },
            "who": { "identifier": { "system": facility_system(&who.facility), "value": who.user } },
            "requestor": true,
        }));
    }
    agents.into()
}

/// The system of ids that a facility gives; of what somebody typed at the
/// sign-in, which is no id of a facility, only what may stand in an address.
fn facility_system(facility: &str) -> String {
    let safe = |letter: &char| letter.is_ascii_alphanumeric() || "-._".contains(*letter);
    let facility: String = facility.chars().filter(safe).collect();
    format!("urn:hikae:facility:{facility}")
}

fn entities(event: &Event) -> Vec<Value> {
    let mut entities = Vec::new();
    if let Some(Whose { facility, patient }) = &event.patient {
        entities.push(json!({
            "what": { "identifier": { "system": facility_system(facility), "value": patient } },
            "type": { "system": ENTITY_TYPE, "code": "1" },
            "role": { "system": OBJECT_ROLE, "code": "1" },
        }));
    }
    if !event.detail.is_empty() {
        let mut entity = json!({ "type": { "system": ENTITY_TYPE, "code": "2" } });
        match event.action {
            Action::Searched => {
                entity["role"] = json!({ "system": OBJECT_ROLE, "code": "24" });
                entity["query"] = base64(event.detail.as_bytes()).into();
            }
            // The page, or the reason.
            _ => {
                entity["role"] = json!({ "system": OBJECT_ROLE, "code": "4" });
                entity["what"] = json!({ "display": event.detail });
            }
        }
        entities.push(entity);
    }
    entities
}

/// FHIR's base64Binary.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let part = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for place in 0..4 {
            text.push(match place <= group.len() {
                true => char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::audit::Who;

    #[test]
    fn a_page_is_a_patient_read() {
        let event = Event {
            number: 7,
            previous: [0; 32],
            time_ms: 1_775_000_000_000,
            user: Some(Who {
                facility: "0410000001".into(),
                user: "ishi".into(),
            }),
            from: "192.0.2.7".into(),
            action: Action::Shown,
            patient: Some(Whose {
                facility: "0410000002".into(),
                patient: "0001".into(),
            }),
            detail: "summary".into(),
        };
        let bundle = bundle(&[event], "node");
        let found = &bundle["entry"][0]["resource"];
        assert_eq!(
            found["meta"]["profile"][0],
            format!("{PROFILE}IHE.BasicAudit.PatientRead")
        );
        assert_eq!(found["recorded"], "2026-03-31T23:33:20Z");
        assert_eq!(found["agent"][2]["who"]["identifier"]["value"], "ishi");
        assert_eq!(found["entity"][0]["what"]["identifier"]["value"], "0001");
        assert_eq!(found["entity"][1]["what"]["display"], "summary");
    }

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
