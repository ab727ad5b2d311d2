//! Embedded files served under names that carry their content's hash, so that a browser may keep them for ever.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

/// A file compiled into the binary: `/-/console.0f3a….css`.
#[derive(Clone, Debug)]
pub struct Asset {
    path: String,
    media_type: &'static str,
    content: &'static [u8],
}

impl Asset {
    /// An asset of the shell's own folder `/-/`. `stem` and `extension` make the name, with the hash between them.
    pub fn new(stem: &str, extension: &str, media_type: &'static str, content: &'static [u8]) -> Self {
        let hash = blake3::hash(content).to_hex();
        Self { path: format!("/-/{stem}.{}.{extension}", &hash[..16]), media_type, content }
    }

    /// The path to link to.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl IntoResponse for &Asset {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.media_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, self.content).into_response()
    }
}

/// Headers under which content that others wrote may be handed out: the browser saves it, and should it show it all the
/// same, then without script and without our origin. `file_name` may be anything; what a header cannot carry becomes
/// `_`.
pub fn attachment(file_name: &str, media_type: &str) -> [(HeaderName, HeaderValue); 3] {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ' ');
    let safe: String =
        file_name.chars().take(200).map(|letter| if plain(letter) { letter } else { '_' }).collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{safe}\""))
        .expect("invariant: only letters, digits and . - _ space");
    let content_type = HeaderValue::from_str(media_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    [
        (header::CONTENT_DISPOSITION, disposition),
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_content() {
        let one = Asset::new("console", "css", "text/css", b"a{}");
        let two = Asset::new("console", "css", "text/css", b"b{}");
        assert_eq!(
            one.path().split('.').map(str::len).collect::<Vec<_>>(),
            ["/-/console".len(), 16, "css".len()]
        );
        assert_ne!(one.path(), two.path());
    }

    #[test]
    fn hostile_file_names_cannot_break_out_of_the_header() {
        let headers = attachment("a\"; x=\r\nSet-Cookie: b\u{2028}.html", "text/html\r\nX: y");
        assert_eq!(headers[0].1, "attachment; filename=\"a__ x___Set-Cookie_ b_.html\"");
        assert_eq!(headers[1].1, "application/octet-stream");
    }
}
