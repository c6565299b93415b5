//! SVG plot of goodput and latency by offered load, in colours that are readable on white and on black.

use std::fmt::Write;

/// A measurement at one offered load. Loads and goodput are multiples of the peak.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) load: f64,
    pub(crate) goodput: f64,
    pub(crate) p99_ms: f64,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 180.0;
const TOP: f64 = 46.0;
const GREY: &str = "#808080";

struct Panel {
    left: f64,
    title: &'static str,
    colour: &'static str,
    /// The end of the scale.
    max: f64,
    ticks: Vec<f64>,
    unit: &'static str,
}

/// The plot as SVG.
pub(crate) fn svg(points: &[Point]) -> String {
    let slowest = points.iter().map(|point| point.p99_ms).filter(|ms| ms.is_finite()).fold(0.0, f64::max);
    let step = [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0].into_iter().find(|step| step * 5.0 >= slowest);
    let step = step.unwrap_or(10_000.0);
    let ticks = |step: f64, count: u32| (0..=count).map(|n| f64::from(n) * step).collect();
    let best = points.iter().map(|point| point.goodput).filter(|share| share.is_finite()).fold(1.25, f64::max);
    let quarters = (best * 4.0).ceil() as u32;
    let goodput = Panel {
        left: 60.0,
        title: "goodput ÷ peak",
        colour: "#2f81c7",
        max: f64::from(quarters) * 0.25,
        ticks: ticks(0.25, quarters),
        unit: "",
    };
    let title = "p99 of accepted requests";
    let latency = Panel { left: 500.0, title, colour: "#d2691e", max: step * 5.0, ticks: ticks(step, 5), unit: " ms" };
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 290\" font-family=\"sans-serif\" \
        font-size=\"12\" role=\"img\">\n<title>Goodput and latency by offered load</title>\n"
        .to_owned();
    panel(&mut svg, &goodput, points.iter().map(|point| (point.load, point.goodput)));
    panel(&mut svg, &latency, points.iter().map(|point| (point.load, point.p99_ms)));
    svg + "</svg>\n"
}

fn panel(svg: &mut String, panel: &Panel, values: impl Iterator<Item = (f64, f64)>) {
    let x = |load: f64| panel.left + load / 5.0 * WIDTH;
    let y = |value: f64| TOP + HEIGHT - (value / panel.max).clamp(0.0, 1.0) * HEIGHT;
    let text = |svg: &mut String, x: f64, y: f64, anchor: &str, words: &str| {
        let _ =
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{GREY}\" text-anchor=\"{anchor}\">{words}</text>");
    };
    text(svg, panel.left, TOP - 18.0, "start", panel.title);
    for tick in &panel.ticks {
        let (height, right) = (y(*tick), panel.left + WIDTH);
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {height:.1}H{right:.1}\" stroke=\"{GREY}\" stroke-opacity=\"0.35\"/>",
            panel.left
        );
        text(svg, panel.left - 6.0, height + 4.0, "end", &format!("{tick}{}", panel.unit));
    }
    for load in 0..=5 {
        text(svg, x(load.into()), TOP + HEIGHT + 18.0, "middle", &format!("{load}×"));
    }
    text(svg, panel.left + WIDTH / 2.0, TOP + HEIGHT + 38.0, "middle", "offered ÷ peak");
    let values: Vec<_> =
        values.filter(|(_, value)| value.is_finite()).map(|(load, value)| (x(load), y(value))).collect();
    let line: Vec<_> = values.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let (colour, line) = (panel.colour, line.join(" "));
    let _ = writeln!(svg, "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>");
    for (x, y) in values {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every opened tag and quote is closed, in the right order.
    #[test]
    fn plot_is_well_formed() {
        let point = |load, p99_ms| Point { load, goodput: 1.0, p99_ms };
        let svg = svg(&[point(0.5, 12.0), point(2.0, 230.0), point(5.0, f64::NAN)]);
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.trim_start_matches('/').split(' ').next().unwrap().to_owned();
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (false, false) => open.push(name),
                (false, true) => {}
            }
        }
        assert!(open.is_empty() && svg.starts_with("<svg ") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 5);
    }
}
