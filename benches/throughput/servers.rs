//! The servers to compare with, each its own process: they speak what the gateway speaks, over
//! the same mutual TLS, and keep nothing. And the receiver of case B.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::Ipv4Addr,
    path::Path,
    thread,
};

use axum::{Json, Router, routing::any, routing::post};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tongban::{config::Tls, model::pb, tls};
use tonic::{Status, body::Body, server::UnaryService};
use tonic_prost::ProstCodec;

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Role {
    /// tonic: decodes the application and answers with it, as the gateway does.
    Grpc,
    /// axum: reads the JSON document and answers with it, as the gateway does.
    Rest,
    /// The party that handles applications: says at once that it has stored them.
    Receiver,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Rest => "rest",
            Self::Receiver => "receiver",
        }
    }
}

/// Paths of the certificate `name` made by `tongban certs new`.
pub(crate) fn material(certs: &Path, name: &str) -> Tls {
    Tls {
        certificate: certs.join(format!("{name}.pem")),
        key: certs.join(format!("{name}.key")),
        authorities: certs.join("ca.pem"),
    }
}

/// Tells its port on standard output and serves until standard input ends.
pub(crate) async fn serve(role: Role, certs: &Path, port: u16) -> anyhow::Result<()> {
    let name = if matches!(role, Role::Receiver) { "national" } else { "gateway" };
    let faults = |faults| anyhow::anyhow!("{faults:?}");
    let acceptor = TlsAcceptor::from(tls::server(&material(certs, name)).map_err(faults)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("{}", listener.local_addr()?.port());
    // Ends with the bench, also when that was killed.
    thread::spawn(|| {
        _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let routes = match role {
        Role::Receiver => Router::new().fallback(any(stored)),
        Role::Grpc | Role::Rest => Router::new().route("/v1/applications", post(accepted)),
    };
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(role, acceptor.clone(), stream, routes.clone()));
    }
}

async fn connection(role: Role, acceptor: TlsAcceptor, stream: TcpStream, routes: Router) {
    _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let (builder, stream) = (Builder::new(TokioExecutor::new()), TokioIo::new(stream));
    // How a connection ends is the client's business.
    match role {
        Role::Grpc => _ = builder.serve_connection(stream, service_fn(received)).await,
        Role::Rest | Role::Receiver => {
            _ = builder.serve_connection(stream, TowerToHyperService::new(routes)).await;
        }
    }
}

async fn received(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let codec = ProstCodec::<pb::Application, pb::SubmitApplicationRequest>::default();
    Ok(tonic::server::Grpc::new(codec).unary(Echo, request).await)
}

struct Echo;

impl UnaryService<pb::SubmitApplicationRequest> for Echo {
    type Response = pb::Application;
    type Future = Ready<Result<tonic::Response<pb::Application>, Status>>;

    fn call(&mut self, request: tonic::Request<pb::SubmitApplicationRequest>) -> Self::Future {
        let Some(application) = request.into_inner().application else {
            return ready(Err(Status::invalid_argument("application")));
        };
        ready(Ok(tonic::Response::new(pb::Application {
            id: ID.into(),
            state: pb::State::Received as i32,
            version: 1,
            create_time: application.accept_time,
            ..application
        })))
    }
}

/// The same document as the gateway reads.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    business: String,
    acceptance_number: String,
    accepting_division: String,
    accepting_office: String,
    home_division: String,
    source: String,
    accept_time: String,
    complete_time: String,
    applicant: Person,
    bank_account: BankAccount,
    materials: Vec<Material>,
    disability_subsidy: Subsidy,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Person {
    name: String,
    resident_id: String,
    sex: String,
    birth_date: String,
    ethnicity: String,
    phone: String,
    residence: Place,
}

#[derive(Deserialize, Serialize)]
struct Place {
    division: String,
    address: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct BankAccount {
    bank_name: String,
    account_name: String,
    account_number: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    kind: String,
    file_name: String,
    size_bytes: String,
    sha256: String,
    reference: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Subsidy {
    subsidy_kind: String,
    certificate_number: String,
    category: String,
    level: String,
    certificate_valid_to: String,
    hardship_kind: String,
    hardship_certificate_number: String,
    other_allowance: String,
    long_term_care: bool,
}

/// The document with what a server adds to it.
#[derive(Serialize)]
struct Answered {
    id: &'static str,
    state: &'static str,
    version: &'static str,
    #[serde(flatten)]
    document: Document,
}

async fn accepted(Json(document): Json<Document>) -> Json<Answered> {
    Json(Answered { id: ID, state: "RECEIVED", version: "1", document })
}

/// Also the answer to the status question.
async fn stored(_body: bytes::Bytes) -> Json<serde_json::Value> {
    Json(serde_json::json!({"code": "0", "message": "", "data": {"state": "STORED"}}))
}

const ID: &str = "019a0000-0000-7000-8000-000000000000";
