//! What a graph request asks for.

use backlot_figures::{Size, Theme};
use backlot_series::Grid;
use jiff::tz::TimeZone;

use super::step;
use crate::{Error, time};

/// Largest picture in pixels a side.
const LARGEST: u32 = Size::LONGEST;

/// What a request does not say.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The time of the request.
    pub now: i64,
    /// The store's step in milliseconds.
    pub step: i64,
    /// The time zone.
    pub zone: TimeZone,
}

/// In what form the result is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the parameter")]
pub enum Format {
    #[default]
    Png,
    Svg,
    Json,
    StdJson,
    StatsJson,
    V2Json,
    Csv,
    Txt,
}

impl Format {
    fn read(text: &str) -> Result<Self, Error> {
        Ok(match text {
            "png" => Self::Png,
            "svg" => Self::Svg,
            "json" => Self::Json,
            "std.json" => Self::StdJson,
            "stats.json" => Self::StatsJson,
            "v2.json" => Self::V2Json,
            "csv" => Self::Csv,
            "txt" => Self::Txt,
            _ => {
                return Err(Error::argument(format!(
                    "unknown format: {text}; use png, svg, json, std.json, stats.json, v2.json, csv or txt"
                )));
            }
        })
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Svg => "image/svg+xml",
            Self::Json | Self::StdJson | Self::StatsJson | Self::V2Json => "application/json",
            Self::Csv => "text/csv",
            Self::Txt => "text/plain; charset=utf-8",
        }
    }
}

/// How an axis grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScaleKind {
    /// By equal differences.
    #[default]
    Linear,
    /// By equal ratios.
    Log,
}

/// A request, read.
#[derive(Clone, Debug)]
pub struct Request {
    /// The expression.
    pub query: String,
    /// Start of the window in milliseconds.
    pub start: i64,
    /// Its end.
    pub end: i64,
    /// The time zone in which times are read and shown.
    pub zone: TimeZone,
    /// The step asked for.
    pub step: Option<i64>,
    /// The form asked for.
    pub format: Format,
    /// Width of the picture, and most points.
    pub width: u32,
    /// Height of the picture.
    pub height: u32,
    /// Pixels for each pixel.
    pub zoom: f32,
    /// The title.
    pub title: Option<String>,
    /// The title of the vertical axis.
    pub axis_title: Option<String>,
    /// Least and largest value shown.
    pub bounds: (Option<f64>, Option<f64>),
    /// How the axis grows.
    pub scale: ScaleKind,
    /// Light or dark.
    pub theme: Theme,
    /// Whether lines without a style are stacked.
    pub stacked: Toggle,
    /// Whether there is a legend.
    pub legend: Toggle,
    /// Whether there is nothing but the graph.
    pub only_graph: Toggle,
    /// Step of the store, in milliseconds.
    primary: i64,
}

/// Something that is asked for or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toggle {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Request {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    /// A parameter that cannot be read; no expression.
    pub fn read<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        defaults: &Defaults,
    ) -> Result<Self, Error> {
        let mut query = None;
        let (mut start, mut end) = ("e-3h", "now");
        let mut zone = defaults.zone.clone();
        let mut request = Self {
            query: String::new(),
            start: 0,
            end: 0,
            zone: TimeZone::UTC,
            step: None,
            format: Format::default(),
            width: 700,
            height: 300,
            zoom: 1.0,
            title: None,
            axis_title: None,
            bounds: (None, None),
            scale: ScaleKind::Linear,
            theme: Theme::Light,
            stacked: Toggle::Off,
            legend: Toggle::On,
            only_graph: Toggle::Off,
            primary: defaults.step.max(1),
        };
        for (name, value) in parameters {
            match name {
                "q" => query = Some(value),
                "s" => start = value,
                "e" => end = value,
                "tz" => zone = time::zone(value)?,
                "step" if !value.is_empty() => request.step = Some(time::duration(value)?.max(1)),
                "format" => request.format = Format::read(value)?,
                "w" => request.width = pixels(name, value)?,
                "h" => request.height = pixels(name, value)?,
                "zoom" => {
                    request.zoom = value
                        .parse()
                        .ok()
                        .filter(|zoom| (0.1..=4.0).contains(zoom))
                        .ok_or_else(|| wrong(name, value))?;
                }
                "title" => request.title = Some(value.to_owned()),
                "ylabel" | "ylabel.0" => request.axis_title = Some(value.to_owned()),
                "l" | "l.0" => request.bounds.0 = bound(name, value)?,
                "u" | "u.0" => request.bounds.1 = bound(name, value)?,
                "o" if value == "1" => request.scale = ScaleKind::Log,
                "scale" | "scale.0" => {
                    // Scales that the renderer does not have are drawn linear.
                    request.scale = if value == "log" { ScaleKind::Log } else { ScaleKind::Linear };
                }
                "theme" => request.theme = if value == "dark" { Theme::Dark } else { Theme::Light },
                "stack" | "stack.0" => request.stacked = toggle(value),
                "no_legend" => {
                    request.legend = if toggle(value) == Toggle::On { Toggle::Off } else { Toggle::On }
                }
                "only_graph" => request.only_graph = toggle(value),
                _ => {}
            }
        }
        let query = query.ok_or_else(|| Error::argument("missing required parameter 'q'"))?;
        query.clone_into(&mut request.query);
        (request.start, request.end) = time::window(start, end, &zone, defaults.now)?;
        if request.start > request.end {
            return Err(Error::argument("end time must be after start time"));
        }
        request.zone = zone;
        Ok(request)
    }

    /// The same request with steps that are multiples of this one; zero changes nothing.
    pub(super) fn with_steps_of(mut self, step: i64) -> Self {
        self.primary = self.primary.max(step);
        self
    }

    /// The points of the window.
    pub fn grid(&self) -> Grid {
        step::window(self.primary, self.step, i64::from(self.width), self.start, self.end)
    }

    /// The size of the picture.
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

fn wrong(name: &str, value: &str) -> Error {
    Error::argument(format!("the parameter {name} cannot be {}", crate::stack::shortened(value)))
}

fn pixels(name: &str, value: &str) -> Result<u32, Error> {
    // A picture of a billion pixels is asked for by mistake or in malice; it gets the largest there is.
    let pixels: u64 = value.parse().map_err(|_| wrong(name, value))?;
    Ok(u32::try_from(pixels).unwrap_or(LARGEST).clamp(1, LARGEST))
}

fn bound(name: &str, value: &str) -> Result<Option<f64>, Error> {
    match value {
        "auto-style" | "auto-data" => Ok(None),
        _ => crate::number::parse(value)
            .filter(|bound| bound.is_finite())
            .map(Some)
            .ok_or_else(|| wrong(name, value)),
    }
}

fn toggle(value: &str) -> Toggle {
    if matches!(value, "1" | "true") { Toggle::On } else { Toggle::Off }
}

/// A part of a query string with `+` and `%XX` replaced. What is no such escape stays, for people write URLs by hand.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, hex.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (_, Some(decoded)) => {
                bytes.push(decoded);
                rest = &after[2..];
                continue;
            }
            (b'+', None) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
