//! The gallery's figures: one for each thing the crate draws. The tests draw and validate every one of them, and compare
//! the drawings with stored ones, so their numbers come from `libm` and a generator of their own: the same everywhere.

use backlot_figures::{
    Annotation, Axis, AxisKind, Bar, BarMode, BoxPlot, Color, Colorbar, Column, Dash, ErrorBars,
    ExponentFormat, Figure, Fill, Heatmap, HistNorm, Histogram, Labels, Layout, Legend, Line, LineShape,
    Marker, MarkerColor, Mode, OneOrEach, Orientation, RangeMode, Scatter, Shape, Subtitle, Symbol,
    TextPosition, Title, XAnchor, YAnchor,
};

/// Every figure with its name.
pub(crate) fn all() -> Vec<(&'static str, Figure)> {
    vec![
        ("rate-quality", rate_quality()),
        ("lines", lines()),
        ("long-series", long_series()),
        ("markers", markers()),
        ("bars-grouped", bars_grouped()),
        ("bars-stacked", bars_stacked()),
        ("bars-horizontal", bars_horizontal()),
        ("histogram", histogram()),
        ("heatmap", heatmap()),
        ("heatmap-large", heatmap_large()),
        ("timeline", timeline()),
        ("error-bars", error_bars()),
        ("boxes", boxes()),
        ("log-log", log_log()),
        ("many-categories", many_categories()),
        ("empty", Figure::new().layout(Layout::default().title("Nothing measured yet"))),
    ]
}

/// Numbers that look random and are the same everywhere: a linear congruential generator (Knuth's MMIX constants).
struct Noise(u64);

impl Noise {
    /// From -1 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / f64::from(1_u32 << 23) - 1.0
    }

    /// About normal, with deviation 1: the sum of twelve even numbers (Irwin and Hall).
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() / 2.0
    }
}

/// What the premiere's report shows: quality by bit rate for each resolution, the convex hull of all, and the rungs
/// chosen from it. Built from the general builders alone.
fn rate_quality() -> Figure {
    // Quality saturates with the bit rate, later and higher for more pixels.
    let rates = [150.0, 250.0, 420.0, 700.0, 1_200.0, 2_000.0, 3_400.0, 5_800.0, 9_600.0];
    let curves =
        [("360p", 210.0, 76.0), ("540p", 480.0, 86.0), ("720p", 900.0, 93.0), ("1080p", 2_000.0, 99.0)];
    let score = |rate: f64, scale: f64, ceiling: f64| ceiling * rate / (rate + scale * 0.45);
    let mut figure = Figure::new();
    let mut points = Vec::new();
    for (name, scale, ceiling) in curves {
        let shown: Vec<f64> =
            rates.into_iter().filter(|rate| (scale * 0.4..scale * 6.0).contains(rate)).collect();
        let scores: Vec<f64> = shown.iter().map(|rate| score(*rate, scale, ceiling)).collect();
        points.extend(shown.iter().copied().zip(scores.iter().copied()));
        let hover: Vec<String> = shown
            .iter()
            .zip(&scores)
            .map(|(rate, score)| format!("{name}: {rate} kbit/s, VMAF {score:.1}"))
            .collect();
        figure = figure.trace(
            Scatter::new(shown, scores)
                .name(name)
                .mode(Mode::LINES_MARKERS)
                .line(Line::default().width(1.5))
                .marker(Marker::default().size(6.0))
                .hovertext(hover),
        );
    }
    let hull = upper_hull(points);
    let (hull_rates, hull_scores): (Vec<f64>, Vec<f64>) = hull.iter().copied().unzip();
    let chosen = rungs(&hull);
    let (chosen_rates, chosen_scores): (Vec<f64>, Vec<f64>) = chosen.iter().copied().unzip();
    let ink = Color::hex(0x7f7f7f);
    let top = chosen.last().copied().unwrap_or((1.0, 0.0));
    figure
        .trace(
            Scatter::new(hull_rates, hull_scores)
                .name("convex hull")
                .mode(Mode::LINES)
                .line(Line::default().color(ink).width(6.0))
                .opacity(0.45),
        )
        .trace(
            Scatter::new(chosen_rates.clone(), chosen_scores)
                .name("chosen rungs")
                .mode(Mode::MARKERS)
                .marker(
                    Marker::default()
                        .symbol(Symbol::CircleOpen)
                        .size(15.0)
                        .color(ink)
                        .line(Line::default().width(2.0)),
                ),
        )
        .layout(
            Layout::default()
                .title(
                    Title::from("Rate and quality by resolution")
                        .subtitle(Subtitle::from("shot 12 of 48, x264 preset medium")),
                )
                .xaxis(Axis::log("bit rate (kbit/s)"))
                .yaxis(Axis::titled("VMAF").range((20, 100)))
                .annotation(Annotation::new(libm::log10(top.0), top.1, "top rung").ax(-34.0).ay(-24.0)),
        )
}

/// Points of the hull from the best down, each at no more than 60 % of the rate of the one above it.
fn rungs(hull: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut chosen: Vec<(f64, f64)> = Vec::new();
    for point in hull.iter().rev() {
        if chosen.last().is_none_or(|above| point.0 <= above.0 * 0.6) {
            chosen.push(*point);
        }
    }
    chosen.reverse();
    chosen
}

/// The points of which no line between two others passes above, by rising rate (Andrew's monotone chain, 1979), with the
/// rate taken by its logarithm as the chart does.
fn upper_hull(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut hull: Vec<(f64, f64)> = Vec::new();
    for (rate, score) in points {
        if hull.last().is_some_and(|last| last.1 >= score) {
            continue;
        }
        while let [.., a, b] = hull.as_slice() {
            let slope = |from: &(f64, f64), to: (f64, f64)| (to.1 - from.1) / libm::log(to.0 / from.0);
            if slope(a, *b) > slope(a, (rate, score)) {
                break;
            }
            hull.pop();
        }
        hull.push((rate, score));
    }
    hull
}

fn lines() -> Figure {
    let x: Vec<f64> = (0..60).map(f64::from).collect();
    let wave = |phase: f64, height: f64| -> Vec<f64> {
        x.iter().map(|x| height * libm::sin(x / 7.0 + phase) + height + 20.0).collect()
    };
    let mut gaps = wave(2.0, 14.0);
    gaps[20..26].fill(f64::NAN);
    let steps: Vec<f64> = x.iter().map(|x| (x / 8.0).floor() * 9.0 + 10.0).collect();
    Figure::new()
        .trace(
            Scatter::new(x.clone(), wave(0.0, 8.0))
                .name("lower bound")
                .mode(Mode::LINES)
                .line(Line::default().width(1.0)),
        )
        .trace(
            Scatter::new(x.clone(), wave(0.0, 12.0))
                .name("upper bound")
                .mode(Mode::LINES)
                .line(Line::default().width(1.0))
                .fill(Fill::ToNextY),
        )
        .trace(
            Scatter::new(x.clone(), gaps)
                .name("with a gap")
                .mode(Mode::LINES)
                .line(Line::default().width(2.5)),
        )
        .trace(
            Scatter::new(x.clone(), steps)
                .name("steps")
                .mode(Mode::LINES)
                .line(Line::default().shape(LineShape::Hv).dash(Dash::Dash)),
        )
        .trace(
            Scatter::new(x.clone(), wave(4.0, 5.0))
                .name("filled to zero")
                .mode(Mode::LINES)
                .fill(Fill::ToZeroY)
                .line(Line::default().dash(Dash::Dot)),
        )
        .layout(
            Layout::default()
                .title("Lines: dashes, steps, gaps and fills")
                .xaxis(Axis::titled("time (s)"))
                .yaxis(Axis::titled("load (%)"))
                .legend(Legend::default().orientation(Orientation::Horizontal)),
        )
}

fn long_series() -> Figure {
    let mut noise = Noise(7);
    let mut level = 0.0;
    let y: Vec<f64> = (0..100_000)
        .map(|index| {
            level += noise.next() * 0.4;
            let spike = if index % 17_001 == 5_000 { 90.0 } else { 0.0 };
            level + noise.normal() * 6.0 + spike
        })
        .collect();
    let start = 1_767_225_600_000_000_i64; // 2026-01-01 00:00 UTC in microseconds
    let x = Column::from_unix_micros((0..100_000).map(|index| start + index * 5_000_000));
    Figure::new()
        .trace(Scatter::new(x, y).name("bytes in flight").line(Line::default().width(1.0)))
        .layout(Layout::default().title("100,000 points, five seconds apart").yaxis(Axis::titled("MB")))
}

fn markers() -> Figure {
    let mut noise = Noise(3);
    let symbols = [
        Symbol::Circle,
        Symbol::CircleOpen,
        Symbol::Square,
        Symbol::SquareOpen,
        Symbol::Diamond,
        Symbol::DiamondOpen,
        Symbol::Cross,
        Symbol::X,
        Symbol::TriangleUp,
        Symbol::TriangleDown,
        Symbol::Star,
        Symbol::XThin,
    ];
    let x: Vec<f64> = (0..symbols.len()).map(|index| index as f64).collect();
    let cloud: Vec<(f64, f64)> =
        (0..400).map(|_| (5.5 + noise.normal() * 2.0, 4.0 + noise.normal())).collect();
    let (cloud_x, cloud_y): (Vec<f64>, Vec<f64>) = cloud.into_iter().unzip();
    let distance: Vec<f64> =
        cloud_x.iter().zip(&cloud_y).map(|(x, y)| libm::hypot(x - 5.5, y - 4.0)).collect();
    Figure::new()
        .trace(
            Scatter::new(cloud_x, cloud_y).name("cloud").mode(Mode::MARKERS).marker(
                Marker::default()
                    .color(MarkerColor::from(distance))
                    .colorscale("Viridis")
                    .size(7.0)
                    .opacity(0.8)
                    .showscale(true)
                    .colorbar(Colorbar::default().title("distance")),
            ),
        )
        .trace(
            Scatter::new(x, vec![9.0; symbols.len()])
                .name("symbols")
                .mode(Mode::MARKERS.with_text())
                .text((1..=12).map(|n| n.to_string()).collect::<Vec<_>>())
                .textposition(TextPosition::BottomCenter)
                .marker(Marker::default().size(12.0).symbol(OneOrEach::Each(symbols.to_vec()))),
        )
        .layout(Layout::default().title("Markers").showlegend(false))
}

fn bars_grouped() -> Figure {
    let titles = ["Sita", "Big Buck Bunny", "Tears of Steel", "Cosmos Laundromat"];
    Figure::new()
        .trace(Bar::new(titles, [41.2, 88.0, 63.5, 57.1]).name("x264").text(vec!["41", "88", "64", "57"]))
        .trace(Bar::new(titles, [29.8, 61.2, 49.9, 40.2]).name("SVT-AV1").text(vec!["30", "61", "50", "40"]))
        .trace(Bar::new(titles, [33.0, 70.1, 52.3, 44.4]).name("x265").text(vec!["33", "70", "52", "44"]))
        .layout(
            Layout::default()
                .title("Size of the ladder by codec")
                .yaxis(Axis::titled("MB per minute"))
                .barmode(BarMode::Group),
        )
}

fn bars_stacked() -> Figure {
    let days =
        ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06", "2026-03-07"];
    Figure::new()
        .trace(Bar::new(days, [812, 901, 1_204, 1_100, 978, 640, 512]).name("succeeded"))
        .trace(Bar::new(days, [44, 61, 80, 33, 52, 12, 20]).name("failed"))
        .trace(Bar::new(days, [120, 140, 96, 180, 75, 40, 22]).name("cached"))
        .layout(Layout::default().title("Tasks by day").yaxis(Axis::titled("tasks")).barmode(BarMode::Stack))
}

fn bars_horizontal() -> Figure {
    let stages = ["probe", "shot detection", "encode", "measure", "choose the ladder", "package"];
    Figure::new()
        .trace(
            Bar::horizontal([0.8, 6.4, 182.0, 77.5, 0.2, 9.1], stages)
                .name("seconds")
                .text(vec!["0.8 s", "6.4 s", "182 s", "77.5 s", "0.2 s", "9.1 s"])
                .marker(Marker::default().color(Color::hex(0x009e73))),
        )
        .layout(Layout::default().title("Where the time of a premiere goes").xaxis(Axis::titled("seconds")))
}

fn histogram() -> Figure {
    let mut noise = Noise(11);
    let fast: Vec<f64> = (0..4_000).map(|_| 42.0 + noise.normal() * 6.0).collect();
    let slow: Vec<f64> = (0..1_500).map(|_| 63.0 + noise.normal() * 9.0).collect();
    Figure::new()
        .trace(Histogram::new(fast).name("control").opacity(0.75).nbinsx(50_u32))
        .trace(Histogram::new(slow).name("treatment").opacity(0.75).histnorm(HistNorm::Count))
        .layout(
            Layout::default()
                .title("Play delay by allocation")
                .barmode(BarMode::Overlay)
                .xaxis(Axis::titled("milliseconds"))
                .yaxis(Axis::titled("sessions")),
        )
        .layout_shape(Shape::vline(50.0).line(Line::default().dash(Dash::Dash)).label("target"))
}

fn heatmap() -> Figure {
    let z: Vec<Vec<f64>> = (0..7)
        .map(|day| {
            let hour = |hour: i32| f64::from((day * 5 + hour * 3) % 17) * 6.0 + f64::from(hour * 2);
            (0..12).map(hour).collect()
        })
        .collect();
    let hours: Vec<String> = (0..12).map(|hour| format!("{:02}:00", hour * 2)).collect();
    Figure::new()
        .trace(
            Heatmap::new(z)
                .x(hours)
                .y(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
                .texttemplate("%{z:.0f}")
                .xgap(2.0)
                .ygap(2.0)
                .colorbar(Colorbar::default().title("streams (k)")),
        )
        .layout(
            Layout::default()
                .title("Concurrent streams by weekday and hour")
                .xaxis(Axis::default().kind(AxisKind::Category))
                .yaxis(Axis::default().autorange(backlot_figures::AutoRange::Reversed)),
        )
}

fn heatmap_large() -> Figure {
    let side = 300;
    let z: Vec<Vec<f64>> = (0..side)
        .map(|row| {
            let cell = |column: i32| {
                let (x, y) = (f64::from(column - side / 2) / 40.0, f64::from(row - side / 2) / 40.0);
                libm::sin(x * 1.3) * libm::cos(y * 0.9) - 0.35 * libm::hypot(x, y)
            };
            (0..side).map(cell).collect()
        })
        .collect();
    Figure::new()
        .trace(
            Heatmap::new(z).colorscale("RdBu").zmid(0.0).colorbar(Colorbar::default().title("correlation")),
        )
        .layout(
            Layout::default().title("90,000 cells").xaxis(Axis::titled("lag")).yaxis(Axis::titled("window")),
        )
}

fn timeline() -> Figure {
    let mut noise = Noise(5);
    let start = 1_774_000_000_000_000_i64; // 2026-03-20 09:46:40 UTC in microseconds
    let x = Column::from_unix_micros((0..180).map(|minute| start + minute * 60_000_000));
    let y: Vec<f64> = (0..180)
        .map(|minute| {
            let dip = if (70..110).contains(&minute) { 420_000.0 } else { 0.0 };
            1_250_000.0 + 60_000.0 * libm::sin(f64::from(minute) / 25.0) + noise.normal() * 12_000.0 - dip
        })
        .collect();
    let band = Shape::vrect("2026-03-20 10:56:40", "2026-03-20 11:36:40")
        .fillcolor(Color::hex(0xd55e00).fade(0.15))
        .label("incident 4711");
    Figure::new().trace(Scatter::new(x, y).name("starts per second").mode(Mode::LINES)).layout(
        Layout::default()
            .title("Stream starts across an evacuation")
            .yaxis(Axis::titled("starts / s").rangemode(RangeMode::ToZero))
            .shape(band)
            .shape(Shape::vline("2026-03-20 11:36:40").line(Line::default().dash(Dash::Dot)))
            .shape(
                Shape::hline(1_000_000)
                    .line(Line::default().color(Color::hex(0xcc79a7)).dash(Dash::Dash))
                    .label("alert below"),
            )
            .annotation(
                Annotation::new("2026-03-20 11:36:40", 1_180_000, "traffic moved back").ax(70.0).ay(90.0),
            ),
    )
}

fn error_bars() -> Figure {
    let x = [1, 2, 3, 4, 5, 6];
    Figure::new()
        .trace(
            Scatter::new(x, [2.1, 3.9, 3.2, 5.0, 4.4, 6.1])
                .name("treatment effect")
                .mode(Mode::MARKERS)
                .marker(Marker::default().size(8.0))
                .error_y(ErrorBars::data([0.6, 0.9, 0.5, 1.1, 0.7, 0.8])),
        )
        .trace(
            Scatter::new(x, [1.0, 1.4, 2.4, 2.2, 3.1, 3.0])
                .name("baseline")
                .mode(Mode::LINES_MARKERS)
                .error_y(ErrorBars::data([0.3; 6]).arrayminus([0.1; 6])),
        )
        .layout(
            Layout::default()
                .title("Effect with 95 % intervals")
                .xaxis(Axis::titled("week"))
                .yaxis(Axis::titled("effect (%)").ticksuffix(" %"))
                .legend(Legend::default().x(0.02).y(0.98).xanchor(XAnchor::Left).yanchor(YAnchor::Top)),
        )
}

fn boxes() -> Figure {
    let mut noise = Noise(23);
    let presets =
        [("veryfast", 30.0, 4.0), ("medium", 38.0, 5.0), ("slow", 41.0, 5.5), ("veryslow", 42.5, 6.5)];
    Figure::new()
        .traces(presets.map(|(name, middle, spread)| {
            let samples: Vec<f64> =
                (0..200).map(|_| middle + spread * noise.normal() * noise.next().abs()).collect();
            BoxPlot::new(samples).name(name)
        }))
        .layout(Layout::default().title("PSNR by preset").yaxis(Axis::titled("PSNR (dB)")).showlegend(false))
}

fn log_log() -> Figure {
    let sizes: Vec<f64> = (0..=24).map(|power| f64::from(1_u32 << power)).collect();
    let power = |exponent: f64, factor: f64| {
        sizes.iter().map(|size| factor * libm::pow(*size, exponent)).collect::<Vec<_>>()
    };
    Figure::new()
        .trace(Scatter::new(sizes.clone(), power(1.0, 2e-9)).name("linear scan").mode(Mode::LINES))
        .trace(Scatter::new(sizes.clone(), power(0.5, 1e-8)).name("skip list").mode(Mode::LINES))
        .trace(Scatter::new(sizes.clone(), power(0.12, 3e-8)).name("index").mode(Mode::LINES))
        .layout(
            Layout::default()
                .title("Look-up time by size")
                .xaxis(Axis::log("rows"))
                .yaxis(Axis::log("seconds").exponentformat(ExponentFormat::Power)),
        )
}

fn many_categories() -> Figure {
    let names: Vec<String> =
        (1..=28).map(|shot| format!("shot {shot:02} of reel {}", shot % 4 + 1)).collect();
    let scores: Vec<f64> = (1..=28).map(|shot| 70.0 + f64::from(shot * 13 % 29)).collect();
    let hover: Vec<String> =
        names.iter().zip(&scores).map(|(name, score)| format!("{name}: {score}")).collect();
    Figure::new()
        .trace(Bar::new(names, scores).name("VMAF").hovertext(Labels::from(hover)))
        .layout(Layout::default().title("Mean quality by shot").yaxis(Axis::titled("VMAF").range((50, 100))))
}

/// Adds a shape to a figure that already has its layout.
trait WithShape {
    fn layout_shape(self, shape: Shape) -> Self;
}

impl WithShape for Figure {
    fn layout_shape(mut self, shape: Shape) -> Self {
        self.layout = self.layout.shape(shape);
        self
    }
}
