//! A well-behaved server behind TLS, with a certificate made on the spot.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::{fs, thread};

use http::Response;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A self-signed certificate and the file it is in.
pub(crate) struct Certificate {
    made: CertifiedKey<KeyPair>,
    pub(crate) path: String,
}

/// Makes a certificate for `localhost`, in a file that is named after `name`.
pub(crate) fn certificate(name: &str) -> Certificate {
    let made = generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{name}.pem"));
    fs::write(&path, made.cert.pem()).expect("a writable directory");
    let path = path.into_os_string().into_string().expect("UTF-8");
    Certificate { made, path }
}

/// A running server and the certificate to trust.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) certificate: String,
}

/// Starts a server that offers `protocols`, and answers every request of HTTP/2 with an empty 200.
pub(crate) fn server(name: &str, protocols: &[&str]) -> Server {
    let Certificate { made, path } = certificate(name);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key fits the certificate");
    config.alpn_protocols = protocols.iter().map(|&it| it.into()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let (tell, port) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .expect("a port");
            let address = listener.local_addr().expect("an address");
            tell.send(address.port()).expect("the test waits for it");
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), socket));
            }
        });
    });
    let port = port.recv().expect("a port");
    Server {
        url: format!("https://localhost:{port}/"),
        certificate: path,
    }
}

async fn serve(acceptor: TlsAcceptor, socket: TcpStream) -> Result<(), h2::Error> {
    let Ok(socket) = acceptor.accept(socket).await else {
        return Ok(());
    };
    let mut connection = h2::server::handshake(socket).await?;
    while let Some(next) = connection.accept().await {
        next?.1.send_response(Response::new(()), true)?;
    }
    Ok(())
}
