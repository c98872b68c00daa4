//! A browser that asks the API through its router.

use super::Console;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use redan_console::api::Client;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A browser on one of the console's pages.
pub struct Browser<'a> {
    pub console: &'a Console,
    pub cookie: Option<String>,
}

impl Browser<'_> {
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Response<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost:9443")
            .header(header::ORIGIN, "https://localhost:9443")
            .header("sec-fetch-site", "same-origin")
            .header("x-redan-console", "1");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        ask(
            self.console,
            request
                .header(header::CONTENT_TYPE, "application/json")
                .body(body)
                .unwrap(),
        )
        .await
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        json_of(self.send(Method::GET, path, None).await).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        json_of(self.send(Method::POST, path, Some(body)).await).await
    }
}

pub async fn ask(console: &Console, mut request: Request<Body>) -> Response<Body> {
    request
        .extensions_mut()
        .insert(Client("192.0.2.7:40000".parse().unwrap()));
    console.app.clone().router().oneshot(request).await.unwrap()
}

pub async fn json_of(response: Response<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 8 << 20).await.unwrap();
    (
        status,
        if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        },
    )
}

pub async fn sign_in<'a>(console: &'a Console, name: &str, password: &str) -> Browser<'a> {
    let mut browser = Browser { console, cookie: None };
    let response = browser
        .send(
            Method::POST,
            "/api/v1/login",
            Some(json!({ "name": name, "password": password })),
        )
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(set.starts_with("__Host-") && !set.contains("Domain"), "{set}");
    browser.cookie = Some(set.split(';').next().unwrap().to_owned());
    browser
}
