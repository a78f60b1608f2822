//! The shares over time as CSV and as a picture.

use std::fmt::Write as _;

use super::figures::Figures;

const WIDTH: f64 = 1120.0;
const HEIGHT: f64 = 480.0;
/// The plot; beside it is the legend.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 900.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 420.0;
/// Most groups that the legend names.
const NAMED_MAX: usize = 20;
/// The colour of what is used by all together.
const USED: &str = "#999999";
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
             <text x=\"{LEFT}\" y=\"28\" font-size=\"16\">{}: dominant shares over time</text>\n",
            escaped(title)
        ),
    );
    axes(&mut text, figures.lasted.as_secs_f64());
    let used = figures
        .samples
        .iter()
        .map(|sample| sample.cpus.max(sample.mem));
    line(&mut text, figures, &used.collect::<Vec<f64>>(), USED);
    legend(&mut text, 0, USED, "used by all tasks");
    for (at, group) in figures.groups.iter().enumerate() {
        let shares = figures.samples.iter().map(|sample| sample.shares[at]);
        let colour = COLOURS[at % COLOURS.len()];
        line(&mut text, figures, &shares.collect::<Vec<f64>>(), colour);
        match at {
            ..NAMED_MAX => legend(&mut text, at + 1, colour, group),
            NAMED_MAX => {
                let more = format!("and {} more", figures.groups.len() - at);
                legend(&mut text, at + 1, "none", &more);
            }
            _ => {}
        }
    }
    text.push_str("</svg>\n");
    text
}

/// Both axes with their quarters, and what they are of.
fn axes(text: &mut String, seconds: f64) {
    for quarter in 0..=4 {
        let part = f64::from(quarter) / 4.0;
        let y = BOTTOM - part * (BOTTOM - TOP);
        let x = LEFT + part * (RIGHT - LEFT);
        push(
            text,
            format_args!(
                "<path d=\"M{LEFT} {y}H{RIGHT}M{x} {TOP}V{BOTTOM}\" stroke=\"#dddddd\"/>\n\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.0} %</text>\n\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                LEFT - 6.0,
                y + 4.0,
                part * 100.0,
                BOTTOM + 18.0,
                time(part * seconds)
            ),
        );
    }
    push(
        text,
        format_args!(
            "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"black\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">virtual time</text>\n\
             <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">\
             share of the cluster</text>\n",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 40.0,
            f64::midpoint(TOP, BOTTOM),
        ),
    );
}

/// Seconds while these are few.
fn time(seconds: f64) -> String {
    match seconds {
        ..600.0 => format!("{seconds:.0} s"),
        600.0..36_000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn line(text: &mut String, figures: &Figures, values: &[f64], colour: &str) {
    let seconds = figures.lasted.as_secs_f64().max(f64::MIN_POSITIVE);
    let every = values.len().div_ceil(POINTS_MAX).max(1);
    let mut points = String::new();
    for (sample, value) in figures.samples.iter().zip(values).step_by(every) {
        let part = sample.at.as_secs_f64() / seconds;
        let x = LEFT + part * (RIGHT - LEFT);
        let y = BOTTOM - value.clamp(0.0, 1.0) * (BOTTOM - TOP);
        push(&mut points, format_args!("{x:.1},{y:.1} "));
    }
    push(
        text,
        format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\n",
            points.trim_end(),
        ),
    );
}

/// A name beside the plot, with its line.
fn legend(text: &mut String, place: usize, colour: &str, name: &str) {
    let y = TOP + 8.0 + 17.0 * place as f64;
    let x = RIGHT + 14.0;
    push(
        text,
        format_args!(
            "<path d=\"M{x} {}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>\n\
             <text x=\"{}\" y=\"{y}\">{}</text>\n",
            y - 4.0,
            x + 24.0,
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
