//! The smallest HTTP client, for loopback.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(30);

/// One connection. Closed when dropped.
pub struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
        Self::over(address, stream).await
    }

    /// Takes a connection that is open already, perhaps an encrypted one.
    pub async fn over(
        address: SocketAddr,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, String> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { address, sender, driver })
    }

    /// Sends a request with a JSON body, or none, and reads the whole answer.
    pub async fn ask(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, String), String> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = self.send(request).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// Sends a request, and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<String>, String> {
        let place = format!("{}{}", self.address, request.uri());
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Response::from_parts(head, String::from_utf8_lossy(&body).into_owned()))
        };
        let answer: Result<_, hyper::Error> =
            timeout(DEADLINE, exchange).await.map_err(|_| format!("{place}: no answer in {DEADLINE:?}"))?;
        answer.map_err(|error| format!("{place}: {error}"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// GET, answered with status and body, or with why there was no answer.
pub async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, String), String> {
    Connection::open(address).await?.ask(Method::GET, path, Vec::new()).await
}
