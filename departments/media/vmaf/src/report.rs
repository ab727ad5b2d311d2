//! Scores by frame and pooled, and their text as libvmaf writes it.

use std::fmt::Write;

/// One score by frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportColumn {
    /// Its name: `integer_adm2`, `vmaf`.
    pub name: String,
    /// Its value by frame; `None` where the frame was not measured.
    pub frames: Vec<Option<f64>>,
}

/// Everything about one clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Number of pairs that were pushed.
    pub frames: usize,
    /// Every how many frames are reported and pooled.
    pub subsample: usize,
    /// Scores, in libvmaf's order: features as they were measured, features that had to wait, models.
    pub columns: Vec<ReportColumn>,
    /// Numbers of the whole clip, such as `apsnr_y`.
    pub aggregates: Vec<(String, f64)>,
}

/// A column over the whole clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pooled {
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// `n / Σ 1/(x+1) - 1`.
    pub harmonic_mean: f64,
}

impl Pooled {
    /// The four numbers by their names.
    pub fn by_name(&self) -> [(&'static str, f64); 4] {
        [("min", self.min), ("max", self.max), ("mean", self.mean), ("harmonic_mean", self.harmonic_mean)]
    }
}

/// The form of a written report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// libvmaf's XML.
    #[default]
    Xml,
    /// libvmaf's JSON.
    Json,
    /// One line per frame.
    Csv,
    /// MicroDVD subtitles, to be shown over the clip.
    Sub,
}

/// What a written report says besides scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Style {
    /// The version that it names.
    pub version: String,
    /// Frames per second of CPU time.
    pub fps: f64,
    /// Decimals of every number; libvmaf's own rule (6, or 16 for tiny fractions) unless given.
    pub precision: Option<usize>,
}

impl Report {
    /// The column called `name`.
    pub fn column(&self, name: &str) -> Option<&ReportColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column `name` over the clip; `None` where there is none, or a reported frame was not measured.
    pub fn pooled(&self, name: &str) -> Option<Pooled> {
        self.pool(self.column(name)?)
    }

    fn reported(&self) -> impl Iterator<Item = usize> {
        (0..self.frames).step_by(self.subsample.max(1))
    }

    fn pool(&self, column: &ReportColumn) -> Option<Pooled> {
        let mut values = Vec::new();
        for frame in self.reported() {
            values.push(column.frames.get(frame).copied().flatten()?);
        }
        let (&first, rest) = values.split_first()?;
        let least = |least: f64, value: &f64| if *value < least { *value } else { least };
        let most = |most: f64, value: &f64| if *value > most { *value } else { most };
        let count = values.len() as f64;
        let mut inverse = 0.0;
        let mut sum = 0.0;
        for value in &values {
            sum += value;
            inverse += 1.0 / (value + 1.0);
        }
        Some(Pooled {
            min: rest.iter().fold(first, least),
            max: rest.iter().fold(first, most),
            mean: sum / count,
            harmonic_mean: count / inverse - 1.0,
        })
    }

    /// The report as text.
    pub fn write(&self, format: OutputFormat, style: &Style) -> String {
        let mut text = String::new();
        let written = match format {
            OutputFormat::Xml => self.write_xml(&mut text, style),
            OutputFormat::Json => self.write_json(&mut text, style),
            OutputFormat::Csv => self.write_csv(&mut text, style),
            OutputFormat::Sub => self.write_sub(&mut text, style),
        };
        written.expect("invariant: a string takes all that is written");
        text
    }

    /// Columns that have a value at `frame`.
    fn at(&self, frame: usize) -> impl Iterator<Item = (&str, f64)> {
        self.columns.iter().filter_map(move |column| {
            let value = column.frames.get(frame).copied().flatten()?;
            Some((column.name.as_str(), value))
        })
    }

    fn write_xml(&self, out: &mut String, style: &Style) -> std::fmt::Result {
        writeln!(out, "<VMAF version=\"{}\">", style.version)?;
        writeln!(out, "  <params qualityWidth=\"{}\" qualityHeight=\"{}\" />", self.width, self.height)?;
        writeln!(out, "  <fyi fps=\"{:.2}\" />", style.fps)?;
        writeln!(out, "  <frames>")?;
        for frame in self.reported().filter(|&frame| self.at(frame).next().is_some()) {
            write!(out, "    <frame frameNum=\"{frame}\" ")?;
            for (name, value) in self.at(frame) {
                write!(out, "{name}=\"{}\" ", style.number(value))?;
            }
            writeln!(out, "/>")?;
        }
        writeln!(out, "  </frames>")?;
        writeln!(out, "  <pooled_metrics>")?;
        for column in &self.columns {
            write!(out, "    <metric name=\"{}\" ", column.name)?;
            for (name, value) in self.pool(column).iter().flat_map(Pooled::by_name) {
                write!(out, "{name}=\"{}\" ", style.number(value))?;
            }
            writeln!(out, "/>")?;
        }
        writeln!(out, "  </pooled_metrics>")?;
        write!(out, "  <aggregate_metrics ")?;
        for (name, value) in &self.aggregates {
            write!(out, "{name}=\"{}\" ", style.number(*value))?;
        }
        writeln!(out, "/>\n</VMAF>")
    }

    fn write_json(&self, out: &mut String, style: &Style) -> std::fmt::Result {
        let number = |value: f64| if value.is_finite() { style.number(value) } else { "null".to_owned() };
        let fps = if style.fps.is_finite() { format!("{:.2}", style.fps) } else { "null".to_owned() };
        write!(out, "{{\n  \"version\": \"{}\",\n  \"fps\": {fps},\n  \"frames\": [", style.version)?;
        for (place, frame) in self.reported().filter(|&frame| self.at(frame).next().is_some()).enumerate() {
            let separator = if place > 0 { "," } else { "" };
            write!(out, "{separator}\n    {{\n      \"frameNum\": {frame},\n      \"metrics\": {{")?;
            for (place, (name, value)) in self.at(frame).enumerate() {
                let separator = if place > 0 { "," } else { "" };
                write!(out, "{separator}\n        \"{name}\": {}", number(value))?;
            }
            write!(out, "\n      }}\n    }}")?;
        }
        write!(out, "\n  ],\n  \"pooled_metrics\": {{")?;
        for (place, column) in self.columns.iter().enumerate() {
            let separator = if place > 0 { "," } else { "" };
            write!(out, "{separator}\n    \"{}\": {{", column.name)?;
            for (place, (name, value)) in self.pool(column).iter().flat_map(Pooled::by_name).enumerate() {
                let separator = if place > 0 { "," } else { "" };
                write!(out, "{separator}\n      \"{name}\": {}", number(value))?;
            }
            write!(out, "\n    }}")?;
        }
        write!(out, "\n  }},\n  \"aggregate_metrics\": {{")?;
        for (place, (name, value)) in self.aggregates.iter().enumerate() {
            let separator = if place > 0 { "," } else { "" };
            write!(out, "{separator}\n    \"{name}\": {}", number(*value))?;
        }
        write!(out, "\n  }}\n}}\n")
    }

    fn write_csv(&self, out: &mut String, style: &Style) -> std::fmt::Result {
        write!(out, "Frame,")?;
        for column in &self.columns {
            write!(out, "{},", column.name)?;
        }
        writeln!(out)?;
        for frame in self.reported().filter(|&frame| self.at(frame).next().is_some()) {
            write!(out, "{frame},")?;
            for (_, value) in self.at(frame) {
                write!(out, "{},", style.number(value))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_sub(&self, out: &mut String, style: &Style) -> std::fmt::Result {
        for frame in self.reported().filter(|&frame| self.at(frame).next().is_some()) {
            write!(out, "{{{frame}}}{{{}}}frame: {frame}|", frame + 1)?;
            for (name, value) in self.at(frame) {
                write!(out, "{name}: {}|", style.number(value))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Style {
    /// A number as libvmaf prints it: six decimals, or sixteen where the fraction begins with six zeros or more.
    fn number(&self, value: f64) -> String {
        if value.is_nan() {
            return if value.is_sign_negative() { "-nan".to_owned() } else { "nan".to_owned() };
        }
        let decimals = self.precision.unwrap_or(if fraction_zeros(value) <= 6 { 6 } else { 16 });
        format!("{value:.decimals$}")
    }
}

/// One more than the zeros that the decimal fraction begins with; none for whole numbers.
fn fraction_zeros(value: f64) -> usize {
    let size = value.abs();
    if !size.is_finite() {
        return 0;
    }
    let mut fraction = size.fract();
    let mut places = 0;
    while fraction < 1.0 && fraction != 0.0 {
        fraction *= 10.0;
        places += 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let column = |name: &str, frames: [Option<f64>; 2]| ReportColumn {
            name: name.to_owned(),
            frames: frames.to_vec(),
        };
        Report {
            width: 64,
            height: 48,
            frames: 2,
            subsample: 1,
            columns: vec![
                column("a", [Some(0.5), Some(1.0)]),
                column("b", [Some(0.000_000_25), Some(f64::INFINITY)]),
            ],
            aggregates: vec![("apsnr_y".to_owned(), 34.125)],
        }
    }

    fn style() -> Style {
        Style { version: "3.2.0".to_owned(), fps: 12.345, precision: None }
    }

    #[test]
    fn the_four_forms() {
        assert_eq!(
            report().write(OutputFormat::Csv, &style()),
            "Frame,a,b,\n0,0.500000,0.0000002500000000,\n1,1.000000,inf,\n"
        );
        assert_eq!(
            report().write(OutputFormat::Sub, &style()),
            "{0}{1}frame: 0|a: 0.500000|b: 0.0000002500000000|\n{1}{2}frame: 1|a: 1.000000|b: inf|\n"
        );
        let xml = report().write(OutputFormat::Xml, &style());
        assert!(xml.contains("<metric name=\"a\" min=\"0.500000\" max=\"1.000000\" mean=\"0.750000\" harmonic_mean=\"0.714286\" />"));
        assert!(xml.ends_with("  <aggregate_metrics apsnr_y=\"34.125000\" />\n</VMAF>\n"));
        let json: serde_json::Value =
            serde_json::from_str(&report().write(OutputFormat::Json, &style())).unwrap();
        assert_eq!(json["frames"][1]["metrics"]["b"], serde_json::Value::Null);
        assert_eq!(json["pooled_metrics"]["a"]["mean"], 0.75);
    }

    #[test]
    fn subsampling_leaves_frames_out() {
        let report = Report { subsample: 2, ..report() };
        assert_eq!(report.pooled("a").unwrap().mean, 0.5);
        assert_eq!(report.write(OutputFormat::Csv, &style()).lines().count(), 2);
    }
}
