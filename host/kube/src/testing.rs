//! A server on loopback that gives prepared answers and remembers what it was asked.

use std::future::Future;

use kube::{Client, Config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use crate::client;

/// An answer: status line and headers without the length, and the body.
pub(crate) struct Answer {
    pub(crate) head: &'static str,
    pub(crate) body: String,
}

/// Runs `ask` with a client whose requests get the answers in turn, one connection each; a request too many gets
/// none. Returns what `ask` returns and the requests as text.
pub(crate) fn with_server<T, F: Future<Output = T>>(
    answers: Vec<Answer>,
    ask: impl FnOnce(Client) -> F,
) -> (T, Vec<String>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let client = client::client(Config::new(address), None).unwrap();
        let mut requests = Vec::new();
        let result = tokio::select! {
            result = ask(client) => result,
            () = serve(listener, answers, &mut requests) => unreachable!(),
        };
        (result, requests)
    })
}

async fn serve(listener: TcpListener, answers: Vec<Answer>, requests: &mut Vec<String>) {
    for answer in answers {
        let (mut connection, _) = listener.accept().await.unwrap();
        requests.push(request(&mut connection).await);
        let Answer { head, body } = answer;
        let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        connection.write_all(text.as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
    }
    std::future::pending::<()>().await;
}

async fn request(connection: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut buffer = vec![0; 4096];
        let read = connection.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.map_or(0, |length| length.parse().unwrap()) <= body.len() || read == 0 {
            return text;
        }
    }
}
