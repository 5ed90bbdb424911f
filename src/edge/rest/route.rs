//! The REST routes, read from the `google.api.http` annotations in `proto/`. Depends on model's
//! descriptors and the tables of `edge::json`.

use http::Method;
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::{edge::json::Schema, model::DESCRIPTORS};

/// One route: which request leads to which gRPC method, and how its message is put together.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) template: Template,
    /// `/tongban.v1.ApplicationService/SubmitApplication`.
    pub(crate) rpc: String,
    /// Numbers of the messages in the schema.
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) body: BodyRule,
    /// The answer is a stream of messages.
    pub(crate) streams: bool,
    /// The call makes a new resource, answered 201.
    pub(crate) creates: bool,
    pub(crate) descriptor: MethodDescriptor,
}

/// What the body is.
pub(crate) enum BodyRule {
    /// There is none; fields come from path and query.
    None,
    /// The whole message, but for what the path names.
    Whole,
    /// One field of it: its number, its JSON name, and the message it holds.
    Field { number: u32, name: String, message: usize },
}

/// Every route of our services.
///
/// # Errors
/// What is not provided for in an annotation.
pub(crate) fn routes(schema: &Schema) -> Result<Vec<Route>, String> {
    let http = DESCRIPTORS
        .get_extension_by_name("google.api.http")
        .ok_or("the annotation google.api.http is not compiled in")?;
    let mut routes = Vec::new();
    for service in DESCRIPTORS.services().filter(|service| service.package_name() == "tongban.v1") {
        for method in service.methods() {
            let options = method.options();
            if !options.has_extension(&http) {
                continue;
            }
            let value = options.get_extension(&http);
            let rule = value.as_message().ok_or("google.api.http is no message")?;
            for rule in std::iter::once(rule).chain(additional(rule).iter()) {
                let route = route(schema, &method, rule);
                routes.push(route.map_err(|why| format!("{}: {why}", method.full_name()))?);
            }
        }
    }
    Ok(routes)
}

fn additional(rule: &DynamicMessage) -> Vec<DynamicMessage> {
    let value = rule.get_field_by_name("additional_bindings");
    let list = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    list.iter().filter_map(Value::as_message).cloned().collect()
}

fn route(schema: &Schema, rpc: &MethodDescriptor, rule: &DynamicMessage) -> Result<Route, String> {
    let text = |name: &str| -> String {
        let value = rule.get_field_by_name(name);
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let methods = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    let pattern = methods.into_iter().find(|(name, _)| rule.has_field_by_name(name));
    let (name, method) = pattern.ok_or("only get, put, post, delete and patch are provided for")?;
    if !text("response_body").is_empty() {
        return Err("response_body is not provided for".into());
    }
    let input = schema.number(&rpc.input())?;
    let template = Template::parse(&text(name))?;
    for parameter in template.parameters() {
        schema.field(input, parameter).ok_or_else(|| format!("no field `{parameter}`"))?;
    }
    let body = match text("body").as_str() {
        "" => BodyRule::None,
        "*" => BodyRule::Whole,
        field => match schema.field(input, field) {
            Some((number, name, Some(message))) => {
                BodyRule::Field { number, name: name.to_owned(), message }
            }
            _ => return Err(format!("body `{field}` is no message field")),
        },
    };
    Ok(Route {
        creates: method == Method::POST && template.is_collection(),
        method,
        template,
        rpc: format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()),
        input,
        output: schema.number(&rpc.output())?,
        body,
        streams: rpc.is_server_streaming(),
        descriptor: rpc.clone(),
    })
}

/// A path with parameters: `/v1/applications/{id}:supplement`.
pub(crate) struct Template {
    segments: Vec<Segment>,
    verb: Option<String>,
}

enum Segment {
    Literal(String),
    /// One segment, taken as the field of that name.
    Parameter(String),
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or("a path must begin with `/`")?;
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb.to_owned())),
            _ => (path, None),
        };
        let segment = |text: &str| match text.strip_prefix('{') {
            None if text.is_empty() || text.contains(['{', '}', '*']) => {
                Err(format!("`{text}` is no path segment"))
            }
            None => Ok(Segment::Literal(text.to_owned())),
            Some(rest) => {
                let name = rest.strip_suffix('}').map(|name| name.trim_end_matches("=*"));
                let name = name.filter(|name| !name.is_empty() && !name.contains(['=', '{', '*']));
                let name = name.ok_or_else(|| format!("`{text}`: only one whole segment"))?;
                Ok(Segment::Parameter(name.to_owned()))
            }
        };
        let segments = path.split('/').map(segment).collect::<Result<_, String>>()?;
        Ok(Self { segments, verb })
    }

    /// The names of its parameters.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    fn is_collection(&self) -> bool {
        self.verb.is_none() && self.parameters().next().is_none()
    }

    /// The parameters' values in `path`, still percent-encoded; `None` when it does not match.
    ///
    /// A colon in the last segment always begins a verb; ids have none.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let path = path.strip_prefix('/')?;
        let last = path.rfind('/').map_or(0, |slash| slash + 1);
        let (path, verb) = match path[last..].rfind(':') {
            Some(colon) => (&path[..last + colon], Some(&path[last + colon + 1..])),
            None => (path, None),
        };
        if verb != self.verb.as_deref() {
            return None;
        }
        let mut values = Vec::new();
        let mut parts = path.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Parameter(_) if !part.is_empty() => values.push(part),
                Segment::Literal(_) | Segment::Parameter(_) => return None,
            }
        }
        parts.next().is_none().then_some(values)
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        self.verb.iter().try_for_each(|verb| write!(f, ":{verb}"))
    }
}

/// Text of a path segment or, with `plus`, of a query: `%XX` and `+` decoded. `None` when it is
/// no UTF-8.
pub(crate) fn decoded(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escape = (*byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let value = escape.and_then(|(digits, _)| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
        });
        match (value, escape) {
            (Some(value), Some((_, after))) => {
                bytes.push(value);
                rest = after;
                continue;
            }
            _ if *byte == b'+' && plus => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_their_own_paths_only() {
        let template = Template::parse("/v1/applications/{id}:supplement").unwrap();
        assert_eq!(template.to_string(), "/v1/applications/{id}:supplement");
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["id"]);
        assert_eq!(template.matches("/v1/applications/7:supplement"), Some(vec!["7"]));
        for other in [
            "/v1/applications/7",
            "/v1/applications/7:withdraw",
            "/v1/applications/:supplement",
            "/v1/applications/7:supplement/",
            "/v1/applications/7/8:supplement",
            "v1/applications/7:supplement",
            "/v1/applications:supplement",
        ] {
            assert_eq!(template.matches(other), None, "{other}");
        }
        let plain = Template::parse("/v1/applications/{id}").unwrap();
        assert_eq!(plain.matches("/v1/applications/a%2Fb"), Some(vec!["a%2Fb"]));
        assert_eq!(plain.matches("/v1/applications/7:cancel"), None);
        let watch = Template::parse("/v1/applications:watch").unwrap();
        assert!(watch.matches("/v1/applications:watch").is_some());
        assert!(watch.matches("/v1/applications").is_none());
    }

    #[test]
    fn what_is_not_provided_for_is_refused_at_start() {
        for wrong in ["v1", "/v1/{a=b/*}", "/v1/**", "/v1//x", "/v1/{}", "/v1/{a"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_annotated_method_has_its_route() {
        let schema = Schema::compile(&DESCRIPTORS).unwrap();
        let routes = routes(&schema).unwrap();
        let told = |r: &Route| format!("{} {} {}", r.method, r.template, u8::from(r.creates));
        let told: Vec<String> = routes.iter().map(told).collect();
        assert!(told.contains(&"POST /v1/applications 1".to_owned()), "{told:?}");
        assert!(told.contains(&"POST /v1/applications/{id}:requestSupplement 0".to_owned()));
        assert!(told.contains(&"GET /v1/applications:watch 0".to_owned()));
    }

    #[test]
    fn percent_escapes_are_decoded_once() {
        assert_eq!(decoded("a%20b+c%2B", true).unwrap(), "a b c+");
        assert_eq!(decoded("%E5%8A%9E+", false).unwrap(), "办+");
        assert_eq!(decoded("%zz%4", false).unwrap(), "%zz%4");
        assert_eq!(decoded("%FF", false), None);
    }
}
