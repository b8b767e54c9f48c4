//! Plots of what was measured, as SVG.

use std::path::{Path, PathBuf};

use anyhow::Result;
use plotters::prelude::*;

use crate::results::Results;

const SIZE: (u32, u32) = (900, 520);
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 96, 160),
    RGBColor(208, 72, 40),
    RGBColor(80, 140, 60),
    RGBColor(140, 90, 170),
    RGBColor(200, 150, 0),
    RGBColor(90, 90, 90),
    RGBColor(0, 150, 150),
    RGBColor(190, 80, 130),
];

/// Every plot for which there are figures.
pub(crate) fn all(results: &Results, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut plots = vec![];
    let mut made = |path: Option<PathBuf>| plots.extend(path);
    made(days(results, folder)?);
    made(bars(results, folder, "seconds")?);
    made(bars(results, folder, "bytes")?);
    made(links(results, folder)?);
    Ok(plots)
}

fn wrong(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("plot: {error}")
}

/// Time by the size of the day, each rival a line.
fn days(results: &Results, folder: &Path) -> Result<Option<PathBuf>> {
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = vec![];
    for (work, rival, runs) in results.cells() {
        let share = work
            .strip_prefix("a day at ")
            .and_then(|share| share.trim_end_matches(" %").parse::<f64>().ok());
        let (Some(share), Some((median, _, _))) = (share, Results::spread(runs)) else {
            continue;
        };
        match lines.iter_mut().find(|line| line.0 == rival) {
            Some(line) => line.1.push((share, median)),
            None => lines.push((rival.into(), vec![(share, median)])),
        }
    }
    let title = "A day: seconds by its share of the records (%)";
    line_plot(&folder.join("days.svg"), title, &lines, true)
}

/// How much each link brought over time, with a failure in the middle.
fn links(results: &Results, folder: &Path) -> Result<Option<PathBuf>> {
    let Some(series) = results.series("a link lost after 30 %") else {
        return Ok(None);
    };
    let count = series.first().map_or(0, |moment| moment.1.len());
    let lines: Vec<_> = (0..count)
        .map(|link| {
            let points = series
                .iter()
                .map(|(at, rates)| (*at, rates[link] * 8.0 / 1e6));
            (format!("link {link}, Mbit/s"), points.collect())
        })
        .collect();
    let title = "Two links over seconds; one is lost after 30 % of the bytes";
    line_plot(&folder.join("links.svg"), title, &lines, false)
}

fn line_plot(
    path: &Path,
    title: &str,
    lines: &[(String, Vec<(f64, f64)>)],
    logarithmic: bool,
) -> Result<Option<PathBuf>> {
    let points: Vec<(f64, f64)> = lines.iter().flat_map(|line| line.1.clone()).collect();
    if points.is_empty() {
        return Ok(None);
    }
    let most = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let least = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::MAX, f64::min);
    let (right, top) = (most(|point| point.0), most(|point| point.1));
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(wrong)?;
    let mut chart = ChartBuilder::on(&area);
    chart
        .caption(title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(64);
    macro_rules! draw {
        ($context:expr) => {{
            let mut context = $context.map_err(wrong)?;
            context.configure_mesh().draw().map_err(wrong)?;
            for (at, (name, points)) in lines.iter().enumerate() {
                let colour = COLOURS[at % COLOURS.len()];
                let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
                context
                    .draw_series(line)
                    .map_err(wrong)?
                    .label(name)
                    .legend(move |(x, y)| {
                        PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
                    });
            }
            context
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK)
                .draw()
                .map_err(wrong)?;
        }};
    }
    match logarithmic {
        true => {
            let (left, low) = (least(|point| point.0), least(|point| point.1).max(1e-3));
            let x = (left * 0.9..right * 4.0).log_scale();
            draw!(chart.build_cartesian_2d(x, (low * 0.7..top * 1.5).log_scale()));
        }
        false => draw!(chart.build_cartesian_2d(0.0..right * 1.02, 0.0..top * 1.25)),
    }
    area.present().map_err(wrong)?;
    Ok(Some(path.to_path_buf()))
}

/// Medians of all works as bars on a logarithmic scale.
fn bars(results: &Results, folder: &Path, what: &str) -> Result<Option<PathBuf>> {
    let value = |runs: &[crate::results::Run]| match what {
        "seconds" => Results::spread(runs).map(|spread| spread.0),
        _ => runs.last().map(|run| run.wire_bytes as f64 / 1e6),
    };
    let cells: Vec<(String, f64, bool)> = results
        .cells()
        .filter_map(|(work, rival, runs)| {
            let value = value(runs).filter(|value| *value > 0.0)?;
            Some((
                format!("{work}: {rival}"),
                value,
                rival.starts_with("hikae"),
            ))
        })
        .collect();
    if cells.is_empty() {
        return Ok(None);
    }
    let path = folder.join(format!("{what}.svg"));
    let most = cells.iter().map(|cell| cell.1).fold(0.0, f64::max);
    let least = cells.iter().map(|cell| cell.1).fold(f64::MAX, f64::min);
    let height = 90 + 22 * cells.len() as u32;
    let area = SVGBackend::new(&path, (SIZE.0, height)).into_drawing_area();
    area.fill(&WHITE).map_err(wrong)?;
    let unit = if what == "seconds" {
        "seconds, median"
    } else {
        "MB on the line"
    };
    let mut chart = ChartBuilder::on(&area)
        .caption(unit, ("sans-serif", 22))
        .margin(16)
        .margin_left(420)
        .x_label_area_size(30)
        .build_cartesian_2d((least * 0.5..most * 2.0).log_scale(), 0..cells.len() as i32)
        .map_err(wrong)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .draw()
        .map_err(wrong)?;
    let count = cells.len() as i32;
    for (at, (name, value, own)) in cells.iter().enumerate() {
        let row = count - 1 - at as i32;
        let colour = COLOURS[usize::from(!own)];
        let bar = Rectangle::new(
            [(least * 0.5, row), (*value, row + 1)],
            colour.mix(0.8).filled(),
        );
        chart.draw_series([bar]).map_err(wrong)?;
        let (_, y) = chart.backend_coord(&(least * 0.5, row));
        let text = format!("{name}  {value:.2}");
        area.draw(&Text::new(
            text,
            (12, y - 17),
            ("sans-serif", 13).into_font(),
        ))
        .map_err(wrong)?;
    }
    area.present().map_err(wrong)?;
    drop(chart);
    drop(area);
    Ok(Some(path))
}
