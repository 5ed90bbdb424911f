"""A Python client as a province would write it, and a second opinion on our JSON.

grpcio with classes that grpcio-tools generates from `proto/`, mutual TLS and a bound token. Then
the same documents over REST, held against `google.protobuf.json_format`: what it reads and prints
is what proto3 JSON is. Run by tests/it/clients.rs, which starts the gateway and says where it is:
TONGBAN_EDGE, TONGBAN_CERTS, TONGBAN_TOKEN, TONGBAN_PROTO, TONGBAN_APPLICATIONS.
"""

import copy
import http.client
import json
import os
import ssl
import sys
import tempfile
import traceback
import uuid
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

EDGE = os.environ["TONGBAN_EDGE"]
CERTS = Path(os.environ["TONGBAN_CERTS"])
TOKEN = os.environ["TONGBAN_TOKEN"]
PROTO = os.environ["TONGBAN_PROTO"]
# Canonical applications as proto JSON, each of another person.
APPLICATIONS = json.loads(os.environ["TONGBAN_APPLICATIONS"])
SECONDS = 60


def generate():
    """The classes of tongban.v1; those of google.api come with googleapis-common-protos."""
    out = tempfile.mkdtemp(prefix="tongban-python-")
    files = [f"tongban/v1/{file.name}" for file in Path(PROTO, "tongban/v1").glob("*.proto")]
    well_known = str(Path(protoc.__file__).parent / "_proto")
    arguments = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={out}"]
    if protoc.main([*arguments, f"--grpc_python_out={out}", *files]) != 0:
        sys.exit("grpcio-tools cannot compile proto/")
    sys.path.insert(0, out)


generate()

from tongban.v1 import application_pb2, event_pb2, gateway_pb2, gateway_pb2_grpc  # noqa: E402


def application(number):
    return json_format.ParseDict(APPLICATIONS[number], application_pb2.Application())


def channel():
    read = lambda name: (CERTS / name).read_bytes()
    tls = grpc.ssl_channel_credentials(read("ca.pem"), read("44.key"), read("44.pem"))
    both = grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(TOKEN))
    return grpc.secure_channel(EDGE, both)


CLIENT = gateway_pb2_grpc.ApplicationServiceStub(channel())


def submit(message, key):
    request = gateway_pb2.SubmitApplicationRequest(application=message)
    metadata = [("idempotency-key", key)] if key else []
    return CLIENT.SubmitApplication.with_call(request, metadata=metadata, timeout=SECONDS)


class Rest:
    """REST with the standard library alone."""

    def __init__(self):
        self.tls = ssl.create_default_context(cafile=CERTS / "ca.pem")
        self.tls.load_cert_chain(CERTS / "44.pem", CERTS / "44.key")

    def call(self, method, path, body=None, key=None):
        host, port = EDGE.rsplit(":", 1)
        connection = http.client.HTTPSConnection(host, int(port), timeout=SECONDS, context=self.tls)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        text = text.encode() if text is not None else None
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read().decode(), answer.headers
        connection.close()
        return found


REST = Rest()

# ---- the client ----


def submits_and_gets_the_same_answer_to_the_same_key():
    first, call = submit(application(0), "python-1")
    assert dict(call.initial_metadata()).get("idempotency-replayed") is None
    assert first.state == application_pb2.RECEIVED
    assert first.applicant == application(0).applicant
    again, call = submit(application(0), "python-1")
    assert dict(call.initial_metadata())["idempotency-replayed"] == "true"
    assert again.id == first.id
    read = CLIENT.GetApplication(gateway_pb2.GetApplicationRequest(id=first.id), timeout=SECONDS)
    assert read.disability_subsidy == application(0).disability_subsidy
    listed = CLIENT.ListApplications(gateway_pb2.ListApplicationsRequest(), timeout=SECONDS)
    assert first.id in [found.id for found in listed.applications]


def watches_and_sees_the_event():
    request = gateway_pb2.WatchApplicationsRequest(after_event="0")
    stream = CLIENT.WatchApplications(request, timeout=SECONDS)
    before = next(stream)
    taken, _ = submit(application(1), "python-2")
    event = next(stream)
    stream.cancel()
    assert event.application_id == taken.id
    assert event.type == event_pb2.APPLICATION_RECEIVED
    assert int(event.id) > int(before.id)


def reads_the_details_of_an_error():
    wrong = application(2)
    wrong.accepting_division = "999999"
    wrong.applicant.phone = "no phone"
    try:
        submit(wrong, "python-3")
        raise AssertionError("it was taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        trailers = dict(error.trailing_metadata())
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    details = {}
    for kind in ("ErrorInfo", "BadRequest", "RequestInfo"):
        message = getattr(error_details_pb2, kind)()
        assert any(detail.Unpack(message) for detail in status.details), kind
        details[kind] = message
    info = details["ErrorInfo"]
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", "tongban")
    fields = [violation.field for violation in details["BadRequest"].field_violations]
    assert fields == ["application.acceptingDivision", "application.applicant.phone"], fields
    assert len(details["RequestInfo"].request_id) == 32


def many_mistakes_fit_into_the_trailers():
    wrong = application(2)
    for _ in range(39):
        wrong.materials.add(kind="888", file_name="x", sha256="y", size_bytes=1)
    try:
        submit(wrong, "python-4")
        raise AssertionError("it was taken")
    except grpc.RpcError as error:
        # grpcio cuts off at 8 KiB of trailers: then it would be RESOURCE_EXHAUSTED.
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error


def gets_no_connection_without_a_certificate():
    tls = grpc.ssl_channel_credentials((CERTS / "ca.pem").read_bytes())
    with grpc.secure_channel(EDGE, tls) as bare:
        client = gateway_pb2_grpc.ApplicationServiceStub(bare)
        try:
            client.ListApplications(gateway_pb2.ListApplicationsRequest(), timeout=SECONDS)
            raise AssertionError("it was let in")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error


# ---- proto3 JSON, against a second implementation ----


def same(ours, theirs, path="$"):
    """Fails at the first place where two JSON values differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), f"{path}: {sorted(ours.keys() ^ theirs.keys())}"
        for key in ours:
            same(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for index, (a, b) in enumerate(zip(ours, theirs)):
            same(a, b, f"{path}[{index}]")
    else:
        assert (type(ours), ours) == (type(theirs), theirs), f"{path}: {ours!r}, {theirs!r}"


def what_we_print_is_what_they_print():
    """Submitted by gRPC, read by REST: the text parses to the same message and prints the same."""
    for number in range(3, 9):
        message = application(number)
        message.accept_time.nanos = [0, 5, 5_000, 500_000_000, 123_456_789, 0][number - 3]
        message.extensions["路径.a"] = '"\\u0000 <&> 𠅤"'
        taken, _ = submit(message, f"print-{number}")
        status, text, headers = REST.call("GET", f"/v1/applications/{taken.id}")
        assert status == 200 and headers["Content-Type"].startswith("application/json")
        parsed = json_format.Parse(text, application_pb2.Application())
        by_grpc = CLIENT.GetApplication(
            gateway_pb2.GetApplicationRequest(id=taken.id), timeout=SECONDS
        )
        assert parsed == by_grpc
        assert parsed.accept_time == message.accept_time
        same(json.loads(text), json.loads(json_format.MessageToJson(by_grpc)))
        assert json.loads(text)["acceptTime"].endswith("Z")
        assert isinstance(json.loads(text)["version"], str), "an int64 is a text"
        status, text, _ = REST.call("GET", f"/v1/applications/{taken.id}/events")
        assert status == 200
        parsed = json_format.Parse(text, gateway_pb2.ListApplicationEventsResponse())
        same(json.loads(text), json.loads(json_format.MessageToJson(parsed)))


# What the gateway sets, and a caller does not.
GIVEN = (
    "id state version submitting_party handling_party home_division_name decision create_time "
    "update_time deadlines checks handling_authority"
).split()


def as_submitted(answer):
    """The application without what the gateway added to it."""
    for name in GIVEN:
        answer.ClearField(name)
    return answer


def what_they_print_we_read():
    """Every way in which the second implementation can print a message is read as that message."""
    ways = [
        {},
        {"preserving_proto_field_name": True},
        {"use_integers_for_enums": True},
        {"always_print_fields_with_no_presence": True},
        {"ensure_ascii": False, "indent": None},
        {"preserving_proto_field_name": True, "use_integers_for_enums": True},
    ]
    for number, way in enumerate(ways):
        message = application(9 + number)
        message.materials[0].content = bytes(range(256))
        message.materials[0].size_bytes = 256
        message.materials[0].sha256 = (
            "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"
        )
        text = json_format.MessageToJson(message, **way)
        status, answer, _ = REST.call("POST", "/v1/applications", text, f"read-{number}")
        assert status == 201, f"{way}: {answer}"
        taken = json_format.Parse(answer, application_pb2.Application())
        assert as_submitted(taken) == message, f"{way}: {answer}"


def deep(change):
    """A change of one field of a copy, as a function of the application's JSON."""

    def changed(document):
        document = copy.deepcopy(document)
        change(document)
        return document

    return changed


def variants():
    """Spellings of one application, allowed and not; json_format says which."""

    def put(path, value):
        def change(document):
            *way, last = path
            for key in way:
                document = document[key]
            document[last] = value

        return deep(change)

    everywhere_null = lambda document: {**document, "guardian": None, "extensions": None}
    subsidy = "disabilitySubsidy"
    yield "as it is", lambda document: document
    yield "null for absent messages and maps", everywhere_null
    yield "null for a text", put([subsidy, "statement"], None)
    yield "null for a bool", put([subsidy, "longTermCare"], None)
    yield "null for a list", put(["materials"], None)
    yield "null within a list", put(["materials"], [None])
    yield "null for a timestamp", put(["completeTime"], None)
    yield "null for another member of the oneof", put(["childRecognition"], None)
    yield "two members of a oneof", put(["childRecognition"], {})
    yield "int64 as a number", put(["materials", 0, "sizeBytes"], 259254)
    yield "int64 as a text", put(["materials", 0, "sizeBytes"], "259254")
    yield "int64 as a whole float", put(["materials", 0, "sizeBytes"], 259254.0)
    yield "int64 with a fraction", put(["materials", 0, "sizeBytes"], 259254.5)
    yield "int64 as a text of words", put(["materials", 0, "sizeBytes"], "many")
    yield "int64 as an empty text", put(["materials", 0, "sizeBytes"], "")
    yield "int64 beyond its range", put(["materials", 0, "sizeBytes"], "9223372036854775808")
    yield "int64 as a bool", put(["materials", 0, "sizeBytes"], True)
    yield "enum as a number", put(["source"], 1)
    yield "enum as a name", put(["source"], "ONLINE")
    yield "enum as an unknown name", put(["source"], "SHOP")
    yield "enum as a lower-case name", put(["source"], "window")
    yield "enum as a bool", put(["source"], True)
    yield "bool as a text", put([subsidy, "longTermCare"], "true")
    yield "bool as a number", put([subsidy, "longTermCare"], 1)
    yield "text as a number", put(["acceptanceNumber"], 12345)
    yield "message as a text", put(["applicant"], "x")
    yield "message as a list", put(["applicant"], [])
    yield "list as a message", put(["materials"], {})
    yield "map as a list", put(["extensions"], [])
    yield "map of numbers", put(["extensions"], {"a": 1})
    yield "map with null", put(["extensions"], {"a": None})
    yield "an unknown field", put(["nickname"], "x")
    yield "an unknown field, null", put(["nickname"], None)
    yield "an unknown field deep down", put(["applicant", "residence", "floor"], 3)
    yield "snake_case", deep(lambda d: d.update(accepting_office=d.pop("acceptingOffice")))
    yield "CamelCase", deep(lambda d: d.update(AcceptingOffice=d.pop("acceptingOffice")))
    yield "timestamp with an offset", put(["acceptTime"], "2026-01-12T09:20:00+08:00")
    yield "timestamp with nanoseconds", put(["acceptTime"], "2026-01-12T01:20:00.123456789Z")
    yield "timestamp with ten digits", put(["acceptTime"], "2026-01-12T01:20:00.1234567890Z")
    yield "timestamp without a zone", put(["acceptTime"], "2026-01-12T01:20:00")
    yield "timestamp with a blank", put(["acceptTime"], "2026-01-12 01:20:00Z")
    yield "timestamp with a small z", put(["acceptTime"], "2026-01-12T01:20:00z")
    yield "timestamp as a number", put(["acceptTime"], 1768180800)
    yield "timestamp that is none", put(["acceptTime"], "2026-02-30T00:00:00Z")
    yield "timestamp in the year 0", put(["completeTime"], "0000-01-01T00:00:00Z")
    yield "bytes as base64", put(["materials", 0, "content"], "")
    yield "bytes as no base64", put(["materials", 0, "content"], "@@@")
    yield "a lone surrogate", put(["acceptingOffice"], "\ud840")


def whole_texts():
    """The same for what is said of the text as a whole."""
    document = json.dumps(APPLICATIONS[16])
    yield "a field twice", '{"acceptanceNumber":"a",' + document[1:]
    yield "a field in both spellings", '{"accepting_office":"a",' + document[1:]
    yield "a list", "[" + document + "]"
    yield "null", "null"
    yield "two documents", document + document
    yield "a comma too many", document[:-1] + ",}"
    yield "a comment", document + " // x"
    yield "blanks around", " \n\t" + document + "\r\n "
    yield "escapes", document.replace("WINDOW", "\\u0057INDOW")
    yield "not a number", document.replace('"259254"', "NaN")


# Where json_format takes what the specification does not (protobuf.dev/programming-guides/json,
# and the conformance suite's *DuplicateDifferentCasing*): there we must refuse.
LAXER = {
    "enum as a bool": "True is 1 in Python, so it takes it for a number",
    "bytes as no base64": "Python's base64 passes over foreign characters",
    "a field in both spellings": "it takes the last",
}


def both_read_and_refuse_the_same():
    differences, accepted, refused = [], 0, 0

    def compare(name, text, key):
        nonlocal accepted, refused
        try:
            theirs = json_format.Parse(text, application_pb2.Application())
        except (json_format.ParseError, UnicodeError, ValueError, RecursionError):
            theirs = None
        if name in LAXER:
            assert theirs is not None, f"{name}: json_format refuses it now; leave LAXER"
            theirs = None
        status, answer, _ = REST.call("POST", "/v1/applications", text, key)
        body = json.loads(answer)
        if status == 201:
            accepted += 1
            if theirs is None:
                differences.append(f"{name}: we take what json_format refuses")
                return
            ours = json_format.Parse(answer, application_pb2.Application())
            if as_submitted(ours) != theirs:
                differences.append(f"{name}: we read another message\n{ours}\n{theirs}")
        else:
            refused += 1
            assert status == 400, f"{name}: {status} {answer}"
            assert body["reason"], answer
            if theirs is not None:
                # Refused by content, not by form? gRPC says it of the same message.
                try:
                    submit(theirs, f"{key}-grpc")
                    differences.append(f"{name}: we refuse what json_format takes: {answer}")
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
                        differences.append(f"{name}: {error}")

    for number, (name, change) in enumerate(variants()):
        compare(name, json.dumps(change(APPLICATIONS[17 + number])), f"variant-{number}")
    for number, (name, text) in enumerate(whole_texts()):
        compare(name, text.replace(*fresh(number)), f"text-{number}-{uuid.uuid4()}")
    assert accepted >= 15 and refused >= 25, (accepted, refused)
    assert not differences, "\n".join(differences)


def fresh(number):
    """Another person for each whole text."""
    used, free = APPLICATIONS[16], APPLICATIONS[80 + number]
    return used["applicant"]["residentId"], free["applicant"]["residentId"]


def main():
    tests = [
        submits_and_gets_the_same_answer_to_the_same_key,
        watches_and_sees_the_event,
        reads_the_details_of_an_error,
        many_mistakes_fit_into_the_trailers,
        gets_no_connection_without_a_certificate,
        what_we_print_is_what_they_print,
        what_they_print_we_read,
        both_read_and_refuse_the_same,
    ]
    failed = 0
    for test in tests:
        try:
            test()
            print(f"python: {test.__name__} ... ok", flush=True)
        except Exception:
            failed += 1
            print(f"python: {test.__name__} ... FAILED\n{traceback.format_exc()}", flush=True)
    word = "FAILED" if failed else "ok"
    print(f"test result: {word}. {len(tests) - failed} passed; {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
