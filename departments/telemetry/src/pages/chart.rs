//! A graph on a page.
//!
//! A browser chooses among four pictures, by its width and colours. A narrow screen gets one that is drawn for it: a wide one made
//! small has writing that nobody can read. What the four differ by stands beside each, so that the page's script can draw
//! another expression, or the same one again.

use backlot_web::console::widgets;
use maud::{Markup, html};

use crate::department::ATLAS_DOOR;

/// A graph.
pub(super) struct Chart<'a> {
    /// Parameters of the graph, without its size and colours.
    pub(super) parameters: &'a [(&'a str, &'a str)],
    /// For those who do not see it.
    pub(super) alt: &'a str,
    /// How high it is on a wide screen, in pixels.
    pub(super) height: u32,
    /// Milliseconds after which it is drawn again.
    pub(super) every: Option<i64>,
    /// The id of the picture that the editor draws on; it may have no expression yet.
    pub(super) id: Option<&'a str>,
    /// Whether there is something to draw.
    pub(super) is_drawn: bool,
}

/// Who likes dark colours.
pub(super) const DARK: &str = "(prefers-color-scheme: dark)";

/// Up to this width a screen is narrow: below the console's own breakpoint, where its menu moves to the top.
const NARROW: &str = "(max-width: 640px)";

/// Pixels of the narrow picture, those of a small telephone without the page's margins.
const NARROW_SIZE: (u32, u32) = (360, 280);

/// Pixels of the wide picture.
const WIDE: u32 = 1100;

impl Chart<'_> {
    pub(super) fn render(&self) -> Markup {
        let address = widgets::link(&format!("{ATLAS_DOOR}/api/v1/graph"), self.parameters);
        let dark = DARK;
        let narrow = (NARROW_SIZE.0, NARROW_SIZE.1, "&no_legend=1");
        let wide = (WIDE, self.height, "");
        let more = |(width, height, legend): (u32, u32, &str), theme: &str| {
            format!("&format=svg&w={width}&h={height}{legend}{theme}")
        };
        let sources = [
            (format!("{NARROW} and {dark}"), narrow, more(narrow, "&theme=dark")),
            (NARROW.to_owned(), narrow, more(narrow, "")),
            (dark.to_owned(), wide, more(wide, "&theme=dark")),
        ];
        let usual = more(wide, "");
        let drawn = |more: &str| self.is_drawn.then(|| format!("{address}{more}"));
        html! {
            // There from the start, so that the script has where to draw what is being written.
            figure.chart hidden[!self.is_drawn] {
                picture data-every=[self.every] data-address=[self.is_drawn.then_some(&address)] {
                    @for (media, (width, height, _), more) in &sources {
                        source media=(media) width=(width) height=(height) srcset=[drawn(more)] data-more=(more);
                    }
                    img id=[self.id] src=[drawn(&usual)] data-more=(usual) width=(WIDE) height=(self.height) alt=(self.alt);
                }
            }
        }
    }
}
