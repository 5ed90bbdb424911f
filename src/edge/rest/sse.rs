//! A gRPC stream as server-sent events (WHATWG HTML, §9.2). Depends on the files of `edge`.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::{Status, body::Body};

use crate::{
    edge::{
        grpc::{self, ProblemSlot},
        json::Schema,
        problem,
    },
    model::{
        problem::{Problem, Reason},
        trace::TraceContext,
    },
};

/// The stream of messages number `output` as a stream of events.
pub(crate) fn events(
    messages: Body,
    schema: Arc<Schema>,
    output: usize,
    slot: ProblemSlot,
    trace: TraceContext,
) -> Response<Body> {
    let state = State { messages, schema, output, slot, trace, buffer: BytesMut::new() };
    // At once something to read, so that proxies and clients see the stream is open.
    let opening = Bytes::from_static(b"retry: 1000\n\n");
    let stream = futures::stream::unfold((Some(state), Some(opening)), |(state, opening)| async {
        let mut state = state?;
        if let Some(opening) = opening {
            return Some((Ok::<_, Status>(Frame::data(opening)), (Some(state), None)));
        }
        let (text, goes_on) = state.next().await?;
        Some((Ok(Frame::data(text)), (goes_on.then_some(state), None)))
    });
    let mut response = Response::new(Body::new(StreamBody::new(stream)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct State {
    messages: Body,
    schema: Arc<Schema>,
    output: usize,
    slot: ProblemSlot,
    trace: TraceContext,
    buffer: BytesMut,
}

impl State {
    /// The next text and whether more may follow; `None` at a good end.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        loop {
            if let Some(message) = message(&mut self.buffer) {
                return Some(match event(&self.schema, self.output, &message) {
                    Some(event) => (event, true),
                    None => (self.failure(Problem::new(Reason::Internal, UNREADABLE)), false),
                });
            }
            match tokio::time::timeout(HEARTBEAT, self.messages.frame()).await {
                Err(_) => return Some((Bytes::from_static(b": still here\n\n"), true)),
                Ok(None) => return None,
                Ok(Some(Err(status))) => {
                    return Some((self.failure(problem::of_foreign(&status)), false));
                }
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        let problem = refusal(&trailers, &self.slot)?;
                        return Some((self.failure(problem), false));
                    }
                },
            }
        }
    }

    fn failure(&self, problem: Problem) -> Bytes {
        let status = problem::outward(problem.reason).status;
        let body = problem::to_json(status, &problem, &self.trace);
        Bytes::from(format!("event: error\ndata: {body}\n\n"))
    }
}

/// The problem that trailers or headers state, whole where it was put down; `None` for success.
pub(crate) fn refusal(headers: &HeaderMap, slot: &ProblemSlot) -> Option<Problem> {
    let status = headers.get("grpc-status")?;
    if status.as_bytes() == b"0" {
        return None;
    }
    let unknown = || Problem::new(Reason::Internal, "the service failed without saying why");
    Some(slot.take().or_else(|| grpc::foreign(headers)).unwrap_or_else(unknown))
}

/// Takes one message off a buffer of length-prefixed ones.
pub(crate) fn message(buffer: &mut BytesMut) -> Option<Bytes> {
    let prefix: [u8; 5] = buffer.get(..5)?.try_into().ok()?;
    let [_, length @ ..] = prefix;
    let length = u32::from_be_bytes(length) as usize;
    if buffer.len() - 5 < length {
        return None;
    }
    buffer.advance(5);
    Some(buffer.split_to(length).freeze())
}

fn event(schema: &Schema, output: usize, message: &[u8]) -> Option<Bytes> {
    let json = schema.write(output, message).ok()?;
    let id = schema.text(output, "id", message).unwrap_or_default();
    let mut text = Vec::with_capacity(json.len() + 64);
    // JSON has no bare line breaks and an id has none either, so each is one line.
    if !id.is_empty() && !id.contains(['\n', '\r', '\0']) {
        text.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    text.extend_from_slice(b"event: application\ndata: ");
    text.extend_from_slice(&json);
    text.extend_from_slice(b"\n\n");
    Some(Bytes::from(text))
}

/// Proxies cut connections that are silent for a minute, some for half of that.
const HEARTBEAT: Duration = Duration::from_secs(15);
const UNREADABLE: &str = "an event can't be written as JSON; watch again after the last one";

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::model::{DESCRIPTORS, pb};

    fn frame(message: &pb::ApplicationEvent) -> Vec<u8> {
        let content = message.encode_to_vec();
        let length = u32::try_from(content.len()).unwrap();
        [&[0][..], &length.to_be_bytes(), &content].concat()
    }

    async fn told(messages: Body) -> String {
        let schema = Arc::new(Schema::compile(&DESCRIPTORS).unwrap());
        let output = DESCRIPTORS.get_message_by_name("tongban.v1.ApplicationEvent").unwrap();
        let output = schema.number(&output).unwrap();
        let trace = TraceContext { trace_id: [1; 16], span_id: [1; 8], sampled: false };
        let response = events(messages, schema, output, ProblemSlot::default(), trace);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn messages_cut_anywhere_become_whole_events() {
        let first = pb::ApplicationEvent { id: "7".into(), sequence: 1, ..Default::default() };
        let second = pb::ApplicationEvent { id: "8".into(), ..Default::default() };
        let bytes = [frame(&first), frame(&second)].concat();
        for cut in 0..bytes.len() {
            let parts = [bytes[..cut].to_vec(), bytes[cut..].to_vec()];
            let parts = parts.map(|part| Ok::<_, Status>(Frame::data(Bytes::from(part))));
            let text = told(Body::new(StreamBody::new(futures::stream::iter(parts)))).await;
            assert_eq!(
                text,
                "retry: 1000\n\nid: 7\nevent: application\ndata: {\"id\":\"7\",\"sequence\":\"1\"}\n\nid: 8\nevent: application\ndata: {\"id\":\"8\"}\n\n"
            );
        }
    }

    #[tokio::test]
    async fn a_stream_that_fails_ends_with_an_error_event() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("14"));
        let frames = [Ok::<_, Status>(Frame::<Bytes>::trailers(trailers))];
        let text = told(Body::new(StreamBody::new(futures::stream::iter(frames)))).await;
        assert!(
            text.contains("event: error\ndata: {\"type\":\"urn:tongban:error:UNAVAILABLE\""),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_heartbeats() {
        let silence = futures::stream::pending::<Result<Frame<Bytes>, Status>>();
        let limited =
            futures::StreamExt::take_until(silence, tokio::time::sleep(Duration::from_secs(40)));
        let text = told(Body::new(StreamBody::new(limited))).await;
        assert_eq!(text.matches(": still here\n\n").count(), 2);
    }
}
