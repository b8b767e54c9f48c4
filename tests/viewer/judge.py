"""Judges exported audit logs: FHIR by the models of fhir.resources (R4B, whose
AuditEvent is that of R4), with the codes that their bindings require and the
rules of FHIR's JSON; and what IHE BALP 1.1 asks of the profiles that an event
claims.

Standard input: a list of bundles. Standard output: for each of them a list of
what is wrong.
"""

import base64
import json
import sys

from fhir.resources.R4B.bundle import Bundle

DCM = "http://dicom.nema.org/resources/ontology/DCM"
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"


def emptiness(value, place):
    """FHIR's JSON has no empty text, list or object, and no null."""
    if value is None or value == "" or value == [] or value == {}:
        yield f"{place}: is empty"
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from emptiness(below, f"{place}.{name}")
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from emptiness(below, f"{place}[{number}]")


def bindings(model, place):
    """Codes that are none of those that the standard allows."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name, None)
        values = value if isinstance(value, list) else [value]
        extra = field.json_schema_extra
        allowed = extra.get("enum_values") if isinstance(extra, dict) else None
        for one in values:
            if one is None:
                continue
            if hasattr(type(one), "model_fields"):
                yield from bindings(one, f"{place}.{name}")
            elif allowed and one not in allowed:
                yield f"{place}.{name}: {one!r} is none of {allowed}"


def has(entities, kind, role):
    found = [
        one
        for one in entities
        if one.get("type") == {"system": ENTITY_TYPE, "code": kind}
        and one.get("role") == {"system": OBJECT_ROLE, "code": role}
    ]
    return found


def profile(event, place):
    """What BALP asks of the profiles that the event claims."""
    for claimed in event.get("meta", {}).get("profile", []):
        name = claimed.removeprefix(BALP)
        # Who sends data and who gets it; a query is said to come from the client.
        reads = {"IHE.BasicAudit.PatientRead": True, "IHE.BasicAudit.Query": False}
        if name not in reads:
            yield f"{place}: claims {claimed}"
            continue
        agents, entities = event["agent"], event.get("entity", [])
        for code in ("110152", "110153"):
            of_type = [one for one in agents if {"system": DCM, "code": code} in one["type"]["coding"]]
            if len(of_type) != 1 or "who" not in of_type[0] or "network" not in of_type[0]:
                yield f"{place}: has to have one agent {code} with who and network"
        rest = {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"}
        if event["type"] != rest or event.get("outcome") != "0":
            yield f"{place}: is no rest event that succeeded"
        interaction, action = ("read", "R") if reads[name] else ("search", "E")
        wanted = {"system": "http://hl7.org/fhir/restful-interaction", "code": interaction}
        if wanted not in event.get("subtype", []) or event.get("action") != action:
            yield f"{place}: is no {interaction}"
        if reads[name]:
            if len(has(entities, "1", "1")) != 1 or "what" not in has(entities, "1", "1")[0]:
                yield f"{place}: has to say one patient"
            if not any("what" in one for one in has(entities, "2", "4")):
                yield f"{place}: has to say what was read"
        else:
            queries = has(entities, "2", "24")
            if len(queries) != 1 or not base64.b64decode(queries[0].get("query", ""), validate=True):
                yield f"{place}: has to have one query"


def wrong(bundle):
    yield from emptiness(bundle, "bundle")
    try:
        model = Bundle.model_validate(bundle)
    except ValueError as error:
        yield str(error)
        return
    yield from bindings(model, "bundle")
    for number, entry in enumerate(bundle.get("entry", [])):
        yield from profile(entry["resource"], f"entry {number}")


print(json.dumps([list(wrong(bundle)) for bundle in json.load(sys.stdin)]))
