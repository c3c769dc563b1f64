//! A response body that is either an inner service's or text of ours.
//!
//! Only for inner services whose body cannot be made of bytes (a proxy's, for instance): axum's, `Full<Bytes>` and others
//! can, and keep their type. Invariant: what an inner body says of itself is passed on unchanged.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A body that a [`TenantLayer`](crate::TenantLayer) can write a refusal into, around one that it cannot.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use tenancy::TenantBody;
    ///
    /// // What a reverse proxy got from upstream, for instance.
    /// let upstream: Response<http_body_util::Empty<Bytes>> = Response::default();
    /// let response = upstream.map(TenantBody::new);
    /// # let _ = response;
    /// ```
    #[derive(Debug)]
    pub struct TenantBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Ours { text: Option<Bytes> },
    }
}

impl<B> TenantBody<B> {
    /// An inner service's body.
    ///
    /// ```
    /// let body = tenancy::TenantBody::new("text".to_owned());
    /// # let _: tenancy::TenantBody<String> = body;
    /// ```
    pub fn new(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }
}

impl<B> From<Bytes> for TenantBody<B> {
    fn from(text: Bytes) -> Self {
        Self { kind: Kind::Ours { text: Some(text).filter(|text| !text.is_empty()) } }
    }
}

impl<B: Body<Data = Bytes>> Body for TenantBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Ours { text } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Ours { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Ours { text } => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        }
    }
}
