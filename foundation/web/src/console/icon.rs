//! The console's symbols: 16-unit line drawings in the text's colour.

use maud::{Markup, PreEscaped, html};

/// A symbol in the navigation and on buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Icon {
    /// Four tiles: the overview.
    Overview,
    /// A small graph: runs.
    Runs,
    /// A pulse: events.
    Events,
    /// A door.
    Doors,
    /// A strip of film: media.
    Film,
    /// Braces: programming interfaces.
    Code,
    /// Rising bars: measurements.
    Chart,
    /// A page with lines: notebooks, documents.
    Page,
    /// A cylinder: stored things.
    Store,
    /// A shield: security.
    Shield,
    /// A clock: schedules.
    Clock,
    /// A spanner: repairs and tools.
    Tool,
    /// A flask: experiments.
    Flask,
    /// A globe: networks.
    Globe,
    /// A tile: anything else.
    Tile,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Overview => {
                "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5h-4.5zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5h-4.5z"
            }
            Self::Runs => {
                "M2 6h4v4h-4zM10 2h4v4h-4zM10 10h4v4h-4zM6 8h1.5c.8 0 .5-4 2.5-4M7.5 8c.8 0 .5 4 2.5 4"
            }
            Self::Events => "M1.5 8.5h3l2-5.5 3 10 2-4.5h3",
            Self::Doors => "M3.5 14v-12h6.5v12M10 4h2.5v10M1.5 14h13M7.5 8v.6",
            Self::Film => "M2 3h12v10h-12zM5 3v10M11 3v10M2 6.3h3M2 9.7h3M11 6.3h3M11 9.7h3",
            Self::Code => {
                "M6 2.5c-2.5 0-1 5-3.5 5.5c2.5 .5 1 5.5 3.5 5.5M10 2.5c2.5 0 1 5 3.5 5.5c-2.5 .5-1 5.5-3.5 5.5"
            }
            Self::Chart => "M2 14h12M4 11.5v-3M8 11.5v-9M12 11.5v-6",
            Self::Page => "M3.5 1.5h6l3 3v10h-9zM9.5 1.5v3h3M5.5 7.5h5M5.5 10.5h5",
            Self::Store => "M2.5 4c0-3 11-3 11 0v8c0 3-11 3-11 0zM2.5 4c0 3 11 3 11 0M2.5 8c0 3 11 3 11 0",
            Self::Shield => "M8 1.5l5.5 2v4.5c0 3.5-2.5 5.5-5.5 6.5c-3-1-5.5-3-5.5-6.5v-4.5z",
            Self::Clock => "M14 8a6 6 0 1 1-12 0a6 6 0 0 1 12 0M8 4.5v3.5l2.5 1.5",
            Self::Tool => "M13.5 4.5l-2.5 2.5-2-2 2.5-2.5a4 4 0 0 0-5 5l-4.5 4.5 2 2 4.5-4.5a4 4 0 0 0 5-5z",
            Self::Flask => {
                "M6 1.5h4M6.5 1.5v4.5l-4 7c-.4 .8 0 1.5 1 1.5h9c1 0 1.4-.7 1-1.5l-4-7v-4.5M4.5 10h7"
            }
            Self::Globe => {
                "M14 8a6 6 0 1 1-12 0a6 6 0 0 1 12 0M2 8h12M8 2c3.5 3.5 3.5 8.5 0 12c-3.5-3.5-3.5-8.5 0-12"
            }
            Self::Tile => "M3 3h10v10h-10z",
        }
    }

    /// The symbol as SVG; decoration only, hidden from screen readers.
    pub fn render(self) -> Markup {
        let path = self.path();
        html! {
            (PreEscaped(format!(
                "<svg class=\"icon\" viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" aria-hidden=\"true\"><path d=\"{path}\"/></svg>"
            )))
        }
    }
}
