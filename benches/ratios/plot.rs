//! Plots with two logarithmic axes, as SVG: solid lines for the product, dashed ones for the floor.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::timing::Best;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 370.0;
/// Told apart also by those who see few colours, on white.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#444444",
];

/// Curves over one axis.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) x_unit: Unit,
    pub(crate) x: Vec<u64>,
    pub(crate) y_label: String,
    pub(crate) curves: Vec<Curve>,
}

/// What the numbers of the horizontal axis count.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Bytes,
    Count,
}

/// One line of a figure and its floor, a value for each point of the axis.
#[derive(Serialize)]
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) product: Vec<f64>,
    pub(crate) floor: Vec<f64>,
}

impl Curve {
    /// The name begins with what the whole figure is about, and a colon.
    pub(crate) fn new(name: &str, bests: Vec<Best>) -> Curve {
        Curve {
            name: name.to_owned(),
            product: bests.iter().map(|best| best.product).collect(),
            floor: bests.iter().map(|best| best.floor).collect(),
        }
    }

    /// What the legend says: the name less what the whole figure is about.
    fn label(&self) -> &str {
        self.name
            .split_once(": ")
            .map_or(&self.name, |(_, rest)| rest)
    }
}

impl Figure {
    /// The first and the last point of the horizontal axis, as text.
    pub(crate) fn span(&self) -> (String, String) {
        let text = |at: Option<&u64>| at.map_or_else(String::new, |x| self.x_unit.text(*x));
        (text(self.x.first()), text(self.x.last()))
    }

    /// What its file is called: its title in small letters, up to the first comma.
    pub(crate) fn file_name(&self) -> String {
        let title = self.title.split(',').next().unwrap_or_default();
        let words: Vec<String> = title
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        words.join("-") + ".svg"
    }

    /// The whole plot.
    pub(crate) fn to_svg(&self) -> String {
        let mut svg = String::new();
        // Writing to a string cannot fail.
        _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> fmt::Result {
        let axes = Axes::around(self);
        writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" role="img">
<title>{title}</title>
<rect width="100%" height="100%" fill="white"/>
<text x="{LEFT}" y="26" font-size="16">{title}</text>"#,
            title = escaped(&self.title)
        )?;
        self.write_x_axis(svg, &axes)?;
        self.write_y_axis(svg, &axes)?;
        let mut legend = Legend { y: TOP + 10.0 };
        for (curve, colour) in self.curves.iter().zip(COLOURS.iter().cycle()) {
            self.write_line(svg, &axes, &curve.product, colour, "")?;
            legend.write(svg, curve.label(), colour, "")?;
            self.write_line(svg, &axes, &curve.floor, colour, DASHED)?;
            legend.write(svg, "its floor", colour, DASHED)?;
        }
        writeln!(svg, "</svg>")
    }

    fn write_x_axis(&self, svg: &mut String, axes: &Axes) -> fmt::Result {
        for &value in &self.x {
            let x = axes.x(value as f64);
            writeln!(
                svg,
                r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{BOTTOM}" stroke="#dddddd"/>
<text x="{x:.1}" y="{y}" text-anchor="middle">{text}</text>"##,
                y = BOTTOM + 20.0,
                text = self.x_unit.text(value)
            )?;
        }
        writeln!(
            svg,
            r#"<text x="{x}" y="{y}" text-anchor="middle">{label}, logarithmic</text>"#,
            x = (LEFT + RIGHT) / 2.0,
            y = BOTTOM + 46.0,
            label = escaped(&self.x_label)
        )
    }

    fn write_y_axis(&self, svg: &mut String, axes: &Axes) -> fmt::Result {
        for value in axes.y_ticks() {
            let y = axes.y(value);
            writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" stroke="#dddddd"/>
<text x="{x}" y="{baseline:.1}" text-anchor="end">{text}</text>"##,
                x = LEFT - 8.0,
                baseline = y + 4.0,
                text = thousands(value)
            )?;
        }
        let (x, y) = (18.0, (TOP + BOTTOM) / 2.0);
        writeln!(
            svg,
            r##"<rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}" fill="none" stroke="#888888"/>
<text x="{x}" y="{y}" text-anchor="middle" transform="rotate(-90 {x} {y})">{label}, logarithmic</text>"##,
            width = RIGHT - LEFT,
            height = BOTTOM - TOP,
            label = escaped(&self.y_label)
        )
    }

    fn write_line(
        &self,
        svg: &mut String,
        axes: &Axes,
        values: &[f64],
        colour: &str,
        dash: &str,
    ) -> fmt::Result {
        let places = || {
            let points = self.x.iter().zip(values);
            points.map(|(x, y)| (axes.x(*x as f64), axes.y(*y), *y))
        };
        let path: Vec<String> = places().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>"#,
            path.join(" ")
        )?;
        for (x, y, value) in places() {
            writeln!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"><title>{value:.1}</title></circle>"#
            )?;
        }
        Ok(())
    }
}

const DASHED: &str = r#" stroke-dasharray="6 4" stroke-opacity="0.6""#;

/// Where the next line of the legend goes.
struct Legend {
    y: f64,
}

impl Legend {
    fn write(&mut self, svg: &mut String, label: &str, colour: &str, dash: &str) -> fmt::Result {
        let (from, to, y) = (RIGHT + 20.0, RIGHT + 54.0, self.y);
        self.y += 22.0;
        writeln!(
            svg,
            r#"<line x1="{from}" y1="{y}" x2="{to}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>
<text x="{x}" y="{baseline}">{label}</text>"#,
            x = to + 8.0,
            baseline = y + 4.0,
            label = escaped(label)
        )
    }
}

/// From values to places.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn around(figure: &Figure) -> Axes {
        let values = figure
            .curves
            .iter()
            .flat_map(|curve| curve.product.iter().chain(&curve.floor).copied());
        let (least, most) = values
            // What is zero or less has no place on such an axis.
            .filter(|value| *value > 0.0)
            .fold((f64::INFINITY, 0.0), |(least, most), value| {
                (value.min(least), value.max(most))
            });
        let x = |at: Option<&u64>| at.map_or(1.0, |x| *x as f64);
        Axes {
            x: (x(figure.x.first()), x(figure.x.last())),
            y: (least / 1.3, most * 1.3),
        }
    }

    fn x(&self, value: f64) -> f64 {
        let margin = 30.0;
        let share = share(value, self.x);
        LEFT + margin + share * (RIGHT - LEFT - 2.0 * margin)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - share(value, self.y) * (BOTTOM - TOP)
    }

    /// One, two and five of each power of ten, or the powers alone where those would be too many.
    fn y_ticks(&self) -> Vec<f64> {
        let (least, most) = self.y;
        let steps: &[f64] = if most / least > 2000.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let powers = least.log10().floor() as i32..=most.log10().ceil() as i32;
        powers
            .flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)))
            .filter(|value| (least..=most).contains(value))
            .collect()
    }
}

/// How far a value is on the way between two others, by their logarithms.
fn share(value: f64, (from, to): (f64, f64)) -> f64 {
    if to <= from {
        return 0.5;
    }
    ((value / from).ln() / (to / from).ln()).clamp(0.0, 1.0)
}

impl Unit {
    fn text(self, value: u64) -> String {
        match self {
            Unit::Count => thousands(value as f64),
            Unit::Bytes => bytes(value),
        }
    }
}

/// In the unit that leaves a whole number: powers of 1024 where they fit, of 1000 else.
fn bytes(value: u64) -> String {
    let units = [
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
        (1_000_000, "MB"),
        (1000, "KB"),
    ];
    let whole = units.iter().find(|(size, _)| value.is_multiple_of(*size));
    match whole {
        Some((size, unit)) if value > 0 => format!("{} {unit}", value / size),
        _ => format!("{value} B"),
    }
}

/// With a comma between thousands, and decimals only below one.
fn thousands(value: f64) -> String {
    if value < 1.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
