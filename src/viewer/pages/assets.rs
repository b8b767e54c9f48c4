//! What the viewer brings along: its style sheet and its icon.

use crate::viewer::gate::Gate;
use crate::viewer::request::{Reply, Request};

const STYLE: &str = include_str!("../style.css");
const ICON: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>\
                    <rect width='16' height='16' rx='3' fill='#0b4a6f'/>\
                    <path d='M6.5 3h3v3.5H13v3H9.5V13h-3V9.5H3v-3h3.5z' fill='#fff'/></svg>";

/// GET /style.css
pub(in crate::viewer) fn style(_: &Gate, _: &Request) -> Reply {
    asset("text/css; charset=utf-8", STYLE)
}

/// GET /icon.svg
pub(in crate::viewer) fn icon(_: &Gate, _: &Request) -> Reply {
    asset("image/svg+xml", ICON)
}

fn asset(media: &'static str, text: &str) -> Reply {
    Reply::File {
        media,
        bytes: text.as_bytes().to_vec(),
        save_as: None,
        is_asset: true,
    }
}
