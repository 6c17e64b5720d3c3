//! The listener and its connections.

use std::{net::SocketAddr, sync::Arc};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    api,
    state::{Presence, Shared},
};

/// Takes connections until it is dropped.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    mut listener: TcpListener,
    config: Arc<ServerConfig>,
) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let acceptor = TlsAcceptor::from(config);
    let mut presence = shared.presence();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                if let Ok((stream, _)) = taken {
                    connections.spawn(connection(Arc::clone(&shared), acceptor.clone(), stream));
                }
            }
            _ = presence.changed() => {
                let now = *presence.borrow_and_update();
                if let Presence::AwayUntil(end) = now {
                    drop(listener);
                    connections.abort_all();
                    sleep_until(end).await;
                    listener = listen_again(address).await;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The same address once more; somebody may have taken it for a moment.
async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep_until(Instant::now() + std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn connection(shared: Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| api::handle(Arc::clone(&shared), request));
    // A client that goes away is no matter of the server's.
    let _ = Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
