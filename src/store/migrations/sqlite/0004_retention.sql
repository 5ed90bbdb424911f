-- The content of an application that ended long ago goes, the row and its leaves stay.

ALTER TABLE applications ADD COLUMN purged INTEGER;  -- when, microseconds UTC; NULL: not
CREATE INDEX applications_ended ON applications (updated) WHERE open = 0 AND purged IS NULL;
