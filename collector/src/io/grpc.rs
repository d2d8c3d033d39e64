//! OTLP over gRPC.

use std::sync::Arc;

use axum::{Router, middleware, response::Response as HttpResponse};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
};
use tallylight_model::{Metric, NodeId};
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    service::{Routes, interceptor::InterceptedService},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    ingest::{Ingest, MAX_REQUEST, RETRY_AFTER, Refused, Taken},
    meters::Meters,
};

const STATUS: &str = "grpc-status";

pub(super) fn router(ingest: Ingest) -> Router {
    let authenticate = {
        let ingest = ingest.clone();
        move |mut request: Request<()>| {
            let header = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
            let node = ingest.authenticate(header).map_err(status)?;
            request.extensions_mut().insert(node);
            Ok(request)
        }
    };
    let service = Service(ingest.clone());
    let metrics = MetricsServiceServer::new(service.clone())
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST);
    let logs = LogsServiceServer::new(service)
        .accept_compressed(CompressionEncoding::Zstd)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_REQUEST);
    let meters = Arc::clone(&ingest.meters);
    Routes::new(InterceptedService::new(metrics, authenticate.clone()))
        .add_service(InterceptedService::new(logs, authenticate))
        .into_axum_router()
        .layer(middleware::map_response(move |response: HttpResponse| {
            let meters = Arc::clone(&meters);
            async move { finish(&meters, response) }
        }))
}

/// Counts the request. What tonic itself refuses gets the code that the OTLP specification asks for: a message that cannot be
/// read can never be valid, and one that is too large can neither.
fn finish(meters: &Meters, mut response: HttpResponse) -> HttpResponse {
    let code = response.headers().get(STATUS).and_then(|it| it.to_str().ok()?.parse().ok());
    let code = match code.map_or(Code::Ok, Code::from_i32) {
        Code::OutOfRange => Code::ResourceExhausted,
        Code::Internal => Code::InvalidArgument,
        code => code,
    };
    if code != Code::Ok {
        response.headers_mut().insert(STATUS, (code as i32).into());
    }
    let result = match code {
        Code::Ok => "ok",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "denied",
        Code::ResourceExhausted => "too_large",
        Code::Unavailable => "busy",
        _ => "invalid",
    };
    meters.count(Metric::CollectorRequests, &[("transport", "grpc"), ("result", result)], 1);
    response
}

fn status(refused: Refused) -> Status {
    let message = refused.to_string();
    match refused {
        Refused::Unauthenticated => Status::unauthenticated(message),
        Refused::OtherNode => Status::permission_denied(message),
        Refused::Malformed(_) => Status::invalid_argument(message),
        Refused::Busy => Status::with_error_details(
            Code::Unavailable,
            message,
            ErrorDetails::with_retry_info(Some(RETRY_AFTER)),
        ),
    }
}

#[derive(Clone)]
struct Service(Ingest);

fn speaker<T>(request: &Request<T>) -> Result<NodeId, Status> {
    request.extensions().get().cloned().ok_or_else(|| status(Refused::Unauthenticated))
}

/// Says what was left out, if anything was.
fn partial(taken: Taken) -> Option<(i64, String)> {
    let left_out = i64::try_from(taken.skipped).unwrap_or(i64::MAX);
    (left_out > 0)
        .then(|| (left_out, "not of Tallylight's agents, or of a later version".to_owned()))
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let node = speaker(&request)?;
        let taken = self.0.metrics(&node, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(metrics_response(taken)))
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let node = speaker(&request)?;
        let taken = self.0.logs(&node, request.into_inner()).await.map_err(status)?;
        Ok(Response::new(logs_response(taken)))
    }
}

pub(super) fn metrics_response(taken: Taken) -> ExportMetricsServiceResponse {
    let partial_success = partial(taken).map(|(rejected_data_points, error_message)| {
        ExportMetricsPartialSuccess { rejected_data_points, error_message }
    });
    ExportMetricsServiceResponse { partial_success }
}

pub(super) fn logs_response(taken: Taken) -> ExportLogsServiceResponse {
    let partial_success = partial(taken).map(|(rejected_log_records, error_message)| {
        ExportLogsPartialSuccess { rejected_log_records, error_message }
    });
    ExportLogsServiceResponse { partial_success }
}
