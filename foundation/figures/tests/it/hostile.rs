//! Figures that make no sense: none may panic, hang, or write a document that is not well-formed.

use backlot_figures::{
    Annotation, AutoRange, Axis, AxisKind, Bar, BarMode, Bins, BoxPlot, Color, Colorscale, Column, Dash,
    ErrorBars, Figure, Fill, Font, Heatmap, Histogram, Layout, Legend, Line, LineShape, Marker, MarkerColor,
    Mode, OneOrEach, Range, Scalar, Scatter, Shape, Size, Theme, Title, Trace, render,
};
use proptest::prelude::*;

/// Draws at sizes from one pixel up, in both forms, and checks the SVG's tags.
fn draw(figure: &Figure) {
    for (width, height) in [(1, 1), (3, 200), (200, 3), (90, 60), (350, 260), (900, 500)] {
        let size = Size::new(width, height);
        let svg = render::svg(figure, size, Theme::Light);
        well_formed(&svg);
        for none in ["NaN", "inf\""] {
            let around = svg.find(none).map(|at| &svg[at.saturating_sub(80)..(at + 20).min(svg.len())]);
            assert_eq!(around, None, "a number that is none");
        }
        let png = render::png(figure, size, Theme::Dark, 0.5);
        assert!(png.starts_with(b"\x89PNG"));
    }
}

/// Every tag is closed by its own, and attributes have no bare quotes or brackets.
fn well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare bracket in {:?}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
        assert!(tag.matches('"').count().is_multiple_of(2), "quotes in {tag}");
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} left open");
}

fn points(x: impl Into<Column>, y: impl Into<Column>) -> Figure {
    Figure::new()
        .trace(Scatter::new(x, y).mode(Mode::LINES_MARKERS.with_text()).text("t").fill(Fill::ToZeroY))
}

#[test]
fn values_at_the_ends_of_what_a_number_holds() {
    let nothing: [f64; 0] = [];
    let sets: [&[f64]; 14] = [
        &nothing,
        &[f64::NAN],
        &[f64::INFINITY, f64::NEG_INFINITY],
        &[5.0],
        &[0.0],
        &[0.0, -0.0],
        &[1e300, -1e300],
        &[f64::MAX, f64::MIN],
        &[f64::MIN_POSITIVE, 0.0],
        &[5e-324, 1e-323],
        &[1.0, 1.0 + f64::EPSILON],
        &[1e300, 1e300_f64.next_up()],
        &[1e15, 1e15 + 1.0, f64::NAN, 3.0],
        &[-1.0, -10.0, 0.0],
    ];
    for values in sets {
        for kind in [AxisKind::Linear, AxisKind::Log, AxisKind::Date, AxisKind::Category] {
            let axis = Axis::default().kind(kind);
            let layout = || Layout::default().xaxis(axis.clone()).yaxis(axis.clone()).showlegend(true);
            draw(&points(values, values).layout(layout()));
            let bars = Figure::new().trace(Bar::new(values, values)).trace(Bar::horizontal(values, values));
            draw(&bars.layout(layout().barmode(BarMode::Stack)));
            let rest = Figure::new()
                .trace(Histogram::new(values))
                .trace(BoxPlot::new(values))
                .trace(Heatmap::new(vec![values.to_vec(), values.to_vec()]).texttemplate("%{z}"));
            draw(&rest.layout(layout()));
        }
    }
}

#[test]
fn layouts_that_contradict_themselves() {
    let ranges: [Range; 8] = [
        (5, 5).into(),
        (10, -10).into(),
        (f64::NAN, f64::INFINITY).into(),
        (1e300, -1e300).into(),
        (f64::MAX, f64::MIN).into(),
        Range(None, Some(Scalar::Number(-50.0))),
        ("2024-01-01", "no date").into(),
        ("b", "zebra").into(),
    ];
    for range in ranges {
        for kind in [AxisKind::Auto, AxisKind::Linear, AxisKind::Log, AxisKind::Date, AxisKind::Category] {
            let axis = Axis::titled("t").kind(kind).range(range.clone()).dtick(1e-9).tickformat("%Q.9z");
            let other = Axis::default().autorange(AutoRange::Reversed).nticks(4_000_000_000_u32).dtick("M1");
            let layout = Layout::default()
                .xaxis(axis)
                .yaxis(other)
                .shape(Shape::vline(f64::NAN).label("x"))
                .shape(Shape::rect((1e300, -1e300), ("a", 4)).fillcolor(Color::CLEAR))
                .annotation(Annotation::new(f64::NAN, 1e308, "nowhere"))
                .annotation(Annotation::new(1, 2, "far away").ax(f64::INFINITY).ay(1e300));
            draw(&points([1, 2, 3], [4, 5, 6]).layout(layout));
        }
    }
}

#[test]
fn texts_without_end_and_with_anything_in_them() {
    let long =
        "Überlänge 👩‍🚀 日本語 <b>&amp;</b> \u{202e}\u{0}\u{1b}[31m \"quoted\" 'x' ]]> <br> ".repeat(400);
    let figure = Figure::new()
        .traces((0..60).map(|index| Scatter::new([0, 1], [index, 2]).name(long.clone()).legendgroup("g")))
        .trace(
            Bar::new(vec![long.clone(), "b".to_owned()], [1, 2]).text(long.as_str()).hovertext(long.as_str()),
        )
        .trace(Trace::Unknown(serde_json::from_str(r#"{"type": "<script>", "name": "&\""}"#).unwrap()))
        .layout(
            Layout::default()
                .title(Title::from(long.clone()).subtitle(long.as_str()).font(Font::default().size(1e9)))
                .xaxis(Axis::titled(long.as_str()).tickangle(1e9))
                .yaxis(Axis::titled(long.as_str()).tickprefix(long.as_str()))
                .legend(Legend::default().title(long.as_str()))
                .annotation(Annotation::new(0, 0, long.as_str())),
        );
    draw(&figure);
}

#[test]
fn styles_out_of_bounds() {
    let marker = Marker::default()
        .size(OneOrEach::Each(vec![f64::NAN, -5.0, 1e300]))
        .color(MarkerColor::from(vec![f64::NAN, f64::INFINITY, 1.0]))
        .colorscale(Colorscale::Stops(vec![(f64::NAN, Color::CLEAR)]))
        .opacity(7.0)
        .showscale(true)
        .cmin(f64::INFINITY);
    let figure = Figure::new()
        .trace(
            Scatter::new([1, 2, 3, 4], [1, 2, 3, 4])
                .mode(Mode::LINES_MARKERS)
                .line(
                    Line::default()
                        .width(-3.0)
                        .dash(Dash::Lengths(vec![0.0, -1.0, f64::NAN]))
                        .shape(LineShape::Vhv),
                )
                .marker(marker.clone())
                .error_y(ErrorBars::data([f64::NAN, -1.0, 1e308]).thickness(-1.0))
                .opacity(f64::NAN),
        )
        .trace(
            Bar::new([1, 2], [3, 4]).width(OneOrEach::Each(vec![f64::NAN, 1e300])).base(1e308).marker(marker),
        )
        .trace(
            Histogram::new([1, 2, 3])
                .xbins(Bins::default().start("x").end(f64::NAN).size(1e-300))
                .nbinsx(0_u32),
        )
        .trace(
            Heatmap::new(vec![vec![], vec![1.0, 2.0], vec![3.0]]).zmin(2.0).zmax(-2.0).xgap(-5.0).ygap(1e9),
        )
        .trace(Heatmap::new(Vec::<Vec<f64>>::new()))
        .layout(Layout::default().bargap(5.0).bargroupgap(-1.0).colorway(vec![]));
    draw(&figure);
}

#[test]
fn many_points_and_many_cells_are_drawn_in_bounded_size() {
    let count = 300_000;
    let x: Vec<f64> = (0..count).map(f64::from).collect();
    let y: Vec<f64> = (0..count).map(|index| f64::from(index % 10_007 * 7_919 % 10_007)).collect();
    let size = Size::new(600, 400);
    let line = render::svg(&Figure::new().trace(Scatter::new(x.clone(), y.clone())), size, Theme::Light);
    assert!(line.len() < 100_000, "{} bytes for a line", line.len());
    let dots = Figure::new()
        .trace(Scatter::new(x.clone(), y).mode(Mode::MARKERS).marker(Marker::default().size(1.0)));
    let dots = render::svg(&dots, Size::new(60, 40), Theme::Light);
    assert!(dots.len() < 3_000_000, "{} bytes for markers", dots.len());
    let grid: Vec<Vec<f64>> = (0..1_000).map(|row| x[row..row + 1_000].to_vec()).collect();
    let cells = render::svg(&Figure::new().trace(Heatmap::new(grid)), size, Theme::Light);
    assert!(cells.len() < 1_500_000, "{} bytes for cells", cells.len());
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1e3..1e3_f64,
        1 => proptest::num::f64::ANY,
        1 => Just(f64::NAN),
        1 => Just(0.0),
    ]
}

fn any_column() -> impl Strategy<Value = Column> {
    let words = prop_oneof![
        "[a-z]{0,3}".prop_map(Some),
        Just(Some("2024-02-29 12:00".to_owned())),
        Just(Some("1e999".to_owned())),
        Just(None),
    ];
    prop_oneof![
        3 => proptest::collection::vec(any_number(), 0..30).prop_map(Column::Numbers),
        1 => proptest::collection::vec(words, 0..12).prop_map(Column::Texts),
    ]
}

fn any_axis() -> impl Strategy<Value = Axis> {
    let kinds = [AxisKind::Auto, AxisKind::Linear, AxisKind::Log, AxisKind::Date, AxisKind::Category];
    (proptest::sample::select(kinds.to_vec()), proptest::option::of((any_number(), any_number()))).prop_map(
        |(kind, range)| {
            let axis = Axis::titled("axis").kind(kind);
            match range {
                Some(range) => axis.range(range),
                None => axis,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_figure_panics(
        columns in proptest::collection::vec(any_column(), 8),
        x_axis in any_axis(),
        y_axis in any_axis(),
        width in 1_u32..400,
        height in 1_u32..300,
        mode in proptest::sample::select(vec![BarMode::Group, BarMode::Stack, BarMode::Relative, BarMode::Overlay]),
    ) {
        let [a, b, c, d, e, f, g, h] = columns.try_into().unwrap();
        let figure = Figure::new()
            .trace(Scatter::new(a.clone(), b.clone()).fill(Fill::ToNextY))
            .trace(Scatter::new(b, a).line(Line::default().shape(LineShape::Hv)).fill(Fill::ToNextY))
            .trace(Bar::new(c.clone(), d.clone()))
            .trace(Bar::horizontal(c, d))
            .trace(Histogram::new(e))
            .trace(BoxPlot::new(f.clone()).x(g))
            .trace(BoxPlot::default().x(f))
            .trace(Histogram::default().y(h))
            .layout(Layout::default().xaxis(x_axis).yaxis(y_axis).barmode(mode));
        let size = Size::new(width, height);
        well_formed(&render::svg(&figure, size, Theme::Light));
        prop_assert!(render::png(&figure, size, Theme::Dark, 1.0).starts_with(b"\x89PNG"));
    }

    #[test]
    fn any_json_object_is_read_or_refused(text in r#"\{"data":\[(\{"type":"(bar|box|scatter)","(x|y|marker|line|text)":[\[\]{}0-9,"a]{0,12}\},?){0,3}\]\}"#) {
        if let Ok(figure) = serde_json::from_str::<Figure>(&text) {
            well_formed(&render::svg(&figure, Size::new(200, 150), Theme::Light));
        }
    }
}
