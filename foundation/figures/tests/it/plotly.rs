//! Python's `plotly` as judge: it knows Plotly's schema and refuses every attribute and value that is not in it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use backlot_figures::{Figure, Layout, Size, Theme, render};

use crate::figures;

/// A Python that has `plotly`; `None`, loudly, if there is none. With `BACKLOT_REQUIRE_ALL=1` a missing one is a failure.
fn python() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let venv = env::var_os("BACKLOT_VENV").map_or_else(|| workspace.join(".venv"), PathBuf::from);
    let python = venv.join("bin/python");
    let has_plotly = Command::new(&python)
        .args(["-c", "import plotly, numpy"])
        .output()
        .is_ok_and(|out| out.status.success());
    if has_plotly {
        return Some(python);
    }
    let message = format!(
        "skipped: {} has no plotly and numpy; mend: python3 -m venv .venv && .venv/bin/pip install plotly numpy",
        python.display()
    );
    assert!(env::var_os("BACKLOT_REQUIRE_ALL") != Some(OsString::from("1")), "{message}");
    eprintln!("{message}");
    None
}

fn run(python: &Path, script: &str, folder: &Path) -> String {
    let output = Command::new(python).arg("-c").arg(script).arg(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn plotly_accepts_every_example() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (name, figure) in figures::all() {
        let layout: Layout = figure.layout.clone().themed(Theme::Dark);
        let themed = Figure { layout, ..figure.clone() };
        for (kind, figure) in [("plain", figure), ("themed", themed)] {
            fs::write(
                folder.path().join(format!("{name}-{kind}.json")),
                serde_json::to_vec(&figure).unwrap(),
            )
            .unwrap();
            count += 1;
        }
    }
    let script = "
import json, pathlib, sys
import plotly.graph_objects as go
files = sorted(pathlib.Path(sys.argv[1]).glob('*.json'))
for file in files:
    raw = json.loads(file.read_text())
    try:
        figure = go.Figure(raw)
    except ValueError as error:
        sys.exit(f'{file.name}: {error}')
    back = json.loads(figure.to_json())
    for ours, theirs in zip(raw['data'], back['data']):
        lost = {key for key in ours if key not in theirs}
        if lost:
            sys.exit(f'{file.name}: plotly dropped {lost}')
print(len(files))
";
    assert_eq!(run(&python, script, folder.path()).trim(), count.to_string());
}

/// The other way: figures made by Python's plotly, NumPy arrays and template included, are read, kept whole and drawn.
#[test]
fn figures_of_plotly_are_read_kept_and_drawn() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "
import pathlib, sys
import numpy as np
import plotly.graph_objects as go
out = pathlib.Path(sys.argv[1])
x = np.linspace(0, 10, 50)
figures = {
    'scatter': go.Figure(go.Scatter(x=x, y=np.sin(x), mode='lines+markers', line=dict(dash='dashdot', shape='hv'),
        marker=dict(size=x, color=x, colorscale='Viridis', showscale=True), error_y=dict(type='percent', value=5))),
    'dates': go.Figure(go.Bar(x=np.arange('2024-01-01', '2024-01-08', dtype='datetime64[D]'), y=np.arange(7, dtype='i4'))),
    'heatmap': go.Figure(go.Heatmap(z=np.arange(12.0).reshape(3, 4), colorscale='RdBu_r')),
    'histogram': go.Figure(go.Histogram(x=np.sin(x), histnorm='percent', xbins=dict(start=-1, end=1, size=0.25))),
    'box': go.Figure([go.Box(y=np.cos(x), name='a'), go.Box(x=x, name='b', orientation='h')]),
}
figure = figures['scatter']
figure.add_vline(x=5, annotation_text='half'); figure.add_hrect(y0=0, y1=1, fillcolor='LightSalmon', opacity=0.5)
figure.update_layout(title='T', xaxis=dict(type='log', title='x'), legend=dict(orientation='h'))
for name, figure in figures.items():
    (out / f'{name}.json').write_text(figure.to_json())
print(len(figures))
";
    assert_eq!(run(&python, script, folder.path()).trim(), "5");
    for name in ["scatter", "dates", "heatmap", "histogram", "box"] {
        let text = fs::read_to_string(folder.path().join(format!("{name}.json"))).unwrap();
        let figure: Figure = serde_json::from_str(&text).unwrap();
        let svg = render::svg(&figure, Size::new(600, 400), Theme::Light);
        assert!(!svg.contains("no data") && !svg.contains("not drawn"), "{name}");
        // Read, written and read again it is the same, and no attribute has gone.
        let written = serde_json::to_value(&figure).unwrap();
        assert_eq!(serde_json::from_value::<Figure>(written.clone()).unwrap(), figure, "{name}");
        let original: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(keys(&written), keys(&original), "{name}");
    }
}

/// Every path of names in a JSON value, typed arrays (which are written as plain ones) taken as leaves.
fn keys(value: &serde_json::Value) -> Vec<String> {
    fn walk(value: &serde_json::Value, path: &str, keys: &mut Vec<String>) {
        keys.push(path.to_owned());
        match value {
            serde_json::Value::Object(map) if !map.contains_key("bdata") => {
                map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), keys));
            }
            serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| walk(value, &format!("{path}[{index}]"), keys));
            }
            _ => {}
        }
    }
    let mut keys = Vec::new();
    walk(value, "", &mut keys);
    keys.sort();
    keys
}
