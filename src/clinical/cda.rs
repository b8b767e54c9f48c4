//! CDA R2: XML of the extended storage as plain values.
//!
//! Documents with a DTD are refused, so there are no entities of their own and nothing is fetched
//! from anywhere. Size, number of nodes and depth are bounded. Nothing of the markup survives:
//! the narrative becomes blocks of text ([`super::Block`]) that a template escapes.

use encoding_rs::{Encoding, UTF_8};
use roxmltree::{Document, Node, ParsingOptions};
use thiserror::Error;

use super::cda_text::{Block, Inline, Mark, Narrative};
use super::person::{Name, Sex};
use super::when::When;
use crate::language::Language;

/// Bytes of a document at most.
pub const CDA_BYTES_MAX: usize = 16 << 20;
/// Nodes of a document at most.
const NODES_MAX: u32 = 200_000;
/// Sections inside of sections at most; what is deeper is read as text.
const SECTION_DEPTH_MAX: usize = 16;
/// Bytes in which the declaration of the encoding is looked for.
const DECLARATION_BYTES: usize = 200;

/// Why a file can't be shown as a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CdaError {
    /// More than [`CDA_BYTES_MAX`] bytes.
    #[error("the document is too long ({bytes} bytes)")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// More nodes than a document can have.
    #[error("the document has too many elements")]
    TooManyNodes,
    /// A document type declaration, which could bring entities.
    #[error("the document has a DTD, which is not accepted")]
    Dtd,
    /// No well-formed XML.
    #[error("not well-formed XML: {0}")]
    Xml(
        /// What is wrong, and where.
        String,
    ),
    /// XML of another kind.
    #[error("the root element is {0}, not ClinicalDocument")]
    Root(
        /// Its name.
        String,
    ),
}

impl CdaError {
    /// For a person to read.
    pub fn text(&self, language: Language) -> String {
        match (language, self) {
            (Language::English, _) => self.to_string(),
            (_, Self::TooLong { bytes }) => format!("文書が大きすぎます（{bytes} バイト）"),
            (_, Self::TooManyNodes) => "文書の要素が多すぎます".to_owned(),
            (_, Self::Dtd) => "DTD のある文書は表示しません".to_owned(),
            (_, Self::Xml(error)) => format!("XML として読めません（{error}）"),
            (_, Self::Root(name)) => format!("CDA 文書ではありません（{name}）"),
        }
    }
}

/// A document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cda {
    /// The title.
    pub title: String,
    /// Code, display name and coding system's OID.
    pub code: (String, String, String),
    /// `effectiveTime`.
    pub time: Option<When>,
    /// `versionNumber`.
    pub version: String,
    /// `confidentialityCode`.
    pub confidentiality: String,
    /// `recordTarget`: whose it says it is.
    pub patient: CdaPerson,
    /// Authors with their organisations.
    pub authors: Vec<String>,
    /// The organisation that keeps it.
    pub custodian: String,
    /// The sections of the body.
    pub sections: Vec<CdaSection>,
}

/// Whose a document says it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CdaPerson {
    /// Extensions of all ids.
    pub ids: Vec<String>,
    /// `IDE` or `IDE`-less writing, and `SYL`.
    pub name: Name,
    /// Birth time.
    pub birth: Option<When>,
    /// Sex.
    pub sex: Sex,
}

/// A section, with those inside of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CdaSection {
    /// The title.
    pub title: String,
    /// The code.
    pub code: String,
    /// The narrative.
    pub blocks: Vec<Block>,
    /// Files beside the document that it points at, by their names.
    pub files: Vec<String>,
    /// Sections inside.
    pub sections: Vec<CdaSection>,
}

impl Cda {
    /// Reads a document, and says what of it can't be shown.
    ///
    /// Errors: each variant of [`CdaError`]; no bytes panic.
    pub fn read(bytes: &[u8]) -> Result<(Self, Vec<String>), CdaError> {
        if bytes.len() > CDA_BYTES_MAX {
            return Err(CdaError::TooLong { bytes: bytes.len() });
        }
        let text = decoded(bytes);
        let options = ParsingOptions {
            allow_dtd: false,
            nodes_limit: NODES_MAX,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text.trim_start(), options).map_err(
            |error| match error {
                roxmltree::Error::DtdDetected => CdaError::Dtd,
                roxmltree::Error::NodesLimitReached => CdaError::TooManyNodes,
                error => CdaError::Xml(error.to_string()),
            },
        )?;
        let root = document.root_element();
        if !is(root, "ClinicalDocument") {
            return Err(CdaError::Root(root.tag_name().name().to_owned()));
        }
        let mut narrative = Narrative::new(&document);
        if text.contains('\u{FFFD}') {
            narrative.unshown.push("unreadable characters".to_owned());
        }
        let cda = Self::of(root, &mut narrative);
        Ok((cda, narrative.unshown))
    }

    fn of(root: Node<'_, '_>, narrative: &mut Narrative) -> Self {
        let code = child(root, "code");
        let of_code = |name| code.map(|code| attribute(code, name)).unwrap_or_default();
        Self {
            title: text_of(child(root, "title")),
            code: (
                of_code("code"),
                of_code("displayName"),
                of_code("codeSystem"),
            ),
            time: time_of(child(root, "effectiveTime")),
            version: child(root, "versionNumber")
                .map(|node| attribute(node, "value"))
                .unwrap_or_default(),
            confidentiality: child(root, "confidentialityCode")
                .map(|node| attribute(node, "code"))
                .unwrap_or_default(),
            patient: CdaPerson::of(path(root, &["recordTarget", "patientRole"])),
            authors: children(root, "author")
                .map(author)
                .filter(|author| !author.is_empty())
                .collect(),
            custodian: text_of(path(
                root,
                &[
                    "custodian",
                    "assignedCustodian",
                    "representedCustodianOrganization",
                    "name",
                ],
            )),
            sections: children(root, "component")
                .flat_map(|component| body(component, narrative))
                .collect(),
        }
    }
}

/// The encoding by its mark or by the declaration; UTF-8 otherwise.
fn decoded(bytes: &[u8]) -> String {
    let (encoding, _) = Encoding::for_bom(bytes).unwrap_or_else(|| (declared(bytes), 0));
    encoding.decode(bytes).0.into_owned()
}

fn declared(bytes: &[u8]) -> &'static Encoding {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(DECLARATION_BYTES)]);
    let declaration = head.split("?>").next().unwrap_or_default();
    let label = declaration.split_once("encoding").and_then(|(_, rest)| {
        let rest = rest.trim_start().strip_prefix('=')?.trim_start();
        let quote = rest
            .chars()
            .next()
            .filter(|quote| matches!(quote, '"' | '\''))?;
        rest.get(1..)?.split(quote).next()
    });
    label
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .unwrap_or(UTF_8)
}

fn body(component: Node<'_, '_>, narrative: &mut Narrative) -> Vec<CdaSection> {
    let mut sections = Vec::new();
    for body in component.children().filter(Node::is_element) {
        if is(body, "structuredBody") {
            sections.extend(
                children(body, "component")
                    .flat_map(|component| children(component, "section"))
                    .map(|section| CdaSection::of(section, narrative, 0)),
            );
        } else if is(body, "nonXMLBody") {
            sections.extend(child(body, "text").map(|text| CdaSection::of_other(text, narrative)));
        }
    }
    sections
}

impl CdaSection {
    fn of(section: Node<'_, '_>, narrative: &mut Narrative, depth: usize) -> Self {
        let text = child(section, "text");
        let blocks = text.map(|text| narrative.blocks(text)).unwrap_or_default();
        let entries = children(section, "entry").count();
        let files: Vec<String> = children(section, "entry")
            .flat_map(|entry| entry.descendants())
            .filter(|node| {
                is(*node, "reference") && node.parent().is_some_and(|value| is(value, "value"))
            })
            .map(|reference| attribute(reference, "value"))
            .filter(|file| !file.is_empty())
            .collect();
        if blocks.is_empty() && entries > files.len() {
            narrative.unshown.push(format!(
                "{} coded entries without text",
                entries - files.len()
            ));
        }
        let inner =
            children(section, "component").flat_map(|component| children(component, "section"));
        let sections = if depth < SECTION_DEPTH_MAX {
            inner
                .map(|section| Self::of(section, narrative, depth + 1))
                .collect()
        } else {
            inner
                .map(|section| Self::too_deep(section, narrative))
                .collect()
        };
        Self {
            title: text_of(child(section, "title")),
            code: child(section, "code")
                .map(|code| attribute(code, "code"))
                .unwrap_or_default(),
            blocks,
            files,
            sections,
        }
    }

    /// The whole text of a section without its structure.
    fn too_deep(section: Node<'_, '_>, narrative: &mut Narrative) -> Self {
        narrative
            .unshown
            .push("structure of deeply nested sections".to_owned());
        Self {
            blocks: paragraph(text_of(Some(section))),
            ..Self::default()
        }
    }

    /// A body that is no XML: a file beside, or text.
    fn of_other(text: Node<'_, '_>, narrative: &mut Narrative) -> Self {
        let file = child(text, "reference").map(|reference| attribute(reference, "value"));
        let embedded = attribute(text, "representation") == "B64";
        if embedded {
            narrative
                .unshown
                .push(format!("embedded {}", attribute(text, "mediaType")));
        }
        Self {
            blocks: if embedded {
                Vec::new()
            } else {
                paragraph(text_of(Some(text)))
            },
            files: file.into_iter().filter(|file| !file.is_empty()).collect(),
            ..Self::default()
        }
    }
}

fn paragraph(text: String) -> Vec<Block> {
    if text.is_empty() {
        return Vec::new();
    }
    vec![Block::Paragraph(vec![Inline::Text(text, Mark::default())])]
}

impl CdaPerson {
    fn of(role: Option<Node<'_, '_>>) -> Self {
        let Some(role) = role else {
            return Self::default();
        };
        let patient = child(role, "patient");
        let sex = patient.and_then(|patient| child(patient, "administrativeGenderCode"));
        Self {
            ids: children(role, "id")
                .map(|id| attribute(id, "extension"))
                .filter(|id| !id.is_empty())
                .collect(),
            name: patient.map(names).unwrap_or_default(),
            birth: time_of(patient.and_then(|patient| child(patient, "birthTime"))),
            sex: match sex.map(|sex| attribute(sex, "code")).as_deref() {
                Some("M") => Sex::Male,
                Some("F") => Sex::Female,
                Some("UN") => Sex::Other,
                None | Some("" | "UNK") => Sex::Unknown,
                Some(other) => Sex::Odd(other.to_owned()),
            },
        }
    }
}

fn names(patient: Node<'_, '_>) -> Name {
    let mut found = Name::default();
    for name in children(patient, "name") {
        let text = name_of(name);
        let place = match attribute(name, "use").contains("SYL") {
            true => &mut found.kana,
            false => &mut found.kanji,
        };
        if place.is_empty() {
            *place = text;
        }
    }
    found
}

fn name_of(name: Node<'_, '_>) -> String {
    let parts = ["family", "given"].map(|part| text_of(child(name, part)));
    let joined = parts.join(" ").trim().to_owned();
    if joined.is_empty() {
        text_of(Some(name))
    } else {
        joined
    }
}

fn author(author: Node<'_, '_>) -> String {
    let assigned = child(author, "assignedAuthor");
    let name = assigned
        .and_then(|assigned| path(assigned, &["assignedPerson", "name"]))
        .map(name_of);
    let organization =
        assigned.and_then(|assigned| path(assigned, &["representedOrganization", "name"]));
    let parts = [name.unwrap_or_default(), text_of(organization)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("・")
}

fn time_of(node: Option<Node<'_, '_>>) -> Option<When> {
    let value = attribute(node?, "value");
    (!value.is_empty()).then(|| When::parse(&value))
}

/// The element has this name, in whatever namespace: some senders forget it.
pub(super) fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| is(*child, name))
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| is(*child, name))
}

fn path<'a, 'input>(node: Node<'a, 'input>, names: &[&str]) -> Option<Node<'a, 'input>> {
    names.iter().try_fold(node, |node, name| child(node, name))
}

pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> String {
    node.attribute(name).unwrap_or_default().trim().to_owned()
}

/// All text inside, spaces folded.
pub(super) fn text_of(node: Option<Node<'_, '_>>) -> String {
    let Some(node) = node else {
        return String::new();
    };
    let texts = node
        .descendants()
        .filter(Node::is_text)
        .filter_map(|node| node.text());
    let whole: String = texts.collect();
    whole.split_whitespace().collect::<Vec<_>>().join(" ")
}
