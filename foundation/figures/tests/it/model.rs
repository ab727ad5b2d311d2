//! The JSON model: what is written, what is read, what is kept.

use backlot_figures::{
    Axis, AxisKind, BarMode, Color, Column, Dash, Figure, Heatmap, Layout, Line, Mode, Scatter, Size, Theme,
    Trace, render,
};
use serde_json::{Value, json};

use crate::figures;

fn round_trip(value: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<Figure>(value.clone()).unwrap()).unwrap()
}

#[test]
fn every_example_survives_a_round_trip() {
    for (name, figure) in figures::all() {
        let json = serde_json::to_value(&figure).unwrap();
        assert_eq!(round_trip(&json), json, "{name}");
    }
}

#[test]
fn builders_write_plotlys_names() {
    let figure = Figure::new()
        .trace(
            Scatter::new([1.0, f64::NAN, f64::INFINITY], ["a", "b", "c"])
                .mode(Mode::LINES.with_text())
                .line(Line::default().color(Color::hex(0x0072b2)).dash(Dash::Lengths(vec![5.0, 2.5]))),
        )
        .layout(Layout::default().title("T").xaxis(Axis::log("X")).barmode(BarMode::Stack));
    let expected = json!({
        "data": [{
            "type": "scatter", "x": [1.0, null, null], "y": ["a", "b", "c"], "mode": "lines+text",
            "line": {"color": "#0072b2", "dash": "5px,2.5px"},
        }],
        "layout": {"title": {"text": "T"}, "xaxis": {"type": "log", "title": {"text": "X"}}, "barmode": "stack"},
    });
    assert_eq!(serde_json::to_value(&figure).unwrap(), expected);
}

#[test]
fn what_is_not_modelled_is_kept() {
    let foreign = json!({
        "data": [
            {"type": "pie", "values": [1, 2], "labels": ["a", "b"]},
            {"type": "scattergl", "x": [1.0], "y": [2.0], "selectedpoints": [0], "hoverinfo": "skip"},
            // Known by name, in forms that are not modelled: kept as they are.
            {"type": "scatter", "y": [[1], [2]], "line": {"color": "no colour", "simplify": false}, "mode": "sparkles"},
            {"type": "bar", "x": {"unknown": true}, "y": [1.0], "marker": {"pattern": {"shape": "/"}}},
        ],
        "layout": {"template": {"data": {}}, "xaxis2": {"anchor": "y2"}, "title": {"text": "kept", "pad": {"t": 3}}, "legend": 7},
        "frames": [],
    });
    assert_eq!(round_trip(&foreign), foreign);
    let figure: Figure = serde_json::from_value(foreign).unwrap();
    assert!(matches!(figure.data[0], Trace::Unknown(_)));
    let svg = render::svg(&figure, Size::new(600, 400), Theme::Light);
    assert!(svg.contains("not drawn: trace 0 (type pie)"), "the trace that is not drawn is named");
}

#[test]
fn a_bare_title_and_a_missing_type_are_read() {
    let figure: Figure = serde_json::from_value(
        json!({"data": [{"y": [1, 2]}], "layout": {"title": "short", "yaxis": {"title": "up"}}}),
    )
    .unwrap();
    assert!(matches!(figure.data[0], Trace::Scatter(_)));
    assert_eq!(figure.layout.title.unwrap().text.as_deref(), Some("short"));
    assert_eq!(figure.layout.yaxis.unwrap().title.unwrap().text.as_deref(), Some("up"));
}

#[test]
fn typed_arrays_are_decoded() {
    let column = |dtype: &str, bdata: &str| {
        serde_json::from_value::<Column>(json!({"dtype": dtype, "bdata": bdata}))
            .map_err(|error| error.to_string())
    };
    assert_eq!(column("f8", "AAAAAAAA+D8AAAAAAAAAwA=="), Ok(Column::Numbers(vec![1.5, -2.0])));
    assert_eq!(column("i2", "AQD//w=="), Ok(Column::Numbers(vec![1.0, -1.0])));
    assert!(column("f8", "AAAA").unwrap_err().contains("ends inside a number"));
    assert!(column("c16", "AAAA").unwrap_err().contains("dtype"));
    assert!(column("f8", "?").unwrap_err().contains("base64"));
    let heatmap: Heatmap = serde_json::from_value(
        json!({"type": "heatmap", "z": {"dtype": "u1", "bdata": "AQIDBAUG", "shape": "2, 3"}}),
    )
    .unwrap();
    assert_eq!(heatmap.z.unwrap().0, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
}

#[test]
fn a_theme_is_written_into_the_layout_for_browsers() {
    let layout = Layout::default().xaxis(Axis::default().kind(AxisKind::Linear)).themed(Theme::Dark);
    let json = serde_json::to_value(&layout).unwrap();
    assert_eq!(json["paper_bgcolor"], "#14171c");
    assert_eq!(json["xaxis"]["type"], "linear");
    assert_eq!(json["colorway"].as_array().unwrap().len(), 7);
    let kept = Layout::default().paper_bgcolor(Color::hex(0x123456)).themed(Theme::Dark);
    assert_eq!(kept.paper_bgcolor, Some(Color::hex(0x123456)));
}

/// Colours of a series must be told apart by people with each kind of colour blindness, and be seen on the paper.
#[test]
fn series_colours_are_safe_for_the_colour_blind() {
    type Matrix = [[f64; 3]; 3];
    // Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
    const NORMAL: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    const PROTANOPIA: Matrix = [
        [0.152_286, 1.052_583, -0.204_868],
        [0.114_503, 0.786_281, 0.099_216],
        [-0.003_882, -0.048_116, 1.051_998],
    ];
    const DEUTERANOPIA: Matrix = [
        [0.367_322, 0.860_646, -0.227_968],
        [0.280_085, 0.672_501, 0.047_413],
        [-0.011_820, 0.042_940, 0.968_881],
    ];
    const TRITANOPIA: Matrix = [
        [1.255_528, -0.076_749, -0.178_779],
        [-0.078_411, 0.930_809, 0.147_602],
        [0.004_733, 0.691_367, 0.303_900],
    ];
    let linear = |channel: u8| {
        let x = f64::from(channel) / 255.0;
        if x <= 0.040_45 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
    };
    let dot = |row: &[f64; 3], rgb: &[f64; 3]| row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2];
    let seen = |matrix: &Matrix, color: &Color| {
        let rgb = [linear(color.r), linear(color.g), linear(color.b)];
        matrix.map(|row| dot(&row, &rgb).clamp(0.0, 1.0))
    };
    // Ottosson, "A perceptual color space for image processing" (2020).
    let oklab = |rgb: &[f64; 3]| {
        let lms = [
            [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
            [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
            [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
        ]
        .map(|row: [f64; 3]| dot(&row, rgb).cbrt());
        [
            dot(&[0.210_454_255_3, 0.793_617_785, -0.004_072_046_8], &lms),
            dot(&[1.977_998_495_1, -2.428_592_205, 0.450_593_709_9], &lms),
            dot(&[0.025_904_037_1, 0.782_771_766_2, -0.808_675_766], &lms),
        ]
    };
    for theme in [Theme::Light, Theme::Dark] {
        let palette = theme.palette();
        for matrix in [NORMAL, PROTANOPIA, DEUTERANOPIA, TRITANOPIA] {
            let lab: Vec<[f64; 3]> =
                palette.series.iter().map(|color| oklab(&seen(&matrix, color))).collect();
            for (index, a) in lab.iter().enumerate() {
                for b in &lab[..index] {
                    let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    assert!(distance > 0.07, "{theme:?}: {distance} between two colours");
                }
            }
        }
        let contrast = |a: Color, b: Color| {
            let (a, b) = (a.luminance(), b.luminance());
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for color in palette.series {
            assert!(contrast(color, palette.paper) > 2.2, "{theme:?}: {color} on the paper");
        }
        for text in [palette.text, palette.muted] {
            assert!(contrast(text, palette.paper) > 4.5, "{theme:?}: text {text}");
        }
    }
}
