//! Gets a URL over cleartext HTTP/2 (prior knowledge) and prints the body.
//!
//! `cargo run -p completion-h2 --example get -- http://localhost:8080/` Without a URL it starts a server of its own.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use completion_h2::client::{Builder, Connector};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri: Uri = match std::env::args().nth(1) {
        Some(uri) => uri.parse()?,
        None => serve().await?,
    };
    let host = uri.host().ok_or("the URL has no host")?.to_owned();
    let port = uri.port_u16().unwrap_or(80);

    let connector = Connector::new(
        Builder::new().timeout(Duration::from_secs(10)),
        move || TcpStream::connect((host.clone(), port)),
        tokio::spawn,
    );
    let response = connector
        .request(Request::get(uri).body(Empty::<Bytes>::new())?)
        .await?;
    println!("{}", response.status());

    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => print!("{}", String::from_utf8_lossy(&data)),
            Err(frame) => println!("trailers: {:?}", frame.trailers_ref()),
        }
    }
    println!();
    Ok(())
}

/// A server that greets.
async fn serve() -> Result<Uri, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let uri = format!("http://{}/", listener.local_addr()?).parse()?;
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(io).await?;
                while let Some(request) = connection.accept().await {
                    let (_, mut respond) = request?;
                    let mut body = respond.send_response(http::Response::new(()), false)?;
                    body.send_data(Bytes::from_static(b"hello over HTTP/2"), true)?;
                }
                Ok::<_, h2::Error>(())
            });
        }
    });
    Ok(uri)
}
