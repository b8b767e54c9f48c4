//! The narrative of CDA as blocks of marked text, without any markup left in it.

use std::collections::HashMap;

use roxmltree::{Document, Node};

use super::cda::{attribute, is, text_of};

/// Elements inside of elements at most; what is deeper is read as text.
const DEPTH_MAX: usize = 48;
/// Parts of a table's cell at most that it may span.
const SPAN_MAX: u16 = 100;
/// Notes about parts that can't be shown at most.
const UNSHOWN_MAX: usize = 20;

/// A block of the narrative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Text.
    Paragraph(Vec<Inline>),
    /// A caption of a list, table or paragraph.
    Caption(Vec<Inline>),
    /// A list.
    List {
        /// Numbered or not.
        ordered: bool,
        /// Its items.
        items: Vec<Vec<Block>>,
    },
    /// A table.
    Table(Vec<Row>),
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The cells.
    pub cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// It is a heading.
    pub heading: bool,
    /// Columns that it spans, from 1.
    pub columns: u16,
    /// Rows that it spans, from 1.
    pub rows: u16,
    /// What is in it.
    pub blocks: Vec<Block>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inline {
    /// Text with its marks.
    Text(String, Mark),
    /// A new line.
    Break,
    /// A file beside the document, by its name; or what the document says of one that it lacks.
    Media(String),
}

/// How text is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Bold.
    pub bold: bool,
    /// Italics.
    pub italics: bool,
    /// Underlined.
    pub underline: bool,
    /// Raised.
    pub superscript: bool,
    /// Lowered.
    pub subscript: bool,
    /// The text was changed later: inserted.
    pub inserted: bool,
    /// The text was changed later: deleted. It must be shown as such.
    pub deleted: bool,
}

/// Turns narratives into blocks, and remembers what it could not show.
pub(super) struct Narrative {
    /// Files by the id of the element that names them.
    media: HashMap<String, String>,
    pub(super) unshown: Vec<String>,
}

/// What an element does in a narrative.
enum Role {
    Paragraph,
    Caption,
    List(bool),
    Table,
    Inline,
}

impl Narrative {
    pub(super) fn new(document: &Document<'_>) -> Self {
        let mut media = HashMap::new();
        for node in document
            .descendants()
            .filter(|node| is(*node, "observationMedia"))
        {
            let reference = node.descendants().find(|inner| is(*inner, "reference"));
            let id = attribute(node, "ID");
            if let (false, Some(reference)) = (id.is_empty(), reference) {
                media.insert(id, attribute(reference, "value"));
            }
        }
        Self {
            media,
            unshown: Vec::new(),
        }
    }

    /// The blocks of a `text` element.
    pub(super) fn blocks(&mut self, text: Node<'_, '_>) -> Vec<Block> {
        self.blocks_of(text, Mark::default(), 0)
    }

    fn note(&mut self, what: String) {
        if self.unshown.len() < UNSHOWN_MAX && !self.unshown.contains(&what) {
            self.unshown.push(what);
        }
    }

    fn blocks_of(&mut self, parent: Node<'_, '_>, mark: Mark, depth: usize) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut line = Vec::new();
        for node in parent.children() {
            self.add(node, mark, depth, &mut line, &mut blocks);
        }
        flush(&mut line, &mut blocks, Block::Paragraph);
        blocks
    }

    /// Adds a node to the line, or ends the line and adds a block.
    fn add(
        &mut self,
        node: Node<'_, '_>,
        mark: Mark,
        depth: usize,
        line: &mut Vec<Inline>,
        blocks: &mut Vec<Block>,
    ) {
        if node.is_text() {
            add_text(node.text().unwrap_or_default(), mark, line);
            return;
        }
        if !node.is_element() {
            return;
        }
        if depth >= DEPTH_MAX {
            self.note("structure of deeply nested text".to_owned());
            add_text(&text_of(Some(node)), mark, line);
            return;
        }
        let role = role(node);
        if !matches!(role, Role::Inline) {
            flush(line, blocks, Block::Paragraph);
        }
        match role {
            Role::Paragraph => blocks.extend(self.blocks_of(node, mark, depth + 1)),
            Role::Caption => {
                for block in self.blocks_of(node, mark, depth + 1) {
                    blocks.push(match block {
                        Block::Paragraph(line) => Block::Caption(line),
                        block => block,
                    });
                }
            }
            Role::List(ordered) => {
                let block = self.list(node, ordered, mark, depth + 1, blocks);
                blocks.push(block);
            }
            Role::Table => {
                let block = self.table(node, mark, depth + 1, blocks);
                blocks.push(block);
            }
            Role::Inline => self.inline(node, mark, depth + 1, line, blocks),
        }
    }

    fn inline(
        &mut self,
        node: Node<'_, '_>,
        mark: Mark,
        depth: usize,
        line: &mut Vec<Inline>,
        blocks: &mut Vec<Block>,
    ) {
        let mark = marked(node, mark);
        match node.tag_name().name() {
            "br" => line.push(Inline::Break),
            "renderMultiMedia" => {
                for id in attribute(node, "referencedObject").split_whitespace() {
                    match self.media.get(id) {
                        Some(file) => line.push(Inline::Media(file.clone())),
                        None => self.note(format!("object {id}")),
                    }
                }
            }
            "img" => line.push(Inline::Media(attribute(node, "src"))),
            name => {
                if !is_known(name) {
                    self.note(format!("element {name}"));
                }
                for inner in node.children() {
                    self.add(inner, mark, depth, line, blocks);
                }
                let target = attribute(node, "href");
                // Links lead nowhere from here: where they would lead stands behind them.
                if name == "linkHtml" && !target.is_empty() && !target.starts_with('#') {
                    line.push(Inline::Text(format!(" [{target}]"), mark));
                }
            }
        }
    }

    fn list(
        &mut self,
        node: Node<'_, '_>,
        ordered: bool,
        mark: Mark,
        depth: usize,
        before: &mut Vec<Block>,
    ) -> Block {
        let mut items = Vec::new();
        for item in node.children() {
            if is(item, "caption") {
                let mut line = Vec::new();
                self.add(item, mark, depth, &mut line, before);
            } else if is(item, "item") || is(item, "li") {
                items.push(self.blocks_of(item, mark, depth + 1));
            } else if item.is_element() || item.text().is_some_and(|text| !text.trim().is_empty()) {
                let (mut line, mut blocks) = (Vec::new(), Vec::new());
                self.add(item, mark, depth, &mut line, &mut blocks);
                flush(&mut line, &mut blocks, Block::Paragraph);
                items.push(blocks);
            }
        }
        Block::List { ordered, items }
    }

    fn table(
        &mut self,
        node: Node<'_, '_>,
        mark: Mark,
        depth: usize,
        before: &mut Vec<Block>,
    ) -> Block {
        let mut rows = Vec::new();
        for part in node.children() {
            match part.tag_name().name() {
                "tr" => rows.push(self.row(part, mark, depth + 1)),
                "thead" | "tbody" | "tfoot" => {
                    for row in part.children().filter(|row| is(*row, "tr")) {
                        rows.push(self.row(row, mark, depth + 1));
                    }
                }
                "col" | "colgroup" => {}
                _ => {
                    let mut line = Vec::new();
                    self.add(part, mark, depth, &mut line, before);
                    flush(&mut line, before, Block::Paragraph);
                }
            }
        }
        Block::Table(rows)
    }

    fn row(&mut self, row: Node<'_, '_>, mark: Mark, depth: usize) -> Row {
        let span = |cell, name| {
            let span: u16 = attribute(cell, name).parse().unwrap_or(1);
            span.clamp(1, SPAN_MAX)
        };
        let cells = row
            .children()
            .filter(|cell| is(*cell, "td") || is(*cell, "th"));
        Row {
            cells: cells
                .map(|cell| Cell {
                    heading: is(cell, "th"),
                    columns: span(cell, "colspan"),
                    rows: span(cell, "rowspan"),
                    blocks: self.blocks_of(cell, mark, depth + 1),
                })
                .collect(),
        }
    }
}

fn role(node: Node<'_, '_>) -> Role {
    match node.tag_name().name() {
        "paragraph" | "p" | "div" | "section" | "pre" => Role::Paragraph,
        "caption" | "title" | "h1" | "h2" | "h3" | "h4" => Role::Caption,
        "list" => Role::List(attribute(node, "listType") == "ordered"),
        "ol" => Role::List(true),
        "ul" => Role::List(false),
        "table" => Role::Table,
        _ => Role::Inline,
    }
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "content"
            | "linkHtml"
            | "sub"
            | "sup"
            | "footnote"
            | "footnoteRef"
            | "span"
            | "b"
            | "i"
            | "u"
            | "strong"
            | "em"
            | "item"
            | "tr"
            | "td"
            | "th"
    )
}

/// The mark of an element, on top of what is around it.
fn marked(node: Node<'_, '_>, mut mark: Mark) -> Mark {
    let style = attribute(node, "styleCode");
    let has = |name: &str| {
        style
            .split_whitespace()
            .any(|code| code.eq_ignore_ascii_case(name))
    };
    let name = node.tag_name().name();
    mark.bold |= has("Bold") || matches!(name, "b" | "strong");
    mark.italics |= has("Italics") || matches!(name, "i" | "em");
    mark.underline |= has("Underline") || name == "u";
    mark.superscript |= name == "sup";
    mark.subscript |= name == "sub";
    let revised = attribute(node, "revised");
    mark.inserted |= revised == "insert";
    mark.deleted |= revised == "delete";
    mark
}

/// Adds text, spaces folded to one; between two parts one stays.
fn add_text(text: &str, mark: Mark, line: &mut Vec<Inline>) {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // A full-width space is a letter of Japanese text.
            ' ' | '\t' | '\r' | '\n' => {
                if !folded.ends_with(' ') {
                    folded.push(' ');
                }
            }
            letter => folded.push(letter),
        }
    }
    if matches!(line.last(), None | Some(Inline::Break)) {
        folded = folded.trim_start_matches(' ').to_owned();
    }
    if folded.is_empty() {
        return;
    }
    match line.last_mut() {
        Some(Inline::Text(last, same)) if *same == mark => last.push_str(&folded),
        _ => line.push(Inline::Text(folded, mark)),
    }
}

/// Ends a line: it becomes a block, if it says anything.
fn flush(line: &mut Vec<Inline>, blocks: &mut Vec<Block>, block: fn(Vec<Inline>) -> Block) {
    let mut line = std::mem::take(line);
    if let Some(Inline::Text(last, _)) = line.last_mut() {
        last.truncate(last.trim_end_matches(' ').len());
    }
    let says = |inline: &Inline| match inline {
        Inline::Text(text, _) => !text.trim().is_empty(),
        Inline::Break => false,
        Inline::Media(_) => true,
    };
    if line.iter().any(says) {
        blocks.push(block(line));
    }
}
