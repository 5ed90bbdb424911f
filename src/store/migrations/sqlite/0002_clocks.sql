-- Statutory clocks, open questions and the route stand beside the content, which they outlive and
-- which they must not be written with: it may hold papers of many megabytes.

ALTER TABLE applications ADD COLUMN kept BLOB;     -- sealed; NULL: as in `body`
ALTER TABLE applications ADD COLUMN wake INTEGER;  -- when a clock next has something to say
CREATE INDEX applications_wake ON applications (wake) WHERE wake IS NOT NULL;

-- `open` is 2 from now on for an application whose benefit is being paid.
DROP INDEX applications_open;
CREATE INDEX applications_open ON applications (seq) WHERE open > 0;
