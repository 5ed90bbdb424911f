-- Every table is appended to in key order: a random key in an index costs two thirds of the
-- throughput of a grown store (docs/decisions/0002). Columns marked `sealed` are AES-256-GCM.

CREATE TABLE applications (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL,                  -- UUIDv7, 16 bytes
  business INTEGER NOT NULL,         -- tongban.v1.Business
  state INTEGER NOT NULL,            -- tongban.v1.State
  version INTEGER NOT NULL,          -- count of events
  submitter TEXT NOT NULL,           -- party codes
  handler TEXT NOT NULL,
  acceptance_number TEXT NOT NULL,
  home_division TEXT NOT NULL,
  home_name TEXT NOT NULL,
  open INTEGER NOT NULL,             -- 1 while the person may not apply again
  benefits BLOB NOT NULL,            -- keyed digests of person and benefit, 16 bytes each
  salt BLOB NOT NULL,                -- of the commitments in the audit log
  trace TEXT NOT NULL,               -- W3C traceparent of the submission
  created INTEGER NOT NULL,          -- microseconds UTC
  updated INTEGER NOT NULL,
  body BLOB NOT NULL,                -- sealed: the application as submitted and first answered
  revised BLOB                       -- sealed: as changed since by supplement or decision
) STRICT;
CREATE UNIQUE INDEX applications_id ON applications (id);
CREATE INDEX applications_open ON applications (seq) WHERE open = 1;

CREATE TABLE events (
  seq INTEGER PRIMARY KEY,           -- the order of events, what a watch resumes after
  application INTEGER NOT NULL REFERENCES applications (seq),
  sequence INTEGER NOT NULL,         -- within the application, from 1
  type INTEGER NOT NULL,             -- tongban.v1.EventType
  state INTEGER NOT NULL,
  party TEXT NOT NULL,
  time INTEGER NOT NULL,
  detail BLOB                        -- sealed: reason, decision, materials
) STRICT;
CREATE INDEX events_application ON events (application, sequence);

CREATE TABLE idempotency (
  seq INTEGER PRIMARY KEY,
  key BLOB NOT NULL,                 -- SHA-256 of party, operation and key; indexed in memory
  content BLOB NOT NULL,             -- SHA-256 of the content
  application INTEGER NOT NULL REFERENCES applications (seq),
  created INTEGER NOT NULL,
  answer BLOB                        -- sealed; NULL: the application's `body` is the answer
) STRICT;

CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY,
  application INTEGER NOT NULL REFERENCES applications (seq),
  party TEXT NOT NULL,
  kind INTEGER NOT NULL,             -- 1 application, 2 event, 3 result
  event INTEGER NOT NULL,            -- the event's sequence
  message BLOB NOT NULL,             -- message number, 16 bytes
  state INTEGER NOT NULL,            -- 0 due, 1 leased, 2 delivered, 3 parked, 5 discarded
  attempts INTEGER NOT NULL,
  due INTEGER NOT NULL,              -- when due; when leased: when the lease ends
  unknown INTEGER NOT NULL,          -- 1: an attempt may have arrived; ask before sending
  note TEXT NOT NULL,                -- how the last attempt ended
  created INTEGER NOT NULL
) STRICT;
CREATE INDEX deliveries_due ON deliveries (party, due, seq) WHERE state IN (0, 1);
CREATE INDEX deliveries_order ON deliveries (application, party, seq) WHERE state IN (0, 1, 3);
CREATE INDEX deliveries_parked ON deliveries (seq) WHERE state = 3;

CREATE TABLE leaves (
  position INTEGER PRIMARY KEY,      -- place in the log, from 0, without gaps
  hash BLOB NOT NULL,                -- RFC 6962 leaf hash
  entry BLOB NOT NULL                -- canonical JSON, docs/audit.md
) STRICT;
