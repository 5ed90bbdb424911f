//! Reading: one application, a page of them, the events of one; each party its own only.

use prost::Message as _;

use crate::{
    auth::Caller,
    business,
    intake::{Intake, not_found},
    model::{
        clock, pb,
        problem::{Problem, Violation},
    },
    store::{rows::Filter, turns::Reach},
};

impl Intake {
    /// One application that the caller's party submitted or handles.
    ///
    /// # Errors
    /// `NOT_FOUND` also for an application of others.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<pb::Application, Problem> {
        let (id, _) = self.own(caller, id).await?;
        let application = self.read(caller, Reach::Row, self.store.application(id)).await?;
        let application = application.ok_or_else(not_found)?;
        let mut application = self.as_of_today(application);
        self.disclose(caller, &mut application).await;
        Ok(application)
    }

    /// A page of the applications that the caller's party submitted or handles.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a page size or token that is none.
    pub async fn list(
        &self,
        caller: &Caller,
        request: pb::ListApplicationsRequest,
    ) -> Result<pb::ListApplicationsResponse, Problem> {
        let mut violations = self.shapes.check("ListApplicationsRequest", &request.encode_to_vec());
        let limit = match usize::try_from(request.page_size) {
            Ok(0) => 50,
            Ok(size @ 1..=200) => size,
            _ => {
                violations.push(Violation::form("pageSize", "must be 1 to 200, or 0 for 50"));
                0
            }
        };
        let before = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        let before = before.map(str::parse::<i64>).transpose().unwrap_or_else(|_| {
            let text = "is not a token of a page before; begin without one";
            violations.push(Violation::form("pageToken", text));
            None
        });
        if !violations.is_empty() {
            return Err(Problem::violations(violations));
        }
        let filter = Filter {
            party: caller.party().to_owned(),
            business: Some(request.business()).filter(|b| *b != pb::Business::Unspecified),
            state: Some(request.state()).filter(|state| *state != pb::State::Unspecified),
            home_division: request.home_division,
            limit,
            before,
        };
        let page = self.read(caller, Reach::Rows, self.store.list(filter));
        let (applications, next) = page.await?;
        let today = applications.into_iter().map(|one| self.as_of_today(one));
        let mut applications: Vec<_> = today.collect();
        for application in &mut applications {
            self.disclose(caller, application).await;
        }
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(pb::ListApplicationsResponse { applications, next_page_token })
    }

    /// What happened to one application, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND` also for an application of others.
    pub async fn events(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Vec<pb::ApplicationEvent>, Problem> {
        let (id, _) = self.own(caller, id).await?;
        self.read(caller, Reach::Row, self.store.events(id)).await
    }

    /// The application with the days its limits have left today.
    fn as_of_today(&self, mut application: pb::Application) -> pb::Application {
        let (now, calendar) = (clock::now_micros(), &self.calendar);
        application.deadlines = business::clock::shown(&application.deadlines, now, calendar);
        application
    }
}
