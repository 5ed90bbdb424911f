-- Who may be the same person although no number says so.

ALTER TABLE applications ADD COLUMN alike bytea;  -- keyed digest of name, birth date and benefit
CREATE INDEX applications_alike ON applications (alike, seq) WHERE alike IS NOT NULL AND open > 0;

-- Whoever takes in an application that may be like another writes its digests here first and removes
-- them last: of two at the same moment the second waits and then sees the first. Empty after each commit.
CREATE TABLE turns (
  alike bytea PRIMARY KEY
);
