//! What introspection is compared with: hyper alone, HTTP/1.1, no routing, that reads the request and answers with fixed bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Failure;

/// Serves the answer in `file` (header lines, an empty line, the body) at `address` until it is killed.
pub async fn serve(address: SocketAddr, file: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer has no empty line after its headers")?;
    let mut headers = HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (headers, body) = (headers.clone(), body.clone());
        let service = service_fn(move |request| answer(request, headers.clone(), body.clone()));
        tokio::spawn(async move {
            // An error is the generator hanging up.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // Read like any server that looks at what it is sent; what becomes of it makes no difference here.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(body));
    *response.headers_mut() = headers;
    Ok(response)
}
