//! A small drawing of one laboratory series: the server draws it, so that no
//! script is needed.

use maud::{Markup, PreEscaped, html};

use crate::clinical::{Flag, Point, Series};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 56.0;
const EDGE: f64 = 5.0;
/// Points that are drawn, at most: the newest.
const POINTS_MAX: usize = 60;

/// The drawing; nothing for fewer than two numbers.
pub(super) fn trend(series: &Series<'_>, label: &str) -> Markup {
    let lines = series.lines();
    let all: Vec<&Point<'_>> = lines.iter().flatten().copied().collect();
    let drawn: Vec<&Point<'_>> = all.iter().rev().take(POINTS_MAX).rev().copied().collect();
    let (Some(scale), true) = (Scale::of(&drawn), drawn.len() >= 2) else {
        return html! {};
    };
    let first = drawn.first().map(|point| point.at);
    let mut shapes = String::new();
    if let Some((low, high)) = scale.range {
        let (top, bottom) = (scale.y(high), scale.y(low));
        shapes += &format!(
            "<rect class='range' x='0' y='{top:.1}' width='{WIDTH}' height='{:.1}'/>",
            (bottom - top).max(0.5)
        );
    }
    for line in &lines {
        let points = line.iter().filter(|point| Some(point.at) >= first);
        let points: Vec<String> = points
            .filter_map(|point| {
                Some(format!(
                    "{:.1},{:.1}",
                    scale.x(point),
                    scale.y(value(point)?)
                ))
            })
            .collect();
        if points.len() > 1 {
            shapes += &format!("<polyline class='path' points='{}'/>", points.join(" "));
        }
    }
    for point in &drawn {
        let Some(number) = value(point) else { continue };
        let (x, y) = (scale.x(point), scale.y(number));
        let flag = point.observation.flag().map(|flagged| flagged.flag);
        shapes += &match flag {
            // Out of the range: another shape, not only another colour.
            Some(flag) if flag != Flag::Normal => format!(
                "<rect class='out' x='{:.1}' y='{:.1}' width='6' height='6'/>",
                x - 3.0,
                y - 3.0
            ),
            _ => format!("<circle class='dot' cx='{x:.1}' cy='{y:.1}' r='2.4'/>"),
        };
    }
    html! {
        svg.trend role="img" aria-label=(label) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
            // Numbers and fixed words only: nothing of a record is in it.
            (PreEscaped(shapes))
        }
    }
}

fn value(point: &Point<'_>) -> Option<f64> {
    point
        .value
        .map(|(_, number)| number)
        .filter(|number| number.is_finite())
}

struct Scale {
    from: f64,
    days: f64,
    low: f64,
    span: f64,
    range: Option<(f64, f64)>,
}

impl Scale {
    fn of(points: &[&Point<'_>]) -> Option<Scale> {
        let (first, last) = (points.first()?, points.last()?);
        let (from, to) = (hours(first), hours(last));
        let numbers: Vec<f64> = points.iter().filter_map(|point| value(point)).collect();
        let mut low = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return None;
        }
        let margin = ((high - low) * 0.15).max(high.abs() * 0.02).max(1e-9);
        (low, high) = (low - margin, high + margin);
        let range = match last.observation.range.bounds() {
            (None, None) => None,
            (one, other) => {
                let begin = one.unwrap_or(low).clamp(low, high);
                let end = other.unwrap_or(high).clamp(low, high);
                Some((begin, end))
            }
        };
        Some(Scale {
            from,
            days: (to - from).max(1.0),
            low,
            span: high - low,
            range,
        })
    }

    fn x(&self, point: &Point<'_>) -> f64 {
        EDGE + (hours(point) - self.from) / self.days * (WIDTH - 2.0 * EDGE)
    }

    fn y(&self, number: f64) -> f64 {
        HEIGHT - EDGE - (number - self.low) / self.span * (HEIGHT - 2.0 * EDGE)
    }
}

/// Hours since some day: only differences count.
fn hours(point: &Point<'_>) -> f64 {
    let date = point.at.date();
    let days = f64::from(i32::from(date.year()) * 366 + i32::from(date.day_of_year()));
    days * 24.0 + f64::from(point.at.hour())
}
