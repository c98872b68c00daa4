//! The pages, in the binary. What is under `/assets/` has a hash of its content in its name and may be kept for ever.

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;

use crate::error::ApiError;

/// URL and content of each file, made by the build script.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Everything the pages may load comes from here, nothing inline runs, and no string becomes code (CSP level 3, Trusted Types).
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Answers a request for a page or one of its files. Every path without a dot is a page: the pages read it themselves.
#[must_use]
pub fn answer(method: &Method, path: &str) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return ApiError::method().into_response();
    }
    let page = !path.starts_with("/assets/") && !path.contains('.');
    let wanted = if page { "/index.html" } else { path };
    let found = FILES
        .iter()
        .find(|(url, _)| *url == wanted && (page || wanted != "/index.html"));
    let Some((url, content)) = found else {
        return ApiError::missing("There is no such file.").into_response();
    };
    let keep = if page {
        "no-store"
    } else {
        "public, max-age=31536000, immutable"
    };
    let mut response = Response::new(Body::from(*content));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(url)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}

fn media_type(url: &str) -> &'static str {
    match url.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::answer;
    use axum::http::{Method, StatusCode};

    #[test]
    fn every_page_is_the_same_document_and_files_are_themselves() {
        for page in ["/", "/audit", "/configuration/versions/3"] {
            let answer = answer(&Method::GET, page);
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
            assert_eq!(answer.headers()["cache-control"], "no-store");
        }
        for nothing in [
            "/assets/none.js",
            "/favicon.ico",
            "/assets/../index.html",
            "/index.html",
        ] {
            assert_eq!(
                answer(&Method::GET, nothing).status(),
                StatusCode::NOT_FOUND,
                "{nothing}"
            );
        }
        assert_eq!(answer(&Method::POST, "/").status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
