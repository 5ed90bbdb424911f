//! The service of questions about people: decode, ask intake, encode. Depends on intake, auth and
//! model.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::{
    auth::Scope,
    edge::grpc::Call,
    intake::Questions,
    model::{pb, pb::verification_service_server::VerificationService},
};

pub(super) struct Verifications(pub(super) Arc<Questions>);

#[tonic::async_trait]
impl VerificationService for Verifications {
    async fn verify_marital_status(
        &self,
        request: Request<pb::VerifyMaritalStatusRequest>,
    ) -> Result<Response<pb::VerifyMaritalStatusResponse>, Status> {
        let (call, message) = Call::open(request);
        let outcome = async {
            let caller = call.caller(Scope::Verify)?;
            self.0.marital_status(caller, &message, call.trace()).await
        };
        call.answer(outcome.await)
    }

    async fn verify_benefits(
        &self,
        request: Request<pb::VerifyBenefitsRequest>,
    ) -> Result<Response<pb::VerifyBenefitsResponse>, Status> {
        let (call, message) = Call::open(request);
        let outcome = async {
            let caller = call.caller(Scope::Verify)?;
            self.0.benefits(caller, &message, call.trace()).await
        };
        call.answer(outcome.await)
    }
}
