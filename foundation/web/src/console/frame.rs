//! The frame around every page: navigation, breadcrumbs, title, and who is signed in.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};

use crate::console::Icon;
use crate::envelope::Facts;
use crate::shell::{Shared, caller_of};
use crate::{ApiError, Asset, Caller, Via};

/// The console's embedded files.
#[derive(Clone, Debug)]
pub(crate) struct Assets {
    css: Arc<Asset>,
    script: Arc<Asset>,
    icon: Arc<Asset>,
}

impl Assets {
    pub(crate) fn new() -> Self {
        let css =
            Asset::new("console", "css", "text/css; charset=utf-8", include_bytes!("assets/console.css"));
        let script = Asset::new(
            "console",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("assets/console.js"),
        );
        let icon = Asset::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg"));
        Self { css: Arc::new(css), script: Arc::new(script), icon: Arc::new(icon) }
    }

    /// Routes for the files; anyone may have them, the login page needs them.
    pub(crate) fn routes(&self) -> Router<Arc<Shared>> {
        let mut router = Router::new();
        for asset in [&self.css, &self.script, &self.icon] {
            let served = Arc::clone(asset);
            router = router.route(
                asset.path(),
                get(async move || axum::response::IntoResponse::into_response(&*served)),
            );
        }
        router
    }

    fn head(&self, title: &str) -> Markup {
        html! {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Backlot" }
                link rel="icon" type="image/svg+xml" href=(self.icon.path());
                link rel="stylesheet" href=(self.css.path());
                script src=(self.script.path()) defer {}
            }
        }
    }
}

/// What a page's surroundings show, gathered from the request. An extractor.
#[derive(Clone, Debug)]
pub struct Frame {
    entries: Vec<Entry>,
    path: String,
    caller: Option<Caller>,
    assets: Assets,
    crumbs: Vec<(String, String)>,
    actions: Option<Markup>,
    wide: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    title: Cow<'static, str>,
    path: Cow<'static, str>,
    icon: Icon,
}

impl Frame {
    /// Adds a step of the way here, before the page itself: `("Runs", "/runs")`.
    pub fn crumb(mut self, title: impl Into<String>, path: impl Into<String>) -> Self {
        self.crumbs.push((title.into(), path.into()));
        self
    }

    /// Puts buttons or a status beside the title.
    pub fn actions(mut self, actions: Markup) -> Self {
        self.actions = Some(actions);
        self
    }

    /// Lets the content use the whole width of the window, for logs and large drawings.
    pub fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// Who is looking.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Whether the reader holds this scope; buttons that would be refused need not be shown.
    pub fn allows(&self, scope: &str) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.allows(scope))
    }

    /// The path of this page.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn is_current(&self, entry: &Entry) -> bool {
        let rest = self.path.strip_prefix(entry.path.as_ref());
        if entry.path == "/" {
            self.path == "/"
        } else {
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Frame {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (Some(shared), Some(facts)) =
            (parts.extensions.get::<Arc<Shared>>(), parts.extensions.get::<Facts>())
        else {
            return Err(ApiError::internal(&"no envelope around this page"));
        };
        let caller = caller_of(parts).cloned();
        Ok(Self {
            entries: entries(shared, caller.as_ref()),
            path: facts.uri.path().to_owned(),
            caller,
            assets: shared.assets.clone(),
            crumbs: Vec::new(),
            actions: None,
            wide: false,
        })
    }
}

/// The navigation: the overview, the departments' pages that the caller may open, then the house's own.
fn entries(shared: &Shared, caller: Option<&Caller>) -> Vec<Entry> {
    let own = |title, path, icon| Entry { title: Cow::Borrowed(title), path: Cow::Borrowed(path), icon };
    let mut entries = vec![own("Overview", "/", Icon::Overview)];
    for page in shared.departments.iter().flat_map(|department| &department.pages) {
        let scope = page.access.scope_for(&axum::http::Method::GET);
        if scope.is_none_or(|scope| caller.is_some_and(|caller| caller.allows(scope))) {
            entries.push(Entry { title: page.title.clone(), path: page.path.clone(), icon: page.icon });
        }
    }
    entries.push(own("Doors", "/doors", Icon::Doors));
    entries.push(own("API", "/api", Icon::Code));
    entries
}

/// A whole page with this title and content.
pub fn page(frame: &Frame, title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (frame.assets.head(title))
            body {
                a.skip href="#content" { "Skip to the content" }
                header.side {
                    a.brand href="/" { (mark()) span { "Backlot" } }
                    nav aria-label="Pages" {
                        @for entry in &frame.entries {
                            a href=(entry.path) aria-current=[frame.is_current(entry).then_some("page")] {
                                (entry.icon.render()) span { (entry.title) }
                            }
                        }
                    }
                    @if let Some(caller) = &frame.caller {
                        div.who {
                            span.name title="Signed in as" { (caller.name()) }
                            @if caller.via() == Via::Session {
                                form method="post" action="/logout" { button.link type="submit" { "Sign out" } }
                            }
                        }
                    }
                }
                main #content tabindex="-1" class=[frame.wide.then_some("wide")] {
                    @if !frame.crumbs.is_empty() {
                        nav.crumbs aria-label="Breadcrumb" {
                            ol {
                                @for (name, path) in &frame.crumbs { li { a href=(path) { (name) } } }
                                li { span aria-current="page" { (title) } }
                            }
                        }
                    }
                    div.title { h1 { (title) } @if let Some(actions) = &frame.actions { div.actions { (actions) } } }
                    (body)
                }
            }
        }
    }
}

/// A page without navigation: the login, errors.
pub(crate) fn bare_page(assets: &Assets, title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (assets.head(title))
            body.bare {
                main #content { a.brand href="/" { (mark()) span { "Backlot" } } (body) }
            }
        }
    }
}

/// An error for a person: what happened, the mend, and the id to ask the operator about.
pub(crate) fn error_page(shared: &Shared, error: &ApiError, request_id: &str) -> Markup {
    let title = error.status.canonical_reason().unwrap_or("Error");
    let body = html! {
        p.code { (error.status.as_u16()) }
        h1 { (title) }
        p { (sentence(&error.message)) }
        p.muted { (sentence(&error.mend)) }
        p { a.button href="/" { "To the overview" } }
        p.muted.small { "Request " code { (request_id) } }
    };
    bare_page(&shared.assets, title, body)
}

/// A one-line message as a sentence of a page.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

/// The house's mark: a clapper board over a lot.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            rect x="2" y="2" width="20" height="20" rx="5.5" class="mark-ground" {}
            path d="M7 17.5v-11h6a2.8 2.8 0 0 1 0 5.5h-6h6.5a2.8 2.8 0 0 1 0 5.5z" class="mark-line" {}
        }
    }
}
