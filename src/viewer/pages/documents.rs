//! Documents of the extended storage: progress notes, summaries, letters,
//! vitals, PDFs and pictures.

use maud::{Markup, html};

use super::table::table;
use crate::clinical::{Body, Kind, Media, media_of};
use crate::viewer::chart::Item;
use crate::viewer::request::Reply;
use crate::viewer::view::View;

/// Documents on a page.
const DOCUMENTS_MAX: usize = 60;

/// GET …/documents
pub(in crate::viewer) fn page(view: &View<'_>) -> Markup {
    let language = view.language;
    let pick = |japanese: &'static str, english: &'static str| language.pick(japanese, english);
    let reads = view.read_where(DOCUMENTS_MAX, |item| {
        item.kind == Kind::Document && item.document.starts_with(b"main_document")
    });
    html! {
        h1 { (pick("文書", "Documents")) }
        (reads.notes(view))
        @if reads.is_empty() { (reads.none(view)) }
        @else { (table(&[
            pick("日付", "Date"),
            pick("種類", "Kind"),
            pick("題名・内容", "Title"),
            pick("作成", "By"),
            pick("添付", "Files"),
            pick("施設", "Facility"),
        ], html! { @for read in &reads.records {
                tr {
                    td.nowrap { (view.link(read, &read.date_text())) }
                    td { (view.link(read, &view.kind_name(&read.item))) }
                    td { (title(&read.record.body, view)) }
                    td { @if let Body::Document(document) = &read.record.body { (document.authors.join("、")) } }
                    td { (attachments(view, read.chart, &read.item)) }
                    td { (view.mark(read.chart)) }
                }
            } })) }
        (reads.pages(view, "documents"))
    }
}

fn title(body: &Body, view: &View<'_>) -> Markup {
    html! {
        @match body {
            Body::Document(document) => { (document.title) }
            Body::Vitals(vitals) => {
                @for one in vitals.observations().take(8) { (super::examinations::finding_line(one, view.language)) }
            }
            _ => {}
        }
    }
}

fn attachments(view: &View<'_>, chart: usize, main: &Item) -> Markup {
    let items = view
        .charts
        .get(chart)
        .map_or(&[][..], |chart| chart.items());
    let others = items
        .iter()
        .filter(|item| item.is_of_version(main) && item.document != main.document);
    html! {
        @for item in others {
            div { a href=(view.address(chart, item, "file")) { "📎 " (String::from_utf8_lossy(&item.document)) } }
        }
    }
}

/// What a record page says of a file that is no document itself.
pub(super) fn attachment(view: &View<'_>, item: &Item, media: Media) -> Markup {
    let address = view.address(0, item, "file");
    html! {
        @if media.is_picture() { p { img src=(address) alt=(view.kind_name(item)); } }
        p { a href=(address) { "📎 " (String::from_utf8_lossy(&item.document)) } }
    }
}

/// GET …/file/{label}/{file}
pub(in crate::viewer) fn file(view: &View<'_>) -> Option<Reply> {
    // Messages are for those who may see them raw, on a page of their own.
    let item = view.chosen().filter(|item| item.kind == Kind::Document)?;
    let chart = view.charts.first()?;
    let bytes = match chart.bytes(item) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::error!(%error, "a file could not be read");
            return None;
        }
    };
    let name = String::from_utf8_lossy(item.path.split_name().1).into_owned();
    let media = media_of(name.as_bytes());
    // What a browser could take for something else is never shown by it.
    let is_shown = match media {
        Media::Pdf => bytes.starts_with(b"%PDF-"),
        media if media.is_picture() => is_picture(media, &bytes),
        _ => false,
    };
    Some(Reply::File {
        media: match is_shown {
            true => media.content_type(),
            false => "application/octet-stream",
        },
        save_as: (!is_shown).then_some(name),
        bytes,
        is_asset: false,
    })
}

fn is_picture(media: Media, bytes: &[u8]) -> bool {
    match media {
        Media::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        Media::Jpeg => bytes.starts_with(b"\xff\xd8\xff"),
        Media::Gif => bytes.starts_with(b"GIF8"),
        _ => false,
    }
}
