//! Which routes answer: a leader's or a standby's; asked before every request, as masters take over from
//! each other within one process.
//!
//! A leader's routes belong to one switch: they end with it. A standby answers what it knows of
//! itself and sends everybody else on to the leader: 307 over HTTP, `UNAVAILABLE` with the leader's
//! address in the metadata over gRPC.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{HeaderValue, LOCATION};
use tower::ServiceExt as _;

use super::error::ApiError;
use super::server::is_grpc;
use super::service::leadership::Standing;
use crate::election::info;
use crate::proto::v1;
use crate::runtime::Lease;

#[derive(Debug)]
struct State {
    standing: Standing,
    /// While it leads: its routes, and the right to use them.
    leading: Option<(Router, Lease)>,
}

/// Where one master stands, and what it serves there; clones are the same one.
#[derive(Clone, Debug)]
pub struct Switch(Arc<RwLock<State>>);

impl Default for Switch {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(State {
            standing: Standing::Standby { leader: None },
            leading: None,
        })))
    }
}

impl Switch {
    /// A standby that knows no leader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this master leads, with these routes, while the lease lasts.
    pub fn lead(&self, routes: Router, lease: Lease) {
        self.set(Standing::Leader, Some((routes, lease)));
    }

    /// From now on this master leads and does not serve yet.
    pub fn recover(&self) {
        self.set(Standing::Recovering, None);
    }

    /// From now on another master leads, or nobody as far as is known.
    pub fn stand_by(&self, leader: Option<Arc<v1::MasterInfo>>) {
        let leader = leader.map(|leader| Box::new(Arc::unwrap_or_clone(leader)));
        self.set(Standing::Standby { leader }, None);
    }

    fn set(&self, standing: Standing, leading: Option<(Router, Lease)>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { standing, leading };
    }

    /// Where this master stands; a leader whose lease has run out is a standby that knows nobody.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match &state.leading {
            Some((_, lease)) if !lease.is_held() => Standing::Standby { leader: None },
            _ => state.standing.clone(),
        }
    }

    /// Where the leader is, `host:port`, if this master is not it.
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        match self.standing() {
            Standing::Standby { leader } => leader.as_deref().and_then(info::location),
            Standing::Leader | Standing::Recovering => None,
        }
    }

    /// The leader's routes, if that is this master.
    fn routes(&self) -> Option<Router> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (routes, lease) = state.leading.as_ref()?;
        lease.is_held().then(|| routes.clone())
    }

    /// Answers every request: as the leader, or by `standby`.
    pub fn serve(&self, standby: Router) -> Router {
        let switch = self.clone();
        Router::new().fallback(move |request: Request| {
            let routes = switch.routes().unwrap_or_else(|| standby.clone());
            async move {
                let answer: Result<Response, Infallible> = routes.oneshot(request).await;
                answer.unwrap_or_else(|never| match never {})
            }
        })
    }

    /// What a standby answers to what only a leader can.
    #[must_use]
    pub fn refuse(&self, request: &Request) -> Response {
        let leader = match self.standing() {
            Standing::Standby { leader } => leader,
            // It became the leader while the request was on its way here.
            Standing::Recovering | Standing::Leader => {
                let message = "this master was just elected and reads the registry; try again";
                return answer(request, ApiError::Unavailable(message.to_owned()));
            }
        };
        let address = leader.as_deref().and_then(info::address);
        let mut response = answer(request, ApiError::NotLeading { leader: address });
        let location = leader.as_deref().and_then(info::location);
        if let Some(location) = location.filter(|_| !is_grpc(request)) {
            let path = path_there(request.uri());
            // Protocol-relative, as Mesos writes it.
            if let Ok(value) = HeaderValue::try_from(format!("//{location}{path}")) {
                response.headers_mut().insert(LOCATION, value);
            }
        }
        response
    }
}

/// What is to be asked of the leader: the same, below the name of the master's process as Mesos has it.
fn path_there(uri: &http::Uri) -> String {
    let asked = uri.path_and_query().map_or("", |path| path.as_str());
    match uri.path().trim_end_matches('/') {
        // They name no thing of their own.
        "/redirect" | "/redirect.json" | "/master/redirect" | "/master/redirect.json" => {
            String::new()
        }
        path if path.starts_with("/master/") => asked.to_owned(),
        _ => format!("/master{asked}"),
    }
}

fn answer(request: &Request, error: ApiError) -> Response {
    if is_grpc(request) {
        tonic::Status::from(error).into_http()
    } else {
        error.into_http::<Body>()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::routing::get;
    use http::StatusCode;

    use super::*;
    use crate::api::LEADER;
    use crate::base::Instant;

    fn leader() -> Option<Arc<v1::MasterInfo>> {
        Some(Arc::new(v1::MasterInfo {
            id: "m".to_owned(),
            port: 5050,
            address: Some(v1::Address {
                hostname: Some("m1.example".to_owned()),
                ip: Some("10.0.0.1".to_owned()),
                port: 5050,
            }),
            ..v1::MasterInfo::default()
        }))
    }

    async fn ask(router: &Router, path: &str, kind: &str) -> Response {
        let request = http::Request::builder()
            .uri(path)
            .header("content-type", kind)
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    fn standby(switch: &Switch) -> Router {
        let switch = switch.clone();
        let refuse = move |request: Request| async move { switch.refuse(&request) };
        Router::new()
            .route("/health", get(|| async {}))
            .fallback(refuse)
    }

    #[tokio::test]
    async fn standbys_send_on_and_leaders_answer() {
        let switch = Switch::new();
        let router = switch.serve(standby(&switch));
        let nobody = ask(&router, "/state", "").await;
        assert_eq!(nobody.status(), StatusCode::SERVICE_UNAVAILABLE);
        switch.stand_by(leader());
        let sent = ask(&router, "/master/slaves?slave_id=x", "").await;
        assert_eq!(sent.status(), StatusCode::TEMPORARY_REDIRECT);
        let location = "//m1.example:5050/master/slaves?slave_id=x";
        assert_eq!(sent.headers()[LOCATION], location);
        assert_eq!(sent.headers()[LEADER], "10.0.0.1:5050");
        let sent = ask(&router, "/api/v1/scheduler", "").await;
        let location = "//m1.example:5050/master/api/v1/scheduler";
        assert_eq!(sent.headers()[LOCATION], location);
        let sent = ask(&router, "/tasks?limit=1", "").await;
        let location = "//m1.example:5050/master/tasks?limit=1";
        assert_eq!(sent.headers()[LOCATION], location);
        let sent = ask(&router, "/redirect", "").await;
        assert_eq!(sent.headers()[LOCATION], "//m1.example:5050");
        let rpc = ask(&router, "/mesos.v1.X/Call", "application/grpc").await;
        assert_eq!(rpc.status(), StatusCode::OK);
        assert_eq!(rpc.headers()["grpc-status"], "14");
        assert_eq!(rpc.headers()[LEADER], "10.0.0.1:5050");
        assert_eq!(ask(&router, "/health", "").await.status(), StatusCode::OK);

        switch.recover();
        let early = ask(&router, "/state", "").await;
        assert_eq!(early.status(), StatusCode::SERVICE_UNAVAILABLE);
        let routes = Router::new().route("/state", get(|| async { "mine" }));
        let lease = Lease::endless();
        switch.lead(routes, lease.clone());
        assert_eq!(ask(&router, "/state", "").await.status(), StatusCode::OK);
        assert_eq!(switch.standing(), Standing::Leader);
        lease.revoke();
        let late = ask(&router, "/state", "").await;
        assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
        switch.lead(Router::new(), Lease::until(Instant(1)));
        let standing = Standing::Standby { leader: None };
        assert_eq!(switch.standing(), standing);
    }
}
