//! The shares over time as CSV and as a picture.

use std::fmt::Write as _;

use super::figures::Figures;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
/// Around the plot.
const MARGIN: f64 = 60.0;
/// Most points of a line.
const POINTS_MAX: usize = 800;
/// Told apart by people with colour blindness, too.
const COLOURS: [&str; 8] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7f7f00", "#000000",
];

/// One line per sample: seconds, utilisation, the share of each group.
#[must_use]
pub fn csv(figures: &Figures) -> String {
    let mut text = "seconds,cpus,mem".to_owned();
    for group in &figures.groups {
        let quoted = group.replace('"', "\"\"");
        push(&mut text, format_args!(",\"{quoted}\""));
    }
    text.push('\n');
    for sample in &figures.samples {
        let seconds = sample.at.as_secs_f64();
        push(
            &mut text,
            format_args!("{seconds},{:.6},{:.6}", sample.cpus, sample.mem),
        );
        for share in &sample.shares {
            push(&mut text, format_args!(",{share:.6}"));
        }
        text.push('\n');
    }
    text
}

/// The share of each group over time, and the utilisation, as lines.
#[must_use]
pub fn svg(figures: &Figures, title: &str) -> String {
    let mut text = String::new();
    push(
        &mut text,
        format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{MARGIN}\" y=\"24\" font-size=\"16\">{}</text>\n",
            escaped(title)
        ),
    );
    axes(&mut text, figures.lasted.as_secs_f64());
    let all = figures
        .samples
        .iter()
        .map(|sample| sample.cpus.max(sample.mem));
    line(
        &mut text,
        figures,
        &all.collect::<Vec<f64>>(),
        ("#bbbbbb", "used", 0),
    );
    for (at, group) in figures.groups.iter().enumerate() {
        let shares = figures.samples.iter().map(|sample| sample.shares[at]);
        let colour = COLOURS[at % COLOURS.len()];
        line(
            &mut text,
            figures,
            &shares.collect::<Vec<f64>>(),
            (colour, group, at + 1),
        );
    }
    text.push_str("</svg>\n");
    text
}

fn axes(text: &mut String, seconds: f64) {
    let (right, bottom) = (WIDTH - MARGIN, HEIGHT - MARGIN);
    push(
        text,
        format_args!(
            "<path d=\"M{MARGIN} {MARGIN}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>\n"
        ),
    );
    for quarter in 0..=4 {
        let part = f64::from(quarter) / 4.0;
        let y = bottom - part * (bottom - MARGIN);
        let x = MARGIN + part * (right - MARGIN);
        push(
            text,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0} %</text>\n\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{:.0} s</text>\n",
                MARGIN - 6.0,
                y + 4.0,
                part * 100.0,
                bottom + 18.0,
                part * seconds
            ),
        );
    }
}

fn line(text: &mut String, figures: &Figures, values: &[f64], look: (&str, &str, usize)) {
    let (colour, name, place) = look;
    let seconds = figures.lasted.as_secs_f64().max(f64::MIN_POSITIVE);
    let every = values.len().div_ceil(POINTS_MAX).max(1);
    let mut points = String::new();
    for (sample, value) in figures.samples.iter().zip(values).step_by(every) {
        let part = sample.at.as_secs_f64() / seconds;
        let x = MARGIN + part * (WIDTH - 2.0 * MARGIN);
        let y = HEIGHT - MARGIN - value.clamp(0.0, 1.0) * (HEIGHT - 2.0 * MARGIN);
        push(&mut points, format_args!("{x:.1},{y:.1} "));
    }
    let y = MARGIN + 16.0 * place as f64;
    push(
        text,
        format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n\
             <text x=\"{}\" y=\"{y}\" fill=\"{colour}\" text-anchor=\"end\">{}</text>\n",
            points.trim_end(),
            WIDTH - MARGIN,
            escaped(name)
        ),
    );
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a text succeeds");
}
