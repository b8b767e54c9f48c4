//! A document's narrative: blocks that were made of it without any of its
//! markup, so that nothing of it can act.

use maud::{Markup, html};

use crate::clinical::{Block, Cda, CdaSection, Cell, Inline, Mark, media_of};
use crate::viewer::chart::Item;
use crate::viewer::view::View;

/// A whole document.
pub(super) fn document(view: &View<'_>, item: &Item, cda: &Cda) -> Markup {
    let language = view.language;
    html! {
        article.document {
            h2 { (cda.title) }
            p.small.soft {
                (cda.time.as_ref().map(|when| when.show()).unwrap_or_default()) " "
                (cda.authors.join("、")) " " (cda.custodian)
                @if !cda.version.is_empty() { " " (language.pick("第", "version ")) (cda.version) (language.pick("版", "")) }
            }
            @for section in &cda.sections { (self::section(view, item, section)) }
        }
    }
}

fn section(view: &View<'_>, item: &Item, one: &CdaSection) -> Markup {
    html! {
        section {
            @if !one.title.is_empty() { h3 { (one.title) } }
            @for block in &one.blocks { (self::block(view, item, block)) }
            @for file in &one.files { (media(view, item, file)) }
            @for inner in &one.sections { (section(view, item, inner)) }
        }
    }
}

fn block(view: &View<'_>, item: &Item, one: &Block) -> Markup {
    html! {
        @match one {
            Block::Paragraph(line) => { p { (inlines(view, item, line)) } }
            Block::Caption(line) => { p { b { (inlines(view, item, line)) } } }
            Block::List { ordered: true, items } => { ol { @for one in items { li { @for inner in one { (block(view, item, inner)) } } } } }
            Block::List { items, .. } => { ul { @for one in items { li { @for inner in one { (block(view, item, inner)) } } } } }
            Block::Table(rows) => { div.wide { table { tbody { @for row in rows { tr { @for one in &row.cells { (cell(view, item, one)) } } } } } } }
        }
    }
}

fn cell(view: &View<'_>, item: &Item, one: &Cell) -> Markup {
    let content = html! { @for inner in &one.blocks { (block(view, item, inner)) } };
    html! {
        @if one.heading { th colspan=(one.columns) rowspan=(one.rows) { (content) } }
        @else { td colspan=(one.columns) rowspan=(one.rows) { (content) } }
    }
}

fn inlines(view: &View<'_>, item: &Item, line: &[Inline]) -> Markup {
    html! {
        @for one in line {
            @match one {
                Inline::Text(text, mark) => { (marked(text, *mark)) }
                Inline::Break => { br; }
                Inline::Media(name) => { (media(view, item, name)) }
            }
        }
    }
}

fn marked(text: &str, mark: Mark) -> Markup {
    let mut markup = html! { (text) };
    if mark.bold {
        markup = html! { b { (markup) } };
    }
    if mark.italics {
        markup = html! { i { (markup) } };
    }
    if mark.underline {
        markup = html! { u { (markup) } };
    }
    if mark.superscript {
        markup = html! { sup { (markup) } };
    }
    if mark.subscript {
        markup = html! { sub { (markup) } };
    }
    if mark.inserted {
        markup = html! { ins { (markup) } };
    }
    if mark.deleted {
        markup = html! { del { (markup) } };
    }
    markup
}

/// A file beside the document, if the content folder has it.
fn media(view: &View<'_>, item: &Item, name: &str) -> Markup {
    let Some(found) = view.beside(item, name) else {
        return html! { p.note { (view.language.pick("添付が見つかりません：", "Attachment not found: ")) (name) } };
    };
    let address = view.address(0, found, "file");
    html! {
        @if media_of(name.as_bytes()).is_picture() { p { img src=(address) alt=(name); } }
        @else { p { a href=(address) { "📎 " (name) } } }
    }
}
